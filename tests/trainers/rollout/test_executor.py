"""Episodes as OpenRLHF is given them: exact to the token, within limits, and paid as promised."""

from __future__ import annotations

import asyncio
import json
import shutil
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agents.attempts import Attempt
from agents.rollout import Player
from tau2_gym.domains.base import get_domain
from tau2_gym.errors import ConfigError, UserFault
from tau2_gym.judge import Verdict
from tau2_gym.results.record import Record
from tau2_gym.rewards import RewardConfig
from tau2_gym.types import Message
from tau2_gym.users.base import UserView
from tau2_gym.users.scripted import ScriptedUser
from tests.helpers import CLOSING, block
from tests.trainers.scripted import (
    TOKENIZER,
    ScriptedEngine,
    answer,
    asked_for,
    config,
    gold,
    logprob,
    play_one,
    played,
)
from trainers.config import SETTINGS
from trainers.openrlhf.gpu_packages import EngineSampling
from trainers.rollout.executor import (
    EpisodeExecutor,
    settings_of_environment,
    stop_penalty,
)
from trainers.sections import Environment

TELECOM = get_domain("telecom").task_ids("train")
RETAIL = "0"
MOCK = "update_task_1"
TASKS = (("mock", MOCK), ("airline", "3"), ("retail", RETAIL), ("telecom", TELECOM[0]))


def spans(response: dict[str, Any]) -> list[list[int]]:
    return [response["observation_tokens"][begin:end] for begin, end in response["action_ranges"]]


def sampled(response: dict[str, Any]) -> int:
    return sum(end - begin for begin, end in response["action_ranges"])


# Tokens


@pytest.mark.parametrize("prompt", ["bare", "official"])
@pytest.mark.parametrize(("domain", "task_id"), TASKS)
def test_the_very_tokens_of_the_conversation(domain: str, task_id: str, prompt: str) -> None:
    engine = ScriptedEngine(gold(domain, task_id), spelled=True)
    response = play_one(engine, domain, task_id, **{"environment.prompt": prompt})
    tokens, logprobs = response["observation_tokens"], response["rollout_log_probs"]
    assert len(tokens) == len(logprobs) == response["action_ranges"][-1][1]
    end = 0
    assert any(said != TOKENIZER.encode(TOKENIZER.decode(said)) for _, _, said in engine.asked)
    for (begin, until), (ids, _, said) in zip(response["action_ranges"], engine.asked, strict=True):
        assert ids == tokens[:begin]
        assert said == tokens[begin:until]
        assert logprobs[begin:until] == [logprob(token) for token in said]
        assert logprobs[end:begin] == [0.0] * (begin - end)
        assert begin > end, "between two turns there is what others said"
        end = until
    shown = TOKENIZER.decode(tokens)
    assert (get_domain(domain).policy in shown) == (prompt == "official")
    assert shown.count("###STOP###") == (
        get_domain(domain).policy.count("###STOP###") if prompt == "official" else 0
    )
    logs = response["extra_logs"]
    assert (response["scores"], response["truncated"]) == (1.0, False)
    assert (logs["official"], logs["turns"], logs["masked"]) == (1.0, len(engine.asked), 0.0)
    assert logs["response_tokens"] == sampled(response)
    assert len(response["turn_rewards"]) == len(response["action_ranges"])
    assert response["reward"] == pytest.approx(sum(response["turn_rewards"]))


def test_what_openrlhf_gave_comes_back() -> None:
    label = asked_for("mock", MOCK)
    engine = ScriptedEngine([CLOSING])
    (response,) = played(EpisodeExecutor(config(), threaded=False), engine, label)
    assert (response["prompt"], response["label"], response["images"]) == ("a task", label, None)
    (from_mapping,) = played(
        EpisodeExecutor(config(), threaded=False),
        engine,
        json.loads(label),  # as a data set may hold it
    )
    assert {**from_mapping, "label": label} == response


