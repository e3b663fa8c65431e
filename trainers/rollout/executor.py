"""What OpenRLHF calls to play one episode: a `Player` of `agents` on OpenRLHF's engine.

OpenRLHF's own multi-turn executor lets an exception end the run, cuts the policy out of prompts that
have grown too long, lets a turn take all that is left of the context, and shares one object of
sampling parameters between the samples of a prompt. Here an episode is played by the same code as in
evaluation, exact to the token; an episode that faults is played again, and then
masked; one that outgrows its limits ends there and is marked as truncated.

OpenRLHF makes an executor without arguments in each engine's process, so it finds its settings in
the file that `TAU2_GYM_TRAINING` names.
"""

from __future__ import annotations

import asyncio
import json
import logging
import os
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import replace
from itertools import pairwise
from pathlib import Path
from threading import Thread
from typing import Any

from agents.attempts import Attempt, attempt_seed
from agents.backends.base import GenerationBackend
from agents.codec import ChatCodec
from agents.prompts import make_prompt, shows_tools
from agents.rollout import Limits, Player
from agents.sampling import SamplingParams
from agents.token_agent import TokenAgent
from agents.trajectory import Segment, Trajectory
from tau2_gym.errors import ConfigError
from tau2_gym.results.record import Record
from tau2_gym.rewards import RewardConfig
from tau2_gym.rules import Rules
from tau2_gym.types import Fault, Termination
from trainers.config import SETTINGS, GRPOConfig
from trainers.openrlhf.gpu_packages import gpu_packages_optional
from trainers.rollout.engine_backend import EngineBackend
from trainers.rollout.user import make_training_user

with gpu_packages_optional():
    from openrlhf.utils.agent import AgentExecutorBase


LOGGER = logging.getLogger(__name__)

CUT = ("context_overflow", Termination.MAX_TURNS.value, Termination.MAX_STEPS.value)
"""Ends by a limit of tokens, turns or steps."""


def settings_of_environment() -> GRPOConfig:
    """The settings in the file that `TAU2_GYM_TRAINING` names.

    Raises:
        ConfigError: the file does not exist.
    """
    path = os.environ.get(SETTINGS)
    if path is None or not Path(path).is_file():
        raise ConfigError(f"{SETTINGS} must name a file of settings, not {path!r}")
    return GRPOConfig.model_validate_json(Path(path).read_text(encoding="utf-8"))


