"""From `extracted` to `functions`: static filters, the cheap ones first, the type checker on what is left."""

import ast
import json
import re
import subprocess
import sys
import tempfile
from collections import defaultdict
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Protocol

import pyarrow as pa

from selfalign.data.errors import SelfalignError
from selfalign.data.files import to_dropped, to_table
from selfalign.seeds.environment import Environment, environment_of
from selfalign.seeds.imports import imported_modules, infer_imports, names_used_as_modules
from selfalign.seeds.parse import FunctionNode, function_of
from selfalign.seeds.typecheck import Program, type_check

STEP = "filter_functions"
_RUFF_BATCH = 2_000  # files of one call


class Benchmarks(Protocol):
    """What tells whether texts contain a benchmark problem (selection/decontamination.py); the text of a hit names it."""

    def find(self, texts: Sequence[str]) -> Sequence[object | None]: ...

    def find_renamed(self, codes: Sequence[str]) -> Sequence[object | None]: ...


def filter_functions(
    functions: pa.Table,
    duplicates: dict[str, str],
    benchmarks: Benchmarks,
    cfg: dict,
    cache_dir: str | None,
    advance: Callable[..., None] = lambda n, **facts: None,
    python: str = "",
) -> tuple[pa.Table, pa.Table]:
    """(kept, dropped) of one shard of `extracted`.

    `duplicates` maps a near-duplicate's id to the row that stands for it; `cfg` is the config's `functions`, `python` the interpreter that
    runs the programs (`execution.python`). A kept row's `imports` are what it needs to run alone. The first reason that applies is the one
    recorded, in the order of `REASONS["filter_functions"]` but for forbidden_import, which comes again when the missing imports are known.
    `advance` is told when rows are decided.
    """
    environment = environment_of(python)
    rows = functions.to_pylist()
    reasons: dict[str, tuple[str, str]] = {}
    trees: dict[str, FunctionNode] = {}
    hits = benchmarks.find([row["content"] for row in rows])
    for row, hit in zip(rows, hits, strict=True):
        if row["id"] in duplicates:
            reasons[row["id"]] = ("near_duplicate", duplicates[row["id"]])
            continue
        tree = trees[row["id"]] = function_of(row["content"])
        if reason := static_reason(tree, row["content"], cfg):
            reasons[row["id"]] = reason
        elif hit is not None:
            reasons[row["id"]] = ("contaminated", str(hit))
    left = [row for row in rows if row["id"] not in reasons]
    renamed = benchmarks.find_renamed([row["content"] for row in left])
    reasons |= {row["id"]: ("contaminated", str(hit)) for row, hit in zip(left, renamed, strict=True) if hit is not None}
    left = [row for row in left if row["id"] not in reasons]
    undefined = undefined_names(left, environment.minor)
    reasons |= {row["id"]: ("type_check_failed", "ruff crashed on it") for row in left if row["id"] not in undefined}
    left = [row for row in left if row["id"] in undefined]
    programs = []
    for row in left:
        tree = trees[row["id"]]
        row["imports"], unknown = infer_imports(tree, undefined[row["id"]], row["imports"])
        modules = imported_modules(tree, row["imports"])
        if reason := import_reason(tree, modules, unknown, cfg["forbidden_imports"], environment):
            reasons[row["id"]] = reason
        else:
            programs.append(Program(row["id"], row["content"], tuple(row["imports"]), tuple(_top_level(modules))))
    advance(len(rows) - len(programs))
    if cfg["type_checker"] != "none":
        verdicts = type_check(programs, cfg["type_checker"], cfg["type_check_seconds"], cache_dir, environment, advance)
        reasons |= {row: verdict for row, verdict in verdicts.items() if verdict[0] != "ok"}
    else:
        advance(len(programs))
    kept = to_table((row for row in rows if row["id"] not in reasons), "functions")
    dropped = [{"id": row, "parent_id": row, "step": STEP, "reason": reason, "detail": detail} for row, (reason, detail) in reasons.items()]
    return kept, to_dropped(dropped)


def static_reason(tree: FunctionNode, content: str, cfg: dict) -> tuple[str, str] | None:
    """(reason, detail) for which a function is dropped by looking at it alone, or None."""
    if not returns_value(tree):
        return "no_return", ""
    arguments = tree.args
    if not (arguments.posonlyargs or arguments.args or arguments.vararg or arguments.kwonlyargs or arguments.kwarg):
        return "no_argument", ""
    if (lines := content.count("\n") + 1) > cfg["max_lines"]:
        return "too_long", f"{lines} lines"
    if word := forbidden_word(content, cfg["forbidden_words"]):
        return "forbidden_word", word
    if module := _forbidden(imported_modules(tree, ()), cfg["forbidden_imports"]):
        return "forbidden_import", module
    return None


