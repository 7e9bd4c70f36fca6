"""The fork server: loads what programs need once, then forks a process per program. Runs inside the sandbox.

argv: guard library, socket, isolated (0 or 1), modules to load (comma-separated), program filter (hex)
"""

import builtins
import contextlib
import gc
import importlib
import importlib.machinery
import importlib.util
import linecache
import marshal
import os
import random
import sys
import types
import unittest
import unittest.case
import unittest.suite
import warnings

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
import hollow  # noqa: E402
import instrument  # noqa: E402
import prepare  # noqa: E402
import pytests  # noqa: E402

del sys.path[0]

PLAIN, RAISES, FAIL, EQUALITY, CALLED = range(5)
# What unittest's comparisons say of their first and second argument.
ARGUMENTS = {
    "assertLess": (instrument.LESS, instrument.GREATER),
    "assertGreater": (instrument.GREATER, instrument.LESS),
    "assertLessEqual": (instrument.AT_MOST, instrument.AT_LEAST),
    "assertGreaterEqual": (instrument.AT_LEAST, instrument.AT_MOST),
    "assertIn": (0, instrument.CONTAINS),
    "assertNotIn": (0, instrument.LACKS),
}
# What a check may go through, apart from what tests have reason to replace.
REPLACEABLE = frozenset({"input", "print", "open", "exit", "quit", "help", "breakpoint"})
COMPARING = {
    "math": ("isclose",),
    "numpy": ("allclose", "isclose", "array_equal", "array_equiv", "all", "any"),
    "pytest": ("approx",),
    "operator": ("eq", "ne"),
}
# What programs import most, and what is cheap to have: a fork copies the tables of all memory that is in use.
COMMON = (
    *("abc", "bisect", "collections", "copy", "dataclasses", "datetime", "enum", "functools", "heapq", "itertools", "json", "math", "operator"),
    *("random", "re", "string", "time", "typing"),
)
# What a package loads only when it is used, and most programs that import it use: importing it takes 100 times as long as a fork.
PARTS = {
    "scipy": ("constants", "integrate", "interpolate", "linalg", "optimize", "signal", "sparse", "spatial", "special", "stats"),
    "sklearn": (
        *("cluster", "datasets", "decomposition", "ensemble", "feature_extraction.text", "linear_model", "metrics", "model_selection"),
        *("naive_bayes", "neighbors", "pipeline", "preprocessing", "svm", "tree"),
    ),
}
# Data that tests may set on unittest's own classes.
_SETTINGS = frozenset({"maxDiff", "longMessage", "_classSetupFailed", "_class_cleanups"})


def load_guard(path: str):
    """The compiled guard, as a module that is not in sys.modules."""
    loader = importlib.machinery.ExtensionFileLoader("guard", path)
    module = importlib.util.module_from_spec(importlib.machinery.ModuleSpec("guard", loader, origin=path))
    loader.exec_module(module)
    sys.modules.pop("guard", None)  # where Python puts extension modules
    return module


def assertion_functions():
    """(function, kind, uses of its first and second argument) of every library function that is a check, and the modules in which they work."""
    functions, modules = [], [unittest.case, unittest.suite]
    for name, value in vars(unittest.TestCase).items():
        if isinstance(value, types.FunctionType) and (name.startswith("assert") or name in ("fail", "_baseAssertEqual")):
            functions.append((value, RAISES if name in instrument.RAISES else {"fail": FAIL, "assertEqual": EQUALITY}.get(name, PLAIN)))
    if mock := sys.modules.get("unittest.mock"):
        methods = vars(mock.NonCallableMock) | vars(mock.AsyncMockMixin)
        functions += [(value, CALLED) for name, value in methods.items() if name.startswith("assert_")]
        modules.append(mock)
    if pytest := sys.modules.get("pytest"):
        functions += [(pytest.raises, RAISES), (pytest.warns, RAISES), (pytest.fail, FAIL)]
        modules += {sys.modules[function.__module__] for function in (pytest.raises, pytest.warns) if hasattr(function, "__code__")}
    for name in ("numpy.testing", "pandas.testing"):
        if module := sys.modules.get(name):
            found = [value for key, value in vars(module).items() if key.startswith("assert") and isinstance(value, types.FunctionType)]
            functions += [(value, RAISES if value.__name__ in ("assert_raises", "assert_raises_regex", "assert_warns") else PLAIN) for value in found]
            modules += {sys.modules[value.__module__] for value in found}
    return [(function, kind, *ARGUMENTS.get(getattr(function, "__name__", ""), (0, 0))) for function, kind in functions], modules


