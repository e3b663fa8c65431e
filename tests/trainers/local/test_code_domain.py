"""The domain `code` through all stages: demonstrations, fine-tuning, GRPO in one process, evaluation."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from rich.console import Console
from typer.testing import CliRunner

from tests.trainers.local import small

pytest.importorskip("math_verify", reason="math-verify is not installed: pip install -e '.[code]'")

from benchmarks import passk
from examples.from_scratch.model import flat, make_model, make_tokenizer, save
from tau2_gym.domains.base import get_domain
from tau2_gym.sandbox.choice import VARIABLE
from tau2_gym.sandbox.local import available
from trainers import collect, rft
from trainers.config import GRPOConfig, SFTConfig
from trainers.local import grpo, sft
from trainers.sections import Algorithm, Environment, Evaluation, Optimizer, Rollout, Run, Tasks

NAME = "code:generated:seed=1,count=15,test=4,difficulty=1,families=arithmetic"
CONTEXT = 512
TCR = {
    "preset": "sparse",
    "tool_call": 0.05,
    "tool_call_cap": 0.2,
    "overlong": {"limit": 128, "buffer": 64, "factor": 0.5},
}
QUIET = Console(quiet=True)


@dataclass(frozen=True)
class Pipeline:
    """What all stages have left."""

    folder: Path

    def lines(self, name: str) -> list[dict[str, Any]]:
        return [json.loads(line) for line in (self.folder / name).read_text().splitlines()]


def run(app: Any, *options: Any) -> None:
    result = CliRunner().invoke(app, [str(option) for option in options])
    assert result.exit_code == 0, result.output


def start(folder: Path, attempts: list[dict[str, Any]]) -> str:
    """Tokenizer and random weights."""
    tokenizer = make_tokenizer(
        [flat(attempt["messages"], attempt["domain"]) for attempt in attempts], 900
    )
    save(folder, tokenizer, make_model(tokenizer, 0, width=64, layers=1, context=CONTEXT))
    return str(folder)


@pytest.fixture(scope="module")
def done(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Pipeline]:
    folder = tmp_path_factory.mktemp("code")
    with pytest.MonkeyPatch.context() as patch:
        if available() is not None:
            patch.setenv(VARIABLE, "local-unisolated")
        made = Pipeline(folder)
        asked = ("--agent", "oracle", "--domains", NAME, "--num-samples", 1, "--workers", 1)
        run(collect.app, *asked, "-o", folder / "raw")
        model = start(folder / "start", made.lines("raw/attempts.jsonl"))
        run(
            rft.app, "--from", folder / "raw", "-o", folder / "data", "--tokenizer", model,
            "--prompt", "bare", "--context", CONTEXT,
        )  # fmt: skip
        sft.train(
            SFTConfig(
                model=model,
                data=folder / "data",
                context=CONTEXT,
                batch=5,
                optimizer=Optimizer(lr=1e-2, schedule="cosine", warmup=0.1),
                hardware=small.CPU,
                run=Run(output=folder / "sft", steps=60, save_every=100, tensorboard=False),
            ),
            QUIET,
        )
        grpo.train(
            GRPOConfig(
                model=str(folder / "sft" / "model"),
                tasks=Tasks(domains=(NAME,)),
                environment=Environment(prompt="bare", reward=TCR, max_turns=4),
                rollout=Rollout(
                    tasks=2, samples=4, max_new_tokens=48, context=CONTEXT, concurrency=8
                ),
                algorithm=Algorithm(),
                optimizer=Optimizer(lr=1e-3),
                hardware=small.CPU,
                evaluation=Evaluation(every=2, samples=1, temperature=1.0),
                run=Run(output=folder / "grpo", steps=2, save_every=1, tensorboard=False),
            ),
            QUIET,
        )
        run(
            passk.app, "--agent", "transformers", "--model", folder / "grpo" / "model",
            "--prompt", "bare", "--domains", NAME, "--split", "test", "--num-samples", 2,
            "--max-new-tokens", 48, "--output", folder / "passk.jsonl",
        )  # fmt: skip
        yield made


def test_what_the_oracle_did_becomes_rows(done: Pipeline) -> None:
    attempts, rows = done.lines("raw/attempts.jsonl"), done.lines("data/data.jsonl")
    assert len(attempts) == len(rows) == len(get_domain(NAME).task_ids("train")) == 15
    for row in rows:
        assert (row["domain"], row["split"], row["reward"], row["pool"]) == (
            NAME,
            "train",
            1.0,
            False,
        )
        roles = [message["role"] for message in row["messages"]]
        assert roles == ["system", "user", "assistant", "user", "assistant"]
        problem, call, result, answer = (message["content"] for message in row["messages"][1:])
        assert problem.endswith(("?", ".)"))
        assert '"name": "code_interpreter"' in call
        assert result.startswith("<tool_response>")
        assert "\\boxed{" in answer


def test_fine_tuning_learns_to_call_and_to_answer(done: Pipeline) -> None:
    losses = [line["train/loss"] for line in done.lines("sft/log.jsonl")]
    assert losses[-1] < 0.5 * losses[0]


def test_grpo_plays_with_the_sandbox(done: Pipeline) -> None:
    lines = done.lines("grpo/log.jsonl")
    assert [line["step"] for line in lines] == [0, 1, 2]
    trained = [line for line in lines if line["step"]]
    for line in trained:
        assert line["train/masked"] == line["train/fault_infrastructure"] == 0
        assert 1 < line["train/turns"] <= 4
        assert line["train/ledger/tool_call"] > 0
    evaluated = [line for line in lines if "eval/pass@1" in line]
    assert [line["step"] for line in evaluated] == [0, 2]
    assert {line["eval/masked"] for line in evaluated} == {0}


def test_the_trained_model_is_evaluated(done: Pipeline) -> None:
    rows = done.lines("passk.jsonl")
    assert {row["task_id"] for row in rows} == set(get_domain(NAME).task_ids("test"))
    assert len(rows) == 8
    assert {row["fault"] for row in rows} == {None}
    assert all(row["num_turns"] <= 16 for row in rows)
    said = [message for row in rows for message in row["messages"]]
    assert any(message["role"] == "tool" for message in said)
    summary = json.loads((done.folder / "passk.summary.json").read_text())
    assert summary["config"]["sources"][NAME].startswith("generated:seed=1")
