"""Top-level functions of a source file, and what the file imports for them.

tree-sitter finds them, since it reads broken and Python 2 files too; `ast` then judges each function alone.
"""

import ast
import re
import warnings
from collections.abc import Iterator
from dataclasses import dataclass

import tree_sitter_python
from tree_sitter import Language, Node, Parser

_PARSER = Parser(Language(tree_sitter_python.language()))
# A docstring may be raw; an f-string or bytes is none.
_DOCSTRING = re.compile(r'[rRuU]?"""(.*)"""', re.DOTALL)
# Statements whose imports and definitions are still the module's own.
_TRANSPARENT = frozenset({"if_statement", "try_statement", "block", "elif_clause", "else_clause", "except_clause", "ERROR"})
_IMPORTS = frozenset({"import_statement", "import_from_statement"})


FunctionNode = ast.FunctionDef | ast.AsyncFunctionDef


@dataclass(frozen=True, slots=True)
class Function:
    """A `def` or `async def` at top level. `content` has its decorators, which are part of what it does."""

    content: str
    line: int  # of the `def`, from 1
    has_docstring: bool  # in triple double quotes, and not blank


@dataclass(frozen=True, slots=True)
class Module:
    """A source file: its top-level functions, its import statements, and the names that it defines itself."""

    functions: tuple[Function, ...]
    imports: tuple[str, ...]  # source of each statement
    defined: frozenset[str]


def parse_module(text: str) -> Module:
    """Read a source file. Functions are those in column 0 outside of any other statement; imports may stand in an `if` or `try`."""
    data = text.encode("utf-8")
    functions, imports, defined = [], [], set()
    for node in _statements(_PARSER.parse(data).root_node):
        definition = node.child_by_field_name("definition") if node.type == "decorated_definition" else node
        if node.type in _IMPORTS:
            imports.append(_text(node, data))
        elif definition is not None and definition.type in ("function_definition", "class_definition"):
            if name := definition.child_by_field_name("name"):
                defined.add(_text(name, data))
            if definition.type == "function_definition" and node.start_point.column == 0:
                functions.append(Function(_text(node, data), definition.start_point.row + 1, _has_docstring(definition, data)))
        elif node.type == "expression_statement" and node.named_children and node.named_children[0].type == "assignment":
            target = node.named_children[0].child_by_field_name("left")
            if target is not None and target.type == "identifier":
                defined.add(_text(target, data))
    return Module(tuple(functions), tuple(imports), frozenset(defined))


def _text(node: Node, data: bytes) -> str:
    return data[node.start_byte : node.end_byte].decode("utf-8", "replace")


def _statements(node: Node) -> Iterator[Node]:
    """The statements of a module, those inside `if`, `try` and what the parser could not place included, in the order of the file."""
    stack = list(reversed(node.children))
    while stack:
        child = stack.pop()
        if child.type in _TRANSPARENT:
            stack.extend(reversed(child.children))
        else:
            yield child


def _has_docstring(definition: Node, data: bytes) -> bool:
    body = definition.child_by_field_name("body")
    first = next((child for child in body.named_children if child.type != "comment"), None) if body is not None else None
    if first is None or first.type != "expression_statement" or first.named_child_count != 1:
        return False
    string = first.named_children[0]
    match = _DOCSTRING.fullmatch(_text(string, data)) if string.type == "string" else None
    return match is not None and bool(match.group(1).strip())


def parse_python(code: str) -> ast.Module:
    """The syntax tree of Python 3 source. SyntaxError if it has none, whatever the reason (null bytes and too deep nesting included)."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # invalid escapes and the like are not our code to mend
        try:
            return ast.parse(code)
        except SyntaxError:
            raise
        except (ValueError, RecursionError, MemoryError) as error:
            raise SyntaxError(f"{type(error).__name__}: {error}") from error


def function_of(content: str) -> FunctionNode:
    """The syntax tree of a function's source; SyntaxError if that is not exactly one function."""
    body = parse_python(content).body
    if len(body) != 1 or not isinstance(body[0], (ast.FunctionDef, ast.AsyncFunctionDef)):
        raise SyntaxError("not exactly one function")
    return body[0]
