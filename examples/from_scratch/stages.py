"""The stages, each a function from one model to the next. A stage that is done is not done again."""

from __future__ import annotations

import asyncio
import json
import random
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from rich.console import Console

from agents import make_agent
from agents.attempts import Attempt, attempt_seed
from agents.base import Agent, AsyncAgent
from agents.rollout import Player, rollout
from examples.from_scratch.model import flat, make_model, make_tokenizer, save
from examples.from_scratch.plan import FAMILIES, Arm, Plan, TaskSets, of_family, task_sets
from tau2_gym.journal import write_json
from tau2_gym.results.metrics import estimate, pass_at_k, pass_hat_k
from tau2_gym.results.record import SUCCESS, Record
from tau2_gym.users import make_user
from trainers.config import GRPOConfig, SFTConfig
from trainers.data.dataset import write_rows
from trainers.data.selection import SelectionRules, choose, dedupe
from trainers.data.sft_rows import RowMaker, make_rows
from trainers.sections import (
    Algorithm,
    Environment,
    Evaluation,
    Hardware,
    Optimizer,
    Rollout,
    Run,
    Tasks,
)

CPU = Hardware(
    dtype="fp32",
    attention="sdpa",
    gradient_checkpointing=False,
    micro_batch=8,
    micro_tokens=None,
)


