"""Do the passing responses of an instruction agree? Each one's code runs against the tests of the others.

A response's own tests show that it does what its author took the instruction to mean. Responses of several samples that pass each other's tests
took it to mean the same (the idea of CodeT, Chen et al. 2022, with whole test blocks in place of single assertions).

Only responses with the same public functions and classes, with the same numbers of arguments, are compared: tests call by name. A response agrees
if it passes the tests of at least half of those that it is compared with. If some were compared and none agrees, they contradict each other.
"""

import ast
from collections import defaultdict
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from selfalign.execution.programs import Program, Verdict, program_of
from selfalign.selection.assertions import parse

AGREEMENT = 0.5  # share of the other responses' tests that a response must pass
Execute = Callable[[Sequence[Program]], list[Verdict]]


@dataclass(frozen=True)
class Agreement:
    """Of one response: how many other responses' tests its code was run against, and how many of them it passed."""

    compared: int
    passed: int

    @property
    def agrees(self) -> bool:
        return self.compared > 0 and self.passed >= AGREEMENT * self.compared


def interface(code: str) -> tuple[tuple[str, tuple[int, ...]], ...]:
    """What tests can call: public top-level functions and the public methods of classes, by name, with their numbers of arguments."""
    found = []
    for node in parse(code).body:
        if isinstance(node, ast.ClassDef) and not node.name.startswith("_"):
            functions = [item for item in node.body if isinstance(item, (ast.FunctionDef, ast.AsyncFunctionDef))]
            methods = [item for item in functions if not item.name.startswith("_") or item.name == "__init__"]
            found.append((node.name, ()))
            found += [(f"{node.name}.{method.name}", _arguments(method)) for method in methods]
        elif isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef)) and not node.name.startswith("_"):
            found.append((node.name, _arguments(node)))
    return tuple(sorted(found))


def _arguments(function: ast.FunctionDef | ast.AsyncFunctionDef) -> tuple[int, ...]:
    """Numbers of positional and of keyword-only arguments, and whether there are *args and **kwargs."""
    arguments = function.args
    positional = len(arguments.posonlyargs) + len(arguments.args)
    return positional, len(arguments.kwonlyargs), int(arguments.vararg is not None), int(arguments.kwarg is not None)


def agreements(rows: Sequence[dict], execute: Execute) -> dict[str, Agreement]:
    """The agreement of each row (id, instruction_id, response), all of them passing and well-formed, by id.

    A run that the sandbox could not judge (`infrastructure`) counts as no comparison. The same code passes the same tests without a run.
    """
    groups = defaultdict(list)
    for row in rows:
        program = program_of(row["id"], row["response"])
        if isinstance(program, Program) and (names := interface(program.code)):
            groups[row["instruction_id"], names].append(program)
    known, runs = [], {}
    for group in groups.values():
        for one in group:
            for other in group:
                if one is other:
                    continue
                if one.code == other.code:
                    known.append((one.id, True))
                else:
                    runs.setdefault((one.code, other.tests), []).append(one.id)
    programs = [Program(str(number), code, tests) for number, (code, tests) in enumerate(runs)]
    for verdict, ids in zip(execute(programs), runs.values(), strict=True):
        if verdict.verdict != "infrastructure":
            known += [(row, verdict.verdict == "passed") for row in ids]
    compared, passed = defaultdict(int), defaultdict(int)
    for row, success in known:
        compared[row] += 1
        passed[row] += success
    return {row["id"]: Agreement(compared[row["id"]], passed[row["id"]]) for row in rows}


def best(rows: Sequence[dict], agreement: dict[str, Agreement]) -> list[dict]:
    """Of one instruction's responses those that pass the most of the others' tests, among those that agree; all where nothing could be
    compared; none where they contradict each other.
    """
    if not any(agreement[row["id"]].compared for row in rows):
        return list(rows)
    agreeing = [row for row in rows if agreement[row["id"]].agrees]
    most = max((agreement[row["id"]].passed for row in agreeing), default=0)
    return [row for row in agreeing if agreement[row["id"]].passed == most]
