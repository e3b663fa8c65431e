"""The user that episodes of a training run are played with."""

from __future__ import annotations

from dataclasses import replace

from tau2_gym.completion import run_sync
from tau2_gym.errors import ConfigError, InfrastructureError
from tau2_gym.users import AsyncUser, User, named_user
from tau2_gym.users.llm import LLMUser
from trainers.config import GRPOConfig

RING = {
    "type": "function",
    "function": {
        "name": "ring",
        "description": "Ring the bell.",
        "parameters": {"type": "object", "properties": {}},
    },
}


def make_training_user(config: GRPOConfig) -> User | AsyncUser:
    """The user that episodes are played with.

    Raises:
        ConfigError: its options do not fit.
    """
    settings = config.environment
    return named_user(
        settings.user,
        settings.source,
        temperature=settings.user_temperature,
        extra_body=settings.user_extra_body,
    )


def check_user(config: GRPOConfig) -> None:
    """Check that a user that is a model answers, and that its server parses tool calls, which
    telecom's users make: one that returns them as text would make every episode fault.

    Raises:
        ConfigError: it does not.
    """
    user = make_training_user(config)
    if not isinstance(user, LLMUser):
        return
    asked = [{"role": "user", "content": "Call the tool `ring`, and say nothing."}]
    try:
        answer = run_sync(
            replace(user.model, retries=0, startup=0).complete(asked, tools=[RING], seed=0)
        )
    except (ConfigError, InfrastructureError) as error:
        raise ConfigError(f"the user's model cannot be used: {error}") from error
    if "<tool_call>" in answer.said:
        raise ConfigError(
            "the user's server hands out tool calls as text: start it with a parser for them, for "
            "Qwen3 --tool-call-parser qwen25 (SGLang), or --enable-auto-tool-choice "
            "--tool-call-parser hermes (vLLM)"
        )
