"""The shape of a function: what is left of it when its own names do not count.

Functions have one shape if they differ in nothing but their name, the names of arguments and variables, docstring, annotations, decorators, comments
and layout. That is how a solution looks that was copied under other names, in which no n-gram of words is left.
"""

import ast
import hashlib
import warnings
from types import CodeType

# Nodes of the syntax tree below which a shape is anybody's code (`return 4 * a`).
LEAST_NODES = 14
_Function = (ast.FunctionDef, ast.AsyncFunctionDef)


def shapes_of(code: str) -> set[bytes]:
    """The shapes of the top-level functions of Python code, those of few nodes left out; none if it does not compile."""
    found = set()
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            functions = [node for node in ast.parse(code).body if isinstance(node, _Function)]
            for function in functions:
                if _rename(function) >= LEAST_NODES:
                    compiled = compile(ast.Module([function], []), "", "exec", dont_inherit=True)
                    found.add(hashlib.sha256(repr(_facts(compiled)).encode("utf-8", "surrogatepass")).digest())
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        pass
    return found


def _rename(function: ast.FunctionDef | ast.AsyncFunctionDef) -> int:
    """Number the names that a function gives values, its own among them, and drop what does not count; how many nodes are left."""
    function.decorator_list = []
    nodes: list[ast.AST] = [function]
    own: set[str] = set()
    for node in nodes:
        if isinstance(node, _Function):
            own.add(node.name)
            node.returns = None
            if ast.get_docstring(node, clean=False) is not None:
                node.body = node.body[1:] or [ast.copy_location(ast.Pass(), node)]
        elif isinstance(node, ast.arg):
            own.add(node.arg)
            node.annotation = None
        elif isinstance(node, ast.Name) and not isinstance(node.ctx, ast.Load):
            own.add(node.id)
        nodes.extend(child for child in ast.iter_child_nodes(node) if not isinstance(child, ast.expr_context))
    numbers: dict[str, str] = {}
    for node in nodes:
        field = "id" if isinstance(node, ast.Name) else "arg" if isinstance(node, ast.arg) else "name" if isinstance(node, _Function) else ""
        if field and (name := getattr(node, field)) in own:
            setattr(node, field, numbers.setdefault(name, f"n{len(numbers)}"))
    return len(nodes)


def _facts(code: CodeType) -> tuple:
    """What a code object does, without where it stands."""
    constants = tuple(_facts(value) if isinstance(value, CodeType) else repr(value) for value in code.co_consts)
    return code.co_code, constants, code.co_names, code.co_varnames, code.co_freevars, code.co_cellvars, code.co_argcount, code.co_kwonlyargcount
