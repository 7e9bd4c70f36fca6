"""Fingerprints of the modules that a script imports: a rule reruns when the code behind it changes, and only then.

The hash is of the syntax tree without docstrings: comments, docstrings, formatting, touch and checkout do not change it.
"""

import ast
import hashlib
import re
from collections.abc import Collection
from functools import cache
from pathlib import Path

LIBRARY = Path(__file__).resolve().parents[1]
PACKAGE = LIBRARY.name
_LENGTH = 12
# Files, or folders of them, that a module does not import but runs as programs of their own or reads.
_FILES_OF = {
    "selfalign.execution.sandbox": "execution/inside",
    "selfalign.evaluation.kinds": "evaluation/inside",
    "selfalign.training.card": "training/card.md",
    "selfalign.report.render": "report/page",
}
_C_TEXT_OR_SPACE = re.compile(r'"(?:\\.|[^"\\])*"|\'(?:\\.|[^\'\\])*\'|(?:\s|//[^\n]*|/\*.*?\*/)+', re.DOTALL)


def source_hashes(script: Path, without: Collection[str] = ()) -> dict[str, str]:
    """Name to hash, sorted by name, of `script` and of every module of this library that it imports, at any depth.

    Imports inside functions count too. Packages' empty __init__ files are left out, and the modules named by `without` with what only they import.
    """
    modules: set[str] = set()
    waiting = set(_imported(_tree(script), "")) - set(without)
    while waiting:
        module = waiting.pop()
        modules.add(module)
        tree = _tree(_file(module))
        waiting |= _imported(tree, _package(module)) - modules - set(without)
    hashes = {module: _hash(_tree(_file(module))) for module in sorted(modules) if _tree(_file(module)).body}
    files = [path for module, name in _FILES_OF.items() if module in modules for path in _files(LIBRARY / name)]
    others = {str(path.relative_to(LIBRARY)): _file_hash(path) for path in files}
    return {script.name: _hash(_tree(script)), **hashes, **others}


def _files(path: Path) -> list[Path]:
    return sorted(file for file in path.iterdir() if file.is_file()) if path.is_dir() else [path]


def _file_hash(path: Path) -> str:
    if path.suffix == ".py":
        return _hash(_tree(path))
    text = path.read_text(encoding="utf-8")
    if path.suffix in (".c", ".h"):  # comments and spaces count for nothing
        text = _C_TEXT_OR_SPACE.sub(lambda match: match[0] if match[0][0] in "\"'" else "\n" if "\n" in match[0] else " ", text)
    return hashlib.sha256(text.encode()).hexdigest()[:_LENGTH]


def _file(module: str) -> Path | None:
    """The file of a module of the library, None if there is no such module."""
    base = LIBRARY.parent.joinpath(*module.split("."))
    for path in (base.with_suffix(".py"), base / "__init__.py"):
        if path.is_file():
            return path
    return None


def _package(module: str) -> str:
    file = _file(module)
    return module if file is not None and file.name == "__init__.py" else module.rpartition(".")[0]


@cache
def _tree(path: Path) -> ast.Module:
    """The syntax tree of a file, without docstrings."""
    return _parsed(path.read_text(encoding="utf-8"), str(path))


@cache
def _parsed(text: str, name: str) -> ast.Module:
    tree = ast.parse(text, filename=name)
    for node in ast.walk(tree):
        if isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef) and ast.get_docstring(node, clean=False) is not None:
            node.body = node.body[1:]
    return tree


@cache
def _hash(tree: ast.Module) -> str:
    return hashlib.sha256(ast.dump(tree).encode()).hexdigest()[:_LENGTH]


@cache
def _imported(tree: ast.Module, package: str) -> frozenset[str]:
    """Modules of the library that the tree imports; importing a.b.c imports a and a.b too."""
    found: set[str] = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            base = node.module or ""
            if node.level:
                parents = package.split(".")
                base = ".".join([*parents[: len(parents) - node.level + 1], *filter(None, [node.module])])
            names = [base, *(f"{base}.{alias.name}" for alias in node.names)]  # the name may be a module itself
        else:
            continue
        for name in names:
            parts = name.split(".")
            if parts[0] == PACKAGE:
                found.update(module for i in range(1, len(parts) + 1) if _file(module := ".".join(parts[:i])))
    return frozenset(found)
