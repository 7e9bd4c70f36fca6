"""execute(): many programs on a few workers, their verdicts in the order of the programs."""

import os
import selectors
import time
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from itertools import chain
from typing import Any

from selfalign.data.errors import SandboxError
from selfalign.execution.cache import VerdictCache
from selfalign.execution.programs import Program, Verdict
from selfalign.execution.record import Answer, judge
from selfalign.execution.sandbox import choose_sandbox, python_for_programs
from selfalign.execution.waiting import Queue, Task
from selfalign.execution.worker import Lost, Worker

WATCH_SECONDS = 0.05
STARTS = 4  # attempts to start a sandbox, 1, 2 and 4 seconds apart
CORE_SECONDS = 10.0  # longest wait for a free core before a program that was too slow on a busy machine runs again
# Where a program seems to kill its sandbox: does this one too?
HARMLESS = Program("", "def one():\n    return 1\n", "assert one() == 1\n")
SLEEPERS = 8  # sandboxes beyond `workers`, for programs that sleep


def execute(programs: Sequence[Program], cfg: dict[str, Any], progress: Any = None, cache_dir: str | None = None) -> list[Verdict]:
    """The verdicts on all programs, in their order; see judged()."""
    return list(judged(programs, cfg, progress, cache_dir))


def judged(items: Iterable[Program | Verdict], cfg: dict[str, Any], progress: Any = None, cache_dir: str | None = None) -> Iterator[Verdict]:
    """The verdict on each program, and each item that is a verdict already, in their order, as they become known: it holds no more than is open.

    cfg: the config's `execution`, complete. progress: a data.job.Progress, advanced by one per item. cache_dir: the config's, None for
    no cache of verdicts. SandboxError where this machine cannot isolate programs in the way that cfg asks for.
    """
    verdicts: dict[int, Verdict] = {}
    cache = None

    def known(programs: Sequence[Program]) -> dict[int, Verdict]:
        return cache.known(programs) if cache else {}

    def settle(index: int, verdict: Verdict) -> None:
        verdicts[index] = verdict
        if progress is not None:
            progress.advance(1)

    def settle_task(task: Task, verdict: str, detail: str) -> None:
        settle(task.index, Verdict(task.program.id, verdict, detail))
        if cache:
            cache.keep(task.program, verdict, detail)

    if cache_dir is not None:
        cache = VerdictCache(cache_dir, cfg, python_for_programs(cfg["python"]))
    pool = _Pool(cfg, settle_task)
    try:
        queue = Queue(items, known, settle)
        for _ in chain(pool.run(queue), [None]):
            while queue.settled in verdicts:
                queue.settled += 1
                yield verdicts.pop(queue.settled - 1)
    finally:
        pool.close()
        if cache:
            cache.close()


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

    def __init__(self, cfg: dict[str, Any], settle: Callable[[Task, str, str], None]):
        self.cfg = cfg
        self.settle = settle
        self.kind = ""  # of the sandboxes; chosen when the first one is needed
        self.selector = selectors.DefaultSelector()
        self.idle: list[Worker] = []
        self.busy: dict[Worker, Task] = {}
        self.waiting: deque[Task] = deque()  # before any new one
        self.alone: deque[Task] = deque()  # once nothing else runs
        self.watched = 0.0

    def run(self, queue: Queue) -> Iterator[None]:
        """Settle all tasks of the queue; each is taken when there is a place for it. Yields when some may have been settled."""
        more = True
        while more:
            yield
            while self._may_start() and (task := self.waiting.popleft() if self.waiting else queue.next()):
                self._start(task)
            if not self.busy and self.alone:
                task = self.alone.popleft()
                if task.slow:
                    _wait_for_a_core()
                self._start(task)
            if self.busy:
                self._collect()
            more = bool(self.busy or self.waiting or self.alone) or not queue.ended

    def close(self) -> None:
        """End all sandboxes."""
        for worker in [*self.idle, *self.busy]:
            self._close(worker)
        self.selector.close()

    def _may_start(self) -> bool:
        """Is there a place for a program beside those that run?"""
        return len(self.busy) < self._places() and not any(task.alone for task in self.busy.values())

    def _places(self) -> int:
        """How many programs may run: one that only sleeps holds up nobody else."""
        return self.cfg["workers"] + min(SLEEPERS, sum(worker.asleep for worker in self.busy))

    def _close(self, worker: Worker) -> None:
        self.selector.unregister(worker.socket)
        worker.close()

    def _worker_for(self, task: Task) -> Worker:
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
        self.kind = self.kind or choose_sandbox(self.cfg["sandbox"], self.cfg["python"])
        worker = Worker(self.kind, python_for_programs(self.cfg["python"]), modules)
        try:
            worker.wait_ready()
            return worker
        except SandboxError:
            if attempt == STARTS:
                raise
        time.sleep(2.0 ** (attempt - 1))
        return self._new_worker(modules, attempt + 1)

    def _start(self, task: Task) -> None:
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

    def _again(self, task: Task, verdict: str, detail: str) -> None:
        """Run a program alone, after a fault that may be the machine's or a neighbour's; after two such runs believe it."""
        task.losses += task.alone
        if task.losses >= 2:
            if verdict == "killed":
                self._need_a_working_sandbox(task)
            self.settle(task, verdict, detail)
        else:
            task.alone = True
            self.alone.append(task)

    def _need_a_working_sandbox(self, task: Task) -> None:
        """SandboxError if a program that does nothing is killed as well, where `task` was: that is no verdict on the program."""
        worker = self._new_worker(task.modules)
        try:
            worker.send(0, Task(0, HARMLESS, task.modules).job(), False, self.cfg)
            while (answer := worker.receive()) is None:
                pass
            killed = "its process is killed" if answer.faulty or answer.killed_from_outside else ""
        except Lost as lost:
            killed = str(lost)
        finally:
            worker.close()
        if killed:
            raise SandboxError(f"the sandbox does not work: it is lost under a program that does nothing ({killed}); see selfalign sandbox --check")

    def _finish(self, task: Task, answer: Answer) -> None:
        if answer.faulty:
            self._again(task, "infrastructure", "its process could not be set up")
        elif answer.killed_from_outside:
            self._again(task, "killed", "SIGKILL")
        elif answer.reason == "wall" and answer.held_up and not task.slow:
            task.slow = task.alone = True
            self.alone.append(task)
        else:
            self._judge(task, *judge(answer, self.cfg))

    def _judge(self, task: Task, verdict: str, detail: str) -> None:
        if task.control:
            if verdict == "passed":
                self.settle(task, "vacuous", "the tests also pass without a working implementation")
            else:
                self.settle(task, "passed", "")
        elif verdict == "passed" and self.cfg["negative_control"]:
            task.control = True
            (self.alone if task.alone else self.waiting).appendleft(task)
        else:
            self.settle(task, verdict, detail)
