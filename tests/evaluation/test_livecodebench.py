import base64
import json
import pickle
import zlib

import pytest

from selfalign.data.config import defaults
from selfalign.data.errors import InputError
from selfalign.evaluation.kinds import load_tasks
from selfalign.evaluation.livecodebench import decode_tests
from selfalign.evaluation.programs import execution_for, judge_solutions
from selfalign.evaluation.rows import data_files
from selfalign.execution import execute

from .conftest import benchmark


def packed(tests):
    """Private tests as in the files of code_generation_lite."""
    return base64.b64encode(zlib.compress(pickle.dumps(json.dumps(tests)))).decode()


def problem(**values):
    row = {
        "question_title": "Sum", "question_content": "Print the sum of the numbers.", "platform": "atcoder", "question_id": "abc1_a",
        "contest_id": "abc1", "contest_date": "2023-09-02T00:00:00", "starter_code": "", "difficulty": "easy", "metadata": "{}",
        "public_test_cases": json.dumps([{"input": "1 2\n", "output": "3\n", "testtype": "stdin"}]),
        "private_test_cases": packed([{"input": "10 20 30\n", "output": "60\n", "testtype": "stdin"}]),
    }  # fmt: skip
    return {**row, **values}


METHOD = problem(
    question_id="2001",
    contest_date="2024-02-01T00:00:00",
    starter_code="class Solution:\n    def pairs(self, values: List[int], k: int) -> List[int]:\n        ",
    metadata='{"func_name": "pairs"}',
    public_test_cases=json.dumps([{"input": "[1, 2]\n3", "output": "[3, 6]", "testtype": "functional"}]),
    private_test_cases=json.dumps([{"input": "[]\n1", "output": "[]", "testtype": "functional"}]),
)
OUTPUT = {
    "question_title": "Double", "question_content": "Return each value twice.", "question_id": "3001", "contest_id": "weekly-1",
    "contest_date": "2023-10-01T00:00:00", "difficulty": "easy", "starter_code": "class Solution:\n    def twice(self, values): ",
    "function_name": "twice", "test_id": 2, "test": json.dumps([{"input": "[1, 2]", "output": "[2, 4]", "testtype": "functional"}]),
}  # fmt: skip
EXECUTION = {
    "question_id": "4001", "contest_id": "weekly-2", "contest_date": "2023-11-01T00:00:00", "difficulty": "easy", "function_name": "f",
    "code": "def f(n: int) -> List[int]:\n    return list(range(n))", "input": "f(n = 3)", "output": "[0, 1, 2]", "id": "sample_0",
    "problem_id": 4001, "numsteps": 12,
}  # fmt: skip


@pytest.fixture
def load(tmp_path):
    def tasks(name, *rows, **settings):
        path = tmp_path / "test.jsonl"
        path.write_text("".join(json.dumps(row) + "\n" for row in rows))
        return load_tasks(benchmark(f"livecodebench_{name}", **settings), [path])

    return tasks


def verdicts(task, *solutions):
    return [verdict for verdict, _ in judge_solutions([(task, solution) for solution in solutions], defaults("execution"), None, "test")]


def test_programs_that_read_and_print(load):
    (task,) = load("code_generation", problem())
    right = [
        "print(sum(map(int, input().split())))\n",
        "import sys\nprint('', sum(map(int, sys.stdin.buffer.read().split())), '')\nsys.exit(0)\n",
        "def main():\n    print(float(sum(map(int, open(0).read().split()))))\nif __name__ == '__main__':\n    main()\n",  # 3.0 is 3
    ]
    wrong = ["print(3)\n", "print(sum(map(int, input().split())))\nprint()\nprint(1)\n", "1 / 0\n", "print(\n", "while True:\n    pass\n"]
    found = verdicts(task, *right, *wrong)
    assert found == ["passed"] * 3 + ["assertion_failed", "assertion_failed", "error", "syntax_error", "timeout"]


def test_methods(load):
    (task,) = load("code_generation", METHOD)
    head = "class Solution:\n    def pairs(self, values: List[int], k: int) -> List[int]:\n"
    right = head + "        return tuple(k * value for value in values)\n"
    forged = head + "        class Same(list):\n            def __eq__(self, other): return True\n        return Same()\n"
    assert verdicts(task, right, head + "        return values\n", forged, "x = 1\n") == ["passed", "assertion_failed", "assertion_failed", "error"]
    numpy = "import numpy\n" + head + "        return [numpy.int64(k * value) for value in values]\n"
    assert verdicts(task, numpy) == ["passed"]


