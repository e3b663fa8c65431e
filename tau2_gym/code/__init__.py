"""The domain `code`: problems of mathematics and programming, a code interpreter, and answers that are
graded.

>>> import gymnasium as gym, tau2_gym
>>> env = gym.make("tau2/code-v0", tasks="generated:seed=3,count=500,difficulty=1-3")
"""

from __future__ import annotations

from pathlib import Path

from tau2_gym.code.answers import answer, given, ready
from tau2_gym.code.database import CodeDB
from tau2_gym.code.tasks import load_tasks
from tau2_gym.code.tools import CodeTools
from tau2_gym.domains.registry import DomainSpec
from tau2_gym.types import Weights

CODE = DomainSpec(
    name="code",
    folder=Path(__file__).parent / "data",
    tools=CodeTools,
    database=CodeDB,
    # What was computed on the way is worth nothing; of a program, each test that it passes is.
    weights=Weights(action=0.0, communicate=0.0, env_assertion=1.0, db=0.0),
    answer=answer,
    given=given,
    max_turns=16,
    tasks=load_tasks,
    ready=ready,
    slow=True,
)
"""What the domain is made of."""

__all__ = ["CODE"]
