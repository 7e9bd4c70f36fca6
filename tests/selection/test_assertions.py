import textwrap

import pytest

from selfalign.selection.assertions import bound_names, checks_implementation, defined_names, standalone_assertions


def code(text):
    return textwrap.dedent(text).strip() + "\n"


CALLED = {
    "top level": "assert f(1) == 2",
    "in a loop": "for x in [1, 2]:\n    assert f(x)",
    "in main": "if __name__ == '__main__':\n    assert f(1)",
    "called function": "def check():\n    assert f(1)\n\ncheck()",
    "called by a called one": "def inner():\n    assert f(1)\n\ndef outer():\n    inner()\n\nouter()",
    "test function without arguments": "def test_f():\n    assert f(1)",
    "test function with defaults": "def test_f(x=1):\n    assert f(x)",
    "method of a TestCase": "import unittest\n\nclass TestF(unittest.TestCase):\n    def test_f(self):\n        self.assertEqual(f(1), 2)",
    "helper of a TestCase": "class TestF(TestCase):\n    def test_f(self):\n        self.check(1)\n\n    def check(self, x):\n        assert f(x)",
    "method of a class that is used": "class Checks:\n    def run(self):\n        assert f(1)\n\nChecks().run()",
    "expected exception": "import pytest\nwith pytest.raises(ValueError):\n    f(0)",
    "try and else": "try:\n    f(0)\nexcept ValueError:\n    pass\nelse:\n    raise AssertionError",
    "passed on": "def check(x):\n    assert x\n\nlist(map(check, [f(1)]))",
    "mixed": "result = f(1)\nassert result == 2",
}
NOT_CALLED = {
    "no check": "print(f(1))",
    "nothing": "x = 1",
    "of a tuple": "assert (f(1), 'message')",
    "function that nothing calls": "def check():\n    assert f(1)",
    "test function with arguments": "def test_f(x):\n    assert f(x)",
    "if False": "if False:\n    assert f(1)",
    "while 0": "while 0:\n    assert f(1)",
    "something else": "assert len('a') == 1",
    "no call": "assert 1 == 1",
    "own function of that kind": "def g(x):\n    return x\n\nassert g(1)",
    "method of a class that nothing uses": "class Checks:\n    def run(self):\n        assert f(1)",
}


@pytest.mark.parametrize("tests", CALLED.values(), ids=CALLED)
def test_tests_that_check_the_implementation_and_run_are_accepted(tests):
    assert checks_implementation(tests, ["f"])


@pytest.mark.parametrize("tests", NOT_CALLED.values(), ids=NOT_CALLED)
def test_tests_that_do_not_check_it_or_do_not_run_are_not(tests):
    assert not checks_implementation(tests, ["f"])


def test_bound_names_hold_variables_too_but_no_imports():
    assert bound_names("import re\nf = lambda x: x\nif f:\n    g, h = 1, 2\ndef b():\n    c = 1\n") == ["b", "f", "g", "h"]


def test_defined_names_are_those_of_the_module():
    assert defined_names("import re\nx = 1\ndef b():\n    def c(): pass\nclass A:\n    def m(self): pass\nasync def d(): pass\n") == ["A", "b", "d"]


def test_standalone_assertions_name_builtins_and_the_implementation_only():
    tests = code("""
        import math
        from data import table

        assert f([1, 2]) == sorted([2, 1])  # a comment
        assert f("#") == len("x")
        assert math.isclose(f(1), 1)
        expected = 3
        assert f(3) == expected
        assert [f(x) for x in range(3)] == list(map(lambda y: y, [0, 1, 2]))
        assert f([1, 2]) == sorted([2, 1])
        assert 1 == 1
        for case in table:
            assert f(case)

        def test_more():
            assert f(
                9,
            ) == 3
            input = 1
            assert f(input)

        def never():
            assert f(99)
    """)
    assert standalone_assertions(tests, ["f"]) == [
        "assert f([1, 2]) == sorted([2, 1])",
        'assert f("#") == len("x")',
        "assert [f(x) for x in range(3)] == list(map(lambda y: y, [0, 1, 2]))",
        "assert f(\n    9,\n) == 3",
    ]


def test_an_assertion_that_may_not_run_or_should_fail_does_not_stand_alone():
    tests = code("""
        if f:
            assert f(1) == 1
        try:
            assert f(2) == 1
        except AssertionError:
            pass
        with raises(AssertionError):
            assert f(3) == 1
        for case in range(0):
            assert f(4) == 1

        if __name__ == "__main__":
            assert f(5) == 5
    """)
    assert standalone_assertions(tests, ["f"]) == ["assert f(5) == 5"]


def test_the_lines_of_a_string_in_an_assertion_stay_as_they_are():
    tests = 'def test_f():\n    assert f("""a\n    b""") == 1\n'
    assert standalone_assertions(tests, ["f"]) == ['assert f("""a\n    b""") == 1']
