"""Random games, played by tau2-bench's own code and by ours: `python -m tests.tau2_games`.

Where tau2-bench itself is installed (see `tau2_gym.domains.tau2_bench`), this plays what scripts say on
both sides, once in its orchestrator and evaluator and once in our episode and grader, and compares
every message, count and grade. Scripts are what a task expects, disturbed: shuffled, dropped,
repeated and broken calls, calls of the other side's tools and of none, odd arguments, several calls in a
message, stops, small limits. What differs on purpose (`docs/architecture.md`) is not played.
"""

from __future__ import annotations

import json
import os
import random
import sys
from collections import Counter
from collections.abc import Callable, Iterator
from functools import cache
from typing import Annotated, Any

import numpy as np
import typer

from tau2_gym.domains import DOMAINS
from tau2_gym.domains.base import Domain, get_domain
from tau2_gym.results.conformance import check_episode
from tau2_gym.spaces import examples, sample_arguments
from tau2_gym.types import Task
from tau2_gym.users.base import OUT_OF_SCOPE, STOP, TRANSFER

Game = dict[str, Any]
"""A row of a recording, as `benchmarks.conformance` reads it."""

ODD = (None, True, 0, -1, 2.5, 1e300, "", "ü🙂", "null", [], ["a"], {}, {"a": [1, None]}, "x" * 300)
TEXTS = ("One moment.", "Is that all?", "I don't know, sorry.", "The total is 1,234.50 dollars.")


# Games


def games(domain: Domain, split: str, count: int, seed: int = 0) -> Iterator[Game]:
    """Games that depend on nothing but the arguments."""
    # In tau2-bench 1.0.1 data for the agent's database replace the user's.
    shared = domain.sides.user is not None
    ids = [
        task.id
        for task in map(domain.task, domain.task_ids(split))
        if not (shared and task.start.agent_data)
    ]
    for number in range(count):
        rng = random.Random(f"{domain.name}/{seed}/{number}")
        yield game(domain, domain.task(rng.choice(ids)), rng)


def game(domain: Domain, task: Task, rng: random.Random) -> Game:
    """One game: scripts and rules."""
    solo = task.ticket is not None and domain.policy_solo is not None and rng.random() < 0.2
    agent: list[dict[str, Any]] = []
    user: list[dict[str, Any]] = []
    criteria = task.criteria
    moves = list((criteria and criteria.actions) or ())
    disturb = rng.choice((0.0, 0.0, 0.1, 0.3, 0.8))
    if rng.random() < disturb:
        rng.shuffle(moves)
    for move in moves:
        side = agent if solo or move.requestor == "assistant" else user
        if rng.random() < disturb / 3:
            continue
        if rng.random() < disturb / 3:
            side = user if side is agent and not solo else agent
        calls = [{"name": move.name, "arguments": dict(move.arguments)}]
        if rng.random() < disturb:
            calls.append(_some_call(domain, rng))
        if rng.random() < disturb / 4:
            calls *= rng.randrange(2, 5)
        if rng.random() < disturb / 2:
            _break(rng.choice(calls), rng)
        rng.shuffle(calls)
        side.append({"tool_calls": calls})
        if rng.random() < 0.2 and not solo:
            side.append({"content": rng.choice(TEXTS)})
        while rng.random() < disturb / 2:
            side = rng.choice((agent, user)) if not solo else agent
            side.append({"tool_calls": [_some_call(domain, rng)]})
    validate = rng.random() < 0.2
    if not solo:
        if criteria and criteria.communicate and rng.random() > disturb:
            said = rng.sample(criteria.communicate, k=len(criteria.communicate))
            agent.append({"content": " and ".join(said).upper() + "."})
        for side in (agent, user):
            for entry in side:
                often = disturb / (10 if validate else 4)  # it ends the game if validated
                if "tool_calls" in entry and rng.random() < often:
                    entry["content"] = rng.choice((*TEXTS, "", " "))
        # Each side talks before it acts, so that the other may act first.
        for side in (agent, user):
            for _ in range(rng.randrange(3)):
                side.insert(rng.randrange(len(side) + 1), {"content": rng.choice(TEXTS)})
        if rng.random() < disturb / 3:
            token = rng.choice((STOP, TRANSFER, OUT_OF_SCOPE))
            user.insert(rng.randrange(len(user) + 1), {"content": f"Well. {token}"})
    agent_stop = solo or rng.random() < 0.2
    if solo:
        agent.append({"content": STOP if rng.random() < 0.9 else "Finished."})
    elif agent_stop and rng.random() < 0.5:
        agent.append({"content": f"Bye. {STOP}"})
    return {
        "domain": domain.name,
        "task_id": task.id,
        "solo": solo,
        "agent_stop": agent_stop,
        "max_steps": rng.choice((100, 100, 100, 30, 7, 2, 1)),
        "max_errors": rng.choice((10, 10, 10, 3, 1)),
        "validate_communication": validate,
        "agent_script": agent,
        "user_script": user if not solo else [],
    }


