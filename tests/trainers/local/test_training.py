"""SFT and GRPO in one process, for real: a tiny model learns, is killed, and goes on as if nothing had
been."""

from __future__ import annotations

import itertools
import json
import math
import os
import random
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from rich.console import Console

from agents.attempts import Attempt
from agents.trajectory import Trajectory
from tests.trainers.local import small
from tests.trainers.local.small import torch
from tests.trainers.playing import TASKS
from trainers.config import GRPOConfig, SFTConfig
from trainers.local import grpo, sft
from trainers.local.checkpoints import latest_checkpoint
from trainers.local.play import play
from trainers.openrlhf.task_loader import TaskStream
from trainers.rollout.curriculum import task_of

STEPS = 6
BRIEF = {"preset": "progress", "overlong": {"limit": 40, "buffer": 40}}
"""Takes something for every sampled token, so that hardly any two episodes earn the same."""

QUIET = Console(quiet=True)


@dataclass(frozen=True)
class Runs:
    """Runs of the same settings, by the names of their folders."""

    folder: Path

    @property
    def fluent(self) -> str:
        """A model that has learned to say something and to stop."""
        return str(self.folder / "fluent" / "model")

    def sft(self, name: str, steps: int = 5, **options: Any) -> SFTConfig:
        start, data = str(self.folder / "start"), self.folder / "data"
        return small.sft(start, data, self.folder / name, steps, **options)

    def grpo(
        self, name: str, steps: int = STEPS, reward: Any = BRIEF, **options: Any
    ) -> GRPOConfig:
        return small.grpo(self.fluent, self.folder / name, steps, reward, **options)

    def log(self, name: str) -> list[dict[str, float]]:
        lines = (self.folder / name / "log.jsonl").read_text().splitlines()
        return [json.loads(line) for line in lines]

    def untimed(self, name: str) -> list[str]:
        """The log's lines without what a clock says."""
        return [
            json.dumps({key: value for key, value in line.items() if "timing" not in key})
            for line in self.log(name)
        ]

    def apart(self, one: str, other: str) -> float:
        return small.apart(self.folder / one / "model", self.folder / other / "model")


@dataclass(frozen=True)
class Doomed:
    """A process that trains until it has written a checkpoint."""

    process: subprocess.Popen[bytes]
    output: Path

    @classmethod
    def start(cls, kind: str, config: SFTConfig | GRPOConfig) -> Doomed:
        output = config.run.output
        recipe = output.with_suffix(".yaml")
        recipe.write_text(config.model_dump_json())  # which is YAML, too
        command = ["-m", f"trainers.{kind}", "--backend", "local", "--config", str(recipe)]
        process = subprocess.Popen(
            [sys.executable, *command],
            cwd=Path(__file__).parents[3],
            env={**os.environ, "OMP_NUM_THREADS": "1"},
            stdout=output.with_suffix(".txt").open("wb"),
            stderr=subprocess.STDOUT,
        )
        return cls(process, output)

    def kill(self) -> None:
        deadline = time.monotonic() + 300
        while not (self.output / "checkpoints" / "000001").exists():
            assert self.process.poll() is None, self.output.with_suffix(".txt").read_text()[-2000:]
            assert time.monotonic() < deadline
            time.sleep(0.002)
        self.process.kill()
        assert self.process.wait() == -signal.SIGKILL
        assert not (self.output / "model").exists()


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Runs]:
    """Some whole runs, and two that were killed and went on."""
    made = Runs(tmp_path_factory.mktemp("training"))
    small.start(made.folder / "start")
    small.demonstrations(made.folder / "data")
    doomed = [Doomed.start("sft", made.sft("sft-killed"))]
    try:
        sft.train(made.sft("fluent", 30, save_every=100), QUIET)
        doomed.append(Doomed.start("grpo", made.grpo("grpo-killed")))
        sft.train(made.sft("sft", eval_data=made.folder / "data"), QUIET)
        sft.train(made.sft("sft-again"), QUIET)
        grpo.train(made.grpo("grpo"), QUIET)
        for each in doomed:
            each.kill()
        sft.train(made.sft("sft-killed"), QUIET)
        grpo.train(made.grpo("grpo-killed"), QUIET)
        yield made
    finally:
        for each in doomed:
            each.process.kill()


def test_fine_tuning_learns(runs: Runs) -> None:
    lines = runs.log("sft")
    assert [line["step"] for line in lines] == [1, 2, 3, 4, 5]
    losses = [line["train/loss"] for line in lines]
    assert losses[0] == pytest.approx(math.log(len(small.tokenizer())), abs=0.5)
    assert losses[-1] < losses[0] - 1
    evaluated = {line["step"]: line["eval/loss"] for line in lines if "eval/loss" in line}
    assert list(evaluated) == [2, 4, 5], "after each epoch, and at the end"
    assert evaluated[5] < evaluated[2]
    rates = [line["train/lr"] for line in lines]
    assert rates[0] == 1e-2
    assert sorted(rates, reverse=True) == rates
    assert all(line["train/grad_norm"] > 0 for line in lines)


