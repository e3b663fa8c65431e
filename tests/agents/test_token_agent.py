"""A model plays whole episodes, and not a token of them is lost or changed."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import pytest

from agents import prompts
from agents.backends.base import ContextOverflow, Generation, GenerationBackend
from agents.backends.sglang import SGLangBackend
from agents.backends.transformers import TransformersBackend
from agents.base import AgentView, AsyncAgent
from agents.codec import ChatCodec, has_reasoning
from agents.models import AgentModel, make_model_agent
from agents.prompts import make_prompt
from agents.sampling import SamplingParams
from agents.token_agent import (
    TokenAgent,
    TokenMemory,
)
from agents.trajectory import Trajectory
from tau2_gym.completion import call_seed
from tau2_gym.domains.base import get_domain
from tau2_gym.errors import ConfigError, DataError, InfrastructureError
from tau2_gym.rewards import RewardConfig
from tau2_gym.rules import Rules
from tau2_gym.session import Session
from tau2_gym.types import INVALID_CALL, Role, Task
from tests.generate_server import Faults, GenerateServer
from tests.helpers import Puppet, some
from tests.tiny_model import checkpoint, rescored, tiny_model, tiny_tokenizer

DOMAINS = ("airline", "retail", "telecom")
START, END = (tiny_tokenizer().convert_tokens_to_ids(t) for t in ("<|im_start|>", "<|im_end|>"))


@dataclass
class Spy:
    """A backend that remembers what it was asked and what it answered."""

    backend: GenerationBackend
    context: int = 32768
    calls: dict[str, list[tuple[tuple[int, ...], Generation]]] = field(default_factory=dict)

    async def ready(self) -> int:
        return self.context

    async def generate(
        self, ids: Sequence[int], params: SamplingParams, rid: str, stop_ids: Sequence[int] = ()
    ) -> Generation:
        made = await self.backend.generate(ids, params, rid, stop_ids)
        self.calls.setdefault(rid.partition("/")[0], []).append((tuple(ids), made))
        return made

    async def close(self) -> None:
        await self.backend.close()


@dataclass
class Played:
    """An episode: the agent's memory, what its turns earned, what it did."""

    memory: TokenMemory
    ledgers: list[dict[str, float]] = field(default_factory=list)
    actions: list[Any] = field(default_factory=list)
    session: Session | None = None
    stop: str | None = None


def local(**options: Any) -> Spy:
    return Spy(TransformersBackend(tiny_model(), tiny_tokenizer(), batch_size=100, **options))


def agent(backend: Any, *, prompt: Any = None, style: str = "hybrid", **options: Any) -> TokenAgent:
    codec = ChatCodec(tiny_tokenizer(style), thinking=options.pop("thinking", None))
    sampling = SamplingParams(**{"max_new_tokens": 40, **options})
    return TokenAgent(codec, backend, sampling, prompt or (lambda view: "Be kind."))


async def play(
    player: TokenAgent, task: Task, seed: int, *, turns: int, tools: int | None = None, **rules: Any
) -> Played:
    """Play a task's first turns. `tools` is how many of them the agent is shown."""
    session = Session(get_domain(task.domain), task, Rules(**rules), RewardConfig(), seed)
    played, memory = Played(TokenMemory("", (), 0, ())), None
    for _ in range(turns):
        while session.turn is Role.USER:
            session.user_acts(Puppet().respond(session.user_view(), seed))
        outcome = session.settle()
        if session.turns:
            played.ledgers.append(outcome.info["reward_terms"])
        if session.turn is None:
            break
        view = AgentView.from_info(outcome.info)
        reply = await player.aact(replace(view, tools=view.tools[:tools]), memory, seed)
        played.memory = memory = reply.memory
        if reply.action is None:
            played.stop = reply.stop
            break
        played.actions.append(reply.action)
        session.agent_acts(reply.action)
    else:
        while session.turn is Role.USER:
            session.user_acts(Puppet().respond(session.user_view(), seed))
        played.ledgers.append(session.settle().info["reward_terms"])
    played.session = session
    return played


def together(player: TokenAgent, jobs: Sequence[tuple[Task, int]], **options: Any) -> list[Played]:
    async def all_of_them() -> list[Played]:
        found = await asyncio.gather(*(play(player, task, seed, **options) for task, seed in jobs))
        await player.close()
        return list(found)

    return asyncio.run(all_of_them())


def jobs(count: int, *names: str) -> list[tuple[Task, int]]:
    return [(task, number) for name in names for number, task in enumerate(some(name, count))]


