import itertools

import pytest

from selfalign.data.config import defaults
from selfalign.execution import Verdict, execute
from selfalign.selection.candidates import choose_responses
from selfalign.selection.consensus import interface
from selfalign.selection.decontamination import Decontamination

CFG = {**defaults("execution"), "negative_control": False}


@pytest.fixture
def choose(passed):
    """Which of an instruction's responses can be chosen (over some seeds), and the reasons of the others; every run in the real sandbox."""

    def run(*responses, seeds=6):
        tables = passed({"Do it.": list(responses)})
        text_of = dict(zip(tables[0]["id"].to_pylist(), tables[0]["response"].to_pylist(), strict=True))
        known = {}

        def run_once(programs):
            missing = [program for program in programs if (program.code, program.tests) not in known]
            known.update({(p.code, p.tests): v.verdict for p, v in zip(missing, execute(missing, CFG), strict=True)})
            return [Verdict(program.id, known[program.code, program.tests], "") for program in programs]

        chosen, reasons = set(), set()
        for seed in range(seeds):
            kept, dropped = choose_responses(*tables, Decontamination([], 10), seed, run_once)
            assert kept.num_rows + dropped.num_rows == len(responses)
            chosen |= {responses.index(text_of[row]) for row in kept["id"].to_pylist()}
            reasons |= set(zip(dropped["reason"].to_pylist(), dropped["detail"].to_pylist(), strict=True)) - {
                ("not_chosen", row) for row in kept["id"].to_pylist()
            }
        return chosen, reasons

    return run


def asserts(expected):
    return f"```python\nassert f(1) == {expected}\n```"


def test_the_majority_is_chosen(choose, response):
    adds = [response(body=body, tests=asserts(2)) for body in ("return x + 1", "return 1 + x")]
    odd = response(body="return x * 3", tests=asserts(3))
    assert choose(odd, *adds) == ({1, 2}, set())


def test_the_response_that_passes_the_most_tests_is_chosen(choose, response):
    """The second passes the first's tests, but not the other way round: the first fails for 0."""
    narrow = response(body="return 2 // x", tests="```python\nassert f(1) == 2\n```")
    wide = response(body="return 2 // x if x else 0", tests="```python\nassert f(0) == 0\nassert f(1) == 2\n```")
    assert choose(narrow, wide) == ({1}, set())


def test_responses_that_contradict_each_other_are_dropped_with_the_instruction(choose, response):
    pairs = [(f"return x + {n} * {k}", n * k + 1) for n, k in itertools.product((1, 5), (1, 2))]
    rows = [response(body=body, tests=asserts(expected)) for body, expected in pairs[:2]]
    assert choose(*rows) == (set(), {("contradiction", "passes 0 of 1")})
    two_camps = [response(body=body, tests=asserts(expected)) for body, expected in pairs[:1] + pairs[2:3]]
    two_camps += [text.replace("return x + ", "return 0 + x + ") for text in two_camps]
    assert choose(*two_camps) == (set(), {("contradiction", "passes 1 of 3")})


def test_other_names_or_arguments_are_not_compared(choose, response):
    one, other = response(), response("g", body="return x * 7", tests="```python\nassert g(1) == 7\n```")
    assert choose(one, other) == ({0, 1}, set())
    more = response().replace("def f(x):", "def f(x, y=0):").replace("x + 1", "x + 5").replace("== 2", "== 6")
    assert choose(one, more) == ({0, 1}, set())


def test_agreement_counts_more_than_what_was_never_compared(choose, response):
    same = [response(body=body) for body in ("return x + 1", "return 1 + x")]
    assert choose(response("g"), *same) == ({1, 2}, set())


def test_the_same_code_agrees_without_a_run(passed, response):
    def nothing_to_run(programs):
        assert not programs
        return []

    tables = passed({"Do it.": [response(explanation="A."), response(explanation="B.")]})
    kept, _ = choose_responses(*tables, Decontamination([], 10), 1, nothing_to_run)
    assert kept.num_rows == 1


def test_the_interface_is_what_tests_can_call():
    functions = "import os\ndef f(a, *, b=1):\n    pass\ndef _helper(x):\n    pass\n"
    code = functions + "class C:\n    def __init__(self, n):\n        pass\n    def _own(self):\n        pass\n"
    assert interface(code) == (("C", ()), ("C.__init__", (2, 0, 0, 0)), ("f", (1, 1, 0, 0)))
    assert interface(code.replace("_helper(x)", "_helper(x, y)")) == interface(code)
    assert interface(code.replace("def f(a,", "def f(a, c,")) != interface(code)
    assert interface("async def g(*a, **k):\n    pass\n") == (("g", (0, 0, 1, 1)),)
