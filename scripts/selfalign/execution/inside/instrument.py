"""Compiles the test source so that each check in it reports to the guard, which programs cannot patch.

The checks become calls of C objects that are constants of the code, not names: nothing that a program assigns changes them.
What counts as a check: an assert (but not of a tuple, which is always true), an assertion of unittest, a mock, pytest, numpy or pandas,
and an expected exception: assertRaises, pytest.raises, or a try whose body or else fails when no exception comes.
"""

import ast
import os
from typing import Any

import exitpoints
import planned

RAISES = frozenset({"raises", "warns", "assertRaises", "assertRaisesRegex", "assertWarns", "assertWarnsRegex", "assertLogs", "assertNoLogs"})
FAILS = frozenset({"fail"})
_PYTEST = ("raises", "warns", "fail")
_COMPUTED = (ast.Call, ast.Name, ast.Attribute, ast.Subscript, ast.Await)
_EXPECTED_TO_FAIL = frozenset({"expectedFailure", "xfail"})
# What a comparison says of what stands to the left and to the right of it; the bits are those of `enum use` in checks.h.
EQUAL, LESS, GREATER, AT_MOST, AT_LEAST, CONTAINS, LACKS = (1 << i for i in range(7))
_USES = {
    **dict.fromkeys((ast.Eq, ast.NotEq), (EQUAL, EQUAL)),
    ast.In: (EQUAL, EQUAL | CONTAINS),
    ast.NotIn: (EQUAL, EQUAL | LACKS),
    ast.Lt: (LESS, GREATER),
    ast.Gt: (GREATER, LESS),
    ast.LtE: (AT_MOST, AT_LEAST),
    ast.GtE: (AT_LEAST, AT_MOST),
}


class Instrumented:
    """The tests, ready to run. `codes`: (code object, lines at which an exit leaves nothing behind: pairs of first and last, None for all
    or none; does it check something?) of the module and each function in it. `functions`: (name, number) of test functions; `classes`: (name,
    [(name, number) of its test methods]) of all classes. `required`: numbers of the tests that must have run in the end, whatever the program does.
    `names`: that the tests use. `replaced`: names of the builtins that they replace by mock.patch."""

    def __init__(self, parts: tuple, guard):
        """parts: what instrument() returned, perhaps in another process. guard: whose objects the checks call."""
        code, secret, ends, self.functions, self.classes, self.required = parts
        marks = {secret + name: getattr(guard, name) for name in ("check", "value", "call", "block", "closed", "caught", "fail", "enter", "raised")}
        codes: list = []
        self.code = _embed(code, marks, codes)
        texts = (text for item in codes for text in item.co_consts if type(text) is str and text.startswith("builtins."))
        self.names = {name for item in codes for name in item.co_names}
        self.replaced = {text.removeprefix("builtins.") for text in texts}
        checking = {id(marks[secret + name]) for name in ("check", "call")}
        self.codes = [
            (item, () if ends is None else ends.get((item.co_name, item.co_firstlineno)), any(id(value) in checking for value in item.co_consts))
            for item in codes
        ]


def instrument(source: str, flags: int = 0, exits: bool = True) -> tuple:
    """Compile `source` to the parts of an Instrumented, all of types that marshal knows. SyntaxError and its like as compile() raises them.

    flags: those of the implementation's `from __future__` imports. exits: might the program leave by sys.exit()? If not, an exit counts
    as one before the end.
    """
    tree = compile(source, "<tests>", "exec", flags | ast.PyCF_ONLY_AST, dont_inherit=True)
    # No source can contain the marks: they are drawn after it was written.
    secret = os.urandom(12).hex()
    rewriter = _Rewriter(secret, exits)
    rewriter.aliases = _aliases(tree.body)
    if "pytest" in source:
        rewriter.of_pytest = _of_pytest(tree)
    required = planned.Planned(tree, source)
    if exits:
        rewriter.ends["<module>", 1] = exitpoints.ends(tree.body)
    tree.body = rewriter.body(tree.body)
    code = compile(tree, "<tests>", "exec", flags, dont_inherit=True)
    numbers = dict(rewriter.functions) | {f"{name}.{method}": number for name, methods in rewriter.classes for method, number in methods}
    required = tuple(numbers[name] for name in required.names if name in numbers)
    return code, secret, rewriter.ends if exits else None, rewriter.functions, rewriter.classes, required


def _embed(code, marks, codes):
    """`code` with the guard's objects in place of the marks, in nested code too; all code objects are added to `codes`."""
    kind = type(code)
    constants = [_embed(item, marks, codes) if type(item) is kind else item for item in code.co_consts]
    code = code.replace(co_consts=tuple(marks.get(item, item) if type(item) is str else item for item in constants))
    codes.append(code)
    return code