# Exact to the token


def test_no_drift_over_two_hundred_episodes() -> None:
    spy = local()
    player = agent(spy)
    todo = jobs(67, "telecom", "retail") + jobs(50, "airline") + jobs(16, "telecom")
    assert len(todo) == 200
    episodes = together(player, todo, turns=3, tools=2)
    drifting = segments = turns = calls = 0
    for episode in episodes:
        trajectory = player.trajectory(episode.memory, episode.ledgers)
        asked = iter(spy.calls[episode.memory.episode])
        for segment in trajectory.segments:
            before: tuple[int, ...] = ()
            for span in segment.spans:
                prompt, made = next(asked)
                assert prompt[: len(before)] == before
                assert segment.ids[: span.start] == prompt
                assert segment.ids[span.start : span.end] == made.ids
                assert segment.logprobs[span.start : span.end] == made.logprobs
                before = prompt + made.ids
                again = tiny_tokenizer().encode(tiny_tokenizer().decode(list(made.ids)))
                drifting += tuple(again) != made.ids
            assert segment.ids == before
            assert sum(segment.mask) == sum(span.end - span.start for span in segment.spans)
            assert_sampled_and_nothing_else(segment)
        assert next(asked, None) is None
        segments += len(trajectory.segments)
        turns += len(trajectory.spans)
        assert episode.session is not None
        said = episode.session.episode.messages
        called = [
            call for message in said if message.role == "assistant" for call in message.tool_calls
        ]
        calls += sum(call.name != INVALID_CALL for call in called)
        assert trajectory.reward == pytest.approx(
            sum(sum(ledger.values()) for ledger in episode.ledgers)
        )
        assert Trajectory.from_json(trajectory.to_json()) == trajectory
    # The test means something only if there was something to get wrong.
    assert turns > 500
    assert drifting > 50
    assert segments > len(episodes)
    assert calls > 100


def assert_sampled_and_nothing_else(segment: Any) -> None:
    """Every stretch of mask 1 follows the start of an assistant's turn, and everything between two of
    them is the end of a turn, messages of others, and such a start."""
    opening = tuple(tiny_tokenizer().encode("assistant\n"))
    previous = 0
    for span in segment.spans:
        assert segment.mask[previous : span.start] == (0,) * (span.start - previous)
        assert segment.mask[span.start : span.end] == (1,) * (span.end - span.start)
        assert segment.ids[span.start - len(opening) - 1 : span.start] == (START, *opening)
        if previous:
            between = segment.ids[previous : span.start]
            assert (segment.ids[previous - 1] == END) != (between[0] == END)
        previous = span.end


@pytest.mark.parametrize("temperature", [0.0, 0.7, 1.0])
def test_logprobs_are_those_of_one_pass_over_the_stored_tokens(temperature: float) -> None:
    player = agent(local(), temperature=temperature)
    for episode in together(player, jobs(2, *DOMAINS), turns=3, tools=2):
        trajectory = player.trajectory(episode.memory, episode.ledgers)
        for segment in trajectory.segments:
            scores = [0.0, *rescored(tiny_model(), segment.ids, temperature)]
            for span in segment.spans:
                stored = segment.logprobs[span.start : span.end]
                assert stored == pytest.approx(scores[span.start : span.end], abs=1e-4)


@pytest.mark.parametrize("name", DOMAINS)
def test_whole_prompts_through_both_backends(name: str) -> None:
    """The official prompt and all tools, to the end of the episode; a troubled server in between."""
    model = TransformersBackend(tiny_model(), tiny_tokenizer())
    options: dict[str, Any] = {
        "prompt": make_prompt("official"),
        "temperature": 0.0,
        "max_new_tokens": 32,
    }
    rules = {"turns": 9, "max_steps": 5}
    (here,) = together(agent(model, **options), jobs(1, name), **rules)
    server = GenerateServer(model, tiny_tokenizer(), faults=Faults(0.2, 0.2, 0.2, seed=1))

    async def served() -> Played:
        async with server.running() as url:
            player = agent(SGLangBackend([url], backoff=0.01), **options)
            (task, seed), *_ = jobs(1, name)
            played = await play(player, task, seed, **rules)
            await player.close()
            return played

    there = asyncio.run(served())
    player = agent(model)
    ours = player.trajectory(here.memory, here.ledgers)
    theirs = player.trajectory(there.memory, there.ledgers)
    assert here.session is not None
    assert here.session.episode.done
    assert [segment.ids for segment in theirs.segments] == [
        segment.ids for segment in ours.segments
    ]
    assert there.actions == here.actions
    for one, other in zip(ours.segments, theirs.segments, strict=True):
        assert one.mask == other.mask
        assert one.logprobs == pytest.approx(other.logprobs, abs=1e-4)
    assert get_domain(name).policy in tiny_tokenizer().decode(list(ours.segments[0].ids))