class EpisodeExecutor(AgentExecutorBase):  # type: ignore[misc]
    """Plays episodes.

    Args:
        config: settings; by default those of the environment variable.
        threaded: play on a separate event loop and thread, so that environments never keep the
            engine waiting.
    """

    def __init__(self, config: GRPOConfig | None = None, *, threaded: bool = True) -> None:
        self.config = config or settings_of_environment()
        self._loop: asyncio.AbstractEventLoop | None = None
        if threaded:
            self._loop = asyncio.new_event_loop()
            Thread(target=self._loop.run_forever, name="episodes", daemon=True).start()
        self._seen: Counter[str] = Counter()
        self._codec: ChatCodec | None = None
        self._reward = RewardConfig.of(self.config.environment.reward)
        self._terms = self._reward.ledger_names
        self._user = make_training_user(self.config)

    async def execute(
        self,
        prompt: str,
        label: str | Mapping[str, Any],
        sampling_params: Any,
        max_length: int,
        hf_tokenizer: Any,
        llm_engine: Any,
        images: Any = None,
    ) -> dict[str, Any]:
        """Play one episode.

        Args:
            prompt: names the task; what the model is given is made here.
            label: JSON: `domain` and `task_id`, and `trial` if the caller counts them.
            sampling_params: of the engine's kind; copied, never changed.
            max_length: the most tokens of an episode.
            hf_tokenizer: the model's.
            llm_engine: a `GenerationBackend`, or what `EngineBackend` takes.
            images: unused.

        Returns:
            What OpenRLHF's `SamplesGenerator` reads, and `turn_rewards`: what each action range
            earned.
        """
        asked = json.loads(label) if isinstance(label, str) else label
        key = f"{asked['domain']}/{asked['task_id']}"
        trial = asked.get("trial", self._seen[key])
        self._seen[key] += 1
        seed = attempt_seed(self.config.run.seed, asked["domain"], asked["task_id"], trial)
        attempt = Attempt(asked["domain"], asked["task_id"], trial, seed)
        played = self._play(
            self.player(sampling_params, max_length, hf_tokenizer, llm_engine), attempt
        )
        if self._loop is None:
            record = await played
        else:
            record = await asyncio.wrap_future(asyncio.run_coroutine_threadsafe(played, self._loop))
        return {"prompt": prompt, "label": label, "images": None, **self._answer(record)}

    async def _play(self, player: Player, attempt: Attempt) -> Record:
        """Play an attempt, and again with another seed after a fault that is not the agent's."""
        record = await player.play(attempt)
        for number in range(self.config.rollout.retries):
            if record.fault is None:
                break
            seed = attempt_seed(attempt.seed, attempt.domain, attempt.task_id, number)
            record = await player.play(replace(attempt, seed=seed))
        if cause := _fault_of(record):
            LOGGER.warning("faulted: %s/%s: %s", attempt.domain, attempt.task_id, cause)
        return record

    def player(
        self, sampling_params: Any, max_length: int, hf_tokenizer: Any, llm_engine: Any
    ) -> Player:
        """What plays an episode; arguments as those of `execute`."""
        config, settings = self.config, self.config.environment
        here = asyncio.get_running_loop() if self._loop is not None else None
        context = min(max_length, config.rollout.context)
        backend: GenerationBackend = (
            llm_engine  # the local one, of `agents`
            if isinstance(llm_engine, GenerationBackend)
            else EngineBackend(llm_engine, sampling_params, context, here)
        )
        if self._codec is None:
            self._codec = ChatCodec(
                hf_tokenizer, thinking=settings.thinking, tools=shows_tools(settings.prompt)
            )
        agent = TokenAgent(
            codec=self._codec,
            backend=backend,
            sampling=SamplingParams(
                temperature=sampling_params.temperature,
                max_new_tokens=config.rollout.max_new_tokens,
                seed=config.run.seed,
            ),
            prompt=make_prompt(settings.prompt, settings.source),
            one_segment=True,  # OpenRLHF trains on one sequence an episode
        )
        room = 1_000_000  # how many calls wait is for the engine to say
        return Player(
            agent,
            self._user,
            Rules(
                max_steps=settings.max_steps,
                max_turns=settings.max_turns,
                max_errors=settings.max_errors,
            ),
            # The penalty for length is ours to take: it counts the model's tokens.
            replace(self._reward, overlong=None),
            settings.source,
            settings.data_dir,
            Limits(room, room, room, episode_timeout=config.rollout.episode_timeout),
            keep_tokens=True,
        )

    def _answer(self, record: Record) -> dict[str, Any]:
        """A played episode in OpenRLHF's form."""
        segment = Segment((), (), (), ())
        if record.tokens is not None:
            (segment,) = Trajectory.from_json(record.tokens).segments
        masked = record.fault is not None or record.ungraded is not None
        ids, logprobs = list(segment.ids), list(segment.logprobs)
        ranges = [(span.start, span.end) for span in segment.spans]
        rewards = [span.reward for span in segment.spans]
        if not ranges:  # OpenRLHF needs something to train on, if only with advantage 0
            assert self._codec is not None
            ids, logprobs = [self._codec.end] * 2, [0.0] * 2
            ranges, rewards, masked = [(1, 2)], [0.0], True
        official = record.official_reward or 0.0
        short = record.termination == "context_overflow" or any(
            span.finish_reason == "length" for span in segment.spans
        )
        total = {
            name: sum((led.get(name, 0.0) for led in record.rewards), 0.0) for name in self._terms
        }
        if self._reward.overlong is not None:
            total["overlong"] = self._reward.overlong.penalty(sum(segment.mask))
            rewards[-1] += total["overlong"]
        if short:
            rewards = stop_penalty(rewards, self.config.algorithm.stop_penalty)
        cut = short or record.termination in CUT
        return {
            "observation_tokens": ids,
            "action_ranges": ranges,
            "rollout_log_probs": logprobs,
            "turn_rewards": rewards,
            "reward": 0.0 if masked else float(sum(rewards)),
            "scores": official,
            "truncated": cut,
            "error": _fault_of(record),
            "extra_logs": {
                "official": official,
                "partial": float(record.partial_score),
                "turns": float(record.num_turns),
                "response_tokens": float(sum(segment.mask)),
                "malformed": float(record.malformed),
                "ownership": float(record.ownership_violations),
                "tool_errors": float(record.num_errors),
                "truncated": float(cut),
                "fault_user": float(record.fault == Fault.USER.value),
                "fault_infrastructure": float(record.fault == Fault.INFRASTRUCTURE.value),
                "masked": float(masked),
                **{f"ledger/{name}": total[name] for name in self._terms},
            },
        }


def refuse_all_faulted(responses: Sequence[Mapping[str, Any]]) -> None:
    """Check that not all episodes of a step faulted: the run would go on forever and do nothing.

    Args:
        responses: what `EpisodeExecutor.execute` has returned.

    Raises:
        RuntimeError: they were; says by what.
    """
    if all(response["extra_logs"]["masked"] for response in responses):
        raise RuntimeError(
            f"all {len(responses)} episodes of a step faulted; the first: {responses[0]['error']}"
        )


def _fault_of(record: Record) -> str | None:
    """Why an episode faulted, if it did."""
    if record.fault is not None:
        return f"{record.fault} fault: {record.error}"
    return f"not graded: {', '.join(record.ungraded)}" if record.ungraded else None


def stop_penalty(rewards: list[float], penalty: float | None) -> list[float]:
    """What an episode's turns earned if the episode was cut off by a limit of tokens.

    Args:
        rewards: of its turns.
        penalty: with a fraction p from 0 to 1, a turn's amount r becomes r − (1 − p)·|r|; a negative
            number is the most that may still be to come at any turn; None leaves all as it is. Where
            no amount is negative, this is ProRL's stop-properly penalty as OpenRLHF has it: p times
            the reward, or the negative number in its place. OpenRLHF does so with negative rewards,
            too, which pays an episode for being cut off.
    """
    if penalty is None:
        return rewards
    if penalty >= 0:
        return [reward - (1 - penalty) * abs(reward) for reward in rewards]
    to_come = [min(penalty, sum(rewards[turn:])) for turn in range(len(rewards))] + [0.0]
    return [now - later for now, later in pairwise(to_come)]
