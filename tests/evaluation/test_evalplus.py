"""EvalPlus's rules on problems whose right and wrong answers are known. bench/bench_evalplus.py compares with EvalPlus itself."""

import json

import pytest

from selfalign.data.config import defaults
from selfalign.data.errors import InputError
from selfalign.evaluation.evalplus import typed_inputs
from selfalign.evaluation.kinds import load_tasks
from selfalign.evaluation.programs import judge_solutions

from .conftest import benchmark

MEAN = {
    "task_id": "HumanEval/4",
    "prompt": 'def mean(values: list) -> float:\n    """Mean of the values."""\n',
    "entry_point": "mean",
    "canonical_solution": "    return sum(values) / len(values)\n",
    "base_input": [[[1.0, 2.0]], [[4, 5]]],
    "plus_input": [[[0.1, 0.2, 0.3]], [[1e9, 1.0]], [[-7]]],
    "atol": 0,
    "contract": "",
}
SHARED = {
    "task_id": "Mbpp/2",
    "prompt": '"""\nWrite a function to find the shared elements.\nassert set(similar_elements((3, 4), (4, 5))) == set((4,))\n"""\n',
    "entry_point": "similar_elements",
    "canonical_solution": "def similar_elements(a, b):\n    assert isinstance(a, tuple)\n    return tuple(set(a) & set(b))\n",
    "base_input": [[[3, 4], [4, 5]]],
    "plus_input": [[[1, 1, 2], [2, 1]], [[], [1]]],
    "atol": 0,
    "contract": "",
}
MEAN_HEAD = MEAN["prompt"]
ANYTHING = "class Same:\n    def __eq__(self, other):\n        return True\n    __hash__ = None\n\ndef mean(values):\n    return Same()\n"
REWRITES = """
import sys

def mean(values):
    frame = sys._getframe()
    while frame:
        for value in list(frame.f_locals.values()):
            if isinstance(value, list):
                value[:] = [0.0] * len(value)
        frame = frame.f_back
    return 0.0
"""
REWRITES_BYTES = """
import marshal
import sys

def forge(value):
    if isinstance(value, bytearray):
        value[:] = marshal.dumps(0.0)
    elif isinstance(value, (list, tuple)):
        for item in value:
            forge(item)

def mean(values):
    frame = sys._getframe()
    while frame:
        for value in list(frame.f_locals.values()):
            forge(value)
        frame = frame.f_back
    return 0.0
"""
PATCHES = "import builtins\nbuiltins.sum = lambda values: 0.0\nbuiltins.all = lambda values: True\ndef mean(values):\n    return 0.0\n"


@pytest.fixture
def tasks(tmp_path):
    def load(name, *rows):
        path = tmp_path / f"{name}.jsonl"
        path.write_text("".join(json.dumps(row) + "\n" for row in rows))
        return load_tasks(benchmark(name), [path])

    return load


def verdicts(task, *solutions):
    return [verdict for verdict, _ in judge_solutions([(task, solution) for solution in solutions], defaults("execution"), None, "test")]


def test_humaneval_plus_right_near_and_wrong(tasks):
    (task,) = tasks("humaneval_plus", MEAN)
    right = MEAN_HEAD + MEAN["canonical_solution"]
    near = "def mean(values):\n    return sum(values) / len(values) + 1e-7\n"  # within the tolerance for floats
    printing = "print('loaded')\ndef mean(values):\n    print(values)\n    return sum(values) / len(values)\n"
    far = "def mean(values):\n    return sum(values) / len(values) + 0.1\n"
    whole = "def mean(values):\n    return sum(values) // len(values)\n"
    mutates = "def mean(values):\n    total = sum(values)\n    count = len(values)\n    values.clear()\n    return total / count\n"
    found = verdicts(task, right, near, printing, mutates, far, whole, "def mean(values):\n    return 1 / 0\n", "def mean(:\n", "x = 1\n")
    assert found == ["passed"] * 4 + ["assertion_failed"] * 2 + ["error", "syntax_error", "error"]


def test_a_solution_that_only_holds_on_the_base_inputs_passes_the_base_benchmark_only(tasks):
    memorized = "def mean(values):\n    return {2.0: 1.5, 5: 4.5}[values[-1]]\n"
    assert verdicts(tasks("humaneval", MEAN)[0], memorized) == ["passed"]
    assert verdicts(tasks("humaneval_plus", MEAN)[0], memorized) == ["error"]


