"""What a response's tests do, read from their syntax tree: what of them runs, what they check, and which checks stand alone.

The execution filter has proved that a check was evaluated; this is the strict look at form before a response becomes an example.
"""

import ast
import builtins
import warnings
from collections.abc import Iterator, Sequence

_CASE_METHODS = ("setUp", "setUpClass", "tearDown", "tearDownClass")
_RAISES = frozenset({"raises", "assertRaises", "assertRaisesRegex", "assertWarns", "assertWarnsRegex", "warns"})


def parse(code: str) -> ast.Module:
    """The syntax tree of code that has been executed. SyntaxError if there is none after all."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return ast.parse(code)


def defined_names(code: str) -> list[str]:
    """Names of the functions and classes that code defines at top level, sorted."""
    return sorted({node.name for node in parse(code).body if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef))})


def bound_names(code: str) -> list[str]:
    """All names that code gives a value at top level, but for imports, sorted: functions, classes, and variables that may hold a lambda."""
    names = set()
    for statement in _inside(parse(code).body):
        if isinstance(statement, (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef)):
            names.add(statement.name)
        else:
            names |= {node.id for node in _own_expressions(statement) if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store)}
    return sorted(names)


def running_statements(tests: ast.Module) -> list[ast.stmt]:
    """The statements of a test block that run: those of the module, of functions that these call, of zero-argument `test*` functions and
    TestCases (which the runner calls), and what stands inside them. `if False` and functions that nothing calls do not run.
    """
    functions = {node.name: node for node in ast.walk(tests) if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef))}
    running: list[ast.stmt] = []
    called = {name for name, node in functions.items() if node in tests.body and name.startswith("test") and not _needed_arguments(node)}
    entered: set[str] = set()
    waiting = _inside(tests.body)
    while waiting or called - entered:
        if not waiting:
            name = min(called - entered)
            entered.add(name)
            waiting = _inside(functions[name].body)
            continue
        statement = waiting.pop()
        running.append(statement)
        for node in _own_expressions(statement):
            # A function that is called, or handed to something that calls it (a thread, a decorator, a list of tests).
            if isinstance(node, ast.Name) and node.id in functions:
                called.add(node.id)
            elif isinstance(node, ast.Attribute) and node.attr in functions:
                called.add(node.attr)
        if isinstance(statement, ast.ClassDef) and any(ast.unparse(base).endswith("TestCase") for base in statement.bases):
            methods = [node for node in statement.body if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef))]
            called |= {method.name for method in methods if method.name.startswith("test") or method.name in _CASE_METHODS}
    return running


def _needed_arguments(function: ast.FunctionDef | ast.AsyncFunctionDef) -> int:
    arguments = function.args
    positional = len(arguments.posonlyargs) + len(arguments.args) - len(arguments.defaults)
    return positional + sum(default is None for default in arguments.kw_defaults)


def _inside(body: Sequence[ast.stmt]) -> list[ast.stmt]:
    """`body` and the statements nested in it, but for the bodies of functions and of what is plainly never reached."""
    found: list[ast.stmt] = []
    for statement in body:
        found.append(statement)
        if isinstance(statement, (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef)):
            continue
        if isinstance(statement, (ast.If, ast.While)) and isinstance(statement.test, ast.Constant) and not statement.test.value:
            found += _inside(statement.orelse)
            continue
        for _, value in ast.iter_fields(statement):
            if isinstance(value, list):
                found += _inside([item for item in value if isinstance(item, ast.stmt)])
                for item in value:
                    if isinstance(item, (ast.ExceptHandler, ast.match_case)):
                        found += _inside(item.body)
    return found


def _own_expressions(statement: ast.stmt) -> Iterator[ast.AST]:
    """The expressions of a statement, those of statements nested in it left out."""
    stack = [node for node in ast.iter_child_nodes(statement) if not isinstance(node, (ast.stmt, ast.ExceptHandler, ast.match_case))]
    while stack:
        node = stack.pop()
        yield node
        stack.extend(ast.iter_child_nodes(node))


def is_check(statement: ast.stmt) -> bool:
    """Whether a statement checks something: an assert (not of a tuple, which is always true), a unittest assertion, an expected exception, or
    a `try` that raises AssertionError or has handlers and an `else`.
    """
    if isinstance(statement, ast.Assert):
        return not (isinstance(statement.test, ast.Tuple) and statement.test.elts)
    if isinstance(statement, ast.Try):
        return bool(statement.handlers and statement.orelse)
    if isinstance(statement, ast.Raise):
        return statement.exc is not None and "AssertionError" in ast.unparse(statement.exc)
    calls = [node.func for node in _own_expressions(statement) if isinstance(node, ast.Call)]
    names = [func.attr if isinstance(func, ast.Attribute) else getattr(func, "id", "") for func in calls]
    return any(name in _RAISES or name.startswith(("assert", "fail")) for name in names)


def checks_implementation(tests: str, bound: Sequence[str]) -> bool:
    """Whether what runs of a test block has a check, a call, and one of the names that the implementation bound."""
    running = running_statements(parse(tests))
    nodes = [node for statement in running for node in _own_expressions(statement)]
    uses = any(isinstance(node, ast.Name) and node.id in bound for node in nodes)
    return uses and any(isinstance(node, ast.Call) for node in nodes) and any(map(is_check, running))


def standalone_assertions(tests: str, bound: Sequence[str]) -> list[str]:
    """The source of each assert that surely runs, holds, and names nothing but builtins and what the implementation bound; in order, each once.

    An assert in a branch, a loop, a `try` or an expected exception is none of these: it may not run, or fail as it should.
    """
    tree = parse(tests)
    local = {node.id for node in ast.walk(tree) if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store)}
    local |= {node.arg for node in ast.walk(tree) if isinstance(node, ast.arg)}
    known = ({name for name in dir(builtins) if not name.startswith("_")} - local) | set(bound)
    unsure = _unsure(tree)
    found: dict[str, None] = {}
    for statement in sorted(running_statements(tree), key=lambda statement: (statement.lineno, statement.col_offset)):
        if isinstance(statement, ast.Assert) and statement not in unsure and is_check(statement):
            own = {node.id for node in ast.walk(statement) if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store)}
            own |= {node.arg for node in ast.walk(statement) if isinstance(node, ast.arg)}
            used = {node.id for node in ast.walk(statement) if isinstance(node, ast.Name)}
            if used & set(bound) and used <= known | own:
                found[_source(tests, statement)] = None
    return list(found)


def _unsure(tree: ast.Module) -> set[ast.AST]:
    """What stands inside a statement that decides whether it runs or may raise; `if __name__ == ...` does not count."""
    deciding = (ast.If, ast.While, ast.For, ast.AsyncFor, ast.Try, ast.TryStar, ast.With, ast.AsyncWith, ast.Match)
    found: set[ast.AST] = set()
    for node in ast.walk(tree):
        if isinstance(node, deciding) and not (isinstance(node, ast.If) and _names_module(node.test)):
            found.update(ast.walk(node))
    return found


def _names_module(test: ast.expr) -> bool:
    return any(isinstance(node, ast.Name) and node.id == "__name__" for node in ast.walk(test))


def _source(tests: str, statement: ast.stmt) -> str:
    """A statement's source at the left margin. Lines of a string that goes over several stay as they are."""
    source = ast.get_source_segment(tests, statement) or ""
    strings = (node for node in ast.walk(statement) if isinstance(node, (ast.JoinedStr, ast.Constant)))
    if any(node.end_lineno != node.lineno for node in strings):
        return source
    indent = " " * statement.col_offset
    return "\n".join(line.removeprefix(indent) for line in source.split("\n"))
