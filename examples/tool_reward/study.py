"""One run: a model from nothing, demonstrations, and GRPO with and without a reward for tool calls."""

from __future__ import annotations

import json
import random
import time
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any

from rich.console import Console

from agents.attempts import Attempt
from agents.base import Action, AgentView
from agents.oracle import plan as oracle_moves
from examples.from_scratch.model import flat, make_model, make_tokenizer, save
from examples.from_scratch.stages import CPU, attempts_at, keep_rows, sft_config, shown
from tau2_gym.domains.base import get_domain
from tau2_gym.journal import write_json
from tau2_gym.results.record import SUCCESS, Record
from trainers.config import GRPOConfig
from trainers.data.selection import SelectionRules
from trainers.sections import Algorithm, Environment, Evaluation, Optimizer, Rollout, Run, Tasks


@dataclass(frozen=True)
class Start:
    """What the model has learned before GRPO.

    Attributes:
        name: for tables.
        demonstrations: how many problems are shown.
        steps: of fine-tuning on them.
        share: of the demonstrations that use the tool; the others just answer.
    """

    name: str
    demonstrations: int
    steps: int
    share: float

    @property
    def quick(self) -> Start:
        """Next to nothing."""
        return replace(self, demonstrations=12, steps=3)


STARTS = (
    Start("able", 900, 900, 0.5),
    Start("clumsy", 300, 350, 0.5),
)
"""One model that often gets its tool to work, and one that seldom does."""

ARMS: dict[str, dict[str, float]] = {
    "none": {},
    "tcr": {"tool_call": 0.05, "tool_call_cap": 0.2},
    "tcr-double": {"tool_call": 0.1, "tool_call_cap": 0.4},
}
"""Without a reward for tool calls; with GRPO-TCR's, .1 and .4 of an outcome of ±1, which is half of that where
outcomes are 1 and 0; and with twice that."""


@dataclass(frozen=True)
class Plan:
    """Budgets.

    Attributes:
        problems, test: how many problems there are to learn from and to test with.
        difficulty, families: which.
        vocabulary, width, layers, context: of the model.
        sft_lr, sft_batch: of fine-tuning.
        grpo_steps, grpo_tasks, grpo_samples, grpo_lr: of GRPO.
        turns: the most turns of an episode.
        held_out: problems that are watched while training.
        every: steps from one look at them to the next.
        evaluations: attempts at each test problem.
    """

    problems: int = 2000
    test: int = 100
    difficulty: str = "1"
    families: str = "arithmetic+numbers"
    vocabulary: int = 1200
    width: int = 128
    layers: int = 4
    context: int = 512
    sft_lr: float = 3e-3
    sft_batch: int = 16
    grpo_steps: int = 20
    grpo_tasks: int = 12
    grpo_samples: int = 8
    grpo_lr: float = 2.5e-4
    turns: int = 6
    held_out: int = 60
    every: int = 5
    evaluations: int = 4

    @property
    def quick(self) -> Plan:
        """Budgets of a minute, to see that everything works; nothing is learned."""
        return replace(
            self,
            problems=60,
            test=4,
            width=64,
            layers=1,
            vocabulary=800,
            grpo_steps=2,
            grpo_tasks=2,
            grpo_samples=2,
            held_out=4,
            every=2,
            evaluations=1,
        )

    @property
    def domain(self) -> str:
        """The problems, as a domain."""
        return (
            f"code:generated:seed=0,count={self.problems},test={self.test},"
            f"difficulty={self.difficulty},families={self.families}"
        )


@dataclass(frozen=True)
class Demonstrator:
    """Solves problems, some with the tool and some in its head.

    Attributes:
        share: of those that it solves with the tool.
    """

    share: float

    def act(self, view: AgentView, seed: int) -> Action:
        """Call the tool, or answer."""
        task = view.privileged["task"]
        call, *_, answer = oracle_moves(task)
        used = any(message["role"] == "tool" for message in view.messages)
        if used or random.Random(f"{task.id}/{seed}").random() >= self.share:
            return answer
        return call


