"""Benchmarks in HumanEval's format: HumanEval itself, the miniature one, or any other JSONL file of the kind.

Each line has task_id, prompt (imports, signature, docstring), entry_point, canonical_solution (the body) and test (a program that
defines `check(candidate)`); `group` is optional and only tells results apart.
"""

import gzip
import json
import os
from dataclasses import dataclass
from pathlib import Path

from selfalign.data.errors import InputError
from selfalign.data.ids import generator
from selfalign.training.template import STOP, render_prompt

FORMS = ("completion", "chat")

# A completion of the raw prompt ends at the first line that leaves the function: the list of the HumanEval paper
# (Chen et al. 2021, section 2.3: class, def, comment, if, print) and other ways to begin a statement, a document or a fence.
_OUTSIDE = (
    *("class ", "def ", "#", "if ", "print"),
    *("@", "assert ", "import ", "from ", "for ", "while ", "try:", "with ", "async ", "```", '"""', ">>>"),
)
STOPS: dict[str, tuple[str, ...]] = {
    "completion": tuple("\n" + start for start in _OUTSIDE),
    "chat": ("\n```", "\n" + STOP),
}


@dataclass(frozen=True)
class Problem:
    """One problem."""

    task_id: str
    prompt: str
    entry_point: str
    canonical_solution: str
    test: str
    group: str = ""


def load_problems(path: str | os.PathLike, limit: int = 0, seed: int = 0) -> list[Problem]:
    """The problems of a file (.jsonl or .jsonl.gz) in its order; `limit` of them, drawn by `seed`, if it is not 0."""
    problems = [_problem(path, number, line) for number, line in enumerate(_lines(path), 1) if line.strip()]
    if not problems:
        raise InputError(f"benchmark {path}: no problem in it")
    if len({problem.task_id for problem in problems}) < len(problems):
        raise InputError(f"benchmark {path}: a task_id occurs twice")
    if 0 < limit < len(problems):
        chosen = set(generator(seed, "benchmark", "limit").sample(sorted(problem.task_id for problem in problems), limit))
        problems = [problem for problem in problems if problem.task_id in chosen]
    return problems


def prompt_of(problem: Problem, form: str, bos: str) -> str:
    """What the model is given.

    completion: the problem's prompt. chat: the published request, with a response that begins with a Python fence and the prompt.
    White space at the end is left to the model: a BPE vocabulary joins the end of a line with the next one's indentation.
    """
    stem = problem.prompt.strip()
    if form == "completion":
        return stem
    request = f"Write a Python function to solve the given task:\n\n```python\n{stem}\n```"
    return render_prompt(request, bos, prefix=f"```python\n{stem}")


def solution_of(problem: Problem, completion: str) -> str:
    """The module that a completion of `prompt_of` makes."""
    return problem.prompt.strip() + completion.rstrip() + "\n"


def check_of(problem: Problem) -> str:
    """What runs after the module."""
    return f"{problem.test.rstrip()}\n\ncheck({problem.entry_point})\n"


def _lines(path: str | os.PathLike) -> list[str]:
    path = Path(path)
    if not path.is_file():
        raise InputError(f"benchmark {path}: no such file")
    try:
        data = gzip.decompress(path.read_bytes()) if path.suffix == ".gz" else path.read_bytes()
        return data.decode("utf-8").split("\n")
    except (OSError, EOFError, UnicodeDecodeError) as error:
        raise InputError(f"benchmark {path}: not readable ({error})") from error


def _problem(path: str | os.PathLike, number: int, line: str) -> Problem:
    try:
        row = json.loads(line)
    except json.JSONDecodeError as error:
        raise InputError(f"benchmark {path}: line {number} is not JSON ({error})") from error
    names = ("task_id", "prompt", "entry_point", "canonical_solution", "test")
    missing = [name for name in names if not isinstance(row, dict) or not isinstance(row.get(name), str)]
    if missing:
        raise InputError(f"benchmark {path}: line {number} has no text {', '.join(missing)}: not in HumanEval's format")
    return Problem(*(row[name] for name in names), group=str(row.get("group") or ""))