def test_every_step_of_a_policy_is_logged(runs: Runs) -> None:
    lines = runs.log("grpo")
    assert [line["step"] for line in lines] == list(range(STEPS + 1))
    evaluated = [line["step"] for line in lines if "eval/pass@1" in line]
    assert evaluated == [0, 2, 4, STEPS]
    assert lines[0].keys() == {"step", *(name for name in lines[-1] if name.startswith("eval/"))}
    for line in lines[1:]:
        assert {
            *("train/reward", "train/pass@1", "train/telecom/reward", "train/turns"),
            *("train/masked", "train/fault_user", "train/ledger/overlong", "train/entropy"),
            *("train/equal_groups", "train/policy_loss", "train/kl", "train/actor_lr"),
            *("train/actor_grad_norm", "train/timing/generation", "train/timing/step_total"),
        } <= line.keys()
        assert all(math.isfinite(value) for value in line.values())
        assert line["train/masked"] == line["train/kl"] == 0
    assert json.loads((runs.folder / "grpo" / "config.json").read_text())["model"] == runs.fluent


def test_the_engine_samples_what_the_trainer_computes(runs: Runs) -> None:
    for line in runs.log("grpo")[1:]:
        assert 0 < line["train/logprob_diff_max"] <= 1e-4


def test_a_policy_learns(runs: Runs) -> None:
    lines = runs.log("grpo")[1:]
    assert lines[-1]["train/reward"] > lines[0]["train/reward"] + 0.2
    assert lines[-1]["train/response_tokens"] < lines[0]["train/response_tokens"]
    assert runs.apart("grpo", "fluent") > 1e-4


def test_where_all_earn_the_same_nothing_is_learned(runs: Runs) -> None:
    grpo.train(runs.grpo("equal", 2, reward="sparse"), QUIET)
    for line in runs.log("equal")[1:]:
        assert line["train/equal_groups"] == 1
        assert line["train/actor_grad_norm"] == line["train/policy_loss"] == 0
    assert runs.apart("equal", "fluent") == 0


@pytest.mark.parametrize("kind", ["sft", "grpo"])
def test_a_killed_run_goes_on_as_if_nothing_had_been(runs: Runs, kind: str) -> None:
    whole = "sft-again" if kind == "sft" else "grpo"
    assert runs.apart(f"{kind}-killed", whole) < 1e-6
    lines, others = runs.log(f"{kind}-killed"), runs.log(whole)
    for line, other in zip(lines, others, strict=True):
        assert line.keys() == other.keys()
        for name, value in line.items():
            assert "timing" in name or value == pytest.approx(other[name], abs=1e-4), name


def test_the_same_seed_writes_the_same_log(runs: Runs) -> None:
    """And a loss on other data changes nothing."""
    plain = [
        json.dumps({name: value for name, value in line.items() if name != "eval/loss"})
        for line in runs.log("sft")
    ]
    assert plain == runs.untimed("sft-again")
    assert runs.apart("sft", "sft-again") == 0
    grpo.train(runs.grpo("grpo-again"), QUIET)
    assert runs.untimed("grpo-again") == runs.untimed("grpo")
    assert runs.apart("grpo-again", "grpo") == 0
    grpo.train(runs.grpo("other", 1, seed=1), QUIET)
    assert runs.untimed("other")[1] != runs.untimed("grpo")[1]


def test_a_checkpoint_knows_how_often_tasks_were_solved(runs: Runs) -> None:
    saved = latest_checkpoint(runs.grpo("grpo").run)
    assert saved is not None
    folder, state = saved
    assert (folder.name, state["step"]) == (f"{STEPS:06d}", STEPS)
    assert (folder / "tokenizer_config.json").exists()
    attempts = [tried for _, tried in state["curriculum"]["telecom"].values()]
    assert sum(attempts) == 2 * 4 * STEPS


def test_a_finished_run_is_not_trained_again(runs: Runs) -> None:
    before = runs.log("sft-again")
    sft.train(runs.sft("sft-again"), QUIET)
    assert runs.log("sft-again") == before
    assert runs.apart("sft-again", "sft") == 0


def test_a_reference_holds_the_policy_back(runs: Runs) -> None:
    """Two passes in two parts each: after the first part the model is no longer the reference."""
    last = {}
    for weight in (1e-9, 5.0):
        options = {"epochs": 2, "updates": 2, "kl": weight, "correction": "mask"}
        name = f"kl-{weight}"
        grpo.train(runs.grpo(name, 4, dynamic_filtering=True, **options), QUIET)
        for line in runs.log(name)[1:]:
            assert line["train/kl"] > 0
            assert line["train/logprob_diff_mean"] <= line["train/logprob_diff_max"] <= 1e-4
            last[weight] = line["train/kl"]
    assert last[5.0] < last[1e-9] / 2


