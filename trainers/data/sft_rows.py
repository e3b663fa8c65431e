"""From attempts to rows to fine-tune a model on.

A row holds `messages`, a conversation by role and content, and where it comes from. Whatever could
make training differ from playing is checked when a row is made, against the tokenizer of the model to
be trained (see `trainers.data.chat_template`); a conversation that fails a check is refused, never
truncated.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from functools import partial
from typing import Any

from agents.base import AgentView
from agents.codec import ChatCodec
from agents.prompts import make_prompt, shows_tools
from agents.trajectory import Segment, Trajectory
from tau2_gym.domains.base import get_domain
from tau2_gym.episode import chat_message
from tau2_gym.results.record import Key
from tau2_gym.types import Message
from trainers.data.chat_template import Encoded, Flat, FlatTemplate, UnfitError
from trainers.tasks import outside_base

Row = dict[str, Any]
"""`messages`, and where they come from; see `RowMaker.row`."""

Chat = list[dict[str, Any]]


class RowMaker:
    """Makes rows for one tokenizer.

    Args:
        tokenizer: of the model that is to be trained, with its chat template.
        prompt: `official`, `compact` or `bare`: what the model is told (see `agents.prompts`).
        context: rows have fewer tokens than this.
        agent: who played, for the record.
        source, data_dir: where the domains come from.

    Raises:
        ConfigError: the chat template is unsuitable, or the prompt is unknown.
    """

    def __init__(
        self,
        tokenizer: Any,
        *,
        prompt: str = "official",
        context: int = 16384,
        agent: str = "",
        source: str = "inspect-evals",
        data_dir: str | None = None,
    ) -> None:
        self.tokenizer = tokenizer
        self.prompt = prompt
        self.context = context
        self.agent = agent
        self.source = source
        self.data_dir = data_dir
        self.template = FlatTemplate(tokenizer)
        self._codec = ChatCodec(tokenizer, tools=shows_tools(prompt))
        self._prompt = make_prompt(prompt, source)
        self._domain = partial(get_domain, source=source, data_dir=data_dir)
        self._systems: dict[str, dict[str, str]] = {}

    def row(self, attempt: Mapping[str, Any]) -> Row:
        """An attempt, a line of the results, as a row.

        Where the attempt holds the tokens that its agent sampled, turns are what the model wrote, to
        the letter; else calls are written as the template writes them.

        Returns:
            `messages`; `domain`, `task_id`, `split`, `pool` (outside `base`), `trial`; `reward`
            (official) and `partial_score`; `agent`, `prompt` and `template` (digest); `tokens` and
            `trained_tokens`; `verbatim` (turns are what a model wrote), and `exact`: whether they
            make up the very tokens that were sampled.

        Raises:
            UnfitError: it cannot be trained on; says why.
        """
        if attempt["malformed"]:
            raise UnfitError("it holds an action that could not be read")
        chat = seen(attempt["messages"])
        segment = None
        if attempt.get("tokens") is not None:
            segment = _segment(attempt["tokens"])
            self._write_verbatim(chat, segment)
        name = attempt["domain"]
        flat = self.template.flatten([self._system(name), *chat], self._tools(name))
        encoded = self.template.encode(flat)
        if len(encoded.ids) >= self.context:
            raise UnfitError(f"it does not fit into {self.context} tokens")
        exact = segment is None or self._is_exact(encoded, segment)
        return self._with_origin(attempt, flat, encoded, segment is not None, exact)

    def _with_origin(
        self,
        attempt: Mapping[str, Any],
        flat: Flat,
        encoded: Encoded,
        verbatim: bool,
        exact: bool,
    ) -> Row:
        domain, task = self._domain(attempt["domain"]), attempt["task_id"]
        splits = (name for name, ids in domain.splits.items() if task in ids and name != "base")
        return {
            "messages": flat,
            "domain": domain.name,
            "task_id": task,
            "split": min(splits, key=lambda name: len(domain.splits[name])),
            "pool": task in outside_base(domain),
            "trial": attempt["trial"],
            "reward": attempt["official_reward"],
            "partial_score": attempt["partial_score"],
            "agent": self.agent,
            "prompt": self.prompt,
            "template": self.template.digest,
            "tokens": len(encoded.ids),
            "trained_tokens": sum(encoded.mask),
            "verbatim": verbatim,
            "exact": exact,
        }

    def _system(self, name: str) -> dict[str, str]:
        """The domain's system message, the same in all its conversations."""
        if name not in self._systems:
            policy, tools = self._domain(name).policy, self._tools(name)
            content = self._prompt(AgentView(name, policy, tools, ()))
            self._systems[name] = {"role": "system", "content": content}
        return self._systems[name]

    def _tools(self, name: str) -> list[dict[str, Any]]:
        if not shows_tools(self.prompt):
            return []
        return [tool.schema for tool in self._domain(name).agent_tools.values()]

    def _write_verbatim(self, chat: Chat, segment: Segment) -> None:
        """Replace the calls as read by what the model wrote."""
        said = [number for number, message in enumerate(chat) if message["role"] == "assistant"]
        turns = segment.spans
        # What comes before the agent's turns, such as the greeting, was not sampled.
        for number, turn in zip(said[len(said) - len(turns) :], turns, strict=True):
            text = self._codec.parse(segment.ids[turn.start : turn.end])
            chat[number] = {"role": "assistant", "content": text}

    def _is_exact(self, encoded: Encoded, segment: Segment) -> bool:
        """Whether a row's tokens are those of the episode.

        The same text may have been sampled as other tokens, which is told; another text may not.

        Raises:
            UnfitError: the episode was another conversation.
        """
        if encoded.ids[: len(segment.ids)] == segment.ids:
            return True
        if not self._text(encoded.ids).startswith(self._text(segment.ids)):
            raise UnfitError("it was sampled under another prompt, template or tokenizer")
        return False

    def _text(self, ids: Sequence[int]) -> str:
        text: str = self.tokenizer.decode(
            list(ids), skip_special_tokens=False, clean_up_tokenization_spaces=False
        )
        return text


def seen(trajectory: Sequence[Mapping[str, Any]]) -> Chat:
    """What the agent saw of a trajectory in tau2-bench's form: OpenAI chat messages up to its last
    turn, with text as content and the arguments of tool calls as objects."""
    chat: Chat = []
    for data in trajectory:
        message = chat_message(Message.from_dict(dict(data)))
        if message is not None:
            # Text, which not all templates make of None.
            message["content"] = message["content"] or ""
            for call in message.get("tool_calls", ()):
                call["function"]["arguments"] = json.loads(call["function"]["arguments"])
            chat.append(message)
    while chat and chat[-1]["role"] != "assistant":
        chat.pop()
    return chat


def _segment(line: str) -> Segment:
    """The tokens of an episode that only grew.

    Raises:
        UnfitError: they did not, or a turn was cut off.
    """
    segments = Trajectory.from_json(line).segments
    if len(segments) != 1:
        raise UnfitError("the chat template dropped reasoning in the course of it")
    if any(span.finish_reason == "length" for span in segments[0].spans):
        raise UnfitError("one of its turns was cut off")
    return segments[0]


def make_rows(
    maker: RowMaker, attempts: Sequence[Mapping[str, Any]]
) -> tuple[list[Row], dict[Key, str]]:
    """The rows of attempts, in order, and the attempts that were refused with the reasons."""
    rows, refused = list[Row](), dict[Key, str]()
    for attempt in attempts:
        try:
            rows.append(maker.row(attempt))
        except UnfitError as error:
            refused[(attempt["domain"], attempt["task_id"], attempt["trial"])] = str(error)
    return rows, refused
