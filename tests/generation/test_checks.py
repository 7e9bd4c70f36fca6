"""Loops and refusals: found where they are, and nowhere else."""

import pytest

from selfalign.generation.checks import find_loop, is_refusal


@pytest.mark.parametrize("unit", ["again " * 1, "return the sum of both numbers\n", "assert f(1) == 1 and f(2) == 2\n\nassert f(3) == 3\n"])
def test_a_unit_that_goes_on_and_on_is_a_loop(unit):
    text = "First something else.\n" + unit * 40 + "then the end"
    assert find_loop(text).split() == find_loop(unit * 40).split()
    assert sorted(find_loop(text).split()) == sorted(unit.split())


@pytest.mark.parametrize(
    "text",
    [
        "",
        "assert f(0) == 0\nassert f(1) == 1\nassert f(2) == 2\nassert f(3) == 3\n" * 3,
        "zeros = [" + "0, " * 30 + "0]",
        "ha ha ha ha ha",
        " ".join(f"word{at}" for at in range(500)),
    ],
)
def test_what_is_no_loop(text):
    assert find_loop(text) is None


def test_refusals():
    for text in ("I'm sorry, but no", "I’m unable to help", "As an AI model,", "[Reasoning]\nI cannot write this", "Sorry, no"):
        assert is_refusal(text)
    for text in ("", "I can write this", "Write a function that says I'm sorry", "[Reasoning]\nThe sum cannot be negative", "Sorry_list is sorted"):
        assert not is_refusal(text)