def _aliases(body) -> frozenset:
    """Other names that the module gives to checks: `close = numpy.testing.assert_allclose`, `from pytest import raises as expects`."""
    found = set()
    for node in body:
        if isinstance(node, ast.ImportFrom):
            found.update(alias.asname for alias in node.names if alias.asname and _is_check(alias.name))
        elif isinstance(node, ast.Assign) and isinstance(node.value, ast.Attribute) and _is_check(node.value.attr):
            found.update(target.id for target in node.targets if isinstance(target, ast.Name))
    return frozenset(found)


def _of_pytest(tree) -> frozenset:
    """The names, dotted ones too, under which the source has pytest's checks by its import statements."""
    found = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            found.update(f"{alias.asname or 'pytest'}.{name}" for alias in node.names if alias.name == "pytest" for name in _PYTEST)
        elif isinstance(node, ast.ImportFrom) and node.module == "pytest":
            found.update(alias.asname or alias.name for alias in node.names if alias.name in _PYTEST)
    return frozenset(found)


def _dotted(node) -> str:
    return f"{node.value.id}.{node.attr}" if isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name) else getattr(node, "id", "")


def _is_check(name: str) -> bool:
    return name.startswith("assert") or name in RAISES or name in FAILS


def _called_name(node) -> str:
    function = node.func
    return function.attr if isinstance(function, ast.Attribute) else function.id if isinstance(function, ast.Name) else ""


def _fails(statement) -> bool:
    """Does the statement fail whenever it is reached: `assert False`, `raise ...`, `self.fail()`?"""
    if isinstance(statement, ast.Raise):
        return True
    if isinstance(statement, ast.Assert):
        return isinstance(statement.test, ast.Constant) and not statement.test.value
    return isinstance(statement, ast.Expr) and isinstance(statement.value, ast.Call) and _called_name(statement.value) in FAILS


def _swallows(handler) -> bool:
    """Does it catch everything, and neither check nor raise anything then?"""
    types = handler.type.elts if isinstance(handler.type, ast.Tuple) else [handler.type]
    if not any(item is None or getattr(item, "id", "") in ("Exception", "BaseException") for item in types):
        return False
    return not any(
        isinstance(node, ast.Raise | ast.Assert) or (isinstance(node, ast.Call) and _is_check(_called_name(node)))
        for statement in handler.body for node in ast.walk(statement)
    )  # fmt: skip


def _checks(statement) -> bool:
    """Is there a check in it, not looking into functions and classes?"""
    stack = [statement]
    while stack:
        node = stack.pop()
        if isinstance(node, ast.Assert) or (isinstance(node, ast.Call) and _is_check(_called_name(node))):
            return True
        if not isinstance(node, exitpoints.SCOPES):
            stack += ast.iter_child_nodes(node)
    return False


_NOTHING: Any = ()


