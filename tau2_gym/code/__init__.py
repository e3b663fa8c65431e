"""The domain `code`: problems of mathematics and programming, a code interpreter, and answers that are
graded.

>>> import gymnasium as gym, tau2_gym
>>> env = gym.make("tau2/code-v0", tasks="generated:seed=3,count=500,difficulty=1-3")
"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from tau2_gym.code import kernel
from tau2_gym.code.answers import answer, given, ready
from tau2_gym.code.database import CodeDB, KernelDB
from tau2_gym.code.kernel import KernelTools
from tau2_gym.code.tasks import load_tasks
from tau2_gym.code.tools import CodeTools
from tau2_gym.domains.registry import DomainSpec
from tau2_gym.types import Weights

CODE = DomainSpec(
    name="code",
    folder=Path(__file__).parent / "data",
    tools=CodeTools,
    database=CodeDB,
    # Calls on the way earn nothing. A program earns something for each test that it passes.
    weights=Weights(action=0.0, communicate=0.0, env_assertion=1.0, db=0.0),
    answer=answer,
    given=given,
    max_turns=16,
    tasks=load_tasks,
    ready=ready,
    slow=True,
)
"""The domain `code`."""

CODE_SESSION = replace(
    CODE,
    name="code_session",
    folder=Path(__file__).parent / "data_session",
    tools=KernelTools,
    database=KernelDB,
    ready=kernel.ready,
)
"""The domain `code_session`, whose interpreter keeps its state between the calls of an episode."""

__all__ = ["CODE", "CODE_SESSION"]