def returns_value(tree: FunctionNode) -> bool:
    """Whether the function itself, not one defined inside it, has a `return` with a value other than a literal None."""
    return any(
        isinstance(node, ast.Return) and node.value is not None and not (isinstance(node.value, ast.Constant) and node.value.value is None)
        for node in _own_nodes(tree)
    )


def _own_nodes(tree: FunctionNode) -> Iterator[ast.AST]:
    stack: list[ast.AST] = list(tree.body)
    while stack:
        node = stack.pop()
        yield node
        if not isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef, ast.Lambda)):
            stack.extend(ast.iter_child_nodes(node))


def forbidden_word(content: str, words: Sequence[str]) -> str:
    """The first forbidden word in the content, or "".

    Words are whole and in any case: `TODO:` has "todo", `autodoc` has not, and neither has `todo_list`: an identifier is one word, since a
    mark of unfinished work stands alone, and a function about to-do lists is a fine function.
    """
    if not words:
        return ""
    match = re.search(rf"(?<!\w)({'|'.join(map(re.escape, words))})(?!\w)", content, re.IGNORECASE)
    return match.group(1).lower() if match else ""


def _forbidden(modules: Sequence[str], forbidden: Sequence[str]) -> str:
    """The first of `modules` that is forbidden or lies within a forbidden package, or ""."""
    return next((module for module in modules if any(module == name or module.startswith(f"{name}.") for name in forbidden)), "")


def _top_level(modules: Sequence[str]) -> list[str]:
    return sorted({module.partition(".")[0] for module in modules if not module.startswith(".")})


def import_reason(
    tree: ast.AST, modules: Sequence[str], unknown: Sequence[str], forbidden: Sequence[str], environment: Environment
) -> tuple[str, str] | None:
    """(reason, detail) for which a function is dropped once its missing imports are inferred, or None.

    A name that nothing imports but that is used as a forbidden module (`os.getcwd()`) counts as that module.
    """
    if module := _forbidden(modules, forbidden):
        return "forbidden_import", module
    if unknown:
        used_as_module = names_used_as_modules(tree)
        if module := _forbidden([name for name in unknown if name in used_as_module], forbidden):
            return "forbidden_import", module
        return "undefined_name", ", ".join(unknown)
    if relative := [module for module in modules if module.startswith(".")]:
        return "missing_import", relative[0]
    if missing := [module for module in _top_level(modules) if not environment.has(module)]:
        return "missing_import", missing[0]
    return None


def undefined_names(rows: Sequence[dict], version: str) -> dict[str, list[str]]:
    """The names that each function (id, content) uses and nothing defines, sorted, as ruff's rule F821 finds them for Python `version` (3.11).

    A batch that crashes ruff (an expression nested thousands deep overflows a stack) is halved and tried again; a function that does so alone has
    no entry. SelfalignError if ruff does not work at all.
    """
    found: dict[str, list[str]] = {}
    for start in range(0, len(rows), _RUFF_BATCH):
        found |= _names_of_batch(rows[start : start + _RUFF_BATCH], version)
    return found


def _names_of_batch(batch: Sequence[dict], version: str) -> dict[str, list[str]]:
    answer = _run_ruff(batch, version)
    if answer.returncode and len(batch) > 1:
        middle = len(batch) // 2
        return _names_of_batch(batch[:middle], version) | _names_of_batch(batch[middle:], version)
    if answer.returncode:
        if _run_ruff([], version).returncode:
            raise SelfalignError(f"ruff failed with exit code {answer.returncode}: {(answer.stderr.strip() or 'no message').splitlines()[0]}")
        return {}
    found: dict[str, set[str]] = defaultdict(set)
    for item in json.loads(answer.stdout):
        if item["code"] == "F821":
            found[Path(item["filename"]).stem.removeprefix("f")].update(re.findall(r"^Undefined name `(.+?)`", item["message"]))
    return {row["id"]: sorted(found[row["id"]]) for row in batch}


def _run_ruff(batch: Sequence[dict], version: str) -> subprocess.CompletedProcess[str]:
    with tempfile.TemporaryDirectory(prefix="names-") as folder:
        for row in batch:
            (Path(folder) / f"f{row['id']}.py").write_text(row["content"] + "\n", encoding="utf-8")
        options = ["--isolated", "--no-cache", "--no-respect-gitignore", "--ignore-noqa", "--exit-zero", "--output-format=json"]
        command = [sys.executable, "-m", "ruff", "check", *options, "--select=F821", f"--target-version=py{version.replace('.', '')}", folder]
        return subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)
