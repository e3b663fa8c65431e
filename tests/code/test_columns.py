"""What is made of the rows of others."""

from __future__ import annotations

import json
from typing import Any

import pytest

from tau2_gym.code.columns import Read, leetcode, numina, taco, trained, value_reader
from tau2_gym.code.database import Case
from tau2_gym.code.mathematics import LONGEST
from tau2_gym.code.programs import passed
from tests.code.helpers import problem_of

NUMINA = {
    "problem": "What is $1 + 1$?",
    "answer": "$2$",
    "question_type": "math-word-problem",
    "problem_is_valid": "Yes",
    "solution_is_valid": "Yes",
}
TWO_SUM = {
    "task_id": "two-sum",
    "problem_description": "Find two numbers that add up to target.",
    "starter_code": "class Solution:\n    def twoSum(self, nums: List[int], target: int) -> List[int]:\n        ",
    "entry_point": "Solution().twoSum",
    "prompt": "from typing import *\n",
    "completion": (
        "class Solution:\n    def twoSum(self, nums: List[int], target: int) -> List[int]:\n"
        "        return next([i, j] for j in range(len(nums)) for i in range(j) if nums[i] + nums[j] == target)"
    ),
    "input_output": [
        {"input": "nums = [3,3], target = 6", "output": "[0, 1]"},
        {"input": "nums = [-1,2,4], target = 3", "output": "[0, 2]"},
        {"input": "nums = [1], target = x", "output": "None"},
        {"input": "root = tree_node([1])", "output": "1"},
        {"input": "nums = [1,2], target = 3", "output": "Error: too slow"},
    ],
}
ADDS = {"inputs": ["1 2\n", ["3", "4"]], "outputs": ["3\n", ["7"]]}


def test_values_are_read_from_two_columns() -> None:
    read = value_reader("problem", "answer")
    assert read({"problem": " Add. ", "answer": " 2 "}) == Read("Add.", expected="2")
    assert read({"problem": "Add.", "answer": 2}) == Read("Add.", expected="2")
    assert read({"problem": "Add.", "answer": 0.5}) == Read("Add.", expected="0.5")


@pytest.mark.parametrize(
    "row",
    [
        {},
        {"problem": "Add.", "answer": None},
        {"problem": "Add.", "answer": True},
        {"problem": "Add.", "answer": " "},
        {"problem": "Show it.", "answer": "Proof"},
        {"problem": "Add.", "answer": "notfound"},
        {"problem": "Add.", "answer": "1" * 2001},
        {"problem": " ", "answer": "2"},
        {"problem": None, "answer": "2"},
        {"problem": ["Add."], "answer": "2"},
    ],
)
def test_what_has_no_answer_that_can_be_graded_is_left_out(row: dict[str, Any]) -> None:
    assert value_reader("problem", "answer")(row) is None


def test_of_numina_proofs_choices_and_what_is_not_valid_are_left_out() -> None:
    assert numina(NUMINA) == Read("What is $1 + 1$?", expected="$2$")
    for change in (
        {"question_type": "proof"},
        {"question_type": "MCQ"},
        {"problem_is_valid": "Incomplete"},
        {"solution_is_valid": "No"},
        {"answer": "proof"},
    ):
        assert numina({**NUMINA, **change}) is None


def test_a_program_of_taco_reads_and_writes() -> None:
    row = {"question": "Add them.", "starter_code": "", "input_output": json.dumps(ADDS)}
    assert taco(row) == Read(
        "Add them.", tests=(Case(stdin="1 2\n", stdout="3\n"), Case(stdin="3\n4", stdout="7"))
    )
    assert taco({**row, "starter_code": None}) == taco(row)


@pytest.mark.parametrize(
    ("starter", "call"),
    [("def add(a, b):", "add"), ("class Solution:\n    def add(self, a, b):", "Solution().add")],
)
@pytest.mark.parametrize("outputs", [[3, 7], [[3], [7]]])
def test_a_function_of_taco_is_called(starter: str, call: str, outputs: list[Any]) -> None:
    tests = {"fn_name": "add", "inputs": [[1, 2], [3, 4]], "outputs": outputs}
    row = {"question": "Add.", "starter_code": starter, "input_output": json.dumps(tests)}
    read = taco(row)
    assert read is not None
    assert read.call == call
    assert read.tests == (Case(stdin="[1, 2]", stdout="3"), Case(stdin="[3, 4]", stdout="7"))
    assert read.text == (
        f"Add.\n\nBegin with this, and import what you need:\n```python\n{starter}\n```"
    )


@pytest.mark.parametrize(
    "given",
    [
        None,
        "",
        "{",
        "[1]",
        '{"inputs": []}',
        '{"inputs": [], "outputs": []}',
        '{"inputs": ["1"], "outputs": []}',
        '{"inputs": "1", "outputs": "1"}',
        '{"inputs": [1], "outputs": [1], "fn_name": "f"}',
        '{"inputs": [[1]], "outputs": [1], "fn_name": 5}',
        '{"inputs": [' + "1" * 5000 + '], "outputs": [1]}',
        "[" * 100_000,
    ],
    ids=range(12),
)
def test_what_has_no_tests_is_left_out(given: Any) -> None:
    assert taco({"question": "Add.", "starter_code": "", "input_output": given}) is None


@pytest.mark.parametrize("form", [lambda tests: tests, json.dumps, repr])
def test_calls_of_leetcode_become_arguments_and_results(form: Any) -> None:
    read = leetcode({**TWO_SUM, "input_output": form(TWO_SUM["input_output"])})
    assert read is not None
    assert read.tests == (
        Case(stdin="[[3, 3], 6]", stdout="[0, 1]"),
        Case(stdin="[[-1, 2, 4], 3]", stdout="[0, 2]"),
    )
    assert read.call == "Solution().twoSum"
    assert "class Solution" in read.text