# Reasoning


@dataclass
class Scripted:
    """A backend that samples given texts, one after the other."""

    lines: list[str]

    async def ready(self) -> int:
        return 32768

    async def generate(
        self, ids: Sequence[int], params: SamplingParams, rid: str, stop_ids: Sequence[int] = ()
    ) -> Generation:
        sampled = tuple(tiny_tokenizer().encode(self.lines[int(rid.partition("/")[2])]))
        return Generation(sampled, (-1.0,) * len(sampled), "stop", (("", len(sampled)),))

    async def close(self) -> None:
        pass


CALL = '<tool_call>\n{"name": "calculate", "arguments": {"expression": "1 + 1"}}\n</tool_call>'
THOUGHTS = [
    f"<think>\nFirst thought.\n</think>\n\n{CALL}<|im_end|>",
    "<think>\nSecond thought.\n</think>\n\nIt is 2.<|im_end|>",
    "<think>\nThird thought.\n</think>\n\nYes.<|im_end|>",
    "<think>\nFourth thought.\n</think>\n\nReally.<|im_end|>",
]

SHOWN = [[True, True, False], [False, False, True], [False, False, False]]


@pytest.mark.parametrize(
    ("style", "turns"), [("hybrid", [2, 1, 1]), ("thinking", [2, 1, 1]), ("instruct", [4])]
)
def test_reasoning_stays_or_a_new_segment_begins(style: str, turns: list[int]) -> None:
    lines = (
        [line.removeprefix("<think>\n") for line in THOUGHTS] if style == "thinking" else THOUGHTS
    )
    player = agent(Scripted(lines), style=style)
    (episode,) = together(player, jobs(1, "retail"), turns=4)
    trajectory = player.trajectory(episode.memory, episode.ledgers)
    assert [len(segment.spans) for segment in trajectory.segments] == turns
    texts = [tiny_tokenizer().decode(list(segment.ids)) for segment in trajectory.segments]
    shown = [
        [f"{number} thought." in text for number in ("First", "Second", "Third")] for text in texts
    ]
    assert shown == ([[True] * 3] if style == "instruct" else SHOWN)
    # A new prompt shows the conversation as the template does: all of it but the reasoning.
    for text in texts[1:]:
        assert "2.0\n</tool_response>" in text
        assert f"{CALL}<|im_end|>" in text
        assert "It is 2.<|im_end|>" in text
    assert episode.session is not None
    assert [m.content for m in episode.session.episode.messages if m.role == "assistant"][1:] == [
        None,
        "It is 2.",
        "Yes.",
        "Really.",
    ]


def test_reasoning_is_never_said_to_the_user() -> None:
    (episode,) = together(agent(Scripted(THOUGHTS)), jobs(1, "retail"), turns=4)
    assert has_reasoning(episode.actions[0])
    assert episode.session is not None
    assert "thought" not in str(episode.session.episode.chat)


# The rest of the agent


def test_it_is_an_agent() -> None:
    assert isinstance(agent(local()), AsyncAgent)


def test_the_same_seed_plays_the_same_game() -> None:
    for options in ({"temperature": 0.0}, {"seed": 3}):
        runs = [
            together(agent(local(), **options), jobs(1, *DOMAINS), turns=3, tools=2) for _ in "ab"
        ]
        first, again = ([play.memory.drafts for play in run] for run in runs)
        assert [[d.ids for d in drafts] for drafts in first] == [
            [d.ids for d in drafts] for drafts in again
        ]
    other = together(agent(local(), seed=4), jobs(1, *DOMAINS), turns=3, tools=2)
    assert [play.actions for play in other] != [play.actions for play in runs[0]]