def test_a_turn_has_a_cap() -> None:
    engine = ScriptedEngine([block("get_users"), "Let me see. " * 20, CLOSING])
    response = play_one(engine, "mock", MOCK, **{"rollout.max_new_tokens": 30})
    assert {params.max_tokens for _, params, _ in engine.asked} == {30}
    lengths = [len(said) for said in spans(response)]
    assert lengths[1] == 30
    assert max(lengths) == 30 > min(lengths)
    assert response["truncated"]


LONG = gold("retail", RETAIL)


def test_an_outgrown_context_ends_an_episode_and_cuts_nothing() -> None:
    engine = ScriptedEngine(LONG)
    play_one(engine, "retail", RETAIL)
    prompts = engine.prompts
    for room, turns in ((0, 2), (1, 3), (5, 3)):
        context = len(prompts[2]) + room
        # The tighter one of OpenRLHF's limit and the recipe's counts.
        for max_length, recipe in ((context, 16384), (32768, context)):
            narrow = ScriptedEngine(LONG)
            response = play_one(
                narrow, "retail", RETAIL, max_length=max_length, **{"rollout.context": recipe}
            )
            assert narrow.prompts == prompts[:turns]
            assert len(response["observation_tokens"]) <= context
            assert narrow.asked[-1][1].max_tokens == (room or context - len(prompts[1]))
            assert len(response["action_ranges"]) == turns
            logs = response["extra_logs"]
            assert (response["truncated"], logs["truncated"]) == (True, 1.0)
            assert (logs["masked"], logs["official"], response["scores"]) == (0.0, 0.0, 0.0)


def test_a_context_too_small_for_the_first_prompt_is_a_wrong_recipe() -> None:
    with pytest.raises(ConfigError, match="the first prompt in retail is too long"):
        play_one(ScriptedEngine(LONG), "retail", RETAIL, **{"rollout.context": 20})


@pytest.mark.parametrize(
    ("settings", "turns"),
    [
        ({"environment.max_turns": 2}, 2),
        ({"environment.max_steps": 5}, 2),
        ({"environment.max_turns": len(LONG)}, len(LONG)),
    ],
)
def test_limits_of_turns_and_steps(settings: dict[str, Any], turns: int) -> None:
    engine = ScriptedEngine(LONG)
    response = play_one(engine, "retail", RETAIL, **settings)
    assert len(engine.asked) == len(response["action_ranges"]) == turns
    finished = turns == len(LONG)
    assert (response["truncated"], response["scores"]) == (not finished, float(finished))


# Faults


@dataclass
class Unwell:
    """The scripted user, which fails a number of times when it is to answer for the nth time."""

    faults: int
    answers: int
    failed: list[int] = field(default_factory=list)

    def respond(self, view: UserView, seed: int) -> Message:
        said = sum(m.role == "user" and not m.is_tool_call for m in view.messages)
        if said == self.answers and len(self.failed) < self.faults:
            self.failed.append(seed)
            raise UserFault("the user has hung up")
        return ScriptedUser().respond(view, seed)


def faulted(faults: int, kind: str, retries: int, answers: int = 0) -> dict[str, Any]:
    executor = EpisodeExecutor(config(**{"rollout.retries": retries}), threaded=False)
    engine = ScriptedEngine(gold("telecom", TELECOM[0]))
    if kind == "user":
        executor._user = Unwell(faults, answers)
    else:
        engine.faults = faults
    (response,) = played(executor, engine, asked_for("telecom", TELECOM[0]))
    return response


def test_an_episode_that_is_masked_is_logged_with_its_task(
    caplog: pytest.LogCaptureFixture,
) -> None:
    faulted(0, "user", 0)
    assert not caplog.messages
    faulted(1, "user", 0)
    (said,) = caplog.messages
    assert said.startswith("faulted: ")