def test_the_solution_of_leetcode_passes_its_tests() -> None:
    read = leetcode(TWO_SUM)
    assert read is not None
    assert read.program is not None
    problem = problem_of(read.row("two-sum", 5))
    assert passed(read.program, problem) == [True, True]
    assert passed(read.program.replace("== target", "!= target"), problem) == [False, False]


@pytest.mark.parametrize(
    "change",
    [
        {"entry_point": ""},
        {"problem_description": None},
        {"input_output": None},
        {"input_output": "[{"},
        {"input_output": "x" * 10 + "("},
        {"input_output": [{"input": "root = tree_node([1])", "output": "1"}]},
        {"input_output": [{"input": "nums = [1]", "output": "None"}]},
        {"input_output": [{"input": "x = 1e999", "output": "1"}]},
        {"input_output": [{"input": "x = 1) + f(2", "output": "1"}]},
        {"input_output": [["x = 1", "1"]]},
    ],
)
def test_problems_of_leetcode_that_are_more_than_json_are_left_out(change: dict[str, Any]) -> None:
    assert leetcode({**TWO_SUM, **change}) is None


PROMPT = [{"role": "system", "content": "Be brief."}, {"role": "user", "content": "What is 1 + 1?"}]


@pytest.mark.parametrize(
    ("row", "read"),
    [
        ({"reward_model": {"ground_truth": "2"}}, Read("What is 1 + 1?", expected="2")),
        ({"reward_model": {"ground_truth": 2}}, Read("What is 1 + 1?", expected="2")),
        ({"reward_model": '{"ground_truth": "2"}'}, Read("What is 1 + 1?", expected="2")),
        ({"reward_model": {"ground_truth": "{1, 2}"}}, Read("What is 1 + 1?", expected="{1, 2}")),
        ({"reward_model": {"ground_truth": "[0, 1)"}}, Read("What is 1 + 1?", expected="[0, 1)")),
        ({"reward_model": {"ground_truth": "[1, 2]"}}, Read("What is 1 + 1?", expected="[1, 2]")),
        ({"reward_model": {"ground_truth": ["2"]}}, None),
        ({"reward_model": {"ground_truth": "2"}, "data_source": "taco_code"}, None),
        ({"reward_model": {}}, None),
        ({"reward_model": None}, None),
        ({"reward_model": "{"}, None),
        ({}, None),
    ],
)
def test_values_in_the_form_of_the_training_data(row: dict[str, Any], read: Read | None) -> None:
    assert trained({"prompt": PROMPT, "data_source": "deepscaler", **row}) == read


@pytest.mark.parametrize("form", [lambda tests: tests, json.dumps])
def test_programs_in_the_form_of_the_training_data(form: Any) -> None:
    row = {
        "prompt": PROMPT,
        "data_source": "taco_code",
        "reward_model": {"ground_truth": form(ADDS)},
    }
    read = trained(row)
    assert read is not None
    assert [test.stdin for test in read.tests] == ["1 2\n", "3\n4"]
    called = {"fn_name": "add", "inputs": [[1, 2]], "outputs": [3]}
    row |= {"reward_model": {"ground_truth": form(called)}}
    read = trained({**row, "extra_info": {"starter_code": "class Solution: ..."}})
    assert read is not None
    assert (read.call, read.tests) == ("Solution().add", (Case(stdin="[1, 2]", stdout="3"),))
    entry = {"entry_point": "Solution().twoSum", "input_output": TWO_SUM["input_output"]}
    read = trained({**row, "reward_model": {"ground_truth": form(entry)}})
    assert read is not None
    assert (read.call, len(read.tests)) == ("Solution().twoSum", 2)


def test_a_prompt_may_be_a_text() -> None:
    assert trained({"prompt": "1 + 1?", "reward_model": {"ground_truth": "2"}}) == Read(
        "1 + 1?", "2"
    )


def test_of_many_tests_some_are_taken_at_even_distances() -> None:
    tests = tuple(Case(stdin=str(n), stdout=str(n)) for n in range(10))
    row = Read("Say it.", tests=tests).row("say", 4)
    assert [test.stdin for test in problem_of(row).tests] == ["0", "2", "5", "7"]
    assert len(row["evaluation_criteria"]["env_assertions"]) == 4
    assert len(problem_of(Read("Say it.", tests=tests).row("say", 99)).tests) == 10
    assert row["evaluation_criteria"]["answer"] is None


def test_a_program_that_is_known_is_what_the_oracle_answers() -> None:
    known = Read("Say it.", tests=(Case(stdin="1", stdout="1"),), call="f", program="f = int\n")
    row = known.row("say", 4)
    assert row["evaluation_criteria"]["answer"] == "```python\nf = int\n```"
    assert problem_of(row).call == "f"


def test_the_same_question_has_the_same_digest_however_it_is_broken_into_lines() -> None:
    assert Read("What  is\n1 + 1?", "2").digest == Read("What is 1 + 1?", "3").digest
    assert Read("What is 1 + 1?", "2").digest != Read("What is 1 + 2?", "2").digest


def test_an_answer_may_be_as_long_as_one_that_is_compared() -> None:
    read = value_reader("problem", "answer")
    assert read({"problem": "What?", "answer": "1" * LONGEST}) == Read("What?", "1" * LONGEST)
    assert read({"problem": "What?", "answer": "1" * (LONGEST + 1)}) is None
