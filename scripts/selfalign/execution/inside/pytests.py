"""Tests in pytest's style that the program has not called itself (fixtures, parameters, plain test classes) are called by pytest."""

import os
import sys
import unittest

_FIXTURES_OF_A_MODULE = ("setup_module", "teardown_module", "setup_function", "teardown_function")
# One module, nothing of the machine: no configuration, no conftest, no plugins beside pytest's own, none that writes or prints.
_OPTIONS = ["-s", "--noconftest", "-c", os.devnull, *(f"-pno:{name}" for name in ("cacheprovider", "terminal", "faulthandler"))]


def skips() -> tuple:
    """The exceptions by which a test skips itself."""
    pytest = sys.modules.get("pytest")
    return (unittest.SkipTest, pytest.skip.Exception) if pytest else (unittest.SkipTest,)


def needs_pytest(scope: dict, tests, entered) -> bool:
    """Is there a test left that a plain call would not serve?"""
    if any(callable(scope.get(name)) for name in _FIXTURES_OF_A_MODULE) or any(map(_is_automatic, list(scope.values()))):
        return True
    for name, number in tests.functions:
        function = scope.get(name)
        code = getattr(function, "__code__", None)
        if code is not None and not entered(number) and (hasattr(function, "pytestmark") or required_arguments(function)):
            return True
    for name, methods in tests.classes:
        cls = scope.get(name)
        if methods and isinstance(cls, type) and not issubclass(cls, unittest.TestCase) and not any(entered(number) for _, number in methods):
            return True
    return False


def required_arguments(function) -> int:
    """How many arguments a function needs."""
    code = function.__code__
    return code.co_argcount - len(function.__defaults__ or ()) + code.co_kwonlyargcount - len(function.__kwdefaults__ or ())


def _is_automatic(value) -> bool:
    marker = getattr(value, "_fixture_function_marker", None) if type(value).__module__ == "_pytest.fixtures" else None
    return bool(getattr(marker, "autouse", False))


def make_run(pytest):
    """The function that lets pytest call what is left. It returns the first exception that ended a test, or None."""
    import asyncio  # here: nobody else needs these
    import pathlib
    import tempfile

    class Program(pytest.Module):
        def _getobj(self):
            return sys.modules["__main__"]

    class Plugin:
        def __init__(self, tests, guard):
            self.numbers = dict(tests.functions) | {f"{name}.{method}": number for name, methods in tests.classes for method, number in methods}
            self.entered = guard.entered
            self.swallowed = guard.swallowed
            self.first = None

        def pytest_pycollect_makemodule(self, module_path, parent):
            return Program.from_parent(parent, path=module_path)

        def pytest_collection_modifyitems(self, items):
            items[:] = [item for item in items if self.is_left(item)]

        def is_left(self, item) -> bool:
            """Is it a test of this program that has not run?"""
            number = self.numbers.get(getattr(item.obj, "__qualname__", ""), self.numbers.get(item.originalname))
            return number is not None and not self.entered(number)

        def pytest_pyfunc_call(self, pyfuncitem):
            if not asyncio.iscoroutinefunction(pyfuncitem.obj):
                return None
            asyncio.run(pyfuncitem.obj(**{name: pyfuncitem.funcargs[name] for name in pyfuncitem._fixtureinfo.argnames}))
            return True

        @pytest.hookimpl(wrapper=True)
        def pytest_runtest_makereport(self, item, call):
            report = yield
            # A test whose arguments nobody gives is a function that nobody calls.
            if report.failed and call.excinfo is not None and not isinstance(call.excinfo.value, pytest.FixtureLookupError):
                self.first = self.first or call.excinfo.value
            elif call.excinfo is not None and isinstance(call.excinfo.value, skipping):
                self.swallowed(call.excinfo.value)
            return report

        def pytest_collectreport(self, report):
            if report.failed and self.first is None:
                self.first = RuntimeError("pytest cannot collect the tests")

    original = pytest.main
    skipping = skips()

    def run(tests, guard):
        plugin = Plugin(tests, guard)
        os.environ["PYTEST_DISABLE_PLUGIN_AUTOLOAD"] = "1"
        folder = tempfile.mkdtemp()
        file = pathlib.Path(folder, "program_test.py")
        file.touch()
        original([*_OPTIONS, "--rootdir", folder, str(file)], plugins=[plugin])
        return plugin.first

    return run


class Main:
    """What programs find as `pytest.main`: the program is no file, so its arguments say nothing."""

    def __init__(self, run, tests, guard):
        self.run = lambda: run(tests, guard)
        self.first = None

    def __call__(self, args=None, plugins=None):
        self.first = self.first or self.run()
        return 0 if self.first is None else 1
