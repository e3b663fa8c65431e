"""Rows say what was said, and where they come from."""

from __future__ import annotations

from typing import Any

import pytest

from agents.trajectory import Trajectory
from tau2_gym.domains.base import get_domain
from tau2_gym.errors import ConfigError
from tests.tiny_model import Tidying, tiny_tokenizer
from tests.trainers.playing import LINES, TASKS, Parrot, parrot_attempt, workflow_attempts
from trainers.data import sft_rows
from trainers.data.chat_template import UnfitError
from trainers.data.sft_rows import RowMaker, make_rows

INSTRUCT = tiny_tokenizer("instruct")


def maker(**options: Any) -> RowMaker:
    return RowMaker(INSTRUCT, **{"prompt": "compact", "agent": "workflow", **options})


def said(row: dict[str, Any]) -> list[str]:
    return [message["content"] for message in row["messages"] if message["role"] == "assistant"]


def test_an_attempt_becomes_a_row_with_its_origin() -> None:
    attempt = workflow_attempts()[1]
    row = maker().row(attempt)
    messages, template = row.pop("messages"), row.pop("template")
    tokens, trained = row.pop("tokens"), row.pop("trained_tokens")
    assert row == {
        "domain": "telecom",
        "task_id": TASKS[0],
        "split": "train",
        "pool": False,
        "trial": 1,
        "reward": 1.0,
        "partial_score": attempt["partial_score"],
        "agent": "workflow",
        "prompt": "compact",
        "verbatim": False,
        "exact": True,
    }
    assert len(template) == 12
    assert 0 < trained < tokens
    assert messages[-1]["role"] == "assistant"
    turns = [message for message in messages if message["role"] == "assistant"]
    assert len(turns) == attempt["num_turns"] + 1, "the greeting and the agent's turns"
    shown = "".join(message["content"] for message in messages)
    for message in attempt["messages"]:
        users_own = message.get("requestor") == "user"
        if message.get("content") and not users_own and "###STOP###" not in message["content"]:
            assert message["content"] in shown
    assert '"name": "get_customer_by_phone"' in shown
    assert "toggle_airplane_mode()" not in shown, "what the customer does is not shown"


def test_a_task_outside_base_belongs_to_the_pool() -> None:
    domain = get_domain("telecom")
    small = domain.task_ids("small")[0]
    large = next(
        task
        for task in domain.tasks
        if task not in domain.task_ids("base") and task not in domain.task_ids("small")
    )
    for task, split in ((small, "small"), (large, "full")):
        row = maker().row({**workflow_attempts()[0], "task_id": task})
        assert (row["split"], row["pool"]) == (split, True)


@pytest.mark.parametrize("prompt", ["official", "compact", "bare"])
def test_what_a_model_wrote_is_kept_to_the_letter(prompt: str) -> None:
    attempt = parrot_attempt(Parrot(INSTRUCT), prompt)
    row = maker(prompt=prompt).row(attempt)
    assert said(row)[0].startswith("Hi!")
    assert said(row)[1:4] == list(LINES)
    assert (row["verbatim"], row["exact"]) == (True, True)
    (segment,) = Trajectory.from_json(attempt["tokens"]).segments
    encoded = maker(prompt=prompt).template.encode(row["messages"])
    assert encoded.ids == segment.ids
    trained = {place for place, on in enumerate(encoded.mask) if on}
    assert {place for place, on in enumerate(segment.mask) if on} <= trained


def test_other_tokens_of_the_same_text_are_told() -> None:
    row = maker().row(parrot_attempt(Parrot(INSTRUCT, spelled=True)))
    assert said(row)[1:4] == list(LINES)
    assert (row["verbatim"], row["exact"]) == (True, False)


def test_another_prompt_or_template_is_refused() -> None:
    attempt = parrot_attempt(Parrot(INSTRUCT))
    with pytest.raises(UnfitError, match="sampled under another prompt"):
        maker(prompt="official").row(attempt)
    with pytest.raises(UnfitError, match="rewrites earlier turns"):
        RowMaker(tiny_tokenizer("hybrid"), prompt="compact").row(attempt)


