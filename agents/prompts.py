"""System prompts.

`official`: instruction and policy, laid out as tau2-bench does (1.0.1, `agent/llm_agent.py`).
`compact`: the same layout with the rules of the policy in our own words and a fraction of its length,
           and with a list of whose tools are whose where the user has tools, too. Results under it
           are not comparable with published ones.
`bare`:    a line that names the domain, and no tools shown: for small models that were trained on its
           policy and its tools until they know them by heart.

In solo mode the ticket follows the policy.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from functools import cache
from pathlib import Path

from agents.base import AgentView
from tau2_gym.domains.base import get_domain
from tau2_gym.domains.instruction import official_prompt
from tau2_gym.domains.registry import without_tasks
from tau2_gym.errors import one_of
from tau2_gym.types import ToolSpec

PromptBuilder = Callable[[AgentView], str]
"""The system prompt for what an agent sees. It must be the same at every turn of an episode."""

POLICIES = Path(__file__).parent / "policies"

SOLO_INSTRUCTION = """
You are a customer service agent. Solve the <ticket> below by calling tools, and keep to the <policy>.
There is nobody to talk to: each of your turns is one tool call, which must be valid JSON.
When all is done, or if it cannot be done, write ###STOP### and nothing else.
""".strip()
"""What an agent without a user is told, in our own words."""

BARE = "You are a customer service agent. Domain: {}."
BARE_ANSWERED = "You solve problems. Domain: {}."
"""What a model is told that knows all the rest: with a user, and in a domain without one."""


def make_prompt(name: str, source: str = "inspect-evals") -> PromptBuilder:
    """The prompt builder of that name.

    Args:
        name: `official`, `compact` or `bare`.
        source: where the domains, and with them the instruction to agents, come from.

    Raises:
        ConfigError: the prompt is unknown.
    """
    builders: dict[str, PromptBuilder] = {
        "official": lambda view: official(view, source),
        "compact": lambda view: compact(view, source),
        "bare": lambda view: bare(view, source),
    }
    if name not in builders:
        raise one_of("prompt", name, builders)
    return builders[name]


def shows_tools(name: str) -> bool:
    """Whether a model with the prompt of that name is shown what tools there are."""
    return name != "bare"


def official(view: AgentView, source: str = "inspect-evals") -> str:
    """tau2-bench's prompt, with its own instruction where the source has it."""
    return _layout(view, view.policy, source)


def compact(view: AgentView, source: str = "inspect-evals") -> str:
    """The short prompt of the view's domain."""
    policy = _policy(view.domain) or view.policy
    domain = get_domain(view.domain, source)
    if domain.user_tools:
        owners = _solo_owners if view.ticket is not None else _owners
        policy += owners(domain.agent_tools.values(), domain.user_tools.values())
    return _layout(view, policy.strip(), source)


def bare(view: AgentView, source: str = "inspect-evals") -> str:
    """The line that names the view's domain, whichever tasks it has."""
    line = BARE_ANSWERED if get_domain(view.domain, source).answered else BARE
    return line.format(without_tasks(view.domain))


@cache
def _policy(domain: str) -> str | None:
    """The short policy of a domain; None of one from outside, which has but its own."""
    path = POLICIES / f"{domain}.md"
    return path.read_text(encoding="utf-8") if path.is_file() else None


def _owners(agent: Iterable[ToolSpec], user: Iterable[ToolSpec]) -> str:
    return f"""
Whose tools are whose
- Yours, for you to call: {_names(agent)}.
- The customer's: {_names(user)}. You cannot call these, the attempt is an error. Ask the customer to use one, by name, one or two at a time, and wait for what they report.
"""


def _solo_owners(agent: Iterable[ToolSpec], user: Iterable[ToolSpec]) -> str:
    return f"""
Whose tools are whose
- You can call all of them: those of the company ({_names(agent)}) and those of the customer's device ({_names(user)}).
"""


def _names(tools: Iterable[ToolSpec]) -> str:
    return ", ".join(tool.name for tool in tools)


def _layout(view: AgentView, policy: str, source: str) -> str:
    if view.ticket is None:
        instruction = get_domain(view.domain, source).agent_instruction
        ticket = ""
    else:
        instruction = SOLO_INSTRUCTION
        ticket = f"\n<ticket>\n{view.ticket}\n</ticket>"
    return f"{official_prompt(instruction, policy)}{ticket}"
