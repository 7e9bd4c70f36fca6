import pytest

from selfalign.selection.decontamination import Decontamination, Problem
from selfalign.selection.shapes import shapes_of

CODE = """
def widest(rows, least=2):
    best = None
    for row in rows:
        if len(row) >= least and (best is None or len(row) > len(best)):
            best = row
    return [x for x in best or () if x]
"""
RENAMED = '''
@cached
def f(table: list[str], minimum: int = 2) -> list[str]:
    """Another docstring."""
    found = None  # none yet
    for line in table:
        if (len(line) >= minimum
                and (found is None or len(line) > len(found))):
            found = line
    return [item for item in found or () if item]
'''


def test_names_docstring_annotations_and_layout_do_not_change_the_shape():
    assert shapes_of(CODE) == shapes_of(RENAMED) != set()


@pytest.mark.parametrize("change", [(">=", ">"), ("=2", "=3"), ("len(best)", "len(row)"), ("if x", "if not x"), ("None", "0")])
def test_what_a_function_does_changes_it(change):
    changed = CODE.replace(*change)
    assert changed != CODE
    assert shapes_of(changed) != shapes_of(CODE)


def test_a_short_function_and_what_does_not_compile_have_none():
    assert shapes_of("def f(x):\n    return x + 1\n") == shapes_of("def f(:") == shapes_of("") == shapes_of("x = 1") == set()


def test_a_solution_under_other_names_is_found_and_named():
    index = Decontamination([[Problem("demo", "Demo/1", ("Find the widest.",), (CODE,))]], 10)
    assert index.find([RENAMED]) == [None]
    other = CODE.replace("len(row)", "sum(row)")
    assert [hit and str(hit) for hit in index.find_renamed([RENAMED, other])] == ["demo Demo/1 (its solution under other names)", None]


def test_a_solution_that_continues_its_prompt_is_found_too():
    head, body = CODE.split(":\n", 1)
    index = Decontamination([[Problem("demo", "Demo/1", (head + ":\n",), (body,))]], 10)
    assert index.find_renamed([RENAMED])[0].task == "Demo/1"


def test_a_shape_that_many_problems_share_is_generic():
    problems = [Problem("demo", str(number), (f"Task {number}.",), (CODE,)) for number in range(3)]
    assert Decontamination([problems], 10).find_renamed([RENAMED]) == [None]
    assert Decontamination([problems[:2]], 10).find_renamed([RENAMED])[0].task == "0"
