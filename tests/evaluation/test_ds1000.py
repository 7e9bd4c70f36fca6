import gzip
import json
import sys

import pytest

from selfalign.data.config import defaults
from selfalign.data.errors import InputError
from selfalign.evaluation.kinds import load_tasks
from selfalign.evaluation.programs import judge_solutions

from .conftest import benchmark

CONTEXT = '''
import numpy as np
import copy

def generate_test_case(test_case_id):
    values = np.arange(4) * test_case_id
    return values, values.sum()

def exec_test(result, answer):
    try:
        np.testing.assert_allclose(result, answer)
        return 1
    except AssertionError:
        pass
    return 0

exec_context = """
import numpy as np
values = test_input
[insert]
"""

def test_execution(solution: str):
    code = exec_context.replace("[insert]", solution)
    for i in range(2):
        test_input, expected = generate_test_case(i + 1)
        scope = {"test_input": test_input}
        exec(code, scope)
        assert exec_test(scope["result"], expected)

def test_string(solution: str):
    assert "for" not in solution
'''
ROW = {
    "prompt": "Problem:\nI want the sum.\nA:\n<code>\nimport numpy as np\n</code>\nresult = ... # put it here\nBEGIN SOLUTION\n<code>\n",
    "reference_code": "result = values.sum()",
    "code_context": CONTEXT,
    "metadata": {
        "problem_id": 7, "library_problem_id": 7, "library": "Numpy", "test_case_cnt": 2, "perturbation_type": "Origin", "perturbation_origin_id": 7,
    },
}  # fmt: skip


@pytest.fixture
def task(tmp_path):
    path = tmp_path / "ds1000.jsonl.gz"
    path.write_bytes(gzip.compress((json.dumps(ROW) + "\n").encode()))
    (task,) = load_tasks(benchmark("ds1000"), [path])
    return task


def test_its_own_test_functions_judge(task):
    samples = ["result = values.sum()\n</code>", "result = np.sum(values)", "result = 0", "result = 0\nfor v in values: result += v"]
    samples += ["result = nothing", "import sys\nsys.exit(0)"]
    cfg = {**defaults("execution"), "python": sys.executable}
    found = judge_solutions([(task, task.completed(sample)) for sample in samples], cfg, None, "test")
    assert [verdict for verdict, _ in found][:5] == ["passed", "passed", "assertion_failed", "assertion_failed", "error"]
    assert found[5][0] != "passed" and (task.task_id, task.group) == ("7", "Numpy")


def test_prompts_end_where_the_solution_begins(task):
    assert task.prompt("completion", "<s>") == ROW["prompt"] and "</code>" in task.stops("completion")
    assert ROW["prompt"].strip() in task.prompt("chat", "<s>") and task.prompt("chat", "<s>").endswith("### Response\n```python\n")


def test_a_missing_package_is_no_verdict_on_the_sample(tmp_path):
    path = tmp_path / "ds1000.jsonl"
    path.write_text(json.dumps({**ROW, "code_context": "import no_such_package\n" + CONTEXT}) + "\n")
    (task,) = load_tasks(benchmark("ds1000"), [path])
    with pytest.raises(InputError, match="envs/ds1000.txt"):
        judge_solutions([(task, "result = 1")], defaults("execution"), None, "test")


def test_another_layout_is_refused(tmp_path):
    path = tmp_path / "ds1000.jsonl"
    path.write_text(json.dumps({**ROW, "metadata": None}) + "\n")
    with pytest.raises(InputError, match="line 1 has no problem_id"):
        load_tasks(benchmark("ds1000"), [path])
