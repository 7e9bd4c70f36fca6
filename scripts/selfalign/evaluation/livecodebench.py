"""LiveCodeBench (Jain et al. 2024): code generation, self-repair, test output prediction, code execution.

Files are read as they are on the hub: code_generation_lite (test.jsonl, test2.jsonl, ...), test_generation and execution-v2. The config's
`release`, `from` and `to` choose among the problems. A task_id is the question_id, for the last two scenarios with the number of the test.
"""

import ast
import base64
import binascii
import io
import json
import pickle
import pickletools
import re
import zlib
from collections.abc import Iterable
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any, ClassVar

from selfalign.data.errors import InputError
from selfalign.evaluation.rows import Row
from selfalign.evaluation.task import CHAT_STOPS, FENCE, Task
from selfalign.execution import Program, Verdict
from selfalign.training.template import render_prompt

_INSIDE = Path(__file__).parent / "inside" / "livecodebench.py"
SECONDS = 6.0  # CPU time per test, as in LiveCodeBench
_ANSWER_END = re.compile(r"```|\[/ANSWER\]")  # in completions made elsewhere, which may run on
_MOST_BYTES = 1 << 30  # of a problem's private tests; more is no benchmark but a bomb
_VERDICT_OF = {"TimeLimit": "timeout", "MemoryError": "memory", **dict.fromkeys(("SyntaxError", "IndentationError", "TabError"), "syntax_error")}
# What a solution finds imported: contest answers leave it out.
_STARS = (
    *("builtins", "typing", "collections", "math", "itertools", "functools", "heapq", "bisect", "string", "operator", "random", "copy", "re"),
    *("datetime", "statistics", "io", "json"),
)
_HEAD = "\n".join([*(f"from {name} import *" for name in _STARS), *(f"import {name}" for name in [*_STARS[2:], "sys", "os"])])


@dataclass(frozen=True)
class CodeTask(Task):
    """A contest problem: a program that reads and prints, or a method of a class Solution."""

    statement: str
    starter: str  # "" for a program that reads and prints
    function: str
    public: tuple[tuple[str, str], ...]  # (input, output)
    private: str  # as in the file: they are decoded when an answer is judged
    limits: ClassVar[dict[str, Any]] = {"cpu_seconds": 120.0, "wall_seconds": 300.0, "memory_mb": 4096}

    def prompt(self, form: str, bos: str) -> str:
        if self.starter:
            how = "Complete this class. Its method is called with the arguments that the problem describes."
            how += f"\n\n```python\n{self.starter.rstrip()}\n```"
        else:
            how = "Write a Python program. It reads its input from standard input and prints the answer to standard output, and nothing else."
        request = f"Solve this programming problem.\n\n{self.statement.strip()}\n\n{how}"
        if form == "completion":
            return f'"""\n{request}\n"""'
        return render_prompt(request, bos, prefix=FENCE)

    def stops(self, form: str) -> tuple[str, ...]:
        return CHAT_STOPS if form == "chat" else ('\n"""', "\n```")

    def solution(self, form: str, completion: str) -> str:
        return completion.rstrip() + "\n"

    def judge(self, solution: str) -> Program:
        return self._program(solution, tell=False)

    def telling(self, solution: str) -> Program:
        """The program that says in the name of an exception which test fails and how."""
        return self._program(solution, tell=True)

    def tests(self) -> list[tuple[str, str]]:
        """(input, output) of every test, the public ones first."""
        try:
            return [*self.public, *_pairs(decode_tests(self.private), self.task_id)]
        except ValueError as error:
            raise InputError(f"benchmark: the private tests of {self.task_id} cannot be read: {error}") from error

    def verdict(self, verdict: Verdict) -> Verdict:
        if verdict.verdict == "assertion_failed":
            return Verdict(verdict.id, verdict.verdict, "wrong answer")
        if verdict.verdict == "error":
            name = verdict.detail.split(" at tests")[0]
            kind = _VERDICT_OF.get(name, "error")
            return Verdict(verdict.id, kind, f"more than {SECONDS:g} s on one test" if kind == "timeout" else name)
        return verdict

    def _program(self, solution: str, tell: bool) -> Program:
        head = [*(line for line in solution.split("\n") if line.startswith("from __future__")), _HEAD]
        task = {"solution": solution, "head": "\n".join(head), "function": self.function, "seconds": SECONDS, "tell": tell, "tests": self.tests()}
        packed = base64.b64encode(zlib.compress(json.dumps(task).encode(), 1)).decode()
        return Program(self.task_id, "pass\n", f'{_inside()}\nrun("{packed}")\n')