def comparing_tools() -> dict:
    """Name to what the guard compares before it believes a check of tests that use the name: as seal() gives it."""
    found: dict = {name: [(vars(builtins), name, value, 0)] for name, value in vars(builtins).items() if name not in REPLACEABLE}
    for module, names in COMPARING.items():
        if module in sys.modules:
            for name in names:
                found.setdefault(name, []).append((vars(sys.modules[module]), name, getattr(sys.modules[module], name), 0))
                if name not in vars(builtins):
                    found[name] += [(sys.modules, module, sys.modules[module], 0), *found["__import__"]]
    return found


def watch_unittest(guard) -> None:
    """unittest's runner puts exceptions into a result that nobody need read: the guard sees them before."""
    outcome, suite = vars(unittest.case)["_Outcome"], vars(unittest.suite)["TestSuite"]
    part, note = outcome.testPartExecutor, suite._createClassOrModuleLevelException
    swallowed = guard.swallowed

    @contextlib.contextmanager
    def testPartExecutor(self, test_case, subTest=False):  # noqa: N802, N803
        with part(self, test_case, subTest):
            try:
                yield
            except BaseException as error:
                if not self.expecting_failure:
                    swallowed(error)
                raise

    def _createClassOrModuleLevelException(self, result, exc, *args, **kwargs):  # noqa: N802
        swallowed(exc)
        return note(self, result, exc, *args, **kwargs)

    outcome.testPartExecutor = testPartExecutor
    suite._createClassOrModuleLevelException = _createClassOrModuleLevelException


def expecting_managers() -> list:
    """Types of the context managers that expect an exception or a warning."""
    case = unittest.TestCase()
    found = [case.assertRaises(ValueError), case.assertWarns(UserWarning)]
    if pytest := sys.modules.get("pytest"):
        found += [pytest.raises(ValueError), pytest.warns(UserWarning)]
    return [type(manager) for manager in found]


def seal(modules) -> list:
    """What the guard compares before it believes a library's assertion: the names of these modules, their classes and functions."""
    sealed: list = []
    used: set = set()

    def seal_function(function):
        sealed.append((function, "__code__", function.__code__, 1))
        sealed.append((function, "__defaults__", function.__defaults__, 1))
        used.update(function.__code__.co_names)

    for module in dict.fromkeys(modules):
        scope = vars(module)
        sealed.append((scope, None, len(scope), 0))
        for name, value in list(scope.items()):
            if name.startswith("__") or value is None:  # None: to be filled in when it is first needed
                continue
            sealed.append((scope, name, value, 0))
            if isinstance(value, types.FunctionType) and value.__module__ == module.__name__:
                seal_function(value)
            elif isinstance(value, type) and value.__module__ == module.__name__:
                for key, member in list(vars(value).items()):
                    if key in _SETTINGS or (key.startswith("__") and not isinstance(member, types.FunctionType)):
                        continue
                    sealed.append((vars(value), key, member, 0))
                    if isinstance(member, types.FunctionType):
                        seal_function(member)
    sealed += [(vars(builtins), name, vars(builtins)[name], 0) for name in sorted(used - REPLACEABLE) if name in vars(builtins)]
    return sealed


class Blank:
    """A stranger whose text is empty: not even what is compared by its text is before it, or in it."""

    def __str__(self):
        return ""

    __repr__ = __str__