def test_what_nobody_should_learn_is_refused_counted_and_named() -> None:
    good = workflow_attempts()[0]
    bad = {**good, "trial": 7, "malformed": 1}
    cut = parrot_attempt(Parrot(INSTRUCT, cut=True))
    rows, refused = make_rows(maker(), [good, bad, cut])
    assert len(rows) == 1
    assert refused == {
        ("telecom", TASKS[0], 7): "it holds an action that could not be read",
        ("telecom", TASKS[0], 0): "one of its turns was cut off",
    }
    unread = parrot_attempt(Parrot(INSTRUCT, lines=("<tool_call>oh", "Hm.")))
    assert unread["malformed"] > 0


def test_one_turn_that_was_cut_off_is_enough_to_refuse_an_episode() -> None:
    whole = parrot_attempt(Parrot(INSTRUCT))
    turns = Trajectory.from_json(whole["tokens"]).segments[0].spans
    assert len(turns) > 3
    assert maker().row(whole)["verbatim"]
    for turn in range(len(turns)):
        with pytest.raises(UnfitError, match="one of its turns was cut off"):
            maker().row(parrot_attempt(Parrot(INSTRUCT, cut=turn)))


def test_dropped_reasoning_is_refused() -> None:
    lines = ("<think>\nWho is it?\n</think>\n\nWhat is your phone number?",)
    attempt = parrot_attempt(Parrot(tiny_tokenizer("hybrid"), lines=lines))
    with pytest.raises(UnfitError, match="dropped reasoning"):
        RowMaker(tiny_tokenizer("hybrid"), prompt="compact").row(attempt)


def test_nothing_is_cut_to_fit() -> None:
    attempt = workflow_attempts()[0]
    length = maker().row(attempt)["tokens"]
    assert maker(context=length + 1).row(attempt)["tokens"] == length
    with pytest.raises(UnfitError, match=f"it does not fit into {length} tokens"):
        maker(context=length).row(attempt)


def test_an_unknown_prompt_is_refused() -> None:
    with pytest.raises(ConfigError, match="unknown prompt 'long'"):
        maker(prompt="long")


def test_the_same_text_but_for_white_space_is_another_text() -> None:
    """Also to tokenizers that tidy up what they decode unless they are told not to."""
    attempt = parrot_attempt(Parrot(INSTRUCT))
    spaced = INSTRUCT.encode(" ,")
    (segment,) = Trajectory.from_json(attempt["tokens"]).segments
    tidying = RowMaker(Tidying(INSTRUCT), prompt="compact")
    assert tidying.row(attempt)["exact"]
    assert tidying._text([*segment.ids, *spaced]).endswith(" ,")
    assert tidying._text(segment.ids).startswith("<|im_start|>")


def test_rows_are_of_the_source_and_the_folder_that_are_named(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    asked = set()

    def get(name: str, source: str, data_dir: str | None) -> Any:
        asked.add((name, source, data_dir))
        return get_domain(name)

    prompts = []
    monkeypatch.setattr(sft_rows, "get_domain", get)
    monkeypatch.setattr(
        sft_rows, "make_prompt", lambda *args: prompts.append(args) or (lambda view: "Be kind.")
    )
    attempt = workflow_attempts()[0]
    row = maker(source="elsewhere", data_dir="there").row(attempt)
    assert asked == {("telecom", "elsewhere", "there")}
    assert prompts == [("compact", "elsewhere")]
    assert row["messages"][0]["content"].startswith("Be kind.")
    asked.clear()
    RowMaker(INSTRUCT, agent="workflow").row(attempt)
    assert asked == {("telecom", "inspect-evals", None)}
    assert prompts[1:] == [("official", "inspect-evals")]


def test_the_defaults_of_a_row_maker() -> None:
    made = RowMaker(INSTRUCT)
    assert (made.prompt, made.context, made.agent) == ("official", 16384, "")
    assert (made.source, made.data_dir) == ("inspect-evals", None)