@dataclass(frozen=True)
class RepairTask(CodeTask):
    """The same problem, with a second answer where the first one failed."""

    def repair_prompt(self, bos: str, answer: str, told: Verdict) -> str:
        """The request for a better answer. told: what `telling` came to."""
        request = f"Solve this programming problem.\n\n{self.statement.strip()}\n\nThis answer is wrong:\n\n```python\n{answer.strip()}\n```\n\n"
        return render_prompt(f"{request}{self._what(told)}\n\nWrite the whole program again, with the mistake repaired.", bos, prefix=FENCE)

    def _what(self, told: Verdict) -> str:
        """What went wrong, in words: the kind of error, and with a test that fails its input and output."""
        number, _, rest = told.detail.split(" at tests")[0].partition(" ")
        if not number.isdigit():
            return f"It does not run: {told.detail or told.verdict}."
        text, expected = (_short(part) for part in self.tests()[int(number)])
        kind, _, found = rest.partition(" ")
        if kind == "WrongAnswer":
            return f"For the input\n\n{text}\n\nit gives\n\n{found or 'nothing'}\n\nwhere this is right:\n\n{expected}"
        if kind in ("SyntaxError", "IndentationError", "TabError"):
            return f"It does not compile: {kind}."
        if kind == "TimeLimit":
            return f"It takes too long for the input\n\n{text}"
        return f"It ends with {kind} for the input\n\n{text}"


@dataclass(frozen=True)
class OutputTask(Task):
    """Test output prediction: the value of a call, from the problem's statement."""

    statement: str
    starter: str
    call: str
    expected: str

    def prompt(self, form: str, bos: str) -> str:
        request = (
            f"Here is a programming problem.\n\n{self.statement.strip()}\n\n```python\n{self.starter.rstrip()}\n```\n\n"
            f"Complete this assertion with the value that a correct solution returns:\n\n```python\nassert {self.call} == ???\n```"
        )
        begun = f"assert {self.call} =="
        return f'"""\n{request}\n"""\n{begun}' if form == "completion" else render_prompt(request, bos, prefix=FENCE + begun)

    def stops(self, form: str) -> tuple[str, ...]:
        return ("\n",)

    def solution(self, form: str, completion: str) -> str:
        return _ANSWER_END.split(completion)[0].strip()

    def judge(self, solution: str) -> Verdict:
        """Both values as Python literals; a solution may be the whole assertion."""
        try:
            found = ast.literal_eval(_right_side(solution))
        except (ValueError, SyntaxError, TypeError, RecursionError, MemoryError):
            return Verdict(self.task_id, "syntax_error", "not a Python literal")
        if found == _literal(self.expected):
            return Verdict(self.task_id, "passed", "")
        return Verdict(self.task_id, "assertion_failed", "another value")


@dataclass(frozen=True)
class ExecutionTask(Task):
    """Code execution: the value of a call of given code."""

    code: str
    call: str
    expected: str

    def prompt(self, form: str, bos: str) -> str:
        request = (
            "Here is a Python function and an assertion about it that lacks a value.\n\n"
            f"```python\n{self.code.strip()}\n\nassert {self.call} == ???\n```\n\n"
            "Follow the execution of the call and complete the assertion with the literal value that the call returns."
        )
        begun = f"assert {self.call} =="
        return f"{self.code.strip()}\n\n{begun}" if form == "completion" else render_prompt(request, bos, prefix=FENCE + begun)

    def stops(self, form: str) -> tuple[str, ...]:
        return ("\n",)

    def solution(self, form: str, completion: str) -> str:
        return _ANSWER_END.split(completion)[0].strip()

    def judge(self, solution: str) -> Program | Verdict:
        """`output == prediction` must hold in the presence of the code; a prediction that repeats the call is wrong."""
        value = _right_side(solution)
        try:
            parts = {ast.unparse(node) for node in ast.walk(ast.parse(value.strip(), mode="eval"))}
            call = ast.unparse(ast.parse(self.call.strip(), mode="eval"))
        except (SyntaxError, ValueError, RecursionError, MemoryError):
            return Verdict(self.task_id, "syntax_error", "not a Python expression")
        if call in parts or self.call.strip() in value:
            return Verdict(self.task_id, "assertion_failed", "repeats the call")
        code = f"{_HEAD}\n{self.code.rstrip()}\n\nprediction = (\n{value.strip()}\n)\n"
        return Program(self.task_id, code, f"assert ({self.expected}) == prediction\n")


def generation_tasks(rows: Iterable[Row], benchmark: dict) -> list[Task]:
    """Code generation."""
    return [_code_task(CodeTask, row) for row in rows if _within(row, benchmark)]


def repair_tasks(rows: Iterable[Row], benchmark: dict) -> list[Task]:
    """Self-repair."""
    return [_code_task(RepairTask, row) for row in rows if _within(row, benchmark)]


def output_tasks(rows: Iterable[Row], benchmark: dict) -> list[Task]:
    """Test output prediction."""
    tasks: list[Task] = []
    for row in rows:
        if not _within(row, benchmark):
            continue
        kind = "LiveCodeBench's test_generation"
        statement, question, starter, function = row.texts("question_content", "question_id", "starter_code", "function_name", kind=kind)
        (text, expected), *_ = _pairs(row.parsed("test"), question) or [("", "")]
        call = f"{function}({', '.join(line.strip() for line in text.split(chr(10)) if line.strip())})"
        tasks.append(OutputTask(f"{question}/{row.values.get('test_id', 0)}", statement, starter, call, expected, group=_difficulty(row)))
    return tasks