@dataclass
class Pipeline:
    """A run from nothing to the end.

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
    def tasks(self) -> TaskSets:
        """Which tasks are for what."""
        return task_sets(self.plan, self.seed)

    def start(self) -> Path:
        """A tokenizer made of demonstrations, and a model of random weights."""
        folder = self.folder / "start"
        if not (folder / "model.safetensors").exists():
            plan = self.plan
            # What customers say and databases hold, from more tasks than are shown to the model.
            records = self._show(dict.fromkeys((*self.tasks.demonstrations, *self.tasks.practice)))
            tokenizer = make_tokenizer(
                [flat(r.messages, "telecom") for r in records], plan.vocabulary
            )
            model = make_model(
                tokenizer, self.seed, width=plan.width, layers=plan.layers, context=plan.context
            )
            save(folder, tokenizer, model)
        return folder

    def sft(self, model: Path) -> Path:
        """Fine-tune on demonstrations by the `workflow` agent."""
        plan, folder = self.plan, self.folder / "sft"
        if not (folder / "model").exists():
            data = self._rows("sft", self._show(self.tasks.demonstrations), SelectionRules())
            self._fine_tune(model, data, folder, plan.sft_steps, plan.sft_lr)
        return folder / "model"

    def rft(self, model: Path) -> Path:
        """Fine-tune on the model's own successes at tasks of the pool, and on the demonstrations."""
        plan, folder = self.plan, self.folder / "rft"
        if not (folder / "model").exists():
            with self._timed("rft sampling"):
                played = self._try_pool(model, "rft")
            shown = self._show(self.tasks.demonstrations)
            data = self._rows("rft", [*played, *shown], SelectionRules(best_partial=None))
            self._fine_tune(model, data, folder, plan.rft_steps, plan.rft_lr)
        return folder / "model"

    def grpo(self, model: Path, arm: Arm) -> Path:
        """Train with GRPO after SFT."""
        plan = self.plan
        return self._grpo(
            model, arm, f"grpo-{arm.name}", self.tasks.practice, plan.grpo_steps, plan.grpo_lr
        )

    def rft_grpo(self, model: Path, arm: Arm) -> Path:
        """Train with GRPO after RFT."""
        plan = self.plan
        return self._grpo(
            model, arm, "rft+grpo", self._unsolved(model), plan.final_steps, plan.final_lr
        )

    def _unsolved(self, model: Path) -> tuple[str, ...]:
        """Tasks of the pool that a model does not always solve, of each family as many: groups of
        the others teach nothing, and service tasks are rare in the pool, but not among test tasks."""
        file = self.folder / "data" / "unsolved.json"
        if not file.exists():
            with self._timed("rft+grpo choice of tasks"):
                played = self._try_pool(model, "choice")
            failed = dict.fromkeys(record.task_id for record in played if not _solved(record))
            chance, chosen = random.Random(f"{self.seed}/unsolved"), list[str]()
            for family in FAMILIES:
                tasks = of_family(failed or self.tasks.pool, family)
                chosen += chance.sample(tasks, min(len(tasks), self.plan.final_tasks))
            write_json(file, chosen)
        return tuple(json.loads(file.read_text()))

    def _grpo(
        self, model: Path, arm: Arm, name: str, tasks: tuple[str, ...], steps: int, lr: float
    ) -> Path:
        folder = self.folder / name
        if not (folder / "model").exists():
            from trainers.local import grpo

            with self._timed(name):
                grpo.train(self.grpo_config(model, arm, folder, tasks, steps, lr), self.console)
        return folder / "model"

    def grpo_config(
        self, model: Path, arm: Arm, folder: Path, tasks: tuple[str, ...], steps: int, lr: float
    ) -> GRPOConfig:
        """The settings of GRPO."""
        plan = self.plan
        return GRPOConfig(
            model=str(model),
            tasks=Tasks(domains=("telecom",), only=tasks),
            environment=Environment(
                prompt="bare",
                # The results were measured with the lenient score.
                reward={"preset": arm.reward, "lenient_actions": True},
                max_turns=plan.turns,
            ),
            rollout=Rollout(
                tasks=plan.grpo_tasks,
                samples=plan.grpo_samples,
                max_new_tokens=64,
                context=plan.context,
                concurrency=120,
            ),
            algorithm=Algorithm(
                credit=arm.credit,
                # A mean over all tokens weighs failures more: those who go round in circles talk most.
                loss="seq-mean-token-mean",
                correction="off",  # sampling and training are the same arithmetic here
            ),
            optimizer=Optimizer(lr=lr, schedule="cosine", min_lr=0.1, warmup=0.1, weight_decay=0.0),
            hardware=CPU,
            evaluation=Evaluation(only=self.tasks.dev, every=12, samples=2, temperature=1.0),
            run=Run(output=folder, seed=self.seed, steps=steps, save_every=12, keep=1),
        )

    def evaluate(self, model: Path, name: str) -> dict[str, Any]:
        """Pass@k on the test tasks, sampled and greedy, with 95 % intervals over tasks."""
        file = self.folder / "evaluations" / f"{name}.json"
        if file.exists():
            found: dict[str, Any] = json.loads(file.read_text())
            return found
        with self._timed(f"{name} evaluation"):
            attempts = self._attempts(self.tasks.test, self.plan.evaluations, "test")
            sampled = self._play(model, attempts, 1.0)
            greedy = self._play(model, self._attempts(self.tasks.test, 1, "test"), 0.0)
        found = {"model": name, "sampled": scores(sampled), "greedy": scores(greedy)}
        file.parent.mkdir(parents=True, exist_ok=True)
        write_json(file, found)
        self.console.print(f"{name}: {_percent(found)}", highlight=False)
        return found

    def _show(self, tasks: Sequence[str] | dict[str, None]) -> list[Record]:
        """Tasks solved by the `workflow` agent."""
        return shown(make_agent("workflow"), self._attempts(list(tasks), 1, "demonstrations"))

    def _attempts(self, tasks: Sequence[str], samples: int, purpose: str) -> list[Attempt]:
        return attempts_at("telecom", tasks, samples, self.seed, purpose)

    def _try_pool(self, model: Path, purpose: str) -> list[Record]:
        """Sampled attempts at the tasks of the pool."""
        attempts = [
            attempt
            for family, samples in zip(FAMILIES, self.plan.rft_samples, strict=True)
            for attempt in self._attempts(of_family(self.tasks.pool, family), samples, purpose)
        ]
        return self._play(model, attempts, 1.0)

    def _play(self, model: Path, attempts: Sequence[Attempt], temperature: float) -> list[Record]:
        from trainers.local.play import play

        arm = Arm("", "sparse", "trajectory")
        config = self.grpo_config(model, arm, self.folder, self.tasks.practice, 1, 1.0)
        return play(config, attempts, temperature)

    def _rows(self, name: str, records: Sequence[Record], rules: SelectionRules) -> Path:
        folder = self.folder / "data" / name
        rows = keep_rows(folder, self.folder / "start", records, rules, self.plan.context)
        self.console.print(f"{name}: {rows} rows of {len(records)} attempts", highlight=False)
        return folder

    def _fine_tune(self, model: Path, data: Path, folder: Path, steps: int, lr: float) -> None:
        from trainers.local import sft

        config = sft_config(
            model, data, folder, self.seed, self.plan.context, self.plan.sft_batch, steps, lr
        )
        with self._timed(folder.name):
            sft.train(config, self.console)

    @contextmanager
    def _timed(self, name: str) -> Iterator[None]:
        begun = time.perf_counter()
        yield
        file = self.folder / "seconds.json"
        seconds = json.loads(file.read_text()) if file.exists() else {}
        seconds[name] = round(time.perf_counter() - begun, 1)
        file.parent.mkdir(parents=True, exist_ok=True)
        write_json(file, seconds)


