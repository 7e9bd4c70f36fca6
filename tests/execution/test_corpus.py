"""Programs with known verdicts: corpus/*.txt, run as one batch per kind of sandbox."""

import importlib.util
import re
from pathlib import Path

import pytest

from selfalign.execution import Program, execute
from selfalign.execution.sandbox import try_sandbox

CORPUS = Path(__file__).parent / "corpus"
LIMITS = {"cpu_seconds": 1.5, "wall_seconds": 8, "memory_mb": 512, "output_kb": 2000, "negative_control": True, "workers": 3, "python": ""}
_PROGRAM = re.compile(r"^=== ([^\n]*): (\w+)\n(.*?)^---\n(.*?)(?=^=== |\Z)", re.MULTILINE | re.DOTALL)


def corpus() -> dict[str, tuple[str, str, str]]:
    """Name to (verdict, implementation, tests)."""
    found = {}
    for path in sorted(CORPUS.glob("*.txt")):
        if path.stem == "sklearn" and not importlib.util.find_spec("sklearn"):
            continue  # part of envs/execution.txt only
        for name, verdict, code, tests in _PROGRAM.findall(path.read_text(encoding="utf-8")):
            found[f"{path.stem}: {name}"] = (verdict, code, tests)
    return found


PROGRAMS = corpus()


# What this machine has; where it has nothing, the tests fail.
KINDS = [kind for kind in ("bubblewrap", "namespaces") if not try_sandbox(kind)] or ["auto"]


@pytest.fixture(scope="module", params=KINDS)
def verdicts(request):
    """All verdicts of one kind of sandbox."""
    programs = [Program(name, code, tests) for name, (_, code, tests) in PROGRAMS.items()]
    return {verdict.id: verdict for verdict in execute(programs, {**LIMITS, "sandbox": request.param})}


@pytest.mark.parametrize("name", PROGRAMS)
def test_verdict(verdicts, name):
    assert (verdicts[name].verdict, verdicts[name].detail) == (PROGRAMS[name][0], verdicts[name].detail)


def test_corpus_is_large():
    assert len(PROGRAMS) >= 100
