"""Programs that wait for a worker: read ahead, so that those that need the same modules follow one another."""

import re
from collections import deque
from collections.abc import Callable, Iterable, Sequence
from itertools import islice

from selfalign.execution.programs import Program, Verdict

AHEAD_ROWS = 100_000  # read, but not yet settled in their order
AHEAD_BYTES = 32 << 20  # of texts that wait
CHUNK = 1024  # rows that are read at once
# Modules that are loaded before a fork if a program imports them. Loading one loads what it needs.
PRELOADED = (
    *("numpy", "numpy.random", "numpy.testing", "pandas", "scipy", "sklearn", "sympy", "networkx", "yaml", "pytest", "requests"),
    *("asyncio", "multiprocessing", "unittest.mock", "doctest"),
)
_IMPORT = re.compile(r"(?:^|;)[ \t]*(?:import[ \t]+([\w., \t]+)|from[ \t]+([\w.]+)[ \t]+import\b[ \t(]*([\w, \t]*))", re.MULTILINE)
# Tests that only pytest can call: plain test classes, tests with arguments, fixtures by name.
_FOR_PYTEST = re.compile(
    r"^class Test\w*\s*(?:\(\s*(?:object)?\s*\))?\s*:"
    r"|^(?:async\s+)?def (?:test\w*\(\s*[A-Za-z]\w*\s*[,:)]|(?:setup|teardown)_(?:module|function)\()",
    re.MULTILINE,
)


def modules_of(program: Program) -> tuple[str, ...]:
    """Which of PRELOADED a program imports, as its text says."""
    named = set()
    for text in (program.code, program.tests):
        for plain, module, parts in _IMPORT.findall(text):
            names = [name.split()[0] for name in (plain or parts).split(",") if name.strip()]  # without ` as ...`
            named |= {module, *(f"{module}.{name}" for name in names)} if module else set(names)
    roots = named | {name.partition(".")[0] for name in named}
    if {"numpy", "pandas"} & roots and ".testing" in program.tests:
        roots.add("numpy.testing")
    # numpy loads it when it is first used: too late for its seed.
    if {"numpy", "pandas", "scipy", "sklearn"} & roots and "random" in program.code + program.tests:
        roots.add("numpy.random")
    if _FOR_PYTEST.search(program.tests):
        roots.add("pytest")
    return tuple(name for name in PRELOADED if name in roots)


class Task:
    """A program on its way to a verdict."""

    def __init__(self, index: int, program: Program, modules: tuple[str, ...]):
        self.index = index
        self.modules = modules
        self.program = program
        self.control = False  # is this run the negative control?
        self.alone = False  # does it run with no other of our programs beside it?
        self.losses = 0  # of its sandbox, while it ran alone
        self.slow = False  # was it once too slow while other work may have held it up?

    def job(self) -> bytes:
        """As inside/prepare.py reads it."""
        code, tests = (text.encode("utf-8", "surrogatepass") for text in (self.program.code, self.program.tests))
        return len(code).to_bytes(8, "little") + code + tests

    @property
    def size(self) -> int:
        """Characters of its texts."""
        return len(self.program.code) + len(self.program.tests)


class Queue:
    """The programs among `items`, each with its index, in an order that lets workers stay.

    A verdict among the items, or one that `known` gives for the programs of a chunk (by their place in it), goes to `settle(index, verdict)`.
    """

    def __init__(
        self,
        items: Iterable[Program | Verdict],
        known: Callable[[Sequence[Program]], dict[int, Verdict]],
        settle: Callable[[int, Verdict], None],
    ):
        self.settled = 0  # items, from the first on, as the owner says
        self._items = iter(items)
        self._known = known
        self._settle = settle
        self._read = 0
        self._size = 0
        self._more = True
        self._kinds: dict[tuple[str, ...], deque[Task]] = {}
        self._kind: tuple[str, ...] = ()

    def next(self) -> Task | None:
        """The next program, of the same kind as the last one if there is one; None if there is none, or none before others are settled."""
        self._fill()
        if self._kind not in self._kinds:
            if not self._kinds:
                return None
            self._kind = max(self._kinds, key=lambda kind: len(self._kinds[kind]))
        tasks = self._kinds[self._kind]
        task = tasks.popleft()
        if not tasks:
            del self._kinds[self._kind]
        self._size -= task.size
        return task

    @property
    def ended(self) -> bool:
        """Will next() never have another one?"""
        return not self._more and not self._kinds

    def _fill(self) -> None:
        while self._more and self._size < AHEAD_BYTES and self._read - self.settled < AHEAD_ROWS:
            chunk = list(enumerate(islice(self._items, CHUNK), self._read))
            self._more = bool(chunk)
            self._read += len(chunk)
            programs = []
            for index, item in chunk:
                if isinstance(item, Verdict):
                    self._settle(index, item)
                else:
                    programs.append((index, item))
            known = self._known([program for _, program in programs])
            for place, (index, program) in enumerate(programs):
                if place in known:
                    self._settle(index, known[place])
                    continue
                task = Task(index, program, modules_of(program))
                self._size += task.size
                self._kinds.setdefault(task.modules, deque()).append(task)