class Result(unittest.TestResult):
    """Keeps the first exception that ended a test case, fixtures included."""

    first = None

    def addError(self, test, err):
        self.first = self.first or err[1]

    addFailure = addError

    def addSubTest(self, test, subtest, err):
        if err is not None:
            self.addError(test, err)


def methods_left(cls, numbers, ran) -> list:
    """Names of the test methods of a TestCase that have not run, inherited ones too. numbers, ran: of all in the source, by "class.method"."""
    left = []
    for name in unittest.defaultTestLoader.getTestCaseNames(cls):
        method = getattr(cls, name)
        place = getattr(method, "__qualname__", "")
        if place in numbers and place not in ran and not getattr(method, "__unittest_skip__", False) and not getattr(cls, "__unittest_skip__", False):
            left.append(name)
    return left


def make_finish(guard, tests, pytest_main=None):
    """The function that runs, once, the tests that the program has not run itself, and waits for its threads.

    pytest_main: a pytests.Main, None where pytest is not loaded.
    """
    threading = sys.modules.get("threading")
    entered, swallowed = guard.entered, guard.swallowed
    skips = pytests.skips()
    numbers = {f"{name}.{method}": number for name, methods in tests.classes for method, number in methods}

    def finish(scope):
        ran = {name for name, number in numbers.items() if entered(number)}
        result = Result()
        for name in dict.fromkeys(name for name, _ in tests.classes):
            cls = scope.get(name)
            if isinstance(cls, type) and issubclass(cls, unittest.TestCase):
                unittest.TestSuite(map(cls, methods_left(cls, numbers, ran))).run(result)
        if result.first is not None:
            raise result.first
        if pytest_main is not None:
            if pytests.needs_pytest(scope, tests, entered):
                pytest_main()
            if pytest_main.first is not None:
                raise pytest_main.first
        for name, number in tests.functions:
            function = scope.get(name)
            code = getattr(function, "__code__", None)
            if code is not None and not entered(number) and not hasattr(function, "pytestmark") and not pytests.required_arguments(function):
                try:
                    result = function()
                    if code.co_flags & 0x80:
                        importlib.import_module("asyncio").run(result)
                except skips as error:
                    swallowed(error)  # does not count, but where the implementation skips the tests
        running = sys.modules.get("threading", threading)
        if running is not None:
            running._shutdown()

    return finish


def run(guard, job: bytes, prepared: bytes, control: bool, scope: dict, run_pytest, tools: dict) -> None:
    """Run one program in `scope`, the globals of an empty `__main__`. Does not return.

    job: see prepare.py. prepared: what came of it there, empty if nothing did. control: is this the negative control? tools: comparing_tools()
    """
    what, *rest = marshal.loads(prepared) if prepared else prepare.prepare(job)
    if what == "end":
        guard.end(*rest)
    code, tests, imported, sources, file = rest
    instrumented = instrument.Instrumented(tests, guard)
    for name, text in sources:
        linecache.cache[name] = (len(text), None, text.splitlines(keepends=True), name)
    if file:
        with open(scope["__file__"], "w", encoding="utf-8", errors="surrogatepass") as program:
            program.write("\n".join((hollow.hollow_source(file[0]) if control else file[0], file[1])))
    before = set(scope) if control else set()

    def empty(scope):
        hollow.make_hollow(scope, before, imported)

    pytest_main = None
    if run_pytest is not None:
        pytest_main = vars(sys.modules["pytest"])["main"] = pytests.Main(run_pytest, instrumented, guard)
    finish = make_finish(guard, instrumented, pytest_main)
    gc.enable()
    emptied = empty if control else None
    watched = [item for name in instrumented.names for item in tools.get(name, ()) if item[1] not in instrumented.replaced]
    watched.append((scope, "__builtins__", builtins, 0))
    guard.run(code, instrumented.code, scope, instrumented.codes, emptied, finish, instrumented.required, bool(instrumented.classes), watched)


