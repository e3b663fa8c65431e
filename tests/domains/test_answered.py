"""Domains whose episodes end with the agent's answer, and domains that make their tasks."""

from __future__ import annotations

import asyncio
import json
import pickle
import threading
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import gymnasium as gym
import pytest
from pydantic import BaseModel

from agents.attempts import Attempt
from agents.oracle import OracleAgent, plan
from agents.rollout import Player, rollout
from agents.runs.setup import Setup
from tau2_gym.domains import (
    DomainSpec,
    TaskSource,
    known_domains,
    register,
    resolve,
    tool,
    with_tasks,
)
from tau2_gym.domains.base import check_ready, check_split, get_domain
from tau2_gym.domains.registry import is_known, origin_of, spec_of
from tau2_gym.errors import ConfigError, DataError, InfrastructureError
from tau2_gym.results.record import Record
from tau2_gym.rewards import RewardConfig, default_weights
from tau2_gym.rules import Rules
from tau2_gym.session import Session
from tau2_gym.types import Role, Weights
from trainers.tasks import refuse_test_tasks


class Question(BaseModel):
    right: str = ""


class Given(BaseModel):
    text: str = ""


class QuizDB(BaseModel):
    question: Question
    given: Given


class QuizTools:
    db: Any

    @tool("read")
    def look_up(self, word: str) -> str:
        """Look something up.

        Args:
            word: What to look up.
        """
        if word == "fire":
            raise InfrastructureError("the library burns")
        if word == "nothing":
            raise ValueError("not found")
        LOOKED_UP.append((word, threading.current_thread().name))
        if MEETING:
            MEETING[0].wait(timeout=60)
        return f"{word}!"

    def is_right(self) -> bool:
        return bool(self.db.given.text == self.db.question.right)


LOOKED_UP: list[tuple[str, str]] = []
MEETING: list[threading.Barrier] = []


@pytest.fixture(autouse=True)
def nothing_looked_up() -> Iterator[None]:
    LOOKED_UP.clear()
    yield
    MEETING.clear()


def answer(tools: Any, text: str) -> str | None:
    head, colon, said = text.partition("ANSWER:")
    if not colon:
        return f"I wait for an answer, not for {head[:5]}."
    if said == "fire":
        raise InfrastructureError("the jury burns")
    if said == "oops":
        raise KeyError("a bug of the domain's")
    if said == "yes":
        return True  # type: ignore[return-value]
    tools.db.given.text = said if said != "bytes" else object()
    return None


QUESTIONS = {"1+1": "2", "2+2": "4", "3+3": "6", "4+4": "8"}


def row(question: str, right: str) -> dict[str, Any]:
    return {
        "id": question,
        "user_scenario": {"instructions": question},
        "ticket": f"What is {question}?",
        "initial_state": {"initialization_data": {"agent_data": {"question": {"right": right}}}},
        "evaluation_criteria": {
            "env_assertions": [{"env_type": "assistant", "func_name": "is_right", "arguments": {}}],
            "actions": [{"name": "look_up", "arguments": {"word": question}}],
            "reward_basis": ["ENV_ASSERTION"],
            "answer": f"ANSWER:{right}",
        },
    }


@pytest.fixture
def spec(tmp_path: Path) -> DomainSpec:
    (tmp_path / "policy.md").write_text("Answer.")
    (tmp_path / "agent_instruction.md").write_text("You sit in a quiz.")
    (tmp_path / "db.json").write_text(json.dumps({"question": {}, "given": {}}))
    (tmp_path / "tasks.json").write_text(json.dumps([row(*item) for item in QUESTIONS.items()]))
    return DomainSpec(
        "quiz",
        tmp_path,
        QuizTools,
        QuizDB,
        answer=answer,
        max_turns=3,
        weights=Weights(0.0, 0.0, 1.0, 0.0),
    )


class Nobody:
    """A user whom nobody asks."""

    def respond(self, view: Any, seed: int) -> Any:
        raise AssertionError("there is no user")


@pytest.fixture
def quiz(spec: DomainSpec) -> Any:
    register(spec)
    return gym.make("tau2/quiz-v0", user=Nobody(), disable_env_checker=True).unwrapped