class _Rewriter:
    def __init__(self, secret: str, exits: bool):
        self.secret = secret
        self.exits = exits
        self.count = 0
        self.depth = 0
        self.functions: list = []
        self.classes: list = []
        self.ends: dict = {}
        self.methods: list | None = None
        self.aliases: frozenset = frozenset()
        self.of_pytest: frozenset = frozenset()
        self.blocks = 0
        self.strict: set = set()

    def guard(self, name: str, node, *arguments, keywords=()):
        place = {"lineno": node.lineno, "col_offset": node.col_offset, "end_lineno": node.end_lineno, "end_col_offset": node.end_col_offset}
        values: list = [argument if isinstance(argument, ast.AST) else ast.Constant(argument, **place) for argument in arguments]
        return ast.Call(ast.Constant(self.secret + name, **place), values, list(keywords), **place)

    def statement(self, name: str, node, *arguments):
        call = self.guard(name, node, *arguments)
        return ast.Expr(call, lineno=node.lineno, col_offset=node.col_offset, end_lineno=node.end_lineno, end_col_offset=node.end_col_offset)

    def body(self, statements: list) -> list:
        rewritten = []
        for statement in statements:
            result = self.visit(statement)
            if isinstance(result, list):
                rewritten += result
            else:
                rewritten.append(result)
        return rewritten

    def visit(self, node):
        kind = node.__class__
        if kind in _LEAVES:
            return node
        method = _METHODS.get(kind)
        return method(self, node) if method else self.generic_visit(node)

    def generic_visit(self, node):
        """As ast.NodeTransformer does it, in half the time: this runs for every program."""
        for name in node._fields:
            value = getattr(node, name, _NOTHING)
            if value.__class__ is list:
                for i in range(len(value) - 1, -1, -1):
                    item = value[i]
                    if item.__class__ not in _LEAVES and isinstance(item, ast.AST):
                        result = self.visit(item)
                        if result.__class__ is list:
                            value[i : i + 1] = result
                        else:
                            value[i] = result
            elif value.__class__ not in _LEAVES and isinstance(value, ast.AST):
                setattr(node, name, self.visit(value))
        return node

    def visit_Assert(self, node):
        always_true = isinstance(node.test, ast.Tuple) and node.test.elts
        if isinstance(node.test, ast.Compare):
            self.strict.add(id(node.test))
        self.generic_visit(node)
        if not always_true:
            node.test = self.guard("check", node, node.test, node.lineno)
        return node

    def visit_Compare(self, node):
        strict = int(id(node) in self.strict)
        self.generic_visit(node)
        uses = [0] * (len(node.ops) + 1)
        for i, op in enumerate(node.ops):
            left, right = _USES.get(op.__class__, (0, 0))
            uses[i] |= left
            uses[i + 1] |= right
        node.left = self.value(node.left, strict, uses[0])
        node.comparators = [self.value(item, strict, use) for item, use in zip(node.comparators, uses[1:], strict=True)]
        return node

    def value(self, node, strict: int, uses: int):
        return self.guard("value", node, node, node.lineno, strict, uses) if uses and isinstance(node, _COMPUTED) else node

    def visit_Call(self, node):
        return self.call(node, block=0)

    def call(self, node, block: int):
        self.generic_visit(node)
        name = _called_name(node)
        if not _is_check(name) and name not in self.aliases:
            return node
        how = block + 2 * (_dotted(node.func) in self.of_pytest)
        return self.guard("call", node, node.func, node.lineno, how, *node.args, keywords=node.keywords)

    def visit_With(self, node):
        numbers = []
        for item in node.items:
            call = isinstance(item.context_expr, ast.Call)
            if call and (_called_name(item.context_expr) in RAISES or _called_name(item.context_expr) in self.aliases):
                item.context_expr = self.call(item.context_expr, block=1)
                numbers.append(-1)
            elif isinstance(item.context_expr, ast.Name):  # perhaps what pytest.raises gave before
                item.context_expr = self.guard("block", node, item.context_expr, self.blocks)
                numbers.append(self.blocks)
                self.blocks += 1
            else:
                item.context_expr = self.visit(item.context_expr)
        node.body = self.body(node.body)
        return [node, *(self.statement("closed", node, number) for number in numbers)]

    def visit_Try(self, node):
        expects = node.handlers and (_fails(node.body[-1]) or any(map(_fails, node.orelse)))
        failing = [statement for statement in (node.body[-1], *node.orelse) if isinstance(statement, ast.Raise)] if expects else []
        swallowing = [] if expects else [handler for handler in node.handlers if _swallows(handler)]
        checks = int(bool(swallowing) and not any(map(_fails, node.body)) and any(map(_checks, node.body)))
        node.body = self.body(node.body)
        node.handlers = [self.visit(handler) for handler in node.handlers]
        for handler in swallowing:
            handler.body.insert(0, self.statement("raised", handler, checks))
        node.orelse = self.body(node.orelse)
        node.finalbody = self.body(node.finalbody)
        for handler in node.handlers if expects else ():
            handler.body.insert(0, self.statement("caught", handler))
        for statement in failing:
            for statements in (node.body, node.orelse):
                if statement in statements:
                    statements.insert(statements.index(statement), self.statement("fail", statement, statement.lineno))
        return node

    def visit_ClassDef(self, node):
        outer, self.methods = self.methods, []
        self.depth += 1
        self.generic_visit(node)
        self.depth -= 1
        if self.depth == 0:
            self.classes.append((node.name, self.methods[::-1]))  # in the order of the source
        self.methods = outer
        return node

    def visit_FunctionDef(self, node):
        if self.exits:
            first = min([node.lineno, *(decorator.lineno for decorator in node.decorator_list)])
            self.ends[node.name, first] = exitpoints.ends(node.body)
        if not _EXPECTED_TO_FAIL.isdisjoint(map(planned.name_of, node.decorator_list)):
            return node  # its checks prove nothing, whatever comes of them
        methods, self.methods = self.methods, None
        self.depth += 1
        self.generic_visit(node)
        self.depth -= 1
        self.methods = methods
        is_method = self.depth == 1 and methods is not None
        is_test = node.name.startswith("test") and (not self.depth or is_method)
        if not is_test:
            return node
        start = 1 if ast.get_docstring(node, clean=False) is not None else 0
        rest: list = node.body[start:]
        number, self.count = self.count, self.count + 1
        (methods if is_method and methods is not None else self.functions).append((node.name, number))
        rest.insert(0, self.statement("enter", node, number))
        node.body = [*node.body[:start], *rest] or node.body
        return node

    visit_AsyncFunctionDef = visit_FunctionDef


_LEAVES = frozenset({ast.Name, ast.Constant, ast.Load, ast.Store, ast.Import, ast.ImportFrom, ast.alias, ast.Pass, ast.arg, ast.Global, ast.Nonlocal})
_METHODS = {getattr(ast, name.removeprefix("visit_")): method for name, method in vars(_Rewriter).items() if name.startswith("visit_")}