@pytest.mark.parametrize("retries", [0, 2])
@pytest.mark.parametrize(("kind", "answers"), [("user", 0), ("user", 2), ("infrastructure", 0)])
def test_faulted_episodes_are_played_again_and_masked_at_last(
    kind: str, answers: int, retries: int
) -> None:
    cured = faulted(retries, kind, retries, answers)["extra_logs"]
    assert (cured["masked"], cured["official"], cured[f"fault_{kind}"]) == (0.0, 1.0, 0.0)
    lost = faulted(retries + 1, kind, retries, answers)
    logs = lost["extra_logs"]
    other = {"user": "infrastructure", "infrastructure": "user"}[kind]
    assert (logs["masked"], logs[f"fault_{kind}"], logs[f"fault_{other}"]) == (1.0, 1.0, 0.0)
    assert (lost["reward"], lost["scores"], logs["official"]) == (0.0, 0.0, 0.0)
    ((begin, end),) = lost["action_ranges"]
    assert 0 < begin < end <= len(lost["observation_tokens"])
    assert len(lost["rollout_log_probs"]) == len(lost["observation_tokens"])
    assert lost["turn_rewards"] == [0.0]


def test_another_try_is_another_game() -> None:
    executor = EpisodeExecutor(config(**{"rollout.retries": 3}), threaded=False)
    executor._user = user = Unwell(4, 0)
    played(executor, ScriptedEngine([CLOSING]), asked_for("telecom", TELECOM[0]))
    assert len(set(user.failed)) == 4


class Silent(ScriptedEngine):
    """Gives no log-probabilities."""

    async def generate(self, ids: list[int], params: Any) -> Any:
        given = await super().generate(ids, params)
        given.outputs[0].logprobs = None
        return given


class Mute(ScriptedEngine):
    """Samples nothing."""

    async def generate(self, ids: list[int], params: Any) -> Any:
        return answer([], "stop")


class Aborting(ScriptedEngine):
    """Gives up in the middle of each turn."""

    async def generate(self, ids: list[int], params: Any) -> Any:
        given = await super().generate(ids, params)
        given.outputs[0].finish_reason = "abort"
        return given


class Stuck(ScriptedEngine):
    """Never answers."""

    async def generate(self, ids: list[int], params: Any) -> Any:
        await asyncio.Event().wait()


@pytest.mark.parametrize("kind", [Silent, Mute, Aborting, Stuck])
def test_an_engine_that_does_not_do_spoils_episodes(kind: type[ScriptedEngine]) -> None:
    settings = {"rollout.retries": 1, "rollout.episode_timeout": 0.1}
    response = play_one(kind(LONG), "retail", RETAIL, **settings)
    assert response["extra_logs"]["fault_infrastructure"] == 1.0
    assert response["extra_logs"]["masked"] == 1.0


def test_all_episodes_tell_the_same() -> None:
    settings = {
        "environment.reward": {
            "preset": "progress",
            "tool_call": 0.1,
            "malformed": 0.2,
            "ownership": 0.3,
            "tool_error": 0.1,
            "repetition": 0.1,
            "overlong": {"limit": 90, "buffer": 10},
        }
    }
    engines = [ScriptedEngine(LONG), Mute(LONG), ScriptedEngine(["<tool_call>{"])]
    responses = [play_one(engine, "retail", RETAIL, **settings) for engine in engines]
    responses.append(play_one(engines[0], "retail", RETAIL, **settings, max_length=400))
    responses.append(faulted(1, "user", 0))
    *paid, plain = [list(response["extra_logs"]) for response in responses]
    assert all(names == paid[0] for names in paid)
    assert {name for name in paid[0] if name.startswith("ledger/")} == {
        f"ledger/{name}"
        for name in (
            *("progress", "official", "tool_call", "malformed", "ownership", "tool_error"),
            *("repetition", "overlong"),
        )
    }
    assert {name for name in plain if name.startswith("ledger/")} == {
        "ledger/shaped",
        "ledger/official",
    }
    for response in responses:
        logs = response["extra_logs"]
        assert all(type(value) is float for value in logs.values())
        booked = sum(logs[name] for name in logs if name.startswith("ledger/"))
        assert sum(response["turn_rewards"]) == pytest.approx(booked)