def begin(env: Any, task: str = "2+2") -> Any:
    return env.reset(seed=0, options={"task_id": task})


# How an episode goes


def test_an_episode_begins_with_the_ticket(quiz: Any) -> None:
    observation, info = begin(quiz)
    assert observation == "What is 2+2?"
    assert info["messages"] == [{"role": "user", "content": "What is 2+2?"}]
    assert info["num_turns"] == info["steps"] == 0
    assert info["ticket"] is None


def test_an_answer_ends_it_and_is_graded(quiz: Any) -> None:
    begin(quiz)
    observation, reward, terminated, truncated, info = quiz.step("I say ANSWER:4")
    assert (observation, terminated, truncated) == ("", True, False)
    assert (info["termination"], info["official_reward"]) == ("agent_stop", 1.0)
    assert reward == pytest.approx(1.25)
    begin(quiz)
    _, reward, terminated, _, info = quiz.step("ANSWER:5")
    assert (reward, terminated, info["official_reward"]) == (0.0, True, 0.0)
    assert (info["steps"], info["num_turns"]) == (1, 1)


def test_a_text_without_one_is_told_what_is_awaited(quiz: Any) -> None:
    begin(quiz)
    observation, reward, terminated, _, info = quiz.step("Let me think.")
    assert observation == "I wait for an answer, not for Let m."
    assert (reward, terminated, info["steps"], info["num_turns"]) == (0.0, False, 2, 1)
    assert info["messages"][-2:] == [
        {"role": "assistant", "content": "Let me think."},
        {"role": "user", "content": observation},
    ]
    assert quiz.step("ANSWER:4")[4]["official_reward"] == 1.0


def test_tools_are_called_in_between(quiz: Any) -> None:
    begin(quiz)
    observation, _, terminated, _, info = quiz.step('look_up(word="four")')
    assert (observation, terminated, info["num_errors"]) == ("four!", False, 0)
    observation, *_, info = quiz.step('look_up(word="nothing")')
    assert (observation, info["num_errors"]) == ("Error: not found", 1)


def test_a_call_with_an_answer_beside_it_is_a_call(quiz: Any) -> None:
    begin(quiz)
    call = '<tool_call>{"name": "look_up", "arguments": {"word": "x"}}</tool_call>'
    observation, _, terminated, *_ = quiz.step(f"ANSWER:4 {call}")
    assert (observation, terminated) == ("x!", False)


def test_reasoning_answers_nothing(quiz: Any) -> None:
    begin(quiz)
    observation, _, terminated, *_ = quiz.step("<think>ANSWER:4</think>Well.")
    assert (observation, terminated) == ("I wait for an answer, not for Well..", False)


def test_what_ends_a_conversation_with_a_user_ends_none_here(spec: DomainSpec) -> None:
    asked = row("###STOP###", "###TRANSFER###")
    (spec.folder / "tasks.json").write_text(json.dumps([asked]))
    register(spec)
    env = gym.make("tau2/quiz-v0")
    observation, info = env.reset(seed=0)
    assert (observation, info["termination"]) == (
        "What is ###STOP###?",
        None,
    )
    assert not env.step("###STOP###")[2]
    assert env.step("ANSWER:###TRANSFER###")[4]["official_reward"] == 1.0


def test_messages_that_were_exchanged_come_before_the_ticket(spec: DomainSpec) -> None:
    asked = row("1+1", "2")
    asked["initial_state"]["message_history"] = [
        {"role": "user", "content": "Hello."},
        {"role": "assistant", "content": "ANSWER:2"},
    ]
    (spec.folder / "tasks.json").write_text(json.dumps([asked]))
    register(spec)
    _, info = gym.make("tau2/quiz-v0").reset(seed=0)
    said = ["Hello.", "ANSWER:2", "What is 1+1?"]
    assert [message["content"] for message in info["messages"]] == said
    assert info["termination"] is None


