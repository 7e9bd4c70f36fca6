"""The negative control: an implementation that does nothing in place of the real one. Tests that still pass prove nothing.

Functions, methods and lambdas return None, other values refuse every use. What the implementation only imports stays.
"""

import ast
import enum
import gc
import types

_TEMPLATES: dict = {}
_KEPT_NAMES = (
    "__module__ __doc__ __dict__ __weakref__ __slots__ __annotations__ __qualname__ __name__ __match_args__ __orig_bases__ __parameters__"
    " __abstractmethods__ __dataclass_fields__ __dataclass_params__ __static_attributes__ __firstlineno__ __annotate__ __annotate_func__"
    " __annotations_cache__ __hash__ __type_params__ __protocol_attrs__ __total__ __required_keys__ __optional_keys__ _is_protocol _abc_impl"
)
_KEEP = frozenset(_KEPT_NAMES.split())


class Refused(RuntimeError):
    """A value of the hollow implementation was used."""


def _refuse(*args, **kwargs):
    raise Refused("the negative control has no such value")


_OPERATIONS = (
    "call getattr getitem setitem delitem iter next len bool contains eq ne lt le gt ge hash str repr format int float complex index bytes"
    " add radd sub rsub mul rmul truediv rtruediv floordiv rfloordiv mod rmod pow rpow matmul rmatmul and rand or ror xor rxor lshift rlshift"
    " rshift rrshift neg pos abs invert round trunc floor ceil enter exit await aiter anext reversed setattr instancecheck subclasscheck"
)
Refuser = type("Refuser", (), {f"__{name}__": _refuse for name in _OPERATIONS.split()})


def _template(code, free: int):
    """Code of a function that returns None (a coroutine that does, for an async one) and has as many free variables as `code`."""
    coroutine = bool(code.co_flags & 0x80)
    if (free, coroutine) not in _TEMPLATES:
        names = ", ".join(f"v{i}" for i in range(free))
        keep = f"if 0: ({names},)" if free else "pass"
        outer = f"def outer({names}):\n {'async ' if coroutine else ''}def nothing(*args, **kwargs):\n  {keep}\n return nothing\n"
        scope: dict = {}
        exec(outer, scope)
        _TEMPLATES[free, coroutine] = next(item for item in scope["outer"].__code__.co_consts if isinstance(item, types.CodeType))
    return _TEMPLATES[free, coroutine]


def _empty(function) -> None:
    function.__code__ = _template(function.__code__, len(function.__closure__ or ()))
    function.__defaults__ = None
    function.__kwdefaults__ = None


def _hollow_enum(cls) -> None:
    for member in list(cls.__members__.values()):
        member.__dict__["_value_"] = member.__dict__["_name_"] = None
    cls._member_map_.clear()
    cls._value2member_map_.clear()
    del cls._member_names_[:]


def _hollow_class(cls, done: set) -> None:
    if cls in done:
        return
    done.add(cls)
    if isinstance(cls, enum.EnumMeta):
        _hollow_enum(cls)
    for name, value in list(vars(cls).items()):
        if isinstance(value, staticmethod | classmethod):
            value = value.__func__
        if isinstance(value, types.FunctionType):
            _empty(value)
        elif isinstance(value, type):
            if value.__module__ == "__main__":
                _hollow_class(value, done)
        elif isinstance(value, property):
            for function in (value.fget, value.fset, value.fdel):
                if isinstance(function, types.FunctionType):
                    _empty(function)
        elif name not in _KEEP and not hasattr(type(value), "__get__") and not isinstance(cls, enum.EnumMeta):
            type.__setattr__(cls, name, Refuser())


def imported_names(tree) -> set:
    """Names that the top level of a syntax tree binds by import, also inside its if, try, with and for blocks."""
    names = set()
    stack = list(tree.body)
    while stack:
        node = stack.pop()
        if isinstance(node, ast.Import | ast.ImportFrom):
            names.update(alias.asname or alias.name.partition(".")[0] for alias in node.names)
        elif not isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef | ast.expr):
            stack += ast.iter_child_nodes(node)
    return names


def make_hollow(scope: dict, before: set, imported: set) -> None:
    """Empty everything that the implementation put into `scope` (its module's globals), but for `before` and what it imports."""
    done: set = set()
    for item in gc.get_objects():
        if type(item) is types.FunctionType and item.__code__.co_filename == "<implementation>":
            _empty(item)
    for name, value in list(scope.items()):
        if name in before or isinstance(value, types.ModuleType):
            continue
        if isinstance(value, type):
            if value.__module__ == "__main__":
                _hollow_class(value, done)
            elif name not in imported:
                scope[name] = Refuser()
        elif isinstance(value, types.FunctionType) and value.__module__ == "__main__":
            _empty(value)
        elif name in imported:
            continue
        elif callable(value):
            scope[name] = lambda *args, **kwargs: None
        else:
            scope[name] = Refuser()


def hollow_source(source: str) -> str:
    """`source` with functions that do nothing: for the file that a new interpreter runs in the negative control."""
    tree = ast.parse(source)
    for node in ast.walk(tree):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            node.body = [ast.Pass()]
    return ast.unparse(ast.fix_missing_locations(tree))
