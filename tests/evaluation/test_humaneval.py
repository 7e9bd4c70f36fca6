import gzip
import json

import pytest

from selfalign.data.errors import InputError
from selfalign.evaluation.humaneval import HumanEvalTask
from selfalign.evaluation.kinds import load_tasks

from .conftest import benchmark

PROMPT = '\n\ndef double(n):\n    """Twice n."""\n'
TASK = HumanEvalTask("T/0", PROMPT, "double", "def check(candidate):\n    assert candidate(2) == 4\n")


def load(*paths, **settings):
    return load_tasks(benchmark("six", **settings), paths, settings.pop("seed", 0))


def test_reads_plain_and_gzipped_files_and_ignores_other_columns(data, tmp_path):
    packed = tmp_path / "six.jsonl.gz"
    packed.write_bytes(gzip.compress(data.read_bytes()))
    assert load(packed) == load(data)
    assert [task.task_id for task in load(data)] == [f"Miniature/{n}" for n in range(6)]
    assert load(data)[0].group == "held-out pair"


def test_limit_draws_the_same_problems_for_a_seed_and_keeps_their_order(data):
    some = load_tasks(benchmark("six", limit=3), [data], 1)
    assert some == load_tasks(benchmark("six", limit=3), [data], 1)
    assert [task for task in load(data) if task in some] == some and len(some) == 3
    assert any(load_tasks(benchmark("six", limit=3), [data], seed) != some for seed in range(2, 9))


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("{", "line 1 is not JSON"),
        (json.dumps({"task_id": "x", "prompt": "p", "entry_point": "f", "test": "t"}), "no text canonical_solution"),
        ("[]", "HumanEval's format"),
        ("", "no problem in it"),
    ],
)
def test_a_bad_file_is_one_line_that_names_it(tmp_path, line, message):
    path = tmp_path / "bad.jsonl"
    path.write_text(line + "\n")
    with pytest.raises(InputError, match=message) as error:
        load(path)
    assert str(path) in str(error.value) and "\n" not in str(error.value)


def test_twice_the_same_task_is_refused(data, tmp_path):
    path = tmp_path / "twice.jsonl"
    path.write_bytes(data.read_bytes() * 2)
    with pytest.raises(InputError, match="twice"):
        load(path)


def test_chat_prompt_prefills_a_fence_and_the_problem():
    text = TASK.prompt("chat", "<s>")
    stem = 'def double(n):\n    """Twice n."""'
    assert text.startswith("<s>")
    assert f"### Instruction\nWrite a Python function to solve the given task:\n\n```python\n{stem}\n```\n\n### Response\n" in text
    assert text.endswith(f"### Response\n```python\n{stem}")


def test_completion_prompt_is_the_problem_and_stops_where_the_function_ends():
    assert TASK.prompt("completion", "<s>") == 'def double(n):\n    """Twice n."""'
    for text in ("\n    return 2 * n\n\ndef other", "\n    return 2 * n\nprint(1)", "\n    return 2 * n\n### Example 3"):
        assert any(stop in text for stop in TASK.stops("completion"))
    assert not any(stop in "\n    # a comment\n    if n:\n        return n" for stop in TASK.stops("completion"))


def test_program_is_prompt_completion_and_check():
    def run(completion):
        program = TASK.judge(TASK.solution("chat", completion))
        namespace: dict = {}
        exec(program.code + program.tests, namespace)
        return namespace["double"](3)

    assert run("\n    return 2 * n") == 6
    with pytest.raises(AssertionError):
        run("\n    return n")