def test_forged_answers_do_not_pass(tasks):
    (task,) = tasks("humaneval_plus", MEAN)
    exits = ("import os\nos._exit(0)\n", "import sys\ndef mean(values):\n    sys.exit(0)\n")
    found = verdicts(task, ANYTHING, REWRITES, REWRITES_BYTES, PATCHES, *exits)
    assert "passed" not in found and found[0] == "vacuous"


def test_an_endless_loop_ends_as_a_timeout(tasks):
    assert verdicts(tasks("humaneval_plus", MEAN)[0], "def mean(values):\n    while True:\n        pass\n") == ["timeout"]


def test_mbpp_arguments_have_their_types_and_some_results_are_sets(tasks):
    base, plus = tasks("mbpp", SHARED)[0], tasks("mbpp_plus", SHARED)[0]
    shuffled = "def similar_elements(a, b):\n    return [x for x in reversed(a + b) if x in a and x in b]\n"
    wrong = "def similar_elements(a, b):\n    return a\n"
    for task in (base, plus):
        assert verdicts(task, SHARED["canonical_solution"], shuffled, wrong) == ["passed", "passed", "assertion_failed"]
    assert typed_inputs("Mbpp/252", [["1+2j"]]) == [[1 + 2j]] and typed_inputs("Mbpp/1000", [[[1]]]) == [[[1]]]
    assert typed_inputs("Mbpp/580", [[[1, [2, [3]]]]]) == [((1, (2, (3,))),)]


def test_published_mbpp_prompt(tasks):
    (task,) = tasks("mbpp", SHARED)
    text = task.prompt("chat", "<s>")
    assertion = "assert set(similar_elements((3, 4), (4, 5))) == set((4,))"
    request = f"Write a function to find the shared elements.\n\nYour code should pass the following assertion:\n\n```python\n{assertion}\n```"
    assert f"### Instruction\n{request}\n\n### Response\n" in text and text.endswith("### Response\n```python\n")
    assert task.solution("chat", "def f():\n    pass\n\n") == "def f():\n    pass\n"


def test_an_older_file_has_its_assertions_in_a_column(tasks):
    older = {**SHARED, "prompt": "'''\nWrite a function.\n'''", "assertion": "\nassert f(1) == 2\nassert f(2) == 3\n"}
    (task,) = tasks("mbpp", older)
    assert (task.statement, task.assertion) == ("Write a function.", "assert f(1) == 2")


def test_openais_humaneval_is_no_humaneval_plus(tasks):
    with pytest.raises(InputError, match="line 1 has no base_input, plus_input and atol: not in EvalPlus's format"):
        tasks("humaneval_plus", {name: value for name, value in MEAN.items() if name != "plus_input"})


def test_another_spelling_of_a_name_is_the_same_benchmark_and_an_unknown_one_is_refused(tasks):
    for name in ("HumanEval+", "humaneval-plus", "HumanEvalPlus"):
        assert tasks(name, MEAN) == tasks("humaneval_plus", MEAN)
    assert tasks("MbppPlus", SHARED) == tasks("mbpp_plus", SHARED) != tasks("mbpp", SHARED)
    with pytest.raises(InputError, match="no text test: not in HumanEval's format"):
        tasks("humaneval_pluss", MEAN)


def test_a_reference_that_fails_is_no_verdict_on_the_sample(tasks):
    (task,) = tasks("humaneval", {**MEAN, "canonical_solution": "    import no_such_package\n"})
    with pytest.raises(InputError, match="HumanEval/4: the benchmark's own solution fails"):
        verdicts(task, "def mean(values):\n    return 1.0\n")


def test_a_large_result_is_handed_over_in_time_and_memory(tasks):
    """200 MB, of which some problems of MBPP+ have several."""
    large = "    return bytes(200_000_000)\n"
    (task,) = tasks("humaneval", {**MEAN, "canonical_solution": large, "base_input": [[[1]]]})
    assert verdicts(task, "def mean(values):\n" + large) == ["passed"]


def test_find_zero_fails_as_in_evalplus_0_3_1(tasks):
    row = {**MEAN, "task_id": "HumanEval/32", "prompt": "def find_zero(xs):\n", "entry_point": "find_zero", "base_input": [[[1, 2]]]}
    row["canonical_solution"] = "    return -xs[0] / xs[1]\n"
    assert verdicts(tasks("humaneval", row)[0], row["prompt"] + row["canonical_solution"]) == ["assertion_failed"]