def _some_call(domain: Domain, rng: random.Random) -> dict[str, Any]:
    """A call of some tool of either side, or of none."""
    tools = [*domain.agent_tools.values(), *domain.user_tools.values()]
    tool = rng.choice(tools)
    draw = np.random.default_rng(rng.getrandbits(64))
    call = {"name": tool.name, "arguments": sample_arguments(tool, examples(domain), draw)}
    if rng.random() < 0.15:
        call["name"] = rng.choice(("nothing", "", "__init__", "db", "use_tool", "get_users"))
    if rng.random() < 0.2:
        _break(call, rng)
    return call


def _break(call: dict[str, Any], rng: random.Random) -> None:
    """Change an argument to something odd, drop one or add one."""
    arguments = call["arguments"] = dict(call["arguments"])
    name = rng.choice([*arguments, "extra"])
    if rng.random() < 0.3:
        arguments.pop(name, None)
    else:
        arguments[name] = rng.choice(ODD)


# tau2-bench


def theirs(game: Game, task: Any) -> Game:
    """The game as tau2-bench plays and grades it, a whole row of a recording. `reward` is None where
    the judge decides.

    Args:
        game: what to play.
        task: tau2-bench's own object.
    """
    from tau2.data_model.message import AssistantMessage, ToolCall, UserMessage
    from tau2.data_model.simulation import SimulationRun
    from tau2.evaluator import evaluator_nl_assertions as language
    from tau2.evaluator.evaluator import EvaluationType, evaluate_simulation
    from tau2.orchestrator.orchestrator import Orchestrator
    from tau2.registry import registry
    from tau2.user.user_simulator import DummyUser

    agent_base, user_base = _participants()
    used = Counter(assistant=0, user=0)

    def say(role: str, default: str) -> Any:
        script = game["agent_script" if role == "assistant" else "user_script"]
        entry = script[used[role]] if used[role] < len(script) else {"content": default}
        used[role] += 1
        calls = [
            ToolCall(id=f"{role[0]}{used[role]}_{index}", requestor=role, **call)
            for index, call in enumerate(entry.get("tool_calls") or ())
        ]
        kind = AssistantMessage if role == "assistant" else UserMessage
        return kind(role=role, content=entry.get("content"), tool_calls=calls or None)

    environment = registry.get_env_constructor(game["domain"])(solo_mode=game["solo"])
    agent = agent_base(environment.get_tools(), environment.get_policy())
    agent.say = lambda: say("assistant", "Anything else?")
    agent.stops = game["agent_stop"]
    user = DummyUser() if game["solo"] else user_base()
    user.say = lambda: say("user", "Ok. ###STOP###")
    orchestrator = Orchestrator(
        game["domain"],
        agent,
        user,
        environment,
        task,
        max_steps=game["max_steps"],
        max_errors=game["max_errors"],
        solo_mode=game["solo"],
        validate_communication=game["validate_communication"],
    )
    run: SimulationRun = orchestrator.run()
    run.messages = orchestrator.trajectory
    rewards = set()
    judge = language.NLAssertionsEvaluator.evaluate_nl_assertions
    for met in (True, False):
        verdict = lambda *_, met=met: [  # noqa: E731
            language.NLAssertionCheck(nl_assertion="", met=met, justification="")
        ]
        language.NLAssertionsEvaluator.evaluate_nl_assertions = verdict
        try:
            info = evaluate_simulation(run, task, EvaluationType.ALL, game["solo"], game["domain"])
            rewards.add(info.reward)
        except ValueError as error:  # an assertion on a row that is gone
            rewards.add(f"raised {error}")
        if not (task.evaluation_criteria and task.evaluation_criteria.nl_assertions):
            break
    language.NLAssertionsEvaluator.evaluate_nl_assertions = judge
    messages = [json.loads(message.model_dump_json()) for message in run.messages]
    return {
        **game,
        "messages": messages,
        "roles": [
            f"tool:{message['requestor']}" if message["role"] == "tool" else message["role"]
            for message in messages
        ],
        "termination_reason": run.termination_reason.value,
        "step_count": orchestrator.step_count,
        "num_errors": orchestrator.num_errors,
        "agent_used": used["assistant"],
        "user_used": used["user"],
        "reward": rewards.pop() if len(rewards) == 1 else None,
    }


