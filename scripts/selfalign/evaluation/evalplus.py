"""HumanEval+, MBPP, MBPP+ and HumanEval with the data and the rules of EvalPlus 0.3.1 (Liu et al. 2023).

Each line has task_id, prompt, entry_point, canonical_solution, base_input, plus_input and atol; MBPP's have an assertion in the prompt, in
older files in `assertion`. A solution passes if it returns what the canonical solution returns: for the base benchmarks on base_input,
for the others on both. EvalPlus's limits: per input 1 second, or four times what the canonical solution takes; 60 seconds for each list of
inputs, 4 GB. Times are CPU times here, so that a busy machine changes no verdict.
"""

import marshal
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any, ClassVar

from selfalign.data.errors import InputError
from selfalign.evaluation.humaneval import FunctionTask
from selfalign.evaluation.rows import Row
from selfalign.evaluation.task import CHAT_STOPS, FENCE
from selfalign.execution import Program, Verdict
from selfalign.training.template import render_prompt

_INSIDE = Path(__file__).parent / "inside" / "evalplus.py"
_FORMAT = "EvalPlus's format (HumanEvalPlus.jsonl or MbppPlus.jsonl of its releases)"


@dataclass(frozen=True)
class EvalPlusTask(FunctionTask):
    """A HumanEval problem that is judged by comparison with its canonical solution."""

    reference: str  # a whole program
    parts: tuple[bytes, ...]  # marshalled lists of inputs
    atol: float
    mbpp: ClassVar[bool] = False
    limits: ClassVar[dict[str, Any]] = {"cpu_seconds": 120.0, "wall_seconds": 125.0, "memory_mb": 4096}

    def judge(self, solution: str) -> Program:
        task = {"solution": solution, "reference": self.reference, "entry": self.entry_point, "mbpp": self.mbpp, "atol": self.atol}
        packed = marshal.dumps({**task, "parts": self.parts}, 4).hex()
        # The solution is data of the program, which loads it itself, so that what it is compared with is out of its reach.
        tests = f'for out, exp, right in run("{packed}"):\n    same = out == exp\n    assert right(same)\n'
        return Program(self.task_id, _inside(), _imports(solution) + tests)

    def verdict(self, verdict: Verdict) -> Verdict:
        if verdict.detail.startswith("ReferenceFailed"):
            raise InputError(f"{self.task_id}: the benchmark's own solution fails; execution.python needs the packages that it imports")
        if verdict.verdict == "killed" and verdict.detail in ("SIGPROF", "SIGALRM"):
            return Verdict(verdict.id, "timeout", "too long on one input")
        if verdict.verdict == "assertion_failed":
            return Verdict(verdict.id, verdict.verdict, "another result than the canonical solution's")
        if verdict.verdict == "error":
            name = verdict.detail.split(" at ")[0]  # the line is one of the program that judges
            return Verdict(verdict.id, "syntax_error" if name in ("SyntaxError", "IndentationError", "TabError") else "error", name)
        return verdict


@dataclass(frozen=True)
class MbppTask(EvalPlusTask):
    """An MBPP problem: a text and one assertion."""

    mbpp: ClassVar[bool] = True
    statement: str
    assertion: str

    def prompt(self, form: str, bos: str) -> str:
        """completion: the problem's prompt, a docstring. chat: the published request, with a response that begins with a Python fence."""
        if form == "completion":
            return f'"""\n{self.statement}\n{self.assertion}\n"""'
        request = f"{self.statement}\n\nYour code should pass the following assertion:\n\n```python\n{self.assertion}\n```"
        return render_prompt(request, bos, prefix=FENCE)

    def stops(self, form: str) -> tuple[str, ...]:
        return CHAT_STOPS if form == "chat" else tuple("\n" + start for start in ("assert ", "print(", "if __name__", '"""', "'''", "```", ">>>"))

    def solution(self, form: str, completion: str) -> str:
        return completion.rstrip() + "\n"


@cache
def _inside() -> str:
    return _INSIDE.read_text(encoding="utf-8")


def _imports(solution: str) -> str:
    """A line that does nothing, but has a package loaded before the program starts."""
    return "if False:\n    import numpy\n" if "numpy" in solution else ""


