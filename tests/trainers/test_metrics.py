from __future__ import annotations

import json
from types import SimpleNamespace
from typing import Any

import pytest

from tests.tiny_model import torch
from trainers.metrics import evaluation_metrics, training_metrics

NAMES = (
    "official",
    "partial",
    "turns",
    "response_tokens",
    "malformed",
    "ownership",
    "tool_errors",
    "truncated",
    "fault_user",
    "fault_infrastructure",
    "masked",
    "ledger/official",
    "reward",
)


def experience(*played: tuple[str, str, dict[str, float]], **fields: Any) -> Any:
    """An experience as OpenRLHF holds several episodes."""
    info = {
        name: torch.tensor([values.get(name, 0.0) for _, _, values in played]) for name in NAMES
    }
    labels = [json.dumps({"domain": domain, "task_id": task}) for domain, task, _ in played]
    return SimpleNamespace(labels=labels, info=info, **{"rollout_log_probs": None, **fields})


SOLVED, FAILED = {"official": 1.0, "reward": 1.4}, {"reward": 0.2}
SPOILT = {"masked": 1.0, "fault_user": 1.0}


def test_means_of_a_step_leave_faulted_episodes_out() -> None:
    found = training_metrics(
        [
            experience(("airline", "0", SOLVED), ("airline", "0", SPOILT)),
            experience(("retail", "0", FAILED), ("retail", "0", SOLVED)),
        ]
    )
    assert found["masked"] == found["fault_user"] == 0.25
    assert found["reward"] == pytest.approx(1.0)
    assert found["pass@1"] == pytest.approx(2 / 3)
    assert found["airline/pass@1"] == 1
    assert found["retail/reward"] == pytest.approx(0.8)
    assert "logprob_diff_max" not in found


def test_a_step_of_faulted_episodes_has_no_means() -> None:
    found = training_metrics([experience(("airline", "0", SPOILT))])
    assert found == {"fault_user": 1.0, "fault_infrastructure": 0.0, "masked": 1.0}


def test_probabilities_of_sampled_tokens_are_compared() -> None:
    found = training_metrics(
        [
            experience(
                ("airline", "0", SOLVED),
                action_mask=torch.tensor([[0, 1, 1]]),
                action_log_probs=torch.tensor([[9.0, -1.0, -2.0]]),
                rollout_log_probs=torch.tensor([[0.0, -1.0, -2.5]]),
            )
        ]
    )
    assert found["logprob_diff_mean"] == pytest.approx(0.25)
    assert found["logprob_diff_max"] == pytest.approx(0.5)


def test_evaluations_use_the_unbiased_estimators_on_the_official_reward() -> None:
    played = [experience(("retail", "0", SOLVED if n < 1 else FAILED)) for n in range(4)]
    played += [experience(("retail", "1", SOLVED)) for _ in range(3)]
    played += [experience(("retail", "1", SPOILT)), experience(("airline", "0", FAILED))]
    found = evaluation_metrics(None, played, 2)
    assert found["tasks"] == 3
    assert found["pass@1"] == pytest.approx((1 / 4 + 1 + 0) / 3)
    assert found["pass@2"] == pytest.approx((1 / 2 + 1) / 2)  # one task has a single attempt
    assert found["retail/pass^2"] == pytest.approx((0 + 1) / 2)
    assert "airline/pass@2" not in found
    assert found["masked"] == pytest.approx(1 / 9)
