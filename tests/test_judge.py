"""Judging natural-language assertions."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from tau2_gym.cassette import Cassette
from tau2_gym.completion import ChatModel, run_sync
from tau2_gym.completion import model as model_module
from tau2_gym.errors import ConfigError, DataError
from tau2_gym.judge import (
    Judge,
    JudgeFault,
    Judgement,
    LLMJudge,
    Verdict,
    VerdictCache,
    judged_reward,
    read_verdicts,
    transcript,
)
from tau2_gym.types import (
    Checks,
    Criteria,
    Fault,
    Message,
    RewardBasis,
    Scenario,
    Task,
    Termination,
    ToolCall,
)
from tests.chat_server import ChatServer, Status, in_turn

ASSERTIONS = ("The agent refuses.", "The agent is kind.")
EPISODE = (
    Message("assistant", "Hi!"),
    Message("user", "Cancel it."),
    Message("assistant", tool_calls=(ToolCall("find", {"a": 1}, "1"),)),
    Message("tool", "found", call_id="1"),
    Message("user", tool_calls=(ToolCall("look", {}, "2", "user"),)),
    Message("tool", "dark", call_id="2", requestor="user"),
    Message("assistant", "I am sorry, I cannot."),
)
GOOD = Checks(db=True, db_similarity=1.0)


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(model_module, "FIRST_PAUSE", 0.01)


@pytest.fixture
def server() -> Iterator[ChatServer]:
    with ChatServer() as running:
        yield running


def judge(server: ChatServer, **options: Any) -> LLMJudge:
    return LLMJudge(ChatModel("tiny", base_url=server.url, temperature=0, retries=1), **options)


def task(*basis: RewardBasis, assertions: Sequence[str] = ASSERTIONS) -> Task:
    criteria = Criteria(nl_assertions=tuple(assertions), basis=basis)
    return Task("7", "retail", Scenario("x"), criteria=criteria)


NL = task(RewardBasis.DB, RewardBasis.NL_ASSERTION)


def reward(
    given: Task,
    by: Judge | None,
    checks: Checks = GOOD,
    termination: Termination = Termination.USER_STOP,
) -> Judgement:
    return asyncio.run(judged_reward(given, checks, termination, EPISODE, by))


def answer(*met: bool) -> str:
    rows = [{"number": n, "reason": f"r{n}", "met": m} for n, m in enumerate(met, start=1)]
    return json.dumps({"verdicts": rows})


@dataclass
class Fixed:
    """A judge whose mind is made up, and that counts how often it is asked."""

    met: tuple[bool, ...]
    asked: int = 0

    async def decide(
        self, messages: Sequence[Message], assertions: Sequence[str]
    ) -> tuple[Verdict, ...]:
        self.asked += 1
        return tuple(Verdict(text, met) for text, met in zip(assertions, self.met, strict=True))


@pytest.mark.parametrize(("met", "expected"), [((True, True), 1.0), ((True, False), 0.0)])
def test_the_reward_is_the_product(met: tuple[bool, ...], expected: float) -> None:
    judgement = reward(NL, Fixed(met))
    assert judgement.reward == expected
    assert [verdict.met for verdict in judgement.verdicts] == list(met)
    assert judgement.to_dict()["fault"] is None


def test_a_judge_is_asked_only_where_it_matters() -> None:
    fixed = Fixed((True, True))
    bad = Checks(db=False, db_similarity=0.0)
    assert reward(NL, fixed, bad) == Judgement(0.0)
    assert reward(NL, fixed, termination=Termination.MAX_STEPS) == Judgement(0.0)
    assert reward(task(RewardBasis.DB), fixed) == Judgement(1.0)
    assert reward(task(RewardBasis.DB), None) == Judgement(1.0)
    assert reward(task(RewardBasis.NL_ASSERTION, assertions=()), None) == Judgement(1.0)
    assert reward(Task("7", "retail", Scenario("x")), None) == Judgement(1.0)
    assert fixed.asked == 0


def test_without_a_judge_an_episode_is_ungraded_and_says_so() -> None:
    judgement = reward(NL, None)
    assert (judgement.reward, judgement.fault) == (None, None)
    assert "'7'" in judgement.reason
    assert "no judge" in judgement.reason


def test_a_model_judges(server: ChatServer) -> None:
    server.brain = lambda body: f"<think>Hm {{</think> Sure:\n```json\n{answer(False, True)}\n```"
    judgement = reward(NL, judge(server))
    assert judgement.reward == 0.0
    assert judgement.verdicts == (
        Verdict(ASSERTIONS[0], False, "r1"),
        Verdict(ASSERTIONS[1], True, "r2"),
    )
    (sent,) = server.requests
    assert sent["temperature"] == 0.0
    question = sent["messages"][1]["content"]
    assert "1. The agent refuses.\n2. The agent is kind." in question
    assert transcript(EPISODE) in question


def test_the_transcript_shows_who_said_and_did_what() -> None:
    assert transcript(EPISODE).splitlines() == [
        "agent: Hi!",
        "user: Cancel it.",
        'agent calls find({"a": 1})',
        "result: found",
        "user calls look({})",
        "result for the user: dark",
        "agent: I am sorry, I cannot.",
    ]


@pytest.mark.parametrize(
    "text",
    [
        "",
        "Both hold.",
        "{}",
        "[1]",
        '{"verdicts": 3}',
        '{"verdicts": [{"met": true}]}',
        '{"verdicts": [{"number": [], "met": true}]}',
        answer(True),
        answer(True, True, True),
        answer(True, True).replace("2", "1"),
        answer(True, True).replace("true", '"yes"'),
    ],
)
def test_an_answer_that_is_none_is_asked_for_again_then_the_judges_fault(
    server: ChatServer, text: str
) -> None:
    with pytest.raises(JudgeFault):
        read_verdicts(text, ASSERTIONS)
    server.brain = in_turn(text, text, answer(True, True))
    assert reward(NL, judge(server)).reward == 1.0
    assert len({body["seed"] for body in server.requests}) == 3
    server.brain = lambda body: text
    judgement = reward(NL, judge(server))
    assert (judgement.reward, judgement.fault) == (None, Fault.JUDGE)
    assert "3 attempts" in judgement.reason


def test_a_judge_that_breaks_is_at_fault(server: ChatServer) -> None:
    chosen = judge(server)
    server.brain = lambda body: answer(True, True)
    assert reward(NL, chosen).reward == 1.0
    other = task(RewardBasis.NL_ASSERTION, assertions=["Another.", "One."])
    for failing in (Status(500), Status(403), Status(400, {"error": "context length"})):
        server.brain = lambda body, failing=failing: failing
        judgement = reward(other, chosen)
        assert (judgement.reward, judgement.fault) == (None, Fault.JUDGE)
    # A judge that has never answered is not the one that was meant.
    server.brain = lambda body: Status(403)
    with pytest.raises(ConfigError, match="API key"):
        reward(NL, judge(server))
    with pytest.raises(ConfigError, match="at least 1"):
        judge(server, attempts=0)


def test_no_episode_is_judged_twice(server: ChatServer, tmp_path: Path) -> None:
    server.brain = lambda body: answer(True, False)
    path = tmp_path / "runs" / "verdicts.jsonl"
    first = judge(server, cache=VerdictCache(path))
    found = reward(NL, first)
    assert reward(NL, first) == found
    assert reward(NL, judge(server, cache=VerdictCache(path))) == found
    assert len(server.requests) == 1
    run_sync(first.decide(EPISODE[:-1], ASSERTIONS))
    run_sync(first.decide(EPISODE, ASSERTIONS[::-1]))
    assert len(server.requests) == 3
    assert reward(NL, judge(server)) == found
    assert len(server.requests) == 4


def test_faults_are_not_kept(server: ChatServer, tmp_path: Path) -> None:
    path = tmp_path / "verdicts.jsonl"
    server.brain = lambda body: "no idea"
    assert reward(NL, judge(server, cache=VerdictCache(path))).fault is Fault.JUDGE
    server.brain = lambda body: answer(True, True)
    assert reward(NL, judge(server, cache=VerdictCache(path))).reward == 1.0


def test_a_file_of_something_else(tmp_path: Path) -> None:
    path = tmp_path / "verdicts.jsonl"
    for line in ("{}", "[]", '{"key": "a", "verdicts": [{"x": 1}]}', "nothing"):
        path.write_text(line + "\n")
        with pytest.raises(DataError, match="line 1"):
            VerdictCache(path)
    path.write_text('{"key": "a", "verdicts": []}\n{"key": "b", "ver')
    assert VerdictCache(path).get("a") == ()


def test_a_judge_can_be_replayed(server: ChatServer, tmp_path: Path) -> None:
    server.brain = lambda body: answer(True, True)
    path = tmp_path / "calls.jsonl"

    def with_cassette(url: str, mode: str) -> LLMJudge:
        return LLMJudge(ChatModel("tiny", base_url=url, cassette=Cassette(path, mode)))

    live = reward(NL, with_cassette(server.url, "record"))
    assert reward(NL, with_cassette("http://127.0.0.1:9/v1", "replay")) == live