def test_a_tuple_counts_as_a_list_but_not_within_a_result(load):
    tests = json.dumps([{"input": "[1]", "output": "[[1]]", "testtype": "functional"}])
    starter = "class Solution:\n    def f(self, x):"
    row = problem(starter_code=starter, metadata='{"func_name": "f"}', public_test_cases=tests, private_test_cases="[]")
    (task,) = load("code_generation", row)
    head = "class Solution:\n    def f(self, x):\n        return "
    assert verdicts(task, f"{head}(x,)\n", f"{head}[tuple(x)]\n") == ["passed", "assertion_failed"]


def test_release_and_window_choose_among_the_problems(load, tmp_path):
    assert [task.task_id for task in load("code_generation", problem(), METHOD, **{"from": "2024-01-01"})] == ["2001"]
    assert [task.task_id for task in load("code_generation", problem(), METHOD, to="2023-09-02")] == ["abc1_a"]
    for name in ("test2.jsonl", "test3.jsonl"):
        (tmp_path / name).write_text(json.dumps(METHOD) + "\n")
    assert [path.rsplit("/", 1)[1] for path in data_files(tmp_path, 2)] == ["test.jsonl", "test2.jsonl"]
    with pytest.raises(InputError, match="release 4 needs test4.jsonl"):
        data_files(tmp_path, 4)


class Harmful:
    def __reduce__(self):
        return (print, ("executed",))


@pytest.mark.parametrize("value", [Harmful(), ["a list"], ("x", Harmful()), b"bytes", 1])
def test_private_tests_that_are_more_than_a_text_are_refused(value, capsys, load):
    text = base64.b64encode(zlib.compress(pickle.dumps(value))).decode()
    with pytest.raises(ValueError, match="more than a text"):
        decode_tests(text)
    with pytest.raises(InputError, match="the private tests of abc1_a cannot be read"):
        verdicts(load("code_generation", problem(private_test_cases=text))[0], "print(1)\n")
    assert capsys.readouterr().out == ""


def test_private_tests_in_both_forms():
    tests = [{"input": "é" * 300, "output": "2", "testtype": "stdin"}]
    assert decode_tests(json.dumps(tests)) == decode_tests(packed(tests)) == tests
    for broken in ("not base64!", base64.b64encode(b"not zlib").decode(), packed(tests)[:-20]):
        with pytest.raises(ValueError):
            decode_tests(broken)


def test_self_repair_tells_the_model_what_went_wrong(load):
    (task,) = load("self_repair", problem())

    def prompt(solution):
        told = execute([task.telling(solution)], execution_for(task, defaults("execution")))[0]
        return task.repair_prompt("<s>", solution, told)

    text = prompt("print(3)\n")
    assert "This answer is wrong:\n\n```python\nprint(3)\n```" in text
    assert "For the input\n\n10 20 30\n\n\nit gives\n\n3\n\nwhere this is right:\n\n60\n" in text
    assert "It ends with ZeroDivisionError for the input\n\n1 2\n" in prompt("1 / 0\n")
    assert "It does not compile: SyntaxError." in prompt("print(\n")


def test_output_prediction_compares_literals(load):
    (task,) = load("test_output_prediction", OUTPUT)
    assert task.task_id == "3001/2" and task.prompt("chat", "").endswith("```python\nassert twice([1, 2]) ==")
    found = verdicts(task, " [2, 4]", "[2,4]", "assert twice([1, 2]) == [2, 4]", "[2]", "twice([1, 2])", "[2, 4")
    assert found == ["passed"] * 3 + ["assertion_failed", "syntax_error", "syntax_error"]
    assert verdicts(task, task.solution("chat", " [2, 4]\n```\nIt doubles.")) == ["passed"], "a completion made elsewhere may run on"


def test_code_execution_evaluates_the_prediction(load):
    (task,) = load("code_execution", EXECUTION)
    assert task.prompt("chat", "").endswith("```python\nassert f(n = 3) ==")
    found = verdicts(task, "[0, 1, 2]", "assert f(n = 3) == [0, 1, 2]", "list(range(3))", "[0, 1]", "f(n=3)", "[0] or True", "0)\nprediction = (1")
    assert found == ["passed"] * 3 + ["assertion_failed"] * 3 + ["syntax_error"]
    assert verdicts(task, "[*f(n = 3)]") == ["assertion_failed"]
    assert verdicts(task, task.solution("completion", " [0, 1, 2]\n[/ANSWER]\n")) == ["passed"]


@pytest.mark.parametrize(
    ("name", "row", "missing"),
    [
        ("code_generation", problem(starter_code="class Solution:\n    def f(self): "), "a starter_code and no func_name"),
        ("code_generation", {"question_id": "1"}, "no text question_content"),
        ("test_output_prediction", {**OUTPUT, "test": "["}, "no JSON text in test"),
        ("code_execution", {**EXECUTION, "input": 3}, "no text input"),
    ],
)
def test_a_row_that_does_not_fit_is_named(load, name, row, missing):
    with pytest.raises(InputError, match=f"line 1 has {missing}"):
        load(name, row)
