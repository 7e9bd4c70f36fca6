import venv
from collections import Counter

import pytest

from selfalign.data.files import to_table
from selfalign.data.ids import content_id
from selfalign.seeds.filters import filter_functions, forbidden_word, returns_value, static_reason, undefined_names
from selfalign.seeds.parse import function_of

CFG = {
    "max_lines": 12,
    "forbidden_words": ["todo", "bug"],
    "forbidden_imports": ["os", "sys", "matplotlib"],
    "type_checker": "none",
    "type_check_seconds": 60,
}
ORIGIN = {"sha1": "", "path": "", "repository": "", "line": 1, "licence": "MIT", "source": "mine"}


class NoBenchmarks:
    def find(self, texts):
        return [None] * len(texts)

    find_renamed = find


class Benchmark(NoBenchmarks):
    """Holds one problem, which is its text."""

    def __init__(self, text):
        self.text = text

    def find(self, texts):
        return ["benchmark problem 7" if self.text in text else None for text in texts]


def table(*contents, imports=()):
    return to_table(
        ({**ORIGIN, "id": content_id(text), "content": text, "imports": list(imports)} for text in contents),
        "extracted",
    )


def decide(content, duplicates=None, benchmarks=None, cfg=CFG, imports=()):
    """(kept rows, (reason, detail) or None) of one function."""
    kept, dropped = filter_functions(table(content, imports=imports), duplicates or {}, benchmarks or NoBenchmarks(), cfg, None)
    assert kept.num_rows + dropped.num_rows == 1
    rows = dropped.to_pylist()
    return kept.to_pylist(), (rows[0]["reason"], rows[0]["detail"]) if rows else None


@pytest.mark.parametrize(
    ("body", "expected"),
    [
        ("return x", True),
        ("return not None", True),
        ("if x:\n        return 0", True),
        ("return", False),
        ("return None", False),
        ("yield x", False),
        ("def inner():\n        return 1\n    inner()", False),
        ("f = lambda: x", False),
        ("class A:\n        def m(self):\n            return 1", False),
        ("for y in x:\n        with y:\n            return y", True),
    ],
)
def test_a_value_must_be_returned_by_the_function_itself(body, expected):
    assert returns_value(function_of(f"def f(x):\n    {body}\n")) is expected


@pytest.mark.parametrize(
    ("text", "word"),
    [
        ("# TODO: later", "todo"),
        ("# (todo)", "todo"),
        ("a Bug.", "bug"),
        ("autodoc and debug", ""),
        ("todo_list = todos", ""),
        ("debugger", ""),
    ],
)
def test_forbidden_words_are_whole_words_in_any_case(text, word):
    assert forbidden_word(text, ["todo", "fixme", "bug"]) == word
    assert forbidden_word(text, []) == ""


@pytest.mark.parametrize(
    ("code", "reason"),
    [
        ("def f():\n    return 1", "no_argument"),
        ("def f(*xs):\n    return 1", None),
        ("def f(*, x=1):\n    return 1", None),
        ("def f(x, /):\n    return 1", None),
        ("def f(x):\n" + "    x += 1\n" * 10 + "    return x", None),
        ("def f(x):\n" + "    x += 1\n" * 11 + "    return x", "too_long"),
        ("def f(x):\n    import os.path\n    return x", "forbidden_import"),
        ("def f(x):\n    from sys import exit\n    return x", "forbidden_import"),
        ("def f(x):\n    from system import exit\n    return x", None),
        ("def f(x):\n    return 'import os'", None),
        ("def f(os):\n    return os.path", None),
    ],
)
def test_static_filters_look_at_the_syntax_tree(code, reason):
    found = static_reason(function_of(code), code, CFG)
    assert (found and found[0]) == reason