def evalplus_task(mbpp: bool, plus: bool) -> Callable[[Row], EvalPlusTask]:
    """A function that makes the task of a row. plus: on the additional inputs too."""

    def task_of(row: Row) -> EvalPlusTask:
        task_id, prompt, entry_point, solution = row.texts("task_id", "prompt", "entry_point", "canonical_solution", kind=_FORMAT)
        lists: list[Any] = [row.values.get(name) for name in (("base_input", "plus_input") if plus else ("base_input",))]
        lists = [[] if inputs == {} else inputs for inputs in lists]  # so a problem without additional inputs has them
        atol = row.values.get("atol")
        if not all(isinstance(inputs, list) for inputs in lists) or not isinstance(atol, int | float):
            raise row.error(f"has no {'base_input, plus_input' if plus else 'base_input'} and atol: not in {_FORMAT}")
        try:
            parts = tuple(marshal.dumps(typed_inputs(task_id, inputs) if mbpp else inputs, 4) for inputs in lists)
        except (ValueError, TypeError, IndexError, AttributeError, KeyError) as error:
            raise row.error(f"has inputs that do not fit {task_id} ({error})") from error
        shared = (task_id, prompt, entry_point, prompt + solution, parts, float(atol))
        return MbppTask(*shared, *_statement(row, prompt)) if mbpp else EvalPlusTask(*shared)

    return task_of


def _statement(row: Row, prompt: str) -> tuple[str, str]:
    """(text, first assertion) of an MBPP prompt."""
    lines = prompt.strip().strip("\"'").strip().split("\n")
    text = [line for line in lines if not line.startswith("assert")]
    older = str(row.values.get("assertion") or "").strip().split("\n")
    assertions = [line for line in [*lines, *older] if line.startswith("assert")]
    if not assertions:
        raise row.error(f"has no assertion in its prompt: not in {_FORMAT}")
    return "\n".join(text).strip(), assertions[0].strip()


def _deep(value: Any) -> Any:
    return tuple(map(_deep, value)) if isinstance(value, list) else value


def _sets(value: list) -> list:
    return [set(item) if isinstance(item, list) and item else {} for item in value]


# JSON has no tuples, sets and complex numbers: how the arguments of some MBPP problems are read (evalplus/data/mbpp.py). Each function
# takes the list of arguments of one call.
_EACH: Callable[[list], list] = lambda inputs: [tuple(value) for value in inputs]  # noqa: E731
_INNER: Callable[[list], list] = lambda inputs: [[tuple(item) for item in value] for value in inputs]  # noqa: E731
_READERS: dict[tuple[int, ...], Callable[[list], Any]] = {
    (2, 116, 132, 143, 222, 261, 273, 394, 399, 421, 424, 429, 470, 560, 579, 596, 616, 630, 726, 740, 744, 809): _EACH,
    (63, 64, 70, 94, 120, 237, 272, 299, 400, 409, 417, 438, 473, 614, 780): _INNER,
    (75, 413, 444, 753): lambda inputs: [[tuple(item) for item in inputs[0]], inputs[1]],
    (106, 750): lambda inputs: [inputs[0], tuple(inputs[1])],
    (115,): lambda inputs: [_sets(inputs[0])],
    (124,): lambda inputs: (float(inputs[0]), complex(inputs[1])),
    (250, 405, 446, 617, 720, 763, 808): lambda inputs: [tuple(inputs[0]), inputs[1]],
    (259, 401, 445): lambda inputs: _EACH(_INNER(inputs)),
    (278,): lambda inputs: [tuple(tuple(item) if isinstance(item, list) else item for item in inputs[0])],
    (307,): lambda inputs: [tuple(inputs[0]), inputs[1], inputs[2]],
    (722,): lambda inputs: [{key: tuple(value) for key, value in inputs[0].items()}, *inputs[1:]],
    (252,): lambda inputs: [complex(inputs[0])],
    (580, 615, 791): _deep,
}
_READER_OF = {number: reader for numbers, reader in _READERS.items() for number in numbers}


def typed_inputs(task_id: str, inputs: list[list]) -> list:
    """The inputs of an MBPP problem with the types that its function takes."""
    number = task_id.rpartition("/")[2]
    reader = _READER_OF.get(int(number)) if number.isdigit() else None
    return [reader(arguments) for arguments in inputs] if reader else inputs
