import dataclasses
import sys

import pytest

from selfalign.data.errors import ConfigError
from selfalign.seeds.checkers import CHECKERS
from selfalign.seeds.environment import environment_of
from selfalign.seeds.typecheck import FEW, Program
from selfalign.seeds.typecheck import type_check as type_check_with

# Answers like the checker, in no time: an error where a file says WRONG, a crash or an endless loop if one says so. Counts its calls.
CHECKER = """
import json, pathlib, sys
folder = pathlib.Path(sys.argv[sys.argv.index("--project") + 1])
with open({calls!r}, "a") as file:
    file.write("call\\n")
texts = {{str(path): path.read_text() for path in folder.glob("*.py")}}
if "CRASH" in "".join(texts.values()):
    sys.exit("out of memory")
while "LOOP" in "".join(texts.values()):
    pass
place = {{"start": {{"line": 1, "character": 4}}}}
blind = "BLIND" in "".join(texts.values())
wrong = [path for path, text in texts.items() if "WRONG" in text or "canary" in path and not blind]
errors = [{{"file": path, "severity": "error", "message": "wrong", "range": place}} for path in wrong]
print(json.dumps({{"generalDiagnostics": errors}}))
"""


def replace_start(monkeypatch, *start):
    monkeypatch.setitem(CHECKERS, "basedpyright", dataclasses.replace(CHECKERS["basedpyright"], start=start))


def type_check(programs, seconds, cache_dir):
    return type_check_with(programs, "basedpyright", seconds, cache_dir, environment_of())


@pytest.fixture
def checker(tmp_path, monkeypatch):
    """The calls so far, of a checker that can be made to fail."""
    calls = tmp_path / "calls"
    calls.touch()
    script = tmp_path / "checker.py"
    script.write_text(CHECKER.format(calls=str(calls)))
    replace_start(monkeypatch, sys.executable, str(script))
    return lambda: len(calls.read_text().splitlines())


def program(name, body="return x", imports=(), modules=()):
    return Program(name, f"def {name}(x: int):\n    {body}", imports, modules)


def test_a_crash_costs_the_one_that_causes_it(checker):
    programs = [program("a"), program("b", "return 'WRONG'"), program("c", "return 'CRASH'"), program("d")]
    verdicts = type_check(programs, 60, None)
    assert verdicts["a"] == verdicts["d"] == ("ok", "")
    assert verdicts["b"] == ("type_error", "line 2: syntax: wrong")
    assert verdicts["c"] == ("type_check_failed", "exit code 1: out of memory")


def test_a_checker_that_overlooks_its_files_passes_none_of_them(checker):
    verdicts = type_check([program("a"), program("b", "return 'BLIND'")], 60, None)
    assert verdicts == {"a": ("ok", ""), "b": ("type_check_failed", "the checker did not read its files")}


def test_too_much_cpu_time_costs_the_one_that_takes_it(checker):
    verdicts = type_check([program("a"), program("b", "return 'LOOP'")], 1, None)
    assert verdicts["a"] == ("ok", "")
    assert verdicts["b"] in (("type_check_failed", "over 1 s of CPU time"), ("type_check_failed", "no answer after 20 s"))  # on a very busy machine


def test_a_checker_that_never_works_is_an_error_not_a_verdict(tmp_path, monkeypatch):
    replace_start(monkeypatch, sys.executable, "-c", "raise SystemExit('no node')")
    with pytest.raises(ConfigError, match="basedpyright does not work here.*no node"):
        type_check([program("a"), program("b")], 60, str(tmp_path))


def test_verdicts_are_remembered_failures_are_not(checker, tmp_path):
    programs = [program("a"), program("b", "return 'WRONG'"), program("c", "return 'CRASH'")]
    first = type_check(programs, 60, str(tmp_path))
    calls = checker()
    assert type_check(programs[:2], 60, str(tmp_path)) == {name: first[name] for name in "ab"}
    assert checker() == calls
    assert type_check(programs, 60, str(tmp_path)) == first
    assert checker() > calls


def test_functions_that_import_the_same_package_are_checked_together(checker):
    """Reading a package is what costs, and memory: two of many functions have a call each, those of few functions one together."""
    packages = sorted(filter(environment_of().is_package, environment_of().installed))[:8]
    programs = [program(f"many{number}", modules=(packages[number % 2],)) for number in range(2 * FEW)]
    programs += [program(f"few{number}", modules=(packages[2 + number % 6],)) for number in range(12)]
    assert set(type_check(programs, 60, None).values()) == {("ok", "")}
    assert checker() == 3


def test_a_verdict_is_of_the_source_with_its_imports(checker, tmp_path):
    type_check([program("a", imports=("import re",), modules=("re",))], 60, str(tmp_path))
    calls = checker()
    type_check([program("a", imports=("import re", "import json"), modules=("json", "re"))], 60, str(tmp_path))
    assert checker() == calls + 1


def test_a_damaged_verdict_is_made_again(checker, tmp_path):
    first = type_check([program("a", "return 'WRONG'")], 60, str(tmp_path))
    [file] = tmp_path.glob("typecheck/*/*.segment")
    file.write_bytes(file.read_bytes()[:-3])
    assert type_check([program("a", "return 'WRONG'")], 60, str(tmp_path)) == first


def test_what_lies_in_the_working_folder_changes_no_verdict(tmp_path, monkeypatch):
    (tmp_path / "math.py").write_text("nothing = 1\n")
    (tmp_path / "pyrightconfig.json").write_text('{"typeCheckingMode": "off"}')
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    imported = program("a", "return x.real + math.nothing", ("import json", "import math"), ("json", "math"))
    bare = program("b", "return math.sqrt(x)")
    good = program("c", "return math.sqrt(x)", ("import math",), ("math",))
    stale = program("d", "return x + gone", ("from math import gone", "import json"), ("math", "json"))
    verdicts = type_check([imported, bare, good, stale], 120, None)
    # Lines are those of the function, not of the file that the checker saw.
    assert verdicts["a"][1].startswith("line 2: reportAttributeAccessIssue")
    assert verdicts["b"][1].startswith("line 2: reportUndefinedVariable")
    assert verdicts["c"] == ("ok", "")
    assert verdicts["d"][1].startswith("from math import gone: reportAttributeAccessIssue")


@pytest.mark.parametrize("name", ["ty", "pyrefly"])
def test_the_fast_checkers_judge_too(name, tmp_path):
    imported = program("a", "return x.real + math.nothing", ("import json", "import math"), ("json", "math"))
    wrong = Program("w", "def w(x: int) -> str:\n    return x", (), ())
    good = program("c", "return math.sqrt(x)", ("import math",), ("math",))
    package = program("d", "return np.sqrt(x)", ("import numpy as np",), ("numpy",))
    verdicts = type_check_with([imported, wrong, good, package], name, 120, str(tmp_path), environment_of())
    assert verdicts["a"][0] == "type_error" and verdicts["a"][1].startswith("line 2: ") and "nothing" in verdicts["a"][1]
    assert verdicts["w"][0] == "type_error"
    assert verdicts["c"] == verdicts["d"] == ("ok", "")
    assert type_check_with([good], name, 120, str(tmp_path), environment_of()) == {"c": ("ok", "")}


def test_each_checker_has_verdicts_of_its_own(checker, tmp_path):
    wrong = program("b", "return 'WRONG'")
    assert type_check([wrong], 60, str(tmp_path))["b"][0] == "type_error"
    assert type_check_with([wrong], "ty", 60, str(tmp_path), environment_of()) == {"b": ("ok", "")}
