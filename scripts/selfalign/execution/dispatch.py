"""execute(): many programs on a few workers, their verdicts in the order of the programs."""

import os
import re
import selectors
import time
from array import array
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from typing import Any

from selfalign.data.errors import SandboxError
from selfalign.execution.cache import VerdictCache
from selfalign.execution.programs import Program, Verdict
from selfalign.execution.record import Answer, judge
from selfalign.execution.sandbox import Python, choose_sandbox, python_for_programs
from selfalign.execution.worker import Lost, Worker

WATCH_SECONDS = 0.05
STARTS = 4  # attempts to start a sandbox, 1, 2 and 4 seconds apart
CORE_SECONDS = 10.0  # longest wait for a free core before a program that was too slow on a busy machine runs again
SLEEPERS = 8  # sandboxes beyond `workers`, for programs that sleep
# Modules that are loaded before a fork if a program imports them. Loading one loads what it needs.
PRELOADED = (
    *("numpy", "numpy.random", "numpy.testing", "pandas", "scipy", "sklearn", "sympy", "networkx", "yaml", "pytest", "requests"),
    *("asyncio", "multiprocessing", "unittest.mock", "doctest"),
)
_IMPORT = re.compile(r"^[ \t]*(?:import|from)[ \t]+([\w.]+(?:[ \t]*,[ \t]*[\w.]+)*)", re.MULTILINE)
# Tests that only pytest can call: plain test classes, tests with arguments, fixtures by name.
_FOR_PYTEST = re.compile(
    r"^class Test\w*\s*(?:\(\s*(?:object)?\s*\))?\s*:"
    r"|^(?:async\s+)?def (?:test\w*\(\s*[A-Za-z]\w*\s*[,:)]|(?:setup|teardown)_(?:module|function)\()",
    re.MULTILINE,
)


def modules_of(program: Program) -> tuple[str, ...]:
    """Which of PRELOADED a program imports, as its text says."""
    named = {name.strip() for text in (program.code, program.tests) for match in _IMPORT.finditer(text) for name in match.group(1).split(",")}
    roots = named | {name.partition(".")[0] for name in named}
    if {"numpy", "pandas"} & roots and ".testing" in program.tests:
        roots.add("numpy.testing")
    # numpy loads it when it is first used: too late for its seed.
    if {"numpy", "pandas", "scipy", "sklearn"} & roots and "random" in program.code + program.tests:
        roots.add("numpy.random")
    if _FOR_PYTEST.search(program.tests):
        roots.add("pytest")
    return tuple(name for name in PRELOADED if name in roots)


class _Task:
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


def execute(programs: Sequence[Program], cfg: dict[str, Any], progress: Any = None, cache_dir: str | None = None) -> list[Verdict]:
    """The verdict on each program, in their order.

    cfg: the config's `execution`, complete. progress: a data.job.Progress, advanced by one per program. cache_dir: the config's, None for
    no cache of verdicts. SandboxError where this machine cannot isolate programs in the way that cfg asks for.
    """
    if not programs:
        return []
    python = python_for_programs(cfg["python"])
    cache = VerdictCache(cache_dir, cfg, python) if cache_dir is not None else None
    verdicts: dict[int, Verdict] = cache.known(programs) if cache else {}
    if progress is not None:
        progress.advance(len(verdicts))

    def settle(index: int, verdict: str, detail: str) -> None:
        verdicts[index] = Verdict(programs[index].id, verdict, detail)
        if cache:
            cache.keep(programs[index], verdict, detail)
        if progress is not None:
            progress.advance(1)

    # Programs that need the same modules follow one another, so that a worker need not start again for each.
    kinds: dict[tuple[str, ...], array] = {}
    for i, program in enumerate(programs):
        if i not in verdicts:
            kinds.setdefault(modules_of(program), array("q")).append(i)
    tasks = (_Task(i, programs[i], modules) for modules in sorted(kinds, key=lambda modules: (len(modules), modules)) for i in kinds[modules])
    try:
        if kinds:
            _Pool(cfg, python, settle).run(tasks)
    finally:
        if cache:
            cache.close()
    return [verdicts[i] for i in range(len(programs))]


def _wait_for_a_core() -> None:
    """Until no more processes want to run than there are cores, or CORE_SECONDS are over."""
    end = time.monotonic() + CORE_SECONDS
    while time.monotonic() < end:
        with open("/proc/stat") as file:
            running = next((int(line.split()[1]) for line in file if line.startswith("procs_running")), 0)
        if running <= (os.cpu_count() or 1):  # this process is one of them
            return
        time.sleep(0.2)


