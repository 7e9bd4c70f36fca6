"""Where in the tests an exit with success leaves nothing behind: sys.exit(0) at the end, in whichever branch that is."""

import ast

SCOPES = (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef, ast.Lambda)


def ends(body: list) -> tuple | None:
    """Pairs of first and last line of the statements after which `body` has nothing left to call, check or raise; None if it never has."""
    found: list = []
    _add(body, found)
    return tuple(found) or None


def _is_active(statement) -> bool:
    """Does it call, check or raise something, not looking into functions and classes?"""
    stack = [statement]
    while stack:
        node = stack.pop()
        if isinstance(node, ast.Call | ast.Assert | ast.Raise):
            return True
        if not isinstance(node, SCOPES):
            stack += ast.iter_child_nodes(node)
    return False


def _add(body: list, found: list) -> None:
    for statement in reversed(body):
        if not _is_active(statement):
            continue
        blocks = [getattr(statement, name, []) for name in ("body", "orelse", "finalbody")]
        blocks += [part.body for name in ("handlers", "cases") for part in getattr(statement, name, [])]
        inner = [block[0].lineno for block in blocks if block]
        if isinstance(statement, ast.Try | ast.TryStar) and any(map(_is_active, statement.orelse)):
            blocks[0] = []  # its else still comes
        found.append((statement.lineno, min(inner) - 1 if inner else statement.end_lineno))
        for block in blocks:
            _add(block, found)
        return