def test_a_forbidden_module_is_found_however_it_would_be_imported():
    assert decide("def f(x):\n    return os.getcwd() + x")[1] == ("forbidden_import", "os")
    assert decide("def f(x):\n    return join(x)", imports=["from os.path import join"])[1] == ("forbidden_import", "os.path")
    assert decide("def f(x):\n    return plt.plot(x)")[1] == ("forbidden_import", "matplotlib.pyplot")
    assert decide("def f(x):\n    return posix(x)", imports=["import os as posix"])[1] == ("forbidden_import", "os")


def test_a_kept_function_has_the_imports_it_needs_and_no_others():
    kept, _ = decide("def f(x):\n    return re.sub('a', 'b', x)", imports=["import json", "import re"])
    assert kept[0]["imports"] == ["import re"]


def test_names_and_modules_that_are_not_there_are_named():
    assert decide("def f(x):\n    return helper(x) + other")[1] == ("undefined_name", "helper, other")
    assert decide("def f(x):\n    import nosuchmodule.sub\n    return x")[1] == ("missing_import", "nosuchmodule")
    assert decide("def f(x):\n    return tool(x)", imports=["from nosuchmodule import tool"])[1] == ("missing_import", "nosuchmodule")
    assert decide("def f(x):\n    from . import sibling\n    return sibling(x)")[1] == ("missing_import", ".")


def test_the_environment_of_the_programs_decides_what_can_be_imported(tmp_path):
    venv.create(tmp_path, symlinks=True)
    code = "def f(x):\n    import numpy\n    return x"
    assert decide(code)[1] is None
    _, dropped = filter_functions(table(code), {}, NoBenchmarks(), CFG, None, python=str(tmp_path / "bin/python"))
    assert [(row["reason"], row["detail"]) for row in dropped.to_pylist()] == [("missing_import", "numpy")]


def test_near_duplicates_and_benchmark_problems_go_and_name_what_they_are():
    code = "def f(x):\n    return x + 41"
    assert decide(code, duplicates={content_id(code): "0123"})[1] == ("near_duplicate", "0123")
    assert decide(code, benchmarks=Benchmark("x + 41"))[1] == ("contaminated", "benchmark problem 7")


def test_undefined_names_see_comprehensions_decorators_and_string_annotations():
    rows = table("@cached\ndef f(x: 'Thing') -> int:\n    return [y + z for y in x if (w := y)] and w and len(x) # noqa").to_pylist()
    assert undefined_names(rows, "3.11") == {rows[0]["id"]: ["Thing", "cached", "z"]}


def test_a_function_that_crashes_ruff_costs_no_other_one():
    deep = [{"id": f"{number}", "content": f"def f(x):\n    return {'not ' * number}y"} for number in (3_000, 300_000)]
    rows = [{"id": "a", "content": "def f(x):\n    return z"}, *deep, {"id": "b", "content": "def f(x):\n    return x"}]
    assert undefined_names(rows, "3.11") == {"a": ["z"], "3000": ["y"], "b": []}


def test_the_type_checker_judges_each_function_alone_and_names_the_line(tmp_path):
    good = 'def f(x: str) -> list[str]:\n    """Words."""\n    return re.findall("a", x)'
    wrong = "def g(x: int) -> int:\n    y = x\n    return y.upper()"
    other = "def f(x):\n    return x"  # the same name as the first: each is alone
    kept, dropped = filter_functions(table(good, wrong, other), {}, NoBenchmarks(), {**CFG, "type_checker": "basedpyright"}, str(tmp_path))
    assert {row["content"] for row in kept.to_pylist()} == {good, other}
    [row] = dropped.to_pylist()
    assert (row["id"], row["reason"]) == (content_id(wrong), "type_error")
    assert row["detail"].startswith("line 3: reportAttributeAccessIssue")


def test_every_row_is_kept_or_dropped_once():
    codes = [f"def f{i}({'x' if i % 2 else ''}):\n    return {'x' if i % 3 else 'nowhere'}" for i in range(1, 30)]
    kept, dropped = filter_functions(table(*codes), {}, NoBenchmarks(), CFG, None)
    seen = Counter(kept["id"].to_pylist()) + Counter(dropped["id"].to_pylist())
    assert seen == Counter(content_id(code) for code in codes)
