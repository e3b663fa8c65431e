"""A real OpenEnv server in another process, and OpenEnv's own client."""

from __future__ import annotations

import subprocess
import sys
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from typing import Any

import pytest

pytest.importorskip("openenv.core.generic_client", reason="openenv is not installed")

from openenv.core import GenericEnvClient
from typer.testing import CliRunner

from agents.oracle import plan
from tau2_gym.adapters import openenv as adapter
from tau2_gym.adapters.serve import app as cli
from tau2_gym.domains.base import get_domain
from tau2_gym.errors import ConfigError
from tests.helpers import make

DOMAINS = ("airline", "retail", "telecom")


@contextmanager
def serving(*options: str) -> Iterator[str]:
    command = [
        sys.executable, "-c", "from tau2_gym.cli import app; app(prog_name='tau2-gym')",
        "serve", "openenv", "--port", "0", *options,
    ]  # fmt: skip
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as server:
        assert server.stdout is not None
        line = server.stdout.readline()
        assert " on http://127.0.0.1:" in line
        try:
            yield line.split()[-1]
        finally:
            server.terminate()
            server.wait(30)


@pytest.fixture(scope="module")
def url() -> Iterator[str]:
    with serving("--sessions", "70") as url:
        yield url


def moves(domain: str, task: str) -> Iterator[str]:
    found = plan(get_domain(domain).task(task))
    yield from found
    while True:
        yield found[-1]


def played(url: str, domain: str, index: int) -> tuple[str, list[float], Any]:
    """A task of the test split, by the oracle."""
    with GenericEnvClient(base_url=url).sync() as env:
        result = env.reset(domain=domain, split="test", index=index, seed=index)
        task, rewards = env.state()["task_id"], []
        for move in moves(domain, task):
            if result.done:
                break
            result = env.step({"message": move})
            rewards.append(result.reward)
        return task, rewards, result.observation["metadata"]


def test_all_test_tasks_64_at_a_time_earn_what_they_earn_here(url: str) -> None:
    jobs = [
        (domain, i) for domain in DOMAINS for i in range(len(get_domain(domain).task_ids("test")))
    ]
    with ThreadPoolExecutor(64) as pool:
        results = list(pool.map(lambda job: played(url, *job), jobs))
    for (domain, index), (task, rewards, told) in zip(jobs, results, strict=True):
        env = make(domain, user="scripted")
        env.reset(seed=index, options={"task_id": task})
        expected, ended = [], False
        for move in moves(domain, task):
            if ended:
                break
            _, reward, terminated, truncated, info = env.step(move)
            expected.append(reward)
            ended = terminated or truncated
        assert task == get_domain(domain).task_ids("test")[index]
        assert rewards == pytest.approx(expected)
        assert told["official_reward"] == info["official_reward"]
        assert told["state_key"] == info["state_key"]
        assert sum(told["reward_terms"].values()) == pytest.approx(expected[-1])


def test_what_leaves_the_server(url: str) -> None:
    with GenericEnvClient(base_url=url).sync() as env:
        result = env.reset(domain="telecom", split="telecom:train", index=0)
        assert result.observation["policy"]
        assert {tool["function"]["name"] for tool in result.observation["tools"]} == set(
            get_domain("telecom").agent_tools
        )
        first = result.observation
        result = env.step({"message": "Please check your status bar."})
        assert result.observation["tools"] is None
        assert result.observation["policy"] is None
        scenario = get_domain("telecom").task(env.state()["task_id"]).scenario.text
        for said in (first, result.observation, env.state()):
            assert "privileged" not in repr(said)
            assert scenario[:200] not in repr(said)
        message = {"role": "assistant", "content": None, "tool_calls": [{
            "id": "1", "type": "function",
            "function": {"name": "get_customer_by_phone", "arguments": '{"phone_number": "555-123-2002"}'},
        }]}  # fmt: skip
        assert "C1001" in env.step({"message": message}).observation["text"]