def test_the_domain_says_how_many_turns_there_are(quiz: Any) -> None:
    begin(quiz)
    quiz.step("One.")
    quiz.step('look_up(word="two")')
    observation, _, terminated, truncated, info = quiz.step("Three.")
    assert observation == "I wait for an answer, not for Three."
    assert (terminated, truncated) == (False, True)
    assert (info["termination"], info["official_reward"], info["num_turns"]) == (
        "max_turns",
        0.0,
        3,
    )
    with pytest.raises(RuntimeError, match="no episode is in progress"):
        quiz.step("ANSWER:4")


def test_an_answer_in_the_last_turn_counts(quiz: Any) -> None:
    begin(quiz)
    quiz.step("One.")
    quiz.step("Two.")
    assert quiz.step("ANSWER:4")[4]["termination"] == "agent_stop"


@pytest.mark.parametrize("turns", [1, 5])
def test_an_environment_may_say_otherwise(spec: DomainSpec, turns: int) -> None:
    register(spec)
    env = gym.make("tau2/quiz-v0", max_turns=turns)
    env.reset(seed=0)
    ends = [env.step(f"{turn}.")[3] for turn in range(turns)]
    assert ends == [False] * (turns - 1) + [True]


def test_turns_of_other_domains_end_where_the_agent_would_act_again() -> None:
    env = gym.make("tau2/mock-v0", max_turns=2)
    env.reset(seed=0, options={"task_id": "create_task_1"})
    _, _, terminated, truncated, info = env.step("get_users()")
    assert not terminated
    assert not truncated
    observation, _, terminated, truncated, info = env.step("What is your name?")
    assert observation  # The user has answered.
    assert (terminated, truncated, info["termination"]) == (False, True, "max_turns")
    with pytest.raises(ConfigError, match="max_turns must be at least 1, not 0"):
        Rules(max_turns=0)


def test_other_domains_have_no_such_limit() -> None:
    env = gym.make("tau2/mock-v0")
    env.reset(seed=0)
    for _ in range(20):
        assert not env.step("get_users()")[3]


def test_too_many_steps_end_it_although_it_was_answered(spec: DomainSpec) -> None:
    register(spec)
    env = gym.make("tau2/quiz-v0", max_steps=3)
    env.reset(seed=0, options={"task_id": "2+2"})
    env.step("One.")
    info = env.step("ANSWER:4")[4]
    assert (info["termination"], info["official_reward"]) == ("max_steps", 0.0)


def test_the_oracle_looks_up_and_answers(quiz: Any) -> None:
    assert plan(quiz.domain.task("3+3")) == [
        '<tool_call>\n{"name": "look_up", "arguments": {"word": "3+3"}}\n</tool_call>',
        "ANSWER:6",
    ]


def test_there_is_no_solo_mode(spec: DomainSpec) -> None:
    (spec.folder / "policy_solo.md").write_text("Alone.")
    register(spec)
    with pytest.raises(ConfigError, match="quiz has no solo mode"):
        gym.make("tau2/quiz-v0", solo=True).reset(seed=0)


def test_a_task_needs_a_ticket(spec: DomainSpec) -> None:
    (spec.folder / "tasks.json").write_text(json.dumps([{**row("1+1", "2"), "ticket": None}]))
    register(spec)
    with pytest.raises(ConfigError, match=r"task '1\+1' of quiz has no ticket to begin with"):
        gym.make("tau2/quiz-v0").reset(seed=0)


# Forks, states, pickling


def test_forks_answer_apart(quiz: Any) -> None:
    begin(quiz)
    quiz.step("One.")
    one, other = quiz.fork(2)
    assert one.step("ANSWER:4")[4]["official_reward"] == 1.0
    assert other.step("ANSWER:5")[4]["official_reward"] == 0.0
    assert quiz.step("Two.")[0].startswith("I wait")
    assert one.snapshot().episode.state_key != other.snapshot().episode.state_key


def test_a_snapshot_can_be_pickled_and_goes_on(quiz: Any) -> None:
    begin(quiz)
    quiz.step("One.")
    snapshot = pickle.loads(pickle.dumps(quiz.snapshot()))
    assert snapshot.episode.turns == 1
    quiz.restore(snapshot)
    quiz.step("Two.")
    assert quiz.step("Three.")[4]["termination"] == "max_turns"
    quiz.restore(snapshot)
    assert quiz.step("ANSWER:4")[4]["official_reward"] == 1.0


