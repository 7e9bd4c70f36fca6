"""Variation of form: from a response in four sections to what a chat user would read.

The headings in brackets go; what stays is the text of the sections in their order, code in Python fences.
"""

import ast
import io
import re
import tokenize
from collections.abc import Sequence
from random import Random

from selfalign.generation.sections import Sections, map_code_blocks
from selfalign.selection.assertions import parse

# Not "a function that tests whether ...": tests as a thing that is asked for.
_ASKS_FOR_TESTS = re.compile(
    r"\b(unit[- ]?tests?|test[- ](cases?|suites?|functions?|code|methods?)|doctests?|pytest|unittest|assertions?|asserts?|assert statements?)\b"
    r"|\b(with|and|add|include|including|provide|write|some|its|own|the)\s+tests\b",
    re.IGNORECASE,
)
_UNFINISHED = re.compile(
    r"\b(todo|fixme)\b|\byour (code|implementation|logic)\b|\b(code|implementation|logic) (goes )?here\b|\bimplement (this|me)\b", re.IGNORECASE
)


def asks_for_tests(instruction: str) -> bool:
    """Whether an instruction asks for tests beside the implementation."""
    return _ASKS_FOR_TESTS.search(instruction) is not None


def _comments(code: str) -> list[tokenize.TokenInfo]:
    """The comments of code; none if it is no whole Python (an excerpt in a block of its own)."""
    try:
        return [token for token in tokenize.generate_tokens(io.StringIO(code).readline) if token.type == tokenize.COMMENT]
    except (tokenize.TokenError, SyntaxError):
        return []


def strip_comments(code: str) -> str:
    """Code without its comments; a line that held nothing else goes too. Docstrings and other strings stay."""
    lines = list(io.StringIO(code))  # split where `tokenize` does: not at a form feed, as str.splitlines
    for token in _comments(code):
        row, column = token.start
        lines[row - 1] = lines[row - 1][:column].rstrip() + "\n"
        if lines[row - 1] == "\n":
            lines[row - 1] = ""
    return "".join(lines)


def incomplete(code: str) -> str:
    """What is unfinished about an implementation, or "".

    A function whose body is a docstring, `pass`, `...` or `raise NotImplementedError`; a `...` as a statement; a comment that says so.
    Abstract methods, overloads, protocols, and methods of a class that another one extends may be empty.
    """
    tree = parse(code)
    extended = {ast.unparse(base) for node in ast.walk(tree) if isinstance(node, ast.ClassDef) for base in node.bases}
    exempt = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.ClassDef) and (node.name in extended or any(ast.unparse(base).endswith("Protocol") for base in node.bases)):
            exempt.update(ast.walk(node))
    for node in ast.walk(tree):
        if not isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef)) or node in exempt:
            continue
        decorators = [ast.unparse(decorator) for decorator in node.decorator_list]
        if any(name.endswith(("abstractmethod", "overload", "abstractproperty")) for name in decorators):
            continue
        if all(_is_stub(statement) for statement in node.body):
            return f"{node.name} is a stub"
        if any(_is_ellipsis(statement) for statement in ast.walk(node)):
            return f"{node.name} has a ... in it"
    comment = next((token.string for token in _comments(code) if _UNFINISHED.search(token.string)), "")
    return comment and f"comment {comment[:80]!r}"


def _is_ellipsis(node: ast.AST) -> bool:
    return isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant) and node.value.value is Ellipsis


def _is_stub(statement: ast.stmt) -> bool:
    if isinstance(statement, ast.Pass) or (isinstance(statement, ast.Expr) and isinstance(statement.value, ast.Constant)):
        return True
    return isinstance(statement, ast.Raise) and statement.exc is not None and ast.unparse(statement.exc).startswith("NotImplementedError")


def vary_response(sections: Sections, keep_reasoning: bool, keep_explanation: bool, keep_tests: bool) -> str:
    """The response that the model is to learn: the sections kept, without headings and comments in code, a blank line between them."""
    parts = [
        sections.reasoning if keep_reasoning else "",
        map_code_blocks(sections.implementation, strip_comments),
        sections.explanation if keep_explanation else "",
        map_code_blocks(sections.tests, strip_comments) if keep_tests else "",
    ]
    return "\n\n".join(part.strip() for part in parts if part.strip())


def append_assertions(instruction: str, assertions: Sequence[str], draw: Random) -> str:
    """The instruction with 1 to 5 of the assertions, in their order; unchanged if there are none."""
    if not assertions:
        return instruction
    count = min(draw.randint(1, 5), len(assertions))
    chosen = [assertions[index] for index in sorted(draw.sample(range(len(assertions)), count))]
    line = "This assertion must hold:" if count == 1 else "These assertions must hold:"
    return f"{instruction.rstrip()}\n\n{line}\n```python\n{''.join(strip_comments(text) + chr(10) for text in chosen)}```"