class _Pool:
    """Workers and the programs that wait for them. One thread: it waits for answers and looks at programs that take long."""

    def __init__(self, cfg: dict[str, Any], python: Python, settle: Callable[[int, str, str], None]):
        self.cfg = cfg
        self.settle = settle
        self.kind = choose_sandbox(cfg["sandbox"], cfg["python"])
        self.python = python
        self.selector = selectors.DefaultSelector()
        self.idle: list[Worker] = []
        self.busy: dict[Worker, _Task] = {}
        self.waiting: deque[_Task] = deque()  # before any new one
        self.alone: deque[_Task] = deque()  # once nothing else runs
        self.watched = 0.0

    def run(self, tasks: Iterator[_Task]) -> None:
        """Settle all tasks; each is taken when there is a place for it."""
        more = True
        try:
            while more or self.waiting or self.alone or self.busy:
                while (more or self.waiting) and len(self.busy) < self._places():
                    task = self.waiting.popleft() if self.waiting else next(tasks, None)
                    if task is None:
                        more = False
                    else:
                        self._start(task)
                if self.alone and not more and not self.waiting and not self.busy:
                    task = self.alone.popleft()
                    if task.slow:
                        _wait_for_a_core()
                    self._start(task)
                self._collect()
        finally:
            for worker in [*self.idle, *self.busy]:
                self._close(worker)
            self.selector.close()

    def _places(self) -> int:
        """How many programs may run: one that only sleeps holds up nobody else."""
        return self.cfg["workers"] + min(SLEEPERS, sum(worker.asleep for worker in self.busy))

    def _close(self, worker: Worker) -> None:
        self.selector.unregister(worker.socket)
        worker.close()

    def _worker_for(self, task: _Task) -> Worker:
        modules = task.modules
        # Who ran the program has it compiled still, for the control.
        for worker in sorted(self.idle, key=lambda worker: worker.last != task.index):
            if worker.modules == modules:
                self.idle.remove(worker)
                return worker
        while self.idle and len(self.idle) + len(self.busy) >= self._places():
            self._close(self.idle.pop(0))
        worker = self._new_worker(modules)
        self.selector.register(worker.socket, selectors.EVENT_READ, worker)
        return worker

    def _new_worker(self, modules: tuple[str, ...], attempt: int = 1) -> Worker:
        worker = Worker(self.kind, self.python, modules)
        try:
            worker.wait_ready()
            return worker
        except SandboxError:
            if attempt == STARTS:
                raise
        time.sleep(2.0 ** (attempt - 1))
        return self._new_worker(modules, attempt + 1)

    def _start(self, task: _Task) -> None:
        worker = self._worker_for(task)
        self.busy[worker] = task
        try:
            worker.send(task.index, task.job(), task.control, self.cfg)
        except Lost as lost:
            self._lost(worker, lost)

    def _collect(self) -> None:
        for key, _ in self.selector.select(WATCH_SECONDS):
            worker = key.data
            try:
                answer = worker.receive()
            except Lost as lost:
                self._lost(worker, lost)
                continue
            if answer is not None:
                task = self.busy.pop(worker)
                self.idle.append(worker)
                self._finish(task, answer)
        now = time.monotonic()
        if now - self.watched < WATCH_SECONDS:
            return
        self.watched = now
        for worker in list(self.busy):
            if now - worker.started > WATCH_SECONDS:
                try:
                    worker.watch(self.cfg)
                except Lost as lost:
                    self._lost(worker, lost)

    def _lost(self, worker: Worker, lost: Lost) -> None:
        """A sandbox is gone."""
        task = self.busy.pop(worker, None)
        if worker in self.idle:
            self.idle.remove(worker)
        self._close(worker)
        if task is not None:
            self._again(task, "killed", f"its sandbox was lost: {lost}")

    def _again(self, task: _Task, verdict: str, detail: str) -> None:
        """Run a program alone, after a fault that may be the machine's or a neighbour's; after two such runs believe it."""
        task.losses += task.alone
        if task.losses >= 2:
            self.settle(task.index, verdict, detail)
        else:
            task.alone = True
            self.alone.append(task)

    def _finish(self, task: _Task, answer: Answer) -> None:
        if answer.faulty:
            self._again(task, "infrastructure", "its process could not be set up")
        elif answer.killed_from_outside:
            self._again(task, "killed", "SIGKILL")
        elif answer.reason == "wall" and answer.held_up and not task.slow:
            task.slow = task.alone = True
            self.alone.append(task)
        else:
            self._judge(task, *judge(answer, self.cfg))

    def _judge(self, task: _Task, verdict: str, detail: str) -> None:
        if task.control:
            if verdict == "passed":
                self.settle(task.index, "vacuous", "the tests also pass without a working implementation")
            else:
                self.settle(task.index, "passed", "")
        elif verdict == "passed" and self.cfg["negative_control"]:
            task.control = True
            (self.alone if task.alone else self.waiting).appendleft(task)
        else:
            self.settle(task.index, verdict, detail)
