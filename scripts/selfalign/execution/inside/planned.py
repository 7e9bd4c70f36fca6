"""Which tests must have run in the end, as their source says: whoever takes them away, or their runner, gets no `passed`.

Only where the source leaves no doubt: tests that may be skipped, chosen, removed or replaced are not among them.
"""

import ast

# Fixtures that pytest has by itself.
_GIVEN = frozenset({"tmp_path", "tmpdir", "monkeypatch", "capsys", "caplog", "recwarn", "request"})
_CASES = ("TestCase", "IsolatedAsyncioTestCase")
_DOUBTS = ("skip", "xfail", "load_tests", "__test__", "del ")


def name_of(node) -> str:
    """The last part of a dotted name, or of what is called."""
    node = node.func if isinstance(node, ast.Call) else node
    return node.attr if isinstance(node, ast.Attribute) else node.id if isinstance(node, ast.Name) else ""


class Planned:
    """`names`: of test functions, and "class.method" of the test methods of TestCases."""

    def __init__(self, tree, source: str):
        self.names: dict = {}
        doubt = any(word in source.lower() for word in _DOUBTS)
        self.fixtures = set(_GIVEN)
        self.cases: set = set()
        functions = (ast.FunctionDef, ast.AsyncFunctionDef)
        if "fixture" in source:
            self.fixtures |= {node.name for node in tree.body if isinstance(node, functions) and "fixture" in map(name_of, node.decorator_list)}
        for node in tree.body:
            if isinstance(node, functions):
                self.names.pop(node.name, None)
                if node.name.startswith("test") and self.is_called(node, doubt):
                    self.names[node.name] = True
            elif isinstance(node, ast.ClassDef):
                for name in [name for name in self.names if name.startswith(node.name + ".")]:
                    del self.names[name]
                self.cases.discard(node.name)
                if any(name_of(base) in _CASES or name_of(base) in self.cases for base in node.bases):
                    self.cases.add(node.name)
                    if not doubt and not node.decorator_list:
                        methods = [part.name for part in node.body if isinstance(part, functions) and part.name.startswith("test")]
                        self.names |= {f"{node.name}.{method}": True for method in methods}

    def is_called(self, node, doubt: bool) -> bool:
        """Will it be called with nothing, with fixtures, or with parameters?"""
        known = set()
        for decorator in node.decorator_list:
            if doubt or name_of(decorator) != "parametrize" or len(getattr(decorator, "args", ())) < 2:
                return False
            names, values = decorator.args[:2]
            if not isinstance(names, ast.Constant) or not isinstance(names.value, str) or not getattr(values, "elts", ()):
                return False
            known |= {name.strip() for name in names.value.split(",")}
        arguments = node.args
        positional = [argument.arg for argument in arguments.posonlyargs + arguments.args]
        needed = positional[: len(positional) - len(arguments.defaults)]
        needed += [argument.arg for argument, default in zip(arguments.kwonlyargs, arguments.kw_defaults, strict=True) if default is None]
        return not needed or (not doubt and set(needed) <= self.fixtures | known)
