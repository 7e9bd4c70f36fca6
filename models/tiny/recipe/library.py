"""The running Python's standard library as material: functions, split into training and held-out modules, and words for names."""

import ast
import hashlib
import re
import sysconfig
import textwrap
from dataclasses import dataclass
from functools import cache
from pathlib import Path

HELD_OUT_MODULES = 0.2
_LEFT_OUT = {"test", "tests", "idlelib", "lib2to3", "site-packages", "turtledemo", "__pycache__", "ensurepip"}


@dataclass(frozen=True)
class LibraryFunction:
    """A function or method of the standard library, its source dedented and without decorators."""

    module: str
    source: str
    docstring: str  # "" if it has none
    held_out: bool


def module_held_out(module: str) -> bool:
    """Whether a module (its path in the library) is kept out of the training corpus."""
    return int.from_bytes(hashlib.sha256(module.encode()).digest()[:4], "big") / 2**32 < HELD_OUT_MODULES


@cache
def library_functions(max_lines: int = 60) -> tuple[LibraryFunction, ...]:
    """All functions and methods of at most `max_lines` lines, in order of path and line."""
    root = Path(sysconfig.get_path("stdlib"))
    functions = []
    for path in sorted(root.rglob("*.py")):
        parts = path.relative_to(root)
        if _LEFT_OUT & set(parts.parts):
            continue
        try:
            text = path.read_text(encoding="utf-8")
            tree = ast.parse(text)
        except (SyntaxError, UnicodeDecodeError):
            continue
        lines = text.splitlines()
        for node in ast.walk(tree):
            if isinstance(node, ast.FunctionDef) and 2 <= node.end_lineno - node.lineno < max_lines:
                source = textwrap.dedent("\n".join(lines[node.lineno - 1 : node.end_lineno]))
                try:
                    ast.parse(source)
                except SyntaxError:
                    continue
                functions.append(LibraryFunction(str(parts), source, ast.get_docstring(node, clean=False) or "", module_held_out(str(parts))))
    return tuple(functions)


@cache
def name_words() -> tuple[str, ...]:
    """Lower-case words of 3 to 9 letters that occur in the library's identifiers: what names are put together from."""
    words: set[str] = set()
    for function in library_functions():
        for name in re.findall(r"[A-Za-z_]{3,}", function.source):
            words.update(part.lower() for part in re.findall(r"(?<![a-z])[A-Z]?[a-z]{3,9}(?![a-z])", name))
    return tuple(sorted(words))