def test_forks_share_a_memory() -> None:
    player = agent(local())
    task, seed = jobs(1, "retail")[0]

    async def fork() -> None:
        session = Session(get_domain("retail"), task, Rules(), RewardConfig(), seed)
        session.user_acts(Puppet().respond(session.user_view(), seed))
        view = AgentView.from_info(session.settle().info)
        first = await player.aact(view, None, seed)
        session.agent_acts("Wait.")
        session.user_acts(Puppet().respond(session.user_view(), seed))
        view = AgentView.from_info(session.settle().info)
        kept = first.memory.drafts
        one = await player.aact(view, first.memory, seed)
        other = await player.aact(view, first.memory, seed)
        assert first.memory.drafts is kept
        assert one.memory == other.memory
        assert await player.aact(view, first.memory, seed + 1) != one

    asyncio.run(fork())


def test_a_cut_turn_is_handed_over_as_it_is() -> None:
    spy = local()
    player = agent(spy, max_new_tokens=3, temperature=0.0)
    (episode,) = together(player, jobs(1, "retail"), turns=2, tools=2)
    spans = player.trajectory(episode.memory, episode.ledgers).spans
    assert {span.finish_reason for span in spans} == {"length"}
    assert [span.end - span.start for span in spans] == [3, 3]
    assert episode.actions[0] == tiny_tokenizer().decode(
        list(spy.calls[episode.memory.episode][0][1].ids)
    )


def test_usage_and_requests() -> None:
    spy = local()
    player = agent(spy)
    task, seed = jobs(1, "retail")[0]

    async def ask() -> Any:
        session = Session(get_domain("retail"), task, Rules(), RewardConfig(), seed)
        session.user_acts(Puppet().respond(session.user_view(), seed))
        return await player.aact(AgentView.from_info(session.settle().info), None, seed)

    usage = asyncio.run(ask()).usage
    ((prompt, made),) = next(iter(spy.calls.values()))
    assert (usage.prompt_tokens, usage.completion_tokens) == (len(prompt), len(made.ids))
    assert (usage.calls, usage.cost) == (1, 0.0)


def test_every_turn_is_asked_for_with_a_seed_and_a_name_of_its_own() -> None:
    asked = []

    class Asked(Scripted):
        async def generate(self, *args: Any, **kwargs: Any) -> Generation:
            asked.append(args)
            return await super().generate(*args, **kwargs)

    player = agent(Asked(THOUGHTS), seed=5, temperature=0.5, max_new_tokens=40)
    ((task, seed),) = jobs(1, "retail")
    (episode,) = together(player, [(task, seed)], turns=3)
    assert len(asked) == 3
    for turn, (ids, params, rid, stop_ids) in enumerate(asked):
        turn_seed = call_seed(call_seed(5, seed), turn)
        assert params == SamplingParams(temperature=0.5, max_new_tokens=40, seed=turn_seed)
        assert rid == f"{episode.memory.episode}/{turn}"
        assert (ids[0], tuple(stop_ids)) == (START, (END,))
    assert len({params.seed for _, params, *_ in asked}) == 3


def test_tokens_that_the_tokenizer_does_not_have_are_the_servers_fault() -> None:
    size = ChatCodec(tiny_tokenizer("hybrid")).vocabulary

    class Odd(Scripted):
        last: int = 0

        async def generate(self, *args: Any, **kwargs: Any) -> Generation:
            return Generation((1, self.last, 2), (0.0,) * 3, "stop", (("v", 3),))

    for last, sound in ((size - 1, True), (size, False), (size + 1, False)):
        backend = Odd([])
        backend.last = last
        if sound:
            together(agent(backend), jobs(1, "retail"), turns=1)
        else:
            with pytest.raises(InfrastructureError, match=f"gave token {last}; the tokenizer ends"):
                together(agent(backend), jobs(1, "retail"), turns=1)


def test_solo_mode() -> None:
    player = agent(
        Scripted([f"{CALL}<|im_end|>", "###STOP###<|im_end|>"]), prompt=make_prompt("compact")
    )
    task = next(task for task in get_domain("telecom").tasks.values() if task.ticket)
    (episode,) = together(player, [(task, 0)], turns=3, solo=True)
    assert episode.session is not None
    assert episode.session.episode.termination == "agent_stop"
    trajectory = player.trajectory(episode.memory, episode.ledgers)
    assert len(trajectory.segments) == 1
    assert str(task.ticket) in tiny_tokenizer().decode(list(trajectory.segments[0].ids))