# What fails


def test_a_failing_tool_is_no_mistake_of_the_agents(quiz: Any) -> None:
    begin(quiz)
    before = quiz.snapshot()
    with pytest.raises(InfrastructureError, match="the library burns"):
        quiz.step('look_up(word="fire")')
    quiz.restore(before)
    with pytest.raises(InfrastructureError, match="the jury burns"):
        quiz.step("ANSWER:fire")
    quiz.restore(before)
    assert quiz.step("ANSWER:4")[4]["official_reward"] == 1.0


def test_an_assertion_that_cannot_be_made_is_none_that_fails(
    spec: DomainSpec, monkeypatch: pytest.MonkeyPatch
) -> None:
    def burns(self: Any) -> bool:
        raise InfrastructureError("the archive burns")

    monkeypatch.setattr(QuizTools, "is_right", burns)
    register(spec)
    with pytest.raises(InfrastructureError, match="the archive burns"):
        gym.make("tau2/quiz-v0").reset(seed=0)


@pytest.mark.parametrize(
    ("said", "error"), [("oops", KeyError), ("bytes", DataError), ("yes", DataError)]
)
def test_a_domain_that_cannot_read_an_answer_keeps_nothing_of_it(
    quiz: Any, said: str, error: type[Exception]
) -> None:
    begin(quiz)
    before = quiz.snapshot()
    key = before.episode.world.digest
    with pytest.raises(error):
        quiz.step(f"ANSWER:{said}")
    assert quiz.snapshot().episode.world.digest == key
    assert quiz.snapshot().episode.world.fork().answer("ANSWER:4") is None


class Says:
    """An agent that says one thing after the other."""

    def __init__(self, *moves: str) -> None:
        self.moves = moves

    def act(self, view: Any, seed: int) -> str:
        return self.moves[min(view.turn, len(self.moves) - 1)]


def played(agent: Any, count: int = 1, name: str = "quiz") -> list[Record]:
    player = Player(agent, Nobody())
    todo = [Attempt(name, "2+2", trial, trial) for trial in range(count)]

    async def run() -> list[Record]:
        return [record async for record in rollout(player.play, todo, count)]

    return asyncio.run(run())


@pytest.mark.parametrize("slow", [True, False])
@pytest.mark.parametrize(
    "move", ['look_up(word="fire")', "ANSWER:fire"], ids=["in a tool", "in the grade"]
)
def test_a_rollout_counts_it_as_a_fault_of_the_infrastructure(
    spec: DomainSpec, slow: bool, move: str
) -> None:
    register(replace(spec, slow=slow))
    (record,) = played(Says("Hm.", move))
    assert (record.fault, record.official_reward) == ("infrastructure", None)
    assert record.error is not None
    assert "burns" in record.error
    (record,) = played(OracleAgent())
    assert (record.fault, record.official_reward) == (None, 1.0)


# Slow tools


def test_slow_tools_are_called_side_by_side_on_other_threads(spec: DomainSpec) -> None:
    register(replace(spec, slow=True))
    MEETING.append(threading.Barrier(16))  # Nobody goes on before all 16 have met.
    records = played(Says('look_up(word="x")', "ANSWER:4"), 16)
    assert [record.official_reward for record in records] == [1.0] * 16
    assert len({thread for _, thread in LOOKED_UP}) == 16
    assert threading.main_thread().name not in {thread for _, thread in LOOKED_UP}


def test_other_tools_are_called_on_the_thread_that_plays(spec: DomainSpec) -> None:
    register(spec)
    played(Says('look_up(word="x")', "ANSWER:4"), 3)
    assert {thread for _, thread in LOOKED_UP} == {threading.main_thread().name}


# Tasks that are made


def made(options: str) -> TaskSource:
    if options not in ("", "hard"):
        raise ConfigError(f"the quiz has no {options!r}")
    questions = {"17*17": "289", "18*18": "324"} if options else QUESTIONS
    rows = {question: row(question, right) for question, right in questions.items()}
    first, *others = rows
    return TaskSource(rows, {"train": others, "test": [first]}, f"r{options}", f"quiz {options}")