def test_sessions_do_not_see_each_other(url: str) -> None:
    with (
        GenericEnvClient(base_url=url).sync() as one,
        GenericEnvClient(base_url=url).sync() as other,
    ):
        for env in (one, other):
            env.reset(domain="telecom", split="base", index=0, seed=0)
        refuel = "refuel_data(customer_id='C1001', line_id='L1002', gb_amount=2.0)"
        one.step({"message": refuel})
        look = "get_details_by_id(id='L1002')"
        texts = [env.step({"message": look}).observation["text"] for env in (one, other)]
        assert texts[0] != texts[1]


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ({"domain": "mock"}, "unknown domain 'mock'; allowed: airline, retail, telecom"),
        ({"split": "dev"}, "unknown split of airline 'dev'"),
        ({"split": "test", "index": 20}, "airline, test has 20 tasks: there is no index 20"),
        ({"index": -1}, "there is no index -1"),
        ({"task_id": "x"}, "unknown task 'x' of airline"),
        ({"spilt": "test"}, "unknown option of reset 'spilt'"),
    ],
)
def test_a_reset_that_cannot_be_is_one_sentence_and_the_session_goes_on(
    url: str, given: dict[str, Any], said: str
) -> None:
    with GenericEnvClient(base_url=url).sync() as env:
        with pytest.raises(Exception, match=said):
            env.reset(**given)
        assert env.reset(seed=0).observation["text"]


def test_steps_that_cannot_be(url: str) -> None:
    with GenericEnvClient(base_url=url).sync() as env:
        with pytest.raises(Exception, match="no episode is in progress"):
            env.step({"message": "Hello?"})
        env.reset(seed=0)
        with pytest.raises(Exception, match="message"):
            env.step({"text": "Hello?"})
        with pytest.raises(Exception, match="message"):
            env.step({"message": 5})
        assert env.step({"message": '<tool_call>{"name"'}).observation["text"].startswith("Error: ")


def test_more_sessions_than_allowed_and_messages_too_long_are_refused() -> None:
    with serving("--domains", "mock", "--sessions", "1") as url:
        with GenericEnvClient(base_url=url).sync() as one:
            one.reset(seed=0)
            with (
                pytest.raises(Exception, match=r"(?i)capacity|sessions"),
                GenericEnvClient(base_url=url).sync() as other,
            ):
                other.reset(seed=0)
            assert one.step({"message": "Still here?"}).observation["text"]
            with pytest.raises(Exception, match=r"."):
                one.step({"message": "x" * 2**21})
        for _ in range(50):  # Its place is free again.
            try:
                with GenericEnvClient(base_url=url).sync() as again:
                    assert again.reset(seed=0).observation["text"]
                break
            except RuntimeError:
                time.sleep(0.1)
        else:
            pytest.fail("the place was not free again")


def test_the_command_says_what_is_wrong(url: str) -> None:
    for options, said in (
        (["--domains", "hotel"], "unknown domain 'hotel'"),
        (["--user", "nobody"], "unknown user 'nobody'"),
        (["--sessions", "0"], "--sessions"),
        (["--idle", "nan"], "--idle"),
        (["--domains", "mock", "--host", "256.0.0.1"], "error: 256.0.0.1:8000: "),
        (["--domains", "mock", "--port", url.rpartition(":")[2]], "Address already in use"),
    ):
        done = CliRunner().invoke(cli, ["openenv", *options])
        assert (done.exit_code, said in done.output) == (2, True), done.output


def test_the_tasks_can_be_listed() -> None:
    env = adapter.environment(["telecom", "mock"])()
    assert "telecom:test" in env.list_splits()
    assert "mock:test" not in env.list_splits()
    assert env.num_tasks("telecom:test") == env.num_tasks("test") == 40
    assert env.get_task("telecom:test", 3)["id"] == get_domain("telecom").task_ids("test")[3]
    assert len(env.get_task_range("telecom:train", 2, 5)) == 3
    assert env.list_tasks("mock:base")[0] == {
        "id": "create_task_1",
        "index": 0,
        "split": "mock:base",
    }
    with pytest.raises(IndexError, match="there is no index 40"):
        env.get_task("test", 40)


@pytest.mark.parametrize(
    ("domains", "options", "said"),
    [
        ([], {}, "at least one must be served"),
        (["hotel"], {}, "unknown domain"),
        (["retail"], {"user": "nobody"}, "unknown user"),
        (["retail"], {"task_ids": ["1"]}, "task_ids is for each reset to say"),
        (["retail"], {"sessions": 0}, "room for a session"),
    ],
)
def test_what_cannot_be_served(domains: list[str], options: dict[str, Any], said: str) -> None:
    with pytest.raises(ConfigError, match=said):
        adapter.app(domains, **options)
