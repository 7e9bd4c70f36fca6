import random

import pytest

from selfalign.generation.sections import Sections
from selfalign.selection.form import append_assertions, asks_for_tests, incomplete, strip_comments, vary_response


@pytest.mark.parametrize(
    ("instruction", "expected"),
    [
        ("Write a function that adds two numbers.", False),
        ("Write a function that tests whether a number is prime.", False),
        ("Write a function to test a password for strength.", False),
        ("Return the latest contest of the list.", False),
        ("Write a function and unit tests for it.", True),
        ("Include three test cases.", True),
        ("Add tests.", True),
        ("Show with assertions that it works.", True),
        ("Write a pytest function.", True),
    ],
)
def test_an_instruction_asks_for_tests_or_only_for_a_function_that_tests(instruction, expected):
    assert asks_for_tests(instruction) is expected


def test_comments_go_and_everything_else_stays():
    code = '''# first
def f(x):  # of x
    """Not # a comment."""
    # alone

    y = "# neither"
    return [  # here
        x,
        # there
        y,
    ]
# last'''
    assert (
        strip_comments(code)
        == '''def f(x):
    """Not # a comment."""

    y = "# neither"
    return [
        x,
        y,
    ]
'''
    )


def test_only_newlines_end_a_line_of_code():
    assert strip_comments('x = "a\x0cb\u2028c"\n\x0c\ny = 1  # one\n') == 'x = "a\x0cb\u2028c"\n\x0c\ny = 1\n'


def test_an_excerpt_that_is_no_whole_python_stays_as_it_is():
    assert strip_comments("x = (  # open\n") == "x = (  # open\n"


COMPLETE = {
    "plain": "def f(x):\n    return x\n",
    "pass elsewhere": "def f(x):\n    try:\n        return x\n    except ValueError:\n        pass\n",
    "exception class": "class MyError(Exception):\n    pass\n",
    "abstract method": "class A(ABC):\n    @abstractmethod\n    def m(self): ...\n",
    "protocol": "class P(Protocol):\n    def m(self) -> int: ...\n",
    "base class": "class A:\n    def m(self):\n        raise NotImplementedError\n\nclass B(A):\n    def m(self):\n        return 1\n",
    "overload": "@overload\ndef f(x: int) -> int: ...\ndef f(x):\n    return x\n",
    "ellipsis as a value": "def f(x):\n    return x[..., 0]\n",
}
INCOMPLETE = {
    "pass": "def f(x):\n    pass\n",
    "docstring only": 'def f(x):\n    """Later."""\n',
    "ellipsis": 'def f(x):\n    """Later."""\n    ...\n',
    "not implemented": "def f(x):\n    raise NotImplementedError('later')\n",
    "ellipsis among statements": "def f(x):\n    y = x\n    ...\n    return y\n",
    "method": "class A:\n    def m(self):\n        pass\n",
    "helper": "def g(x):\n    return 1\n\nasync def f(x):\n    pass\n",
    "todo": "def f(x):\n    return 1  # TODO: the rest\n",
    "placeholder": "def f(x):\n    # Your code here\n    return 1\n",
}


@pytest.mark.parametrize("code", COMPLETE.values(), ids=COMPLETE)
def test_finished_code_is_complete(code):
    assert incomplete(code) == ""


@pytest.mark.parametrize("code", INCOMPLETE.values(), ids=INCOMPLETE)
def test_stubs_and_unfinished_code_are_incomplete(code):
    assert incomplete(code)


SECTIONS = Sections("Think.", "Here:\n```\ndef f(x):  # add\n    return x + 1\n```", "It adds.", "```py\nassert f(1) == 2  # two\n```")


def test_a_response_reads_like_an_answer():
    implementation = "Here:\n```python\ndef f(x):\n    return x + 1\n```"
    tests = "```python\nassert f(1) == 2\n```"
    assert vary_response(SECTIONS, True, True, True) == f"Think.\n\n{implementation}\n\nIt adds.\n\n{tests}"
    assert vary_response(SECTIONS, False, False, False) == implementation
    assert vary_response(SECTIONS, False, True, False) == f"{implementation}\n\nIt adds."


def test_other_languages_and_unclosed_fences_stay_as_they_are():
    text = "```bash\npip install x  # now\n```\n\n```python\nx = 1  # open"
    assert vary_response(Sections("", text, "", ""), False, False, False) == text


def test_one_to_five_assertions_are_appended_in_order():
    assertions = [f"assert f({i}) == {i}" for i in range(8)]
    counts = set()
    for seed in range(60):
        text = append_assertions("Do it.\n", assertions, random.Random(seed))
        chosen = [line for line in text.splitlines() if line.startswith("assert")]
        assert text.startswith("Do it.\n\n") and text.endswith("```")
        assert chosen == sorted(chosen)
        counts.add(len(chosen))
    assert counts == {1, 2, 3, 4, 5}
    assert append_assertions("Do it.", assertions[:1], random.Random(0)).count("assert f") == 1
    assert append_assertions("Do it.", [], random.Random(0)) == "Do it."
