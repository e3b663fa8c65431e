"""Φ is reconstructed from the results of a run."""

from __future__ import annotations

from typing import Any

import gymnasium as gym
import pytest

from tau2_gym.results.page.potential import alpha_of, potentials

TASK = "[mobile_data_issue]data_mode_off|data_usage_exceeded[PERSONA:None]"
ACTIONS = (
    'get_customer_by_phone(phone_number="555-123-2002")',
    "Please turn on mobile data.",
    'refuel_data(customer_id="C1001", line_id="L1002", gb_amount=2.0)',
    "Your data is back. Is there anything else I can help you with?",
)


def played(reward: str, turns: int = 4) -> tuple[dict[str, Any], list[float]]:
    """An attempt as a row, and Φ as the environment says it."""
    env = gym.make("tau2/telecom-v0", reward=reward)
    _, info = env.reset(seed=0, options={"task_id": TASK})
    phi, ledgers = [info["partial_score"]], []
    for action in ACTIONS[:turns]:
        *_, info = env.step(action)
        phi.append(info["partial_score"])
        ledgers.append(info["reward_terms"])
    fault = None if turns == len(ACTIONS) else "user"
    row = {"domain": "telecom", "rewards": ledgers, "num_turns": turns, "partial_score": phi[-1]}
    return {**row, "fault": fault}, phi


@pytest.mark.parametrize("reward", ["progress", "potential"])
@pytest.mark.parametrize("turns", [1, 3, 4])
def test_the_ledger_gives_what_the_environment_said(reward: str, turns: int) -> None:
    row, phi = played(reward, turns)
    assert potentials(row) == pytest.approx(phi, abs=1e-6)
    assert len({*phi}) > 1 or turns == 1


@pytest.mark.parametrize("reward", ["sparse", "shaped"])
def test_a_reward_at_the_end_does_not_tell(reward: str) -> None:
    row, _ = played(reward)
    assert potentials(row) is None


def test_another_weight_of_the_partial_score_is_not_believed() -> None:
    row, _ = played("progress")
    row["rewards"] = [{**each, "progress": 5 * each["progress"]} for each in row["rewards"]]
    assert potentials(row) is None


@pytest.mark.parametrize(
    "change", [{"rewards": []}, {"num_turns": 3}, {"domain": "nobody's"}, {"num_turns": 0}]
)
def test_what_does_not_fit_together_is_not_told(change: dict[str, Any]) -> None:
    row, _ = played("progress")
    assert potentials({**row, **change}) is None


def test_weights_are_those_of_the_domain() -> None:
    assert [alpha_of(name) for name in ("airline", "retail", "telecom", "mock")] == [0.25, 0.2, 0.4, 0.25]  # fmt: skip
    assert alpha_of("nobody's") is None