@pytest.fixture
def making(spec: DomainSpec) -> DomainSpec:
    (spec.folder / "tasks.json").unlink()
    spec = replace(spec, tasks=made)
    register(spec)
    return spec


def test_a_domain_makes_its_tasks(making: DomainSpec) -> None:
    domain = get_domain("quiz")
    assert domain.task_ids("base") == domain.task_ids("full") == tuple(QUESTIONS)
    assert domain.task_ids("test") == ("1+1",)
    assert domain.task("4+4").ticket == "What is 4+4?"
    assert (domain.name, domain.source) == ("quiz", "quiz ")


def test_what_follows_the_name_chooses_them(making: DomainSpec) -> None:
    hard, default = get_domain("quiz:hard"), get_domain("quiz")
    assert hard is get_domain("quiz:hard")
    assert (hard.name, hard.source) == ("quiz:hard", "quiz hard")
    assert hard.task_ids("base") == ("17*17", "18*18")
    assert hard.revision != default.revision
    assert len(hard.revision) == 12
    assert (resolve("quiz:hard"), spec_of("quiz:hard"), is_known("quiz:hard")) == (
        "quiz:hard",
        making,
        True,
    )
    assert default_weights("quiz:hard") == making.weights
    check_split("quiz:hard", "test")
    with pytest.raises(ConfigError, match="unknown split of quiz:hard 'dev'"):
        check_split("quiz:hard", "dev")


@pytest.mark.parametrize(
    "text",
    [
        "look_upp(word='ANSWER:4')",
        "lookup(word='ANSWER:4'",
        "look_up_(  word=",
        "search('ANSWER:4')",
        "print(word='ANSWER:4')",
        {"role": "assistant", "content": "lookup(word='ANSWER:4')"},
    ],
)
def test_a_call_of_a_function_that_is_no_tool_is_told_which_there_are(
    spec: DomainSpec, text: Any
) -> None:
    register(spec)
    env = gym.make("tau2/quiz-v0", disable_env_checker=True).unwrapped
    env.reset(seed=0, options={"task_id": "2+2"})
    assert not env.action_space.contains(text)
    observation, _, terminated, _, info = env.step(text)
    assert observation.startswith("Error: unreadable action: there is no tool '")
    assert "', only look_up; to call a tool, write <tool_call>" in observation
    assert (terminated, info["malformed"], info["num_errors"]) == (False, 1, 1)
    assert env.step("ANSWER:4")[4]["official_reward"] == 1.0


@pytest.mark.parametrize(
    "text",
    [
        "look (here): ANSWER:4",
        "f(x=3) is ANSWER:4",
        "P(X=1) (or so): ANSWER:4",
        "ANSWER:4",
        "(2, 2) ANSWER:4",
    ],
)
def test_a_text_that_only_begins_with_brackets_is_text(spec: DomainSpec, text: str) -> None:
    register(spec)
    env = gym.make("tau2/quiz-v0", disable_env_checker=True).unwrapped
    env.reset(seed=0, options={"task_id": "2+2"})
    assert env.action_space.contains(text)
    _, _, terminated, _, info = env.step(text)
    assert (terminated, info["official_reward"], info["malformed"]) == (True, 1.0, 0)


def test_nothing_after_a_colon_is_refused(making: DomainSpec) -> None:
    register(making)
    for name in ("quiz:", "code:", "tests:"):
        with pytest.raises(ConfigError, match=f"nothing follows the colon of '{name}'"):
            get_domain(name)
    with pytest.raises(ConfigError, match="nothing follows the colon of 'code:generated:'"):
        get_domain("code:generated:")
    assert with_tasks("quiz", "") == "quiz"


def test_an_environment_takes_them_by_themselves(making: DomainSpec) -> None:
    env = gym.make("tau2/quiz-v0", tasks="hard", task_split="train")
    _, info = env.reset(seed=0)
    assert (info["domain"], info["task_id"]) == ("quiz:hard", "18*18")
    assert env.step("ANSWER:324")[4]["official_reward"] == 1.0
    vector = gym.make_vec("tau2/quiz-v0", num_envs=2, tasks="hard")
    assert vector.reset(seed=0)[1]["domain"].tolist() == ["quiz:hard"] * 2


