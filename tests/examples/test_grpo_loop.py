"""Tests of GRPO in one file."""

from __future__ import annotations

from pathlib import Path

import pytest

torch = pytest.importorskip("torch")

from examples import grpo_loop as loop  # noqa: E402
from tau2_gym.domains.base import get_domain  # noqa: E402


def test_it_reads_in_one_sitting() -> None:
    assert len(Path(loop.__file__).read_text(encoding="utf-8").splitlines()) <= 150


def test_every_move_can_be_made_in_every_task() -> None:
    domain = get_domain("telecom")
    for task_id in (*domain.task_ids("train"), *domain.task_ids("test")):
        account = loop.begin(task_id, 0).account
        moves = [move.format(**account) for move in loop.MOVES]
        assert len(set(moves)) == len(loop.MOVES) == 17


def test_advantages_are_centred_at_every_turn() -> None:
    rewards = [[0.1, 0.0, 1.0], [0.0], [0.2, 0.3]]
    start = loop.begin(get_domain("telecom").task_ids("train")[0], 0)
    group = [loop.Episode(start.env, "", rewards=earned) for earned in rewards]
    to_come = [[1.1, 1.0, 1.0], [0.0, 0.0, 0.0], [0.5, 0.3, 0.0]]
    deviation = torch.tensor([1.1, 0.0, 0.5]).std() + 1e-4
    for found, own in zip(loop.advantages_gt(group), to_come, strict=True):
        means = [sum(column) / 3 for column in zip(*to_come, strict=True)]
        wanted = [(value - mean) / deviation for value, mean in zip(own, means, strict=True)]
        assert found.tolist() == pytest.approx([float(value) for value in wanted[: len(found)]])


def test_a_step_makes_what_paid_more_likely() -> None:
    torch.manual_seed(0)
    policy = torch.nn.Sequential(torch.nn.Linear(loop.FEATURES, len(loop.MOVES)))
    adam = torch.optim.Adam(policy.parameters(), lr=1e-2)
    start = loop.begin(get_domain("telecom").task_ids("train")[0], 0)
    group = [
        loop.Episode(fork, start.heard, start.account, start.known) for fork in start.env.fork(8)
    ]
    loop.rollout(policy, group)
    assert all(episode.over and 0 < len(episode.turns) <= loop.TURNS for episode in group)
    best = max(group, key=lambda episode: sum(episode.rewards))
    worst = min(group, key=lambda episode: sum(episode.rewards))
    assert sum(best.rewards) > sum(worst.rewards)

    def first_move(episode: loop.Episode) -> float:
        x_f, move, _ = episode.turns[0]
        return float(policy(x_f).log_softmax(-1)[move].detach())

    before = first_move(best) - first_move(worst)
    loop.update(policy, adam, [group])
    assert first_move(best) - first_move(worst) > before


def test_the_same_seed_prints_the_same(capsys: pytest.CaptureFixture[str]) -> None:
    said = []
    for _ in range(2):
        loop.main(steps=0, tasks=1, group=2, seed=1)
        said.append(capsys.readouterr().out)
    assert said[0] == said[1]
    assert said[0].endswith("of 80 solved\n")