@dataclass
class Study:
    """A run.

    Attributes:
        folder: where all of it is kept.
        seed: decides everything random.
        plan: budgets.
        console: where progress goes.
    """

    folder: Path
    seed: int
    plan: Plan
    console: Console

    @cached_property
    def problems(self) -> list[str]:
        """Problems to learn from, in this seed's order."""
        found = list(get_domain(self.plan.domain).task_ids("train"))
        random.Random(f"{self.seed}/problems").shuffle(found)
        return found

    def held_out(self) -> tuple[str, ...]:
        """Those that are only watched."""
        return tuple(self.problems[: self.plan.held_out])

    def start(self, start: Start) -> Path:
        """Fine-tune a model of random weights on demonstrations."""
        folder, plan = self.folder / start.name, self.plan
        if not (folder / "model").exists():
            from trainers.local import sft

            rest = self.problems[plan.held_out :]
            demonstrated = self._show(rest[: start.demonstrations], start.share)
            texts = [flat(r.messages, plan.domain) for r in self._show(rest, 1.0)]
            tokenizer = make_tokenizer(texts, plan.vocabulary, digits=True)
            model = make_model(
                tokenizer, self.seed, width=plan.width, layers=plan.layers, context=plan.context
            )
            save(folder / "start", tokenizer, model)
            rules = SelectionRules(best_partial=None)
            rows = keep_rows(folder / "data", folder / "start", demonstrated, rules, plan.context)
            self.console.print(f"{start.name}: {rows} rows", highlight=False)
            config = sft_config(
                folder / "start",
                folder / "data",
                folder,
                self.seed,
                plan.context,
                plan.sft_batch,
                start.steps,
                plan.sft_lr,
            )
            sft.train(config, self.console)
        return folder / "model"

    def grpo(self, model: Path, start: Start, arm: str) -> Path:
        """Train with GRPO."""
        folder = self.folder / f"{start.name}-{arm}"
        if not (folder / "model").exists():
            from trainers.local import grpo

            begun = time.perf_counter()
            grpo.train(self.config(model, folder, arm), self.console)
            write_json(folder / "seconds.json", {"grpo": round(time.perf_counter() - begun, 1)})
        return folder / "model"

    def config(self, model: Path, folder: Path, arm: str) -> GRPOConfig:
        """The settings of GRPO."""
        plan = self.plan
        return GRPOConfig(
            model=str(model),
            tasks=Tasks(domains=(plan.domain,), only=tuple(self.problems[plan.held_out :])),
            environment=Environment(
                prompt="bare",
                reward={"preset": "sparse", **ARMS[arm]},
                max_turns=plan.turns,
            ),
            rollout=Rollout(
                tasks=plan.grpo_tasks,
                samples=plan.grpo_samples,
                max_new_tokens=128,
                context=plan.context,
                concurrency=128,
            ),
            algorithm=Algorithm(
                credit="trajectory",
                clip=(0.2, 0.28),
                loss="token-mean",
                correction="off",  # sampling and training are the same arithmetic here
            ),
            optimizer=Optimizer(lr=plan.grpo_lr, schedule="constant", warmup=0.0, weight_decay=0.0),
            hardware=CPU,
            evaluation=Evaluation(
                only=self.held_out(), every=plan.every, samples=2, temperature=1.0
            ),
            run=Run(
                output=folder, seed=self.seed, steps=plan.grpo_steps, save_every=plan.every, keep=1
            ),
        )

    def evaluate(self, model: Path, name: str) -> dict[str, float]:
        """Accuracy on test problems, and how often the tool was called."""
        file = self.folder / "evaluations" / f"{name}.json"
        if file.exists():
            known: dict[str, float] = json.loads(file.read_text())
            return known
        from trainers.local.play import play

        tests = get_domain(self.plan.domain).task_ids("test")
        attempts = self._attempts(tests, self.plan.evaluations, "test")
        records = play(self.config(model, self.folder / name, "none"), attempts, 1.0)
        found = scores(records)
        file.parent.mkdir(parents=True, exist_ok=True)
        write_json(file, found)
        self.console.print(f"{name}: {found}", highlight=False)
        return found

    def _show(self, tasks: Sequence[str], share: float) -> list[Record]:
        return shown(Demonstrator(share), self._attempts(tasks, 1, "demonstrations"))

    def _attempts(self, tasks: Sequence[str], samples: int, purpose: str) -> list[Attempt]:
        return attempts_at(self.plan.domain, tasks, samples, self.seed, purpose)


def scores(records: Sequence[Record]) -> dict[str, Any]:
    """Shares of the attempts: solved, that called the tool, and solved among those that did and did not."""
    used = [any(message["role"] == "tool" for message in r.messages) for r in records]
    solved = [(record.official_reward or 0.0) >= SUCCESS for record in records]

    def share(of: bool) -> float | None:
        chosen = [right for right, tool in zip(solved, used, strict=True) if tool is of]
        return sum(chosen) / len(chosen) if chosen else None

    return {
        "attempts": len(records),
        "solved": sum(solved) / len(records),
        "called": sum(used) / len(records),
        "solved with the tool": share(True),
        "solved without": share(False),
    }