def test_playing_without_learning(runs: Runs) -> None:
    attempts = [Attempt("telecom", task, trial, trial) for task in TASKS[:3] for trial in (0, 1)]
    config = runs.grpo("nothing", reward="progress")
    records = play(config, attempts, 1.0)
    assert [(record.task_id, record.trial, record.seed) for record in records] == [
        (attempt.task_id, attempt.trial, attempt.seed) for attempt in attempts
    ]
    for record in records:
        assert record.tokens is not None
        (segment,) = Trajectory.from_json(record.tokens).segments
        assert len(segment.spans) == record.num_turns == 3
    assert [record.to_dict() for record in play(config, attempts, 1.0)] == [
        record.to_dict() for record in records
    ]
    greedy = play(config, attempts, 0.0)
    assert [record.tokens for record in greedy] != [record.tokens for record in records]
    assert not (runs.folder / "nothing").exists()


# What is sampled for a step


@pytest.fixture
def trainer(tmp_path: Path) -> grpo.LocalTrainer:
    model = small.start(tmp_path / "start")
    config = small.grpo(model, tmp_path / "run", 2, "sparse", dynamic_filtering=True)
    return grpo.LocalTrainer(config, QUIET)


def test_a_run_whose_episodes_are_all_faulted_ends(
    trainer: grpo.LocalTrainer, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: Any) -> None:
        raise MemoryError("no room")

    monkeypatch.setattr(trainer.engine, "_make_runner", fail)
    says = "all 8 episodes of a step faulted; the first: infrastructure fault: .*no room"
    with pytest.raises(RuntimeError, match=says):
        trainer.train_step()


def test_groups_that_are_refused_are_counted_and_replaced_by_other_tasks(
    trainer: grpo.LocalTrainer, monkeypatch: pytest.MonkeyPatch
) -> None:
    drawn: list[tuple[str, str]] = []

    async def play(numbered: Any, temperature: float) -> list[dict[str, Any]]:
        drawn.extend(dict.fromkeys(task for task, _ in numbered))
        logs = {"masked": 0.0}
        return [
            {"label": json.dumps({"domain": d, "task_id": t}), "reward": 1.0, "extra_logs": logs}
            for (d, t), _ in numbered
        ]

    monkeypatch.setattr(trainer, "_play", play)
    groups, refused = trainer._sample()
    assert (len(groups), len(refused)) == (2, 6)
    assert all(len(group) == 4 for group in [*groups, *refused])
    assert len(set(drawn[:6])) == 6, "no task comes again before all have come"


def test_a_step_plays_the_tasks_that_a_cluster_would_and_no_trial_twice(
    trainer: grpo.LocalTrainer, monkeypatch: pytest.MonkeyPatch
) -> None:
    tried: list[tuple[tuple[str, str], int]] = []

    async def play(numbered: Any, temperature: float) -> list[dict[str, Any]]:
        tried.extend(numbered)
        logs = {"masked": 0.0}
        return [
            {"label": json.dumps({"domain": d, "task_id": t}), "reward": n, "extra_logs": logs}
            for (d, t), n in numbered
        ]

    monkeypatch.setattr(trainer, "_play", play)
    run = trainer.config.run.model_copy(update={"steps": 5})
    stream = TaskStream(trainer.sampler.tasks, trainer.config.model_copy(update={"run": run}))
    asked: list[tuple[str, str]] = []
    for _ in range(5):
        trainer._sample()
        asked += [task_of(labels[0]) for _, _, labels, _ in itertools.islice(stream, 2)]
        for sampler in (trainer.sampler, stream):
            sampler.finish_step([])
    assert [task for task, _ in tried[::4]] == asked
    assert len(set(asked[:6])) == 6
    assert len(set(tried)) == len(tried) == 5 * 2 * 4


def test_faulted_episodes_have_no_part_in_the_loss(runs: Runs) -> None:
    config = small.grpo(
        str(runs.folder / "sft" / "model"), runs.folder / "masked", 1, BRIEF, kl=0.1
    )
    learned = []
    for spoil in (False, True):
        trainer = grpo.LocalTrainer(config, QUIET)
        groups, _ = trainer._sample()
        samples = trainer._to_samples([response for group in groups for response in group])
        if spoil:
            samples[0].info["masked"] = torch.ones(1)
            samples[0].rollout_log_probs -= 9
        experiences = trainer.maker.make_experience_batch(samples)
        found = trainer.update.learn(experiences, random.Random(0))
        learned.append(found["logprob_diff_max"])
    assert max(learned) < 1e-4, "not 9"
