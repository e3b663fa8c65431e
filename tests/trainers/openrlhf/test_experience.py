"""Advantages reach the tokens they belong to, however episodes are put into batches."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise
from types import SimpleNamespace
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.tiny_model import torch
from tests.trainers.scripted import TOKENIZER, ScriptedEngine, config, gold, play_one
from trainers.credit import group_advantages
from trainers.openrlhf.experience import (
    EpisodeSamples,
    ExperienceMaker,
    score_masked,
    turns_of,
)

PAD = TOKENIZER.pad_token_id


@dataclass(frozen=True)
class Episode:
    """Turns as lengths: of what comes before, of what is sampled; and what each earned."""

    turns: tuple[tuple[int, int, float], ...]
    masked: bool = False

    @property
    def rewards(self) -> list[float]:
        return [reward for *_, reward in self.turns]

    def response(self) -> dict[str, Any]:
        at, ranges = 0, []
        for before, sampled, _ in self.turns:
            ranges.append((at + before, at + before + sampled))
            at += before + sampled
        return {
            "prompt": "a task",
            "label": "{}",
            "observation_tokens": list(range(10, 10 + at)),
            "action_ranges": ranges,
            "rollout_log_probs": [-0.5] * at,
            "turn_rewards": self.rewards,
            "reward": sum(self.rewards),
            "scores": 0.0,
            "extra_logs": {"masked": float(self.masked)},
        }


# Sixty-fourths: their sums are exact.
rewards = st.integers(-96, 96).map(lambda count: count / 64) | st.just(0.0)
turns = st.tuples(st.integers(1, 3), st.integers(1, 4), rewards)
episodes = st.builds(
    Episode,
    st.lists(turns, min_size=1, max_size=4).map(tuple),
    st.sampled_from([False, False, False, True]),
)


def maker(size: int, **options: Any) -> ExperienceMaker:
    args = SimpleNamespace(
        algo=SimpleNamespace(advantage=SimpleNamespace(estimator="group_norm")),
        rollout=SimpleNamespace(n_samples_per_prompt=size),
    )
    strategy = SimpleNamespace(args=args)
    recipe = config(**options)
    return ExperienceMaker(None, None, None, None, None, strategy, TOKENIZER, config=recipe)


def sample(response: dict[str, Any]) -> Any:
    samples = EpisodeSamples(SimpleNamespace(args=None), None, None, TOKENIZER, [])
    return samples._process_response_into_experience(response, max_len=10**6)


def batches(played: list[Episode], cuts: list[int], order: list[int], weights: list[float]) -> Any:
    """Samples in micro-batches that begin at the cuts, in any order."""
    found = []
    for index, (episode, weight) in enumerate(zip(played, weights, strict=True)):
        made = sample(episode.response())
        made.index, made.info["weight"] = [index], torch.tensor([weight])
        found.append(made)
    found = [found[index] for index in order]
    edges = sorted({0, len(found), *cuts})
    return [
        type(found[0]).concat_experiences(found[begin:end], PAD) for begin, end in pairwise(edges)
    ]


def rows(experiences: list[Any]) -> dict[int, tuple[Any, int]]:
    """Where each episode has got to."""
    return {index: (e, row) for e in experiences for row, index in enumerate(e.index)}


@given(episodes)
def test_what_a_turn_earned_stands_at_its_last_token(episode: Episode) -> None:
    response = episode.response()
    made = sample(response)
    expected = [0.0] * len(response["observation_tokens"])
    for (_, end), reward in zip(response["action_ranges"], episode.rewards, strict=True):
        expected[end - 1] = reward
    assert made.returns.tolist() == [expected[1:]]
    assert made.returns.shape == made.action_mask.shape
    shifted = [(begin - 1, end - 1) for begin, end in response["action_ranges"]]
    assert turns_of(made.action_mask[0]) == shifted
    assert not made.returns[made.action_mask == 0].any()


def test_played_episodes_have_their_turns_and_rewards() -> None:
    lines = gold("retail", "0")
    response = play_one(ScriptedEngine(lines), "retail", "0", **{"environment.reward": "progress"})
    made = sample(response)
    spans = turns_of(made.action_mask[0])
    said = [TOKENIZER.decode(made.sequences[0, begin + 1 : end + 1]) for begin, end in spans]
    assert said == [f"{line}<|im_end|>" for line in lines]
    earned = [float(made.returns[0, end - 1]) for _, end in spans]
    assert earned == pytest.approx(response["turn_rewards"])
    assert sum(reward > 0 for reward in earned) > 3


@st.composite
def whole_groups(draw: st.DrawFn) -> list[list[Episode]]:
    size = draw(st.integers(2, 4))
    group = st.lists(episodes, min_size=size, max_size=size)
    return draw(st.lists(group, min_size=1, max_size=3))


@settings(max_examples=60)
@given(
    whole_groups(),
    st.sampled_from(["trajectory", "turn"]),
    st.sampled_from([1.0, 0.5]),
    st.booleans(),
    st.booleans(),
    st.data(),
)
def test_advantages_are_those_of_credit_in_any_batches_and_order(
    groups: list[list[Episode]],
    credit: Any,
    gamma: float,
    std_norm: bool,
    weighted: bool,
    data: st.DataObject,
) -> None:
    size, played = len(groups[0]), [episode for group in groups for episode in group]
    weights = [0.25 + number // size for number in range(len(played))]
    order = data.draw(st.permutations(range(len(played))))
    cuts = data.draw(st.lists(st.integers(1, len(played))))
    recipe = {"algorithm.credit": credit, "algorithm.gamma": gamma}
    recipe |= {"algorithm.std_norm": std_norm, "curriculum.advantage": weighted}
    given_out = batches(played, cuts, order, weights)
    for experience in given_out:
        experience.kl = torch.zeros(1)  # which the learner is not to be sent
    experiences = maker(size, **recipe).compute_advantages_and_returns(given_out)
    assert all(experience.kl is None for experience in experiences)
    found = rows(experiences)
    assert sorted(found) == list(range(len(played)))
    for number, group in enumerate(groups):
        worth = group_advantages(
            [episode.rewards for episode in group],
            [episode.masked for episode in group],
            credit=credit,
            std_norm=std_norm,
            gamma=gamma,
        )
        for place, (episode, advantages) in enumerate(zip(group, worth, strict=True)):
            index = number * size + place
            e, row = found[index]
            expected = torch.zeros(e.action_mask.shape[1])
            returns = torch.zeros(e.action_mask.shape[1])
            to_come = 0.0
            turns = zip(
                episode.response()["action_ranges"], episode.rewards, advantages, strict=True
            )
            for (begin, end), reward, advantage in reversed(list(turns)):
                to_come = reward + (gamma if credit == "turn" else 1.0) * to_come
                expected[begin - 1 : end - 1] = advantage * (weights[index] if weighted else 1.0)
                returns[begin - 1 : end - 1] = to_come
            assert e.advantages[row].tolist() == expected.tolist()
            assert e.returns[row].tolist() == returns.tolist()
            assert not e.advantages[row][e.action_mask[row] == 0].any()
            assert not (episode.masked and e.advantages[row].any())
            assert float(e.info["return"][row]) == sum(episode.rewards)


def test_the_spread_of_a_group_is_told() -> None:
    played = [Episode(((1, 1, reward),)) for reward in (0.0, 1.0, 0.25, 0.25)]
    found = maker(2).compute_advantages_and_returns(
        batches(played, [1, 3], [2, 0, 3, 1], [1.0] * 4)
    )
    spreads = {
        index: float(e.info["group_reward_std"][row]) for index, (e, row) in rows(found).items()
    }
    assert spreads == {0: 0.5, 1: 0.5, 2: 0.0, 3: 0.0}


@pytest.mark.parametrize("count", [1, 3, 5])
def test_broken_groups_are_refused(count: int) -> None:
    played = [Episode(((1, 1, 1.0),))] * count
    given_out = batches(played, [1], list(range(count)), [1.0] * count)
    with pytest.raises(ValueError, match=f"{count} episodes are not whole groups of 2"):
        maker(2).compute_advantages_and_returns(given_out)


@pytest.mark.parametrize(
    ("scores", "masked", "become"),
    [
        ([1.0, 0.0, 0.0], [0, 1, 0], [1.0, 0.5, 0.0]),
        ([1.0, 0.0, 1.0], [0, 1, 0], [1.0, 1.0, 1.0]),
        ([0.0, 0.0, 0.0], [1, 1, 1], [0.0, 0.0, 0.0]),
        ([1.0, 0.0, 0.0], [0, 0, 0], [1.0, 0.0, 0.0]),
    ],
)
def test_a_masked_episode_is_scored_as_the_others_of_its_group(
    scores: list[float], masked: list[int], become: list[float]
) -> None:
    group = [
        SimpleNamespace(
            scores=torch.tensor([score]), info={"masked": torch.tensor([float(hidden)])}
        )
        for score, hidden in zip(scores, masked, strict=True)
    ]
    score_masked(group)
    assert [experience.scores.tolist() for experience in group] == [[score] for score in become]