# Settings


PLAYED_AS: dict[str, tuple[Any, Callable[[Player], Any]]] = {
    "user": ("llm:other@http://127.0.0.1:1/v1", lambda player: player.user),
    "user_temperature": (0.3, lambda player: player.user.model),
    "user_extra_body": ({"a": 1}, lambda player: player.user.model),
    "reward": ("sparse", lambda player: player.reward),
    "max_steps": (7, lambda player: player.rules.max_steps),
    "max_errors": (3, lambda player: player.rules.max_errors),
    "max_turns": (4, lambda player: player.rules.max_turns),
    "prompt": ("compact", lambda player: player.agent.prompt),
    "thinking": (False, lambda player: player.agent.codec._options),
    "source": ("tau2", lambda player: player.source),
    "data_dir": ("/elsewhere", lambda player: player.data_dir),
}
"""A value of each setting of the environment, and where the player of an episode has it."""


@pytest.mark.parametrize("name", Environment.model_fields)
def test_every_setting_of_the_environment_reaches_the_episode(
    name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    value, found = PLAYED_AS[name]
    settings: dict[str, Any] = {}
    if name.startswith("user"):
        settings["environment.user"] = "litellm:some"
    monkeypatch.setattr(
        "trainers.rollout.executor.make_prompt", lambda *asked: asked
    )  # of any source

    def player(**more: Any) -> Player:
        executor = EpisodeExecutor(config(**{**settings, **more}), threaded=False)
        return executor.player(EngineSampling(), 4096, TOKENIZER, None)

    before, after = found(player()), found(player(**{f"environment.{name}": value}))
    assert before != after


def test_too_many_failed_calls_end_an_episode() -> None:
    failing = block("get_order_details", order_id="none")
    for limit in (2, 5):
        settings = {"environment.max_errors": limit}
        response = play_one(ScriptedEngine([failing]), "retail", RETAIL, **settings)
        assert response["extra_logs"]["tool_errors"] == limit


def test_another_revision_of_the_tasks_is_played(tmp_path: Path) -> None:
    from inspect_evals.tau2 import utils

    shutil.copytree(Path(utils.TAU2_DATA_DIR) / "domains" / "mock", tmp_path / "mock")
    (tmp_path / "mock" / "policy.md").write_text("Another policy.")
    engine = ScriptedEngine([CLOSING])
    settings = {"environment.data_dir": str(tmp_path), "environment.prompt": "official"}
    play_one(engine, "mock", MOCK, **settings)
    assert "Another policy." in TOKENIZER.decode(engine.prompts[0])


# What only a reader can decide


class Verdicts:
    """A judge that has made up its mind."""

    def __init__(self, met: bool) -> None:
        self.met = met

    async def decide(
        self, messages: Sequence[Message], assertions: Sequence[str]
    ) -> tuple[Verdict, ...]:
        return tuple(Verdict(assertion, self.met) for assertion in assertions)


def read_by_a_judge(folder: Path, assertions: list[str]) -> str:
    """Another revision of mock, whose task is paid for its assertions, too."""
    from inspect_evals.tau2 import utils

    shutil.copytree(Path(utils.TAU2_DATA_DIR) / "domains" / "mock", folder / "mock")
    file = folder / "mock" / "tasks.json"
    tasks = json.loads(file.read_text())
    (task,) = [task for task in tasks if task["id"] == MOCK]
    basis = ["DB", "NL_ASSERTION"]
    task["evaluation_criteria"] |= {"nl_assertions": assertions, "reward_basis": basis}
    file.write_text(json.dumps(tasks))
    return str(folder)


@pytest.mark.parametrize("preset", ["sparse", "shaped", "progress", "potential"])
@pytest.mark.parametrize(
    ("assertions", "judge", "official"),
    [
        ([], None, 1.0),  # nothing to assert is no failure
        (["It was said."], None, None),
        (["It was said."], Verdicts(True), 1.0),
        (["It was said."], Verdicts(False), 0.0),
    ],
)
def test_what_was_graded_is_what_is_paid(
    assertions: list[str],
    judge: Verdicts | None,
    official: float | None,
    preset: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Scores, the ledger's official pay and what the turns earned agree; what nobody has graded is
    masked."""
    made = EpisodeExecutor.player

    def judged(self: EpisodeExecutor, *arguments: Any) -> Player:
        return replace(made(self, *arguments), judge=judge)

    monkeypatch.setattr(EpisodeExecutor, "player", judged)
    settings = {
        "environment.data_dir": read_by_a_judge(tmp_path, assertions),
        "environment.reward": preset,
    }
    response = play_one(ScriptedEngine(gold("mock", MOCK)), "mock", MOCK, **settings)
    logs = response["extra_logs"]
    assert bool(logs["masked"]) == (official is None)
    if official is None:
        assert response["reward"] == 0.0
        return
    assert (response["scores"], logs["official"], ledger(response, "official")) == (official,) * 3
    other = 0.0 if preset == "sparse" else ledger(response, preset)
    assert response["reward"] == pytest.approx(official + other)
    assert sum(response["turn_rewards"]) == pytest.approx(response["reward"])
    if preset == "sparse":
        assert response["turn_rewards"][-1] == official


# Sampling


def test_parameters_are_copied_and_completed() -> None:
    shared = EngineSampling(temperature=0.7, top_p=1.0, max_tokens=None)
    before = dict(vars(shared))
    engine = ScriptedEngine(LONG)
    labels = [asked_for("retail", RETAIL)] * 3
    played(EpisodeExecutor(config(), threaded=False), engine, *labels, params=shared)
    assert vars(shared) == before
    (end,) = TOKENIZER.encode("<|im_end|>")
    for ids, params, _ in engine.asked:
        assert (params.temperature, params.top_p, params.top_k) == (0.7, 1.0, -1)
        assert params.stop_token_ids == [end]
        assert params.logprobs == 1, "asked for, although the caller did not"
        assert params.max_tokens == min(2048, 16384 - len(ids))
        assert 0 <= params.seed < 2**63


def test_parameters_that_can_be_cloned_are_cloned() -> None:
    @dataclass
    class Cloned(EngineSampling):
        clones: int = 0

        def clone(self) -> Cloned:
            self.clones += 1
            return replace(self)

    shared = Cloned()
    played(
        EpisodeExecutor(config(), threaded=False),
        ScriptedEngine(LONG),
        asked_for("retail", RETAIL),
        params=shared,
    )
    assert shared == Cloned(clones=len(LONG))


def seeds(*labels: str, **settings: Any) -> list[int]:
    """What the first turns of episodes are sampled with."""
    executor = EpisodeExecutor(config(**settings), threaded=False)
    found = []
    for label in labels:
        engine = ScriptedEngine([CLOSING])
        played(executor, engine, label)
        assert len(set(engine.seeds)) == len(engine.seeds), "each turn has its own"
        found.append(engine.seeds[0])
    return found


def test_samples_differ_and_can_be_repeated() -> None:
    label, other = asked_for("mock", MOCK), asked_for("mock", "create_task_1")
    found = seeds(label, other, label, label)
    assert len(set(found)) == 4
    assert seeds(label, label, other, label) == [found[0], found[2], found[1], found[3]]
    assert not set(seeds(label, label, **{"run.seed": 7})) & set(found)
    numbered = [asked_for("mock", MOCK, trial=trial) for trial in (2, 0, 1)]
    assert seeds(*numbered) == [found[3], found[0], found[2]], "a caller may count for itself"


@pytest.mark.parametrize("fault", [0, 1])
def test_a_thread_of_its_own_changes_nothing(fault: int) -> None:
    labels = [asked_for(*task) for task in TASKS] * 2
    answers = []
    for threaded in (False, True):
        executor = EpisodeExecutor(config(), threaded=threaded)
        engine = ScriptedEngine(["Let me look.", block("get_users"), CLOSING], faults=fault)
        answers.append(played(executor, engine, *labels))
    assert answers[0] == answers[1]


# Rewards


def ledger(response: dict[str, Any], name: str) -> float:
    return float(response["extra_logs"][f"ledger/{name}"])


TCR = {"environment.reward": {"preset": "sparse", "tool_call": 0.1, "tool_call_cap": 0.4}}
READS = [
    block("find_user_id_by_name_zip", first_name="Yusuf", last_name="Rossi", zip="19122"),
    block("get_order_details", order_id="#W2378156"),
    block("list_all_product_types"),
    block("get_user_details", user_id="yusuf_rossi_9620"),
    block("get_product_details", product_id="1656367028"),
    block("get_product_details", product_id="4896585277"),
]
JUNK = [
    "<tool_call>{",  # unreadable
    block("fly"),  # nobody's tool
    block("get_order_details", order_id="#W0"),  # fails
    READS[0],  # said before
]


@pytest.mark.parametrize("valid", range(len(READS) + 1))
@pytest.mark.parametrize("junk", [False, True])
def test_wrong_answers_with_valid_calls_earn_a_little(valid: int, junk: bool) -> None:
    lines = [*READS[:valid], *(JUNK[: 4 if valid else 3] if junk else []), CLOSING]
    response = play_one(ScriptedEngine(lines), "retail", RETAIL, **TCR)
    earned = pytest.approx(min(0.1 * valid, 0.4))
    assert (response["scores"], ledger(response, "tool_call")) == (0.0, earned)
    assert response["reward"] == response["turn_rewards"][-1] == earned
    assert not any(response["turn_rewards"][:-1])


def test_right_answers_earn_nothing_more() -> None:
    response = play_one(ScriptedEngine(LONG), "retail", RETAIL, **TCR)
    assert (response["reward"], ledger(response, "tool_call")) == (1.0, 0.0)


def test_an_episode_cut_short_is_a_wrong_answer() -> None:
    response = play_one(
        ScriptedEngine(LONG), "retail", RETAIL, **TCR, **{"environment.max_turns": 3}
    )
    assert response["turn_rewards"] == [0.0, 0.0, pytest.approx(0.3)]


def test_several_calls_in_a_turn_count_once() -> None:
    lines = ["\n".join(READS[:3]), CLOSING]
    response = play_one(ScriptedEngine(lines), "retail", RETAIL, **TCR)
    assert ledger(response, "tool_call") == pytest.approx(0.1)


@pytest.mark.parametrize(("limit", "buffer", "factor"), [(200, 100, 0.5), (60, 60, 1.0)])
def test_only_sampled_tokens_are_too_long(limit: int, buffer: int, factor: float) -> None:
    lines = [*READS[:4], CLOSING]
    overlong = {"limit": limit, "buffer": buffer, "factor": factor}
    reward = {"environment.reward": {"preset": "sparse", "overlong": overlong}}
    response = play_one(ScriptedEngine(lines), "retail", RETAIL, **reward)
    length = sum(len(TOKENIZER.encode(f"{line}<|im_end|>")) for line in lines)
    assert length == sampled(response)
    assert len(response["observation_tokens"]) > 3 * length
    penalty = pytest.approx(min((limit - buffer - length) / buffer * factor, 0.0))
    assert penalty != 0
    assert ledger(response, "overlong") == response["turn_rewards"][-1] == penalty
    assert response["reward"] == penalty


def test_results_of_tools_are_never_too_long() -> None:
    lines = [*READS[:4], CLOSING]
    response = play_one(ScriptedEngine(lines), "retail", RETAIL)
    length = sampled(response)
    overlong = {"limit": length + 1, "buffer": 1}
    reward = {"environment.reward": {"preset": "sparse", "overlong": overlong}}
    response = play_one(ScriptedEngine(lines), "retail", RETAIL, **reward)
    assert len(response["observation_tokens"]) > length + 1
    assert response["reward"] == ledger(response, "overlong") == 0.0


@pytest.mark.parametrize(
    ("penalty", "expected"),
    [
        (None, [0.5, 0.0, 1.0]),
        (1.0, [0.5, 0.0, 1.0]),
        (0.5, [0.25, 0.0, 0.5]),
        (0.0, [0.0, 0.0, 0.0]),
        (-0.5, [0.0, 0.0, -0.5]),
    ],
)
def test_the_penalty_of_not_stopping_properly(penalty: float | None, expected: list[float]) -> None:
    rewards = [0.5, 0.0, 1.0]
    assert stop_penalty(rewards, penalty) == expected
    assert rewards == [0.5, 0.0, 1.0]


@given(st.lists(st.floats(-2, 2), min_size=1, max_size=8), st.floats(-2, 1) | st.none())
def test_being_cut_off_never_pays(rewards: list[float], penalty: float | None) -> None:
    """Neither in all nor in what is still to come at any turn."""
    found = stop_penalty(rewards, penalty)
    for turn in range(len(rewards)):
        assert sum(found[turn:]) <= sum(rewards[turn:]) + 1e-9
    if penalty is not None and penalty < 0:
        assert sum(found) == pytest.approx(min(penalty, sum(rewards)), abs=1e-9)
    elif penalty is not None and min(rewards) >= 0:
        assert found == pytest.approx([penalty * reward for reward in rewards])


@pytest.mark.parametrize("penalty", [1.0, 0.5, 0.0, -0.25])
def test_an_episode_that_has_lost_is_not_paid_for_being_cut_off(penalty: float) -> None:
    reward = {"preset": "sparse", "tool_error": 0.3}
    failing = (
        '<tool_call>{"name": "get_order_details", "arguments": {"order_id": "no"}}</tool_call>'
    )
    settings = {"environment.reward": reward, "rollout.max_new_tokens": 60}
    lines = [failing, failing, "and so on " * 60]
    left = play_one(ScriptedEngine(lines), "retail", RETAIL, **settings)
    assert left["truncated"]
    assert left["reward"] < 0
    settings["algorithm.stop_penalty"] = penalty
    cut = play_one(ScriptedEngine(lines), "retail", RETAIL, **settings)
    assert cut["reward"] <= left["reward"]


@pytest.mark.parametrize(("penalty", "factor"), [(None, 1.0), (0.5, 0.5), (-0.25, None)])
def test_episodes_cut_off_by_tokens_pay_it_and_others_do_not(
    penalty: float | None, factor: float | None
) -> None:
    settings = {"environment.reward": "progress", "algorithm.stop_penalty": penalty}
    moves = gold("telecom", TELECOM[0])
    whole = play_one(ScriptedEngine(moves), "telecom", TELECOM[0], **settings)
    assert whole["reward"] == pytest.approx(1.4)
    for limits in (
        {"rollout.context": len(whole["observation_tokens"]) - 1},
        {"rollout.context": whole["action_ranges"][-1][0]},
    ):
        cut = play_one(ScriptedEngine(moves), "telecom", TELECOM[0], **settings, **limits)
        assert cut["truncated"]
        progress = ledger(cut, "progress") + ledger(cut, "official")
        assert progress > 0
        assert cut["reward"] == pytest.approx(penalty if factor is None else factor * progress)
    by_turns = play_one(
        ScriptedEngine(moves), "telecom", TELECOM[0], **settings, **{"environment.max_turns": 2}
    )
    assert by_turns["truncated"]
    assert by_turns["reward"] == pytest.approx(ledger(by_turns, "progress"))


# The shaped reward, computed here again.

SHARES = {
    "telecom": {"actions": 0.35, "communicate": 0.35, "env_assertions": 0.3},
    "retail": {"actions": 0.5, "communicate": 0.15, "env_assertions": 0.35},
}
SHARES["airline"] = SHARES["retail"]
ALPHAS = {"airline": 0.25, "retail": 0.25 * 0.8, "telecom": 0.25 * 1.6}


def partial(domain: str, checks: dict[str, list[bool]]) -> float:
    shares = {name: share for name, share in SHARES[domain].items() if checks[name]}
    total = sum(shares.values())
    if not total:
        return 0.0
    found = sum(
        share * checks[name].count(True) / len(checks[name]) for name, share in shares.items()
    )
    return found / total


def recorded(
    lines: Sequence[str], domain: str, task_id: str, **settings: Any
) -> tuple[Record, dict[str, Any]]:
    """An episode's record, and what is made of it."""
    executor = EpisodeExecutor(config(**settings), threaded=False)

    async def play() -> Record:
        player = executor.player(EngineSampling(), 32768, TOKENIZER, ScriptedEngine(lines))
        return await player.play(Attempt(domain, task_id, 0, 5))

    record = asyncio.run(play())
    return record, executor._answer(record)


@pytest.mark.parametrize(
    ("domain", "task_id"),
    [
        ("airline", "7"),
        ("airline", "14"),
        ("retail", "2"),
        *(("telecom", t) for t in TELECOM[6::30]),
    ],
)
def test_the_shaped_reward_is_the_seed_pipelines(domain: str, task_id: str) -> None:
    moves = gold(domain, task_id)
    seen = set()
    for count in {0, 1, len(moves) // 2, len(moves) - 2, len(moves)}:
        lines = moves if count == len(moves) else [*moves[:count], CLOSING]
        reward = {"preset": "shaped", "lenient_actions": True}
        record, response = recorded(lines, domain, task_id, **{"environment.reward": reward})
        assert record.checks is not None
        score = partial(domain, record.checks)
        expected = (record.official_reward or 0.0) + ALPHAS[domain] * score
        assert response["reward"] == pytest.approx(expected)
        assert response["turn_rewards"][-1] == pytest.approx(expected)
        assert not any(response["turn_rewards"][:-1])
        assert response["extra_logs"]["partial"] == pytest.approx(score)
        seen.add(round(score, 6))
    assert max(seen) == 1.0
    assert len(seen) > 1


def test_progress_pays_turn_by_turn_what_shaped_pays_in_the_end() -> None:
    moves = gold("retail", "2")
    shaped, dense = (
        recorded(moves, "retail", "2", **{"environment.reward": preset})[1]
        for preset in ("shaped", "progress")
    )
    assert dense["reward"] == pytest.approx(shaped["reward"])
    assert sum(reward > 0 for reward in dense["turn_rewards"]) > 5


# Settings


def test_settings_are_found_by_the_environment(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = tmp_path / "settings.json"
    for name in (None, str(file)):
        monkeypatch.delenv(SETTINGS, raising=False)
        if name is not None:
            monkeypatch.setenv(SETTINGS, name)
        with pytest.raises(ConfigError, match=f"{SETTINGS} must name a file of settings, not"):
            EpisodeExecutor()
    settings = config(**{"run.seed": 5, "environment.reward": {"preset": "sparse"}})
    file.write_text(settings.model_dump_json())
    assert settings_of_environment() == settings == EpisodeExecutor(threaded=False).config


def test_the_names_of_what_can_be_paid() -> None:
    assert RewardConfig("sparse").ledger_names == ("official",)
    assert RewardConfig("potential", repetition=0.1).ledger_names == (
        "potential",
        "official",
        "repetition",
    )
