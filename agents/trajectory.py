"""What was sampled in an episode, token by token: the raw material of training.

`Span`         one turn of the agent: where its tokens are, and what the turn earned
`Segment`      tokens that grew by appending only: prompt, turn, prompt, turn …
`Trajectory`   the segments of an episode, in order

Most episodes have one segment. A new one begins where the model's chat template rewrites what was
said before (see `agents.codec`). Everything is checked when it is made, so that what is written to
disk and what is read from it holds: the loss mask is 1 on sampled tokens and on nothing else.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field, fields
from itertools import chain
from typing import Any

from tau2_gym.completion.wire import is_logprob
from tau2_gym.errors import DataError

Versions = tuple[tuple[str, int], ...]
"""Which weights sampled a turn: names of their versions, with the number of tokens, in order."""


@dataclass(frozen=True, slots=True)
class Span:
    """The tokens of one turn: `ids[start:end]` of its segment.

    Attributes:
        turn: number of the agent's turn in the episode, from 0.
        start, end: where its tokens are in the segment.
        finish_reason: `stop`, or `length` if the turn was cut off.
        versions: which weights sampled it.
        ledger: what the turn earned, by name (see `tau2_gym.rewards`).
    """

    turn: int
    start: int
    end: int
    finish_reason: str
    versions: Versions
    ledger: Mapping[str, float] = field(default_factory=dict)

    @property
    def reward(self) -> float:
        """The ledger's sum."""
        return sum(self.ledger.values())


@dataclass(frozen=True, slots=True)
class Segment:
    """A token sequence that only grew. All tuples but `spans` have one entry a token.

    Attributes:
        ids: the tokens.
        mask: 1 on sampled tokens, 0 on the others.
        logprobs: of the sampled tokens, under the distribution they were drawn from before `top_p`
            and the like cut it; 0.0 on the others.
        spans: the turns in it, in order.

    Raises:
        DataError: the parts contradict each other.
    """

    ids: tuple[int, ...]
    mask: tuple[int, ...]
    logprobs: tuple[float, ...]
    spans: tuple[Span, ...]

    def __post_init__(self) -> None:
        sampled = [0] * len(self.ids)
        end = 0
        for span in self.spans:
            length = span.end - span.start
            if not end <= span.start < span.end <= len(self.ids):
                raise DataError(f"turn {span.turn} has no place in its segment")
            if sum(count for _, count in span.versions) != length:
                raise DataError(f"the weight versions of turn {span.turn} do not cover it")
            sampled[span.start : span.end] = [1] * length
            end = span.end
        if list(self.mask) != sampled:
            raise DataError("the loss mask is not 1 exactly on the sampled tokens")
        if len(self.logprobs) != len(self.ids):
            raise DataError(f"{len(self.ids)} tokens have {len(self.logprobs)} log-probabilities")
        for drawn, logprob in zip(sampled, self.logprobs, strict=True):
            if not (is_logprob(logprob) if drawn else logprob == 0):
                raise DataError(f"{logprob} is not a log-probability of a token with mask {drawn}")


@dataclass(frozen=True, slots=True)
class Trajectory:
    """The segments of an episode.

    Attributes:
        segments: in order; the turns in them are numbered from 0.
        meta: facts about the episode, as plain JSON data: the task, the seed, the outcome.

    Raises:
        DataError: a turn is missing.
    """

    segments: tuple[Segment, ...]
    meta: Mapping[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        turns = [span.turn for span in self.spans]
        if turns != list(range(len(turns))):
            raise DataError(f"the turns of a trajectory must be numbered from 0, not {turns}")

    @property
    def spans(self) -> tuple[Span, ...]:
        """All turns of the episode."""
        return tuple(chain.from_iterable(segment.spans for segment in self.segments))

    @property
    def reward(self) -> float:
        """What all turns earned together."""
        return sum(span.reward for span in self.spans)

    def to_json(self) -> str:
        """The trajectory as one line."""
        return json.dumps(self, default=_parts, allow_nan=False, separators=(",", ":"))

    @classmethod
    def from_json(cls, line: str) -> Trajectory:
        """Read what `to_json` has written; the two are equal.

        Raises:
            DataError: the line holds no trajectory, or one that contradicts itself.
        """
        try:
            data = json.loads(line)
            return cls(tuple(_segment(segment) for segment in data["segments"]), data["meta"])
        except DataError:
            raise
        except (ValueError, KeyError, TypeError, AttributeError) as error:
            raise DataError(f"not a trajectory: {type(error).__name__}: {error}") from error


def _parts(thing: Any) -> dict[str, Any]:
    """A dataclass as a mapping of its fields, or a mapping of another kind as a dict."""
    if isinstance(thing, Mapping):
        return dict(thing)
    return {item.name: getattr(thing, item.name) for item in fields(thing)}


def _segment(data: dict[str, Any]) -> Segment:
    spans = (
        Span(**{**span, "versions": tuple((name, count) for name, count in span["versions"])})
        for span in data["spans"]
    )
    ids, mask, logprobs = (tuple(data[name]) for name in ("ids", "mask", "logprobs"))
    return Segment(ids, mask, logprobs, tuple(spans))


def write_trajectories(path: str | os.PathLike[str], trajectories: Iterable[Trajectory]) -> None:
    """Append trajectories to a file of JSON lines."""
    with open(path, "a", encoding="utf-8") as file:
        file.writelines(f"{trajectory.to_json()}\n" for trajectory in trajectories)


def read_trajectories(path: str | os.PathLike[str]) -> Iterator[Trajectory]:
    """The trajectories of a file of JSON lines.

    Raises:
        DataError: a line holds no trajectory; names file and line.
    """
    with open(path, encoding="utf-8") as file:
        for number, line in enumerate(file, 1):
            try:
                yield Trajectory.from_json(line)
            except DataError as error:
                raise DataError(f"{os.fspath(path)}, line {number}: {error}") from error
