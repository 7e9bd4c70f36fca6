import gzip
import json

import pytest

from selfalign.data.errors import InputError
from selfalign.evaluation.humaneval import STOPS, Problem, check_of, load_problems, prompt_of, solution_of

PROMPT = '\n\ndef double(n):\n    """Twice n."""\n'
PROBLEM = Problem("T/0", PROMPT, "double", "    return 2 * n\n", "def check(candidate):\n    assert candidate(2) == 4\n")


def test_reads_plain_and_gzipped_files_and_ignores_other_columns(data, tmp_path):
    packed = tmp_path / "six.jsonl.gz"
    packed.write_bytes(gzip.compress(data.read_bytes()))
    assert load_problems(packed) == load_problems(data)
    assert [problem.task_id for problem in load_problems(data)] == [f"Miniature/{n}" for n in range(6)]
    assert load_problems(data)[0].group == "held-out pair"


def test_limit_draws_the_same_problems_for_a_seed_and_keeps_their_order(data):
    some = load_problems(data, limit=3, seed=1)
    assert some == load_problems(data, limit=3, seed=1)
    assert [problem for problem in load_problems(data) if problem in some] == some and len(some) == 3
    assert any(load_problems(data, limit=3, seed=seed) != some for seed in range(2, 9))


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
        load_problems(path)
    assert str(path) in str(error.value) and "\n" not in str(error.value)


def test_twice_the_same_task_is_refused(data, tmp_path):
    path = tmp_path / "twice.jsonl"
    path.write_bytes(data.read_bytes() * 2)
    with pytest.raises(InputError, match="twice"):
        load_problems(path)


def test_chat_prompt_prefills_a_fence_and_the_problem():
    text = prompt_of(PROBLEM, "chat", "<s>")
    stem = 'def double(n):\n    """Twice n."""'
    assert text.startswith("<s>")
    assert f"### Instruction\nWrite a Python function to solve the given task:\n\n```python\n{stem}\n```\n\n### Response\n" in text
    assert text.endswith(f"### Response\n```python\n{stem}")


def test_completion_prompt_is_the_problem_and_stops_where_the_function_ends():
    assert prompt_of(PROBLEM, "completion", "<s>") == 'def double(n):\n    """Twice n."""'
    for text in ("\n    return 2 * n\n\ndef other", "\n    return 2 * n\nprint(1)", "\n    return 2 * n\n### Example 3"):
        assert any(stop in text for stop in STOPS["completion"])
    assert not any(stop in "\n    # a comment\n    if n:\n        return n" for stop in STOPS["completion"])


def test_program_is_prompt_completion_and_check():
    namespace: dict = {}
    exec(solution_of(PROBLEM, "\n    return 2 * n") + check_of(PROBLEM), namespace)
    assert namespace["double"](3) == 6
    with pytest.raises(AssertionError):
        exec(solution_of(PROBLEM, "\n    return n") + check_of(PROBLEM), {})
