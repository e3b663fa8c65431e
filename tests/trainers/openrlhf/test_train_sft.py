"""`openrlhf.cli.train_sft` itself, on rows of ours and a CPU."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from pathlib import Path
from types import SimpleNamespace

import pytest

from agents.attempts import Attempt
from agents.runs.setup import Setup, make_player
from tau2_gym.domains.base import get_domain
from tests.tiny_model import tiny_tokenizer
from tests.trainers.cpu import CPU, PATIENCE, changed, run_on_cpu, tiny
from trainers.config import SFTConfig
from trainers.data.dataset import DATA, read_rows, write_rows
from trainers.data.sft_rows import RowMaker, make_rows
from trainers.openrlhf.arguments import sft_arguments
from trainers.openrlhf.gpu_packages import gpu_packages_optional
from trainers.sections import Optimizer, Run

ROWS, BATCH = 16, 4

__all__ = ["tiny"]

pytestmark = PATIENCE


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Rows of what the oracle did at training tasks in telecom."""
    setup = Setup("oracle", "scripted", 0, "sparse", 100, 10, "inspect-evals", None)
    player = make_player(setup)
    tasks = get_domain("telecom").task_ids("train")[:ROWS]

    async def play() -> list[dict[str, object]]:
        return [(await player.play(Attempt("telecom", task, 0, 0))).to_dict() for task in tasks]

    maker = RowMaker(tiny_tokenizer("instruct"), prompt="bare", context=4096)
    rows, refused = make_rows(maker, asyncio.run(play()))
    assert not refused
    folder = tmp_path_factory.mktemp("data")
    write_rows(folder, rows, {})
    return folder


def config(model: str, data: Path, output: Path, epochs: int) -> SFTConfig:
    return SFTConfig(
        model=model,
        data=data,
        context=4096,
        epochs=epochs,
        batch=BATCH,
        optimizer=Optimizer(lr=5e-3, schedule="cosine", warmup=0.0),
        hardware=CPU,
        run=Run(output=output, save_every=ROWS // BATCH),
    )


@dataclass(frozen=True)
class Trained:
    output: Path
    losses: dict[int, float]


def train(recipe: SFTConfig) -> Trained:
    run_on_cpu("sft", sft_arguments(recipe, recipe.data / DATA, None, ROWS), MASTER_PORT="29517")
    return Trained(recipe.run.output, losses(recipe.run.output))


def losses(output: Path) -> dict[int, float]:
    """The loss of each step, from the newest log for TensorBoard."""
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    newest = max((output / "logs").rglob("events*"), key=lambda path: path.stat().st_mtime_ns)
    events = EventAccumulator(str(newest)).Reload()
    return {event.step: event.value for event in events.Scalars("train/loss_mean")}


def test_exactly_what_the_assistant_says_is_trained(data: Path) -> None:
    with gpu_packages_optional():
        from datasets import Dataset
        from openrlhf.datasets import SFTDataset

    tokenizer = tiny_tokenizer("instruct")
    rows = read_rows(data)
    arguments = SimpleNamespace(input_key="messages", output_key=None, apply_chat_template=True)
    dataset = SFTDataset(
        Dataset.from_list([{"messages": row["messages"]} for row in rows]),
        tokenizer,
        4096,
        SimpleNamespace(args=SimpleNamespace(data=arguments)),
        num_processors=1,
        multiturn=True,
    )
    for index, row in enumerate(rows):
        ids, _, mask = dataset[index]
        trained = tokenizer.decode(ids[0, 1:][mask[0, :-1].bool()])
        said = [m["content"] for m in row["messages"] if m["role"] == "assistant"]
        assert trained == "".join(f"{text}<|im_end|>\n" for text in said).rstrip("\n")


def test_sft_learns_and_goes_on_from_a_checkpoint(data: Path, tiny: str, tmp_path: Path) -> None:
    first = train(config(tiny, data, tmp_path / "run", 2))
    steps = 2 * ROWS // BATCH
    assert list(first.losses) == list(range(1, steps + 1))
    assert first.losses[steps] < 0.7 * first.losses[1]
    assert changed(tiny, str(first.output / "model"))

    second = train(config(tiny, data, tmp_path / "run", 3))
    assert list(second.losses) == list(range(steps + 1, steps + ROWS // BATCH + 1))
    assert max(second.losses.values()) < 0.8 * first.losses[1]