def test_an_outgrown_context_ends_the_episode_and_loses_nothing() -> None:
    spy = local()
    player = agent(spy, temperature=0.0)
    todo = jobs(1, "retail")
    (long,) = together(player, todo, turns=5, tools=2)
    prompts = [prompt for prompt, _ in spy.calls[long.memory.episode]]
    narrow = replace(player, backend=replace(spy, context=len(prompts[2])))
    (short,) = together(narrow, todo, turns=5, tools=2)
    assert short.stop == "context_overflow"
    assert short.actions == long.actions[:2]
    trajectory = player.trajectory(short.memory, short.ledgers)
    assert len(trajectory.spans) == 2
    # One token of room is enough to go on.
    (last,) = together(
        replace(player, backend=replace(spy, context=len(prompts[2]) + 1)), todo, turns=5, tools=2
    )
    assert len(last.actions) == 3
    assert player.trajectory(last.memory, last.ledgers).spans[-1].finish_reason == "length"


def test_a_server_that_says_so_ends_the_episode_too() -> None:
    class Strict(Scripted):
        async def generate(self, *args: Any, **kwargs: Any) -> Generation:
            if args[2].endswith("/1"):
                raise ContextOverflow("The input is longer than the model's context length.")
            return await super().generate(*args, **kwargs)

    (episode,) = together(agent(Strict(THOUGHTS)), jobs(1, "retail"), turns=3)
    assert (episode.stop, len(episode.actions)) == ("context_overflow", 1)


def test_a_context_too_small_for_the_policy() -> None:
    player = agent(replace(local(), context=500), prompt=make_prompt("official"))
    with pytest.raises(ConfigError) as refused:
        together(player, jobs(1, "airline"), turns=1)
    assert "the first prompt in airline is too long for the model (" in str(refused.value)
    assert "its context holds 500" in str(refused.value)
    assert "\n" not in str(refused.value)


def test_ledgers_must_be_as_many_as_turns() -> None:
    player = agent(Scripted(THOUGHTS))
    (episode,) = together(player, jobs(1, "retail"), turns=3)
    with pytest.raises(DataError, match="3 turns have 2 ledgers"):
        player.trajectory(episode.memory, episode.ledgers[:2])
    trajectory = player.trajectory(episode.memory, episode.ledgers, task="7", passed=False)
    assert trajectory.meta == {"task": "7", "passed": False}


def by_name(kind: str, model: str, source: str = "inspect-evals", **options: Any) -> TokenAgent:
    urls = ("http://127.0.0.1:1",) if kind == "sglang" else ()
    made = make_model_agent(kind, AgentModel(model, urls, **options), source)
    assert isinstance(made, TokenAgent)
    return made


def test_agents_by_name(tmp_path: Path) -> None:
    model = checkpoint(tmp_path)
    here = by_name("transformers", model, sampling=SamplingParams(temperature=0))
    there = by_name("sglang", model, prompt="compact", thinking=False)
    assert isinstance(here.backend, TransformersBackend)
    assert here.sampling.greedy
    assert isinstance(there.backend, SGLangBackend)
    assert there.backend.model == model
    view = AgentView("retail", get_domain("retail").policy, [], [])
    assert there.prompt(view) == make_prompt("compact")(view)
    with pytest.raises(ConfigError, match="unknown prompt 'long'"):
        by_name("sglang", model, prompt="long")


@pytest.mark.parametrize("prompt", ["official", "compact", "bare"])
@pytest.mark.parametrize("thinking", [None, True, False])
def test_agents_by_name_have_the_prompt_the_tools_and_the_thinking_that_are_named(
    tmp_path: Path, prompt: str, thinking: bool | None
) -> None:
    model = checkpoint(tmp_path)
    options: dict[str, Any] = {"prompt": prompt, "thinking": thinking}
    agents = [by_name(kind, model, **options) for kind in ("sglang", "transformers")]
    expected = ChatCodec(tiny_tokenizer("hybrid"), thinking=thinking, tools=prompt != "bare")
    domain = get_domain("mock")
    tools = [tool.schema for tool in domain.agent_tools.values()]
    view = AgentView("mock", domain.policy, tools, [])
    chat = [{"role": "user", "content": "Hello."}]
    for one in agents:
        assert one.codec.start(chat, tools) == expected.start(chat, tools)
        assert one.prompt(view) == make_prompt(prompt)(view)
        assert one.sampling == SamplingParams()


def test_agents_by_name_take_the_instruction_of_their_source(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    model, asked = checkpoint(tmp_path), []
    monkeypatch.setattr(
        prompts, "make_prompt", lambda *named: asked.append(named) or (lambda view: "")
    )
    for kind in ("sglang", "transformers"):
        by_name(kind, model, prompt="compact", source="tau2")
        by_name(kind, model)
    assert asked == [("compact", "tau2"), ("official", "inspect-evals")] * 2
