"""Where the missing imports of a lone function come from.

First what the function's own file offers: its import statements, and, if the file is installed (standard library, packages), the
public names that it defines itself. Then, for a function without a file, a table: modules of the standard library that
are used as `name.attribute`, the names of `typing`, common names of other modules, and common abbreviations.

Measured on the 1,235 standard-library functions (3.11) that pass the cheap static filters, number that then type-check
without error: table alone 241, the file's imports alone 255, both 261, with the file's own public names 414.
"""

import ast
import functools
import re
import sys
import typing
from collections import defaultdict
from collections.abc import Iterable

from selfalign.seeds.parse import parse_python

# Names that are usually imported from their module, by module.
COMMON_NAMES = {
    "abc": "ABC abstractmethod",
    "collections": "ChainMap Counter OrderedDict defaultdict deque namedtuple",
    "contextlib": "contextmanager suppress",
    "copy": "deepcopy",
    "dataclasses": "dataclass field",
    "datetime": "timedelta timezone",
    "decimal": "Decimal",
    "enum": "Enum IntEnum",
    "fractions": "Fraction",
    "functools": "cmp_to_key lru_cache partial reduce wraps",
    "io": "BytesIO StringIO",
    "itertools": "accumulate chain combinations groupby islice permutations product zip_longest",
    "pathlib": "Path PurePath",
}
# Abbreviations by which a module is usually imported.
COMMON_ALIASES = {
    "np": "numpy",
    "pd": "pandas",
    "plt": "matplotlib.pyplot",
    "sns": "seaborn",
    "nx": "networkx",
    "sp": "scipy",
    "tf": "tensorflow",
}
_NAME_TO_MODULE = {name: module for module, names in COMMON_NAMES.items() for name in names.split()}
_NAME = re.compile(r"\b[^\W\d]\w*")
_PUBLIC_STDLIB = frozenset(name for name in sys.stdlib_module_names if not name.startswith("_"))


@functools.lru_cache(maxsize=65_536)  # functions of one file are offered the same statements
def _bound(statement: str) -> tuple[tuple[str, int, str, str, str], ...]:
    """(bound name, relative level, module, imported name or "", alias or "") of each part of an import statement; nothing if it does not parse."""
    try:
        tree = parse_python(statement)
    except SyntaxError:
        return ()  # a broken file: what we cannot read offers nothing
    parts = []
    for node in tree.body:
        if isinstance(node, ast.Import):
            parts += [(alias.asname or alias.name.partition(".")[0], 0, alias.name, "", alias.asname or "") for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            names = [alias for alias in node.names if alias.name != "*"]
            parts += [(alias.asname or alias.name, node.level, node.module or "", alias.name, alias.asname or "") for alias in names]
    return tuple(parts)


def _absolute(level: int, module: str, package: str) -> str:
    """The module of a relative import in `package`; "" if that is not known."""
    if not level:
        return module
    parts = package.split(".") if package else []
    if level > len(parts):
        return ""
    return ".".join([*parts[: len(parts) - level + 1], *([module] if module else [])])


def _statement(module: str, name: str, alias: str) -> str:
    return (f"from {module} import {name}" if name else f"import {module}") + (f" as {alias}" if alias else "")


def _is_public(module: str) -> bool:
    return bool(module) and not any(part.startswith("_") for part in module.split("."))


def offered_imports(imports: Iterable[str], defined: Iterable[str], module: str = "", is_package: bool = False) -> dict[str, list[str]]:
    """Name -> import statements that bind it: from a file's own `imports`, then from the names it `defined`.

    `module` is the name by which the file can be imported, "" if it is not installed; then relative imports offer nothing.
    Private modules offer nothing either. Only `import a.b, a.c` gives more than one statement for a name; else the first in the file counts.
    """
    package = module if is_package else module.rpartition(".")[0]
    offers: dict[str, list[str]] = {}
    for statement in imports:
        for bound, level, where, name, alias in _bound(statement):
            source = _absolute(level, where, package)
            if not _is_public(source):
                continue
            line = _statement(source, name, alias)
            dotted = not name and not alias
            known = offers.setdefault(bound, [])
            if not known or (dotted and known[0].startswith("import ") and " as " not in known[0] and line not in known):
                known.append(line)
    if _is_public(module):
        for name in sorted(defined):
            if not name.startswith("_") and name not in offers:
                offers[name] = [_statement(module, name, "")]
    return offers


def mentioned_names(content: str) -> set[str]:
    """The words of a function, among them every name that its code uses. What else is among them does no harm: only undefined names are looked up."""
    return set(_NAME.findall(content))


def infer_imports(tree: ast.AST, undefined: Iterable[str], offered: Iterable[str]) -> tuple[list[str], list[str]]:
    """Import statements for the `undefined` names of a function (sorted), and the names for which there is none (sorted).

    `offered` are the statements that its file offers; a name they lack is looked up in the tables above.
    """
    offers: dict[str, list[str]] = defaultdict(list)
    for statement in offered:
        for bound, *_ in _bound(statement):
            offers[bound].append(statement)
    missing = sorted(set(undefined))
    used_as_module = names_used_as_modules(tree) if any(name not in offers for name in missing) else set()
    lines: set[str] = set()
    unknown = []
    for name in missing:
        if name in offers:
            lines.update(offers[name])
        elif name in COMMON_ALIASES and name in used_as_module:
            lines.add(f"import {COMMON_ALIASES[name]} as {name}")
        elif name in _NAME_TO_MODULE:
            lines.add(f"from {_NAME_TO_MODULE[name]} import {name}")
        elif name in typing.__all__:
            lines.add(f"from typing import {name}")
        elif name in _PUBLIC_STDLIB and name in used_as_module:
            lines.add(f"import {name}")
        else:
            unknown.append(name)
    return sorted(lines), unknown


def names_used_as_modules(tree: ast.AST) -> set[str]:
    """The names of which a function takes an attribute (`os` in `os.getcwd()`)."""
    return {node.value.id for node in ast.walk(tree) if isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name)}


def imported_modules(tree: ast.AST, imports: Iterable[str]) -> list[str]:
    """Dotted names of the modules that a function imports itself or by its inferred `imports`, sorted. `from a import b` counts as a.b too."""
    modules: set[str] = set()
    for root in (tree, *map(parse_python, imports)):
        for node in ast.walk(root):
            if isinstance(node, ast.Import):
                modules.update(alias.name for alias in node.names)
            elif isinstance(node, ast.ImportFrom) and not node.level:
                modules.add(node.module or "")
                modules.update(f"{node.module}.{alias.name}" for alias in node.names)
            elif isinstance(node, ast.ImportFrom):
                modules.add("." * node.level + (node.module or ""))
    return sorted(modules)