@pytest.mark.parametrize(
    ("name", "tasks", "message"),
    [
        ("quiz", "easy", "the quiz has no 'easy'"),
        ("quiz:hard", "hard", "the tasks of 'quiz:hard' are named twice: 'hard'"),
        ("mock", "hard", "domain 'mock' has tasks of its own, and takes no others: 'hard'"),
    ],
)
def test_other_tasks_are_refused(making: DomainSpec, name: str, tasks: str, message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        gym.make("tau2/domain-v0", domain=name, tasks=tasks)


def test_a_domain_that_makes_none_takes_none(spec: DomainSpec) -> None:
    register(spec)
    with pytest.raises(ConfigError, match="there is no module 'quiz'"):
        get_domain("quiz:hard")
    assert not is_known("unheard:of")


def test_such_a_domain_is_found_by_its_place(
    making: DomainSpec, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    module = tmp_path / "quiz_place.py"
    module.write_text("from tests.domains import test_answered\nSPEC = test_answered.HELD[0]\n")
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.setattr(f"{__name__}.HELD", [making], raising=False)
    assert resolve("quiz_place:SPEC:hard") == "quiz:hard"
    assert origin_of("quiz:hard") == "quiz_place:SPEC:hard"
    assert origin_of("quiz") == "quiz_place:SPEC"
    assert get_domain("quiz_place:SPEC:hard") is get_domain("quiz:hard")


HELD: list[DomainSpec] = []


def test_domain_and_session_are_found_again_where_they_are_unpickled(making: DomainSpec) -> None:
    domain = get_domain("quiz:hard")
    assert pickle.loads(pickle.dumps(domain)) is domain
    session = Session(domain, domain.task("17*17"), Rules(), RewardConfig(), 0)
    session.settle()
    again = pickle.loads(pickle.dumps(session))
    assert again.turn is Role.AGENT
    again.agent_acts("ANSWER:289")
    assert again.settle().info["official_reward"] == 1.0


def test_made_test_tasks_are_not_trained_on(making: DomainSpec) -> None:
    refuse_test_tasks([("quiz:hard", "18*18"), ("unheard:of", "1")])
    with pytest.raises(DataError, match=r"task '17\*17' of quiz:hard must not be trained on"):
        refuse_test_tasks([("quiz:hard", "17*17")])


# What is checked


def test_what_a_domain_needs_is_checked_before_anything_is_played(spec: DomainSpec) -> None:
    def not_ready() -> None:
        raise ConfigError("there is no jury")

    register(replace(spec, ready=not_ready))
    asks: list[Callable[[], Any]] = [
        lambda: gym.make("tau2/quiz-v0"),
        lambda: check_ready("quiz"),
        lambda: Setup("noop", "scripted", 0, "progress", 100, 10, "inspect-evals", None).check(
            ["quiz"], "base", 1
        ),
    ]
    for ask in asks:
        with pytest.raises(ConfigError, match="there is no jury"):
            ask()
    assert get_domain("quiz").task_ids("base")  # To look at it takes no jury.
    check_ready("mock")


def test_a_specification_must_make_sense(spec: DomainSpec) -> None:
    with pytest.raises(ConfigError, match="max_turns must be at least 1, not 0"):
        replace(spec, max_turns=0)
    with pytest.raises(ConfigError, match="there is no user, who could have tools"):
        replace(spec, user_tools=QuizTools, user_database=QuizDB)


def test_the_name_of_a_domain_of_the_package_is_taken(spec: DomainSpec) -> None:
    assert "code" in known_domains()
    with pytest.raises(ConfigError, match="domain 'code' is registered already"):
        register(replace(spec, name="code"))


def test_the_domain_says_how_its_agent_is_instructed(quiz: Any) -> None:
    assert quiz.domain.agent_instruction == "You sit in a quiz."
    assert quiz.domain.agent_instruction_source == "quiz"
    assert get_domain("mock").agent_instruction_source == "tau2-gym"
