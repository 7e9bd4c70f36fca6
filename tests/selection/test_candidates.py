from collections import Counter

import pytest

from selfalign.selection.candidates import choose_responses, texts_to_compare
from selfalign.selection.decontamination import Decontamination, Problem

SECRET = "count the empty plots between the two tallest towers of the given skyline and report them"
CLEAN = Decontamination([], 10)
DEMO = Decontamination([[Problem("demo", "Demo/7", (SECRET,), ())]], 10)


def choose(tables, benchmarks=CLEAN, seed=1):
    kept, dropped = choose_responses(*tables, benchmarks, seed)
    assert kept.num_rows + dropped.num_rows == tables[0].num_rows
    return kept.to_pylist(), dropped.to_pylist()


def test_one_response_of_each_instruction_is_chosen_and_the_others_name_it(passed, response):
    kept, dropped = choose(passed({f"Do {i}.": [response(f"f{j}") for j in range(4)] for i in range(20)}))
    assert sorted(row["instruction"] for row in kept) == sorted(f"Do {i}." for i in range(20))
    chosen = {row["instruction_id"]: row["id"] for row in kept}
    assert {(row["reason"], row["detail"]) for row in dropped} == {("not_chosen", one) for one in chosen.values()}
    assert all(chosen[row["parent_id"]] == row["detail"] for row in dropped)
    assert len(Counter(row["response"] for row in kept)) == 4  # not always the same sample


def test_the_choice_depends_on_the_seed_and_not_on_the_order_or_the_neighbours(passed, response):
    executed, instructions = passed({f"Do {i}.": [response(f"f{j}") for j in range(4)] for i in range(20)})
    kept, _ = choose((executed, instructions))
    backwards = executed.take(list(range(executed.num_rows))[::-1])
    assert choose((backwards, instructions))[0] != []
    assert {row["id"] for row in choose((backwards, instructions))[0]} == {row["id"] for row in kept}
    assert {row["id"] for row in choose((executed.slice(0, 8), instructions))[0]} <= {row["id"] for row in kept}
    assert {row["id"] for row in choose((executed, instructions), seed=2)[0]} != {row["id"] for row in kept}


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        (lambda text: text.replace("[Explanation]", "Explanation:"), "sections"),
        (lambda text: text + "\n\n[Tests]\nmore", "sections"),
        (lambda text: "Sure!\n" + text, "sections"),
        (lambda text: text + "\n```python\nassert f(2)\n```", "test_blocks"),
        (lambda text: text.replace("assert f(1) == 2", "f(1)"), "tests_without_call"),
        (lambda text: text.replace("assert f(1) == 2", "def check():\n    assert f(1) == 2"), "tests_without_call"),
        (lambda text: text.replace("return x + 1", f"return x{' + 1' * 9000}"), "tests_without_call"),
        (lambda text: text.replace("return x + 1", "return x + 1  # TODO"), "incomplete_code"),
    ],
)
def test_a_response_out_of_form_is_dropped_and_never_chosen(passed, response, change, reason):
    kept, dropped = choose(passed({"Do it.": [change(response()), response()]}))
    assert [row["response"] for row in kept] == [response()]
    assert [row["reason"] for row in dropped] == [reason]
    assert choose(passed({"Do it.": [change(response())]}))[0] == []


def test_tests_in_functions_that_the_runner_calls_are_accepted(passed, response):
    kept, _ = choose(passed({"Do it.": [response(tests="```python\ndef test_f():\n    assert f(1) == 2\n```")]}))
    assert len(kept) == 1


def test_a_benchmark_problem_in_instruction_or_response_is_named(passed, response):
    tables = passed({f"Please {SECRET}.": [response(), response("g")], "Do it.": [response(explanation=f"We {SECRET}."), response()]})
    kept, dropped = choose(tables, DEMO)
    assert [(row["instruction"], row["response"]) for row in kept] == [("Do it.", response())]
    assert {row["reason"] for row in dropped} == {"contaminated"}
    assert all(row["detail"].startswith("demo Demo/7 (") for row in dropped)
    assert len(dropped) == 3


def test_no_rows_give_no_rows(passed):
    assert choose(passed({})) == ([], [])


def test_the_code_that_is_compared_is_the_implementation_alone(passed, response):
    executed, instructions = passed({"Do it.": [response()]})
    kept, _ = choose_responses(executed, instructions, CLEAN, 1)
    assert texts_to_compare(kept) == {"instruction": ["Do it."], "response": [response()], "code": ["def f(x):\n    return x + 1\n"]}


def test_a_benchmark_solution_under_other_names_is_no_response(passed, response):
    body = "y = [z for z in range(x) if z % 3 == 1]\n    return sum(y) + len(y) - x"
    solution = "def count(n):\n    " + body.replace("x", "n").replace("y", "found").replace("z", "item")
    demo = Decontamination([[Problem("demo", "Demo/9", (), (solution,))]], 10)
    kept, dropped = choose(passed({"Do it.": [response(body=body), response()]}), demo)
    assert [row["response"] for row in kept] == [response()]
    assert [(row["reason"], row["detail"]) for row in dropped] == [("contaminated", "demo Demo/9 (its solution under other names)")]