def attempts_at(
    domain: str, tasks: Sequence[str], samples: int, seed: int, purpose: str
) -> list[Attempt]:
    """Attempts at tasks, other ones for each seed and purpose."""
    return [
        Attempt(domain, task, trial, attempt_seed(seed, purpose, task, trial))
        for task in tasks
        for trial in range(samples)
    ]


def shown(agent: Agent | AsyncAgent, attempts: Sequence[Attempt]) -> list[Record]:
    """The results of an agent without a model, by task."""
    player = Player(agent, make_user("scripted"))

    async def collect() -> list[Record]:
        return [record async for record in rollout(player.play, attempts, 64)]

    return sorted(asyncio.run(collect()), key=lambda record: record.task_id)


def keep_rows(
    folder: Path, tokenizer: Path, records: Sequence[Record], rules: SelectionRules, context: int
) -> int:
    """Write what is learned from of these attempts, and return how many rows it is."""
    from agents.tokenizer import load_tokenizer

    maker = RowMaker(
        load_tokenizer(str(tokenizer)), prompt="bare", context=context, agent=folder.name
    )
    rows, refused = make_rows(maker, choose([record.to_dict() for record in records], rules))
    rows = dedupe(rows)
    card = {"attempts": len(records), "rows": len(rows), "refused": len(refused)}
    write_rows(folder, rows, card)
    return len(rows)


def sft_config(
    model: Path,
    data: Path,
    folder: Path,
    seed: int,
    context: int,
    batch: int,
    steps: int,
    lr: float,
) -> SFTConfig:
    """The settings of supervised fine-tuning."""
    return SFTConfig(
        model=str(model),
        data=data,
        context=context,
        batch=batch,
        optimizer=Optimizer(lr=lr, schedule="cosine", warmup=0.05),
        hardware=CPU,
        run=Run(output=folder, seed=seed, steps=steps, save_every=100, keep=1),
    )


def scores(records: Sequence[Record]) -> dict[str, Any]:
    """pass@1, pass@4 and pass^4 with intervals, by family too, and means of partial score and turns."""
    tasks: dict[str, list[bool]] = {}
    for record in records:
        tasks.setdefault(record.task_id, []).append(_solved(record))
    found: dict[str, Any] = {"attempts": len(records)}
    for name, metric, k in (
        ("pass@1", pass_at_k, 1),
        ("pass@4", pass_at_k, 4),
        ("pass^4", pass_hat_k, 4),
    ):
        values = [metric(len(solved), sum(solved), k) for solved in tasks.values()]
        found[name] = estimate({"telecom": values}).to_dict()
    families: dict[str, list[float]] = {}
    for task, solved in tasks.items():
        families.setdefault(task.partition("]")[0].strip("["), []).append(sum(solved) / len(solved))
    found["families"] = {name: sum(values) / len(values) for name, values in families.items()}
    found["partial"] = sum(record.partial_score for record in records) / len(records)
    found["turns"] = sum(record.num_turns for record in records) / len(records)
    return found


def _solved(record: Record) -> bool:
    return (record.official_reward or 0.0) >= SUCCESS


def _percent(found: dict[str, Any]) -> str:
    one, four = found["sampled"]["pass@1"], found["sampled"]["pass@4"]
    parts = [f"pass@1 {_value(one)}", f"pass@4 {_value(four)}"]
    return ", ".join([*parts, f"greedy {_value(found['greedy']['pass@1'])}"])


def _value(estimated: dict[str, float | None]) -> str:
    if estimated["value"] is None:
        return "–"
    low, high = estimated["low"] or 0.0, estimated["high"] or 0.0
    return f"{100 * estimated['value']:.1f} ({100 * low:.1f}–{100 * high:.1f})"