@cache
def _participants() -> tuple[Any, Any]:
    """An agent and a user for tau2-bench that say what they are told to."""
    from tau2.agent.base_agent import HalfDuplexAgent
    from tau2.user.user_simulator_base import HalfDuplexUser

    class GymAgent(HalfDuplexAgent):  # type: ignore[misc]
        """Solo mode takes agents of that name only."""

        stops = False

        def get_init_state(self, message_history: Any = None) -> Any:
            return []

        def generate_next_message(self, message: Any, state: Any) -> Any:
            return self.say(), state

        def is_stop(self, message: Any) -> bool:
            return self.stops and not message.tool_calls and STOP in (message.content or "")

    class ScriptedUser(HalfDuplexUser):  # type: ignore[misc]
        def get_init_state(self, message_history: Any = None) -> Any:
            return []

        def generate_next_message(self, message: Any, state: Any) -> Any:
            return self.say(), state

    return GymAgent, ScriptedUser


def differences(row: Game, domain: Domain) -> list[str]:
    """What goes differently when we play the game of a row, but for what differs on purpose."""
    if "raised" in row:
        return [f"tau2-bench raised {row['raised']}"]
    found = check_episode(row, domain)
    if str(row["reward"]).endswith("not found"):
        found = [line for line in found if not line.startswith("reward: 0.0 instead of raised")]
    return found


def in_a_process_of_its_own(play: Callable[[], Game]) -> Game:
    """What a fork of this process makes of a game: it has the databases already, and what one game
    does to tau2-bench's shared objects (a phone's VPN) does not reach the next."""
    reading, writing = os.pipe()
    child = os.fork()
    if child == 0:
        try:
            with os.fdopen(writing, "w") as out:
                json.dump(_played(play), out)
        finally:
            os._exit(0)
    os.close(writing)
    with os.fdopen(reading) as source:
        answer: Game = json.load(source)
    os.waitpid(child, 0)
    return answer


def _played(play: Callable[[], Game]) -> Game:
    try:
        return play()
    except Exception as error:
        return {"raised": f"{type(error).__name__}: {error}"}


def loaded(name: str) -> None:
    """Make the environments that tau2-bench will construct for a game from now on cheap, for one game:
    each is made beforehand."""
    from tau2.registry import registry

    make = registry.get_env_constructor(name)
    ready = {solo: [make(solo_mode=solo) for _ in range(7)] for solo in (False, *_solo(name))}
    registry._domains[name] = lambda solo_mode=False, **_: ready[solo_mode].pop()


def _solo(name: str) -> tuple[bool, ...]:
    return (True,) if get_domain(name).policy_solo is not None else ()


def their_task(domain: Domain, task_id: str) -> Any:
    """tau2-bench's object of a task of whatever revision."""
    from tau2.data_model.tasks import Task as Tau2Task

    return Tau2Task.model_validate(domain.tasks._rows[task_id])  # type: ignore[attr-defined]


# The command


def main(
    count: Annotated[int, typer.Option(help="Games for each domain and source.")] = 100,
    domains: Annotated[str, typer.Option()] = ",".join(DOMAINS),
    sources: Annotated[str, typer.Option(help="Each with its own task revision.")] = (
        "inspect-evals,tau2"
    ),
    split: Annotated[str, typer.Option()] = "full",
    seed: int = 0,
    show: int = 5,
) -> None:
    """Play games and print how many agree. Exits with 1 if one differs."""
    from tau2.utils.utils import DATA_DIR

    os.environ.pop("TAU2_DATA_DIR", None)
    differing = 0
    for name in domains.split(","):
        loaded(name)
        for source in sources.split(","):
            # The package has no inbox for mock's user.
            theirs_too = source == "tau2" or name == "mock"
            domain = get_domain(name, source, DATA_DIR if theirs_too else None)
            found: Counter[str] = Counter()
            for each in games(domain, split, count, seed):
                task = their_task(domain, each["task_id"])
                row = in_a_process_of_its_own(lambda each=each, task=task: theirs(each, task))
                different = differences(row, domain)
                found["differ" if different else "agree"] += 1
                found[f"reward {row.get('reward')}"] += 1
                found[f"end {row.get('termination_reason')}"] += 1
                if different:
                    differing += 1
                    if found["differ"] <= show:
                        print(json.dumps(each)[:3000])
                        print(*different[:5], sep="\n", flush=True)
            print(name, domain.source, domain.revision, dict(found), flush=True)
    sys.exit(1 if differing else 0)


if __name__ == "__main__":
    typer.run(main)