_SAMPLE_CODE = """
import math
from dataclasses import dataclass

@dataclass
class Point:
    x: int

def area(points: list[Point], scale: float = 1.0) -> dict[str, float]:
    \'\'\'A sample.\'\'\'
    try:
        found = {f"{i}": math.sqrt(p.x) * scale for i, p in enumerate(points) if p.x > 0}
    except ValueError as error:
        raise KeyError(str(error)) from None
    return found
"""
_SAMPLE_TESTS = """
def test_area():
    assert area([Point(4)]) == {"0": 2.0}, "message"
    assert len(area([])) == 0 and not area([])

class TestArea(unittest.TestCase):
    def test_it(self):
        self.assertEqual(area([]), {})
        with self.assertRaises(TypeError):
            area(3)
        try:
            area(None)
            assert False
        except TypeError:
            pass

if __name__ == "__main__":
    for value in (1, 2):
        assert area([Point(value)])["0"] > 0
    test_area()
"""


def warm_up(guard) -> None:
    """Do what every program begins with, so that its process inherits initialised parsers and specialised code instead of making them."""
    job = len(_SAMPLE_CODE).to_bytes(8, "little") + (_SAMPLE_CODE + _SAMPLE_TESTS).encode()
    for _ in range(12):
        _, code, tests, _, _, _ = marshal.loads(prepare.compiled(job))
        make_finish(guard, instrument.Instrumented(tests, guard))
        exec(code, {"__name__": "__main__"})


def find_thread_pools(parallel) -> None:
    """scikit-learn looks for them through ctypes, which programs may not use, when it first needs them, and remembers what it found."""
    with contextlib.suppress(AttributeError):
        pools = parallel._get_threadpool_controller()
        for kind in ("blas", "openmp"):
            with pools.limit(limits=1, user_api=kind):
                pass


def main() -> None:
    library, socket, isolated, modules, program_filter = sys.argv[1:]
    guard = load_guard(library)
    guard.load()
    for name in COMMON:
        importlib.import_module(name)
    for name in filter(None, modules.split(",")):
        for part in (name, *(f"{name}.{part}" for part in PARTS.get(name, ()))):
            # Where it is missing, the program that needs it fails with ModuleNotFoundError.
            with contextlib.suppress(ImportError):
                importlib.import_module(part)
    if "sklearn.utils.parallel" in sys.modules:
        find_thread_pools(sys.modules["sklearn.utils.parallel"])
    warnings.simplefilter("ignore", SyntaxWarning)
    watch_unittest(guard)
    functions, sealed_modules = assertion_functions()
    doctest_run = sys.modules["doctest"].DocTestRunner.run.__code__ if "doctest" in sys.modules else None
    any_of_mock = type(sys.modules["unittest.mock"].ANY) if "unittest.mock" in sys.modules else None
    strangers = [object(), Blank()]
    known = (expecting_managers(), seal(sealed_modules), strangers)
    guard.setup(functions, *known, bytes.fromhex(program_filter), any_of_mock, doctest_run, sys.gettrace)
    warm_up(guard)
    tools = comparing_tools()
    run_pytest = pytests.make_run(sys.modules["pytest"]) if "pytest" in sys.modules else None
    for name in ("exitpoints", "hollow", "instrument", "planned", "prepare", "pytests"):
        del sys.modules[name]  # a program may have modules of these names
    folders = [os.open(path, os.O_RDONLY | os.O_DIRECTORY) for path in ("/tmp", "/dev/shm")] if int(isolated) else [-1, -1]
    main = types.ModuleType("__main__")
    scope = vars(main)
    scope["__builtins__"] = builtins
    scope["__file__"] = os.path.abspath("program.py")
    sys.modules["__main__"] = main
    sys.argv = ["program.py"]
    sys.path.insert(0, "")
    random.seed(0)
    if "numpy.random" in sys.modules:
        sys.modules["numpy.random"].seed(0)
    gc.collect()
    gc.freeze()
    guard.loaded()
    gc.disable()  # until a program begins
    # The first byte tells the host that programs can come.
    os.write(int(socket), b"r")
    job, prepared, control = guard.serve(int(socket), int(isolated), *folders, prepare.compiled)
    run(guard, job, prepared, control, scope, run_pytest, tools)


main()