def execution_tasks(rows: Iterable[Row], benchmark: dict) -> list[Task]:
    """Code execution. `id` names the problem and its sample."""
    tasks: list[Task] = []
    for row in rows:
        if _within(row, benchmark):
            code, call, expected, name = row.texts("code", "input", "output", "id", kind="LiveCodeBench's execution-v2")
            tasks.append(ExecutionTask(name, code, call, expected, group=_difficulty(row)))
    return tasks


def decode_tests(text: str) -> list[dict[str, str]]:
    """A problem's tests: a JSON list, or base64 of zlib of a pickle of that JSON text.

    Of the pickle nothing is executed: it must hold one text and no instruction that does more than that. ValueError otherwise.
    """
    try:
        return json.loads(text)
    except ValueError:
        pass
    try:
        unpack = zlib.decompressobj()
        data = unpack.decompress(base64.b64decode(text, validate=True), _MOST_BYTES)
    except (binascii.Error, zlib.error) as error:
        raise ValueError(f"neither JSON nor base64 of zlib ({error})") from error
    if not unpack.eof:
        raise ValueError(f"private tests of more than {_MOST_BYTES >> 20} MB, or cut short")
    allowed = {"PROTO", "FRAME", "SHORT_BINUNICODE", "BINUNICODE", "BINUNICODE8", "UNICODE", "MEMOIZE", "BINPUT", "LONG_BINPUT", "PUT", "STOP"}
    try:
        names = {operation.name for operation, _, _ in pickletools.genops(data)}
        if others := names - allowed:
            raise ValueError(f"a pickle with more than a text in it ({', '.join(sorted(others))})")
        decoded = _TextOnly(io.BytesIO(data)).load()
    except (pickle.UnpicklingError, EOFError, IndexError) as error:
        raise ValueError(f"a broken pickle ({error})") from error
    return json.loads(decoded)


class _TextOnly(pickle.Unpickler):
    """Refuses every name: a pickle of a text asks for none."""

    def find_class(self, module: str, name: str) -> Any:
        raise pickle.UnpicklingError(f"it asks for {module}.{name}")

    def persistent_load(self, pid: Any) -> Any:
        raise pickle.UnpicklingError("it asks for something outside")


@cache
def _inside() -> str:
    return _INSIDE.read_text(encoding="utf-8")


def _code_task(kind: type[CodeTask], row: Row) -> CodeTask:
    names = ("question_id", "question_content", "starter_code", "private_test_cases")
    question, statement, starter, private = row.texts(*names, kind="LiveCodeBench's code_generation_lite")
    function = str(row.parsed("metadata").get("func_name") or "") if starter.strip() else ""
    if starter.strip() and not function:
        raise row.error("has a starter_code and no func_name in its metadata: not in LiveCodeBench's code_generation_lite")
    # LiveCodeBench names a method by its class at times.
    public = tuple(_pairs(row.parsed("public_test_cases"), question))
    return kind(question, statement, starter, function.rpartition(".")[2], public, private, group=_difficulty(row))


def _pairs(tests: Any, name: str) -> list[tuple[str, str]]:
    try:
        return [(str(test["input"]), str(test["output"])) for test in tests]
    except (TypeError, KeyError) as error:
        raise InputError(f"benchmark: the tests of {name} are no list of input and output") from error


def _difficulty(row: Row) -> str:
    return str(row.values.get("difficulty") or "")


def _within(row: Row, benchmark: dict) -> bool:
    """Is the problem's contest in the config's window? Dates are ISO texts; of a time only the day counts."""
    day = str(row.values.get("contest_date") or "")[:10]
    if not day and (benchmark["from"] or benchmark["to"]):
        raise row.error("has no contest_date; leave out from and to")
    return (not benchmark["from"] or day >= benchmark["from"]) and (not benchmark["to"] or day <= benchmark["to"])


def _right_side(text: str) -> str:
    """The value in `assert call == value`, or the text itself."""
    lines = [line for line in text.strip().split("\n") if line.strip().startswith("assert")]
    if not lines:
        return text.strip()
    try:
        statement = ast.parse(lines[0].strip()).body[0]
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        return text
    if isinstance(statement, ast.Assert) and isinstance(statement.test, ast.Compare):
        return ast.unparse(statement.test.comparators[-1])
    return text


def _literal(text: str) -> Any:
    """An expected value: JSON, else a Python literal, else the text."""
    for read in (json.loads, ast.literal_eval):
        try:
            return read(text)
        except (ValueError, SyntaxError):
            continue
    return text


def _short(text: str, most: int = 400) -> str:
    return text if len(text) <= most else f"{text[:most]}..."
