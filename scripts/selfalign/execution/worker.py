"""One sandbox with its fork server, seen from the host: start it, give it a program, watch the program, read the answer."""

import os
import subprocess
import tempfile
import time

from selfalign.data.errors import SandboxError
from selfalign.execution.record import AGAIN, ANSWER_SIZE, JOB, RUN, STOP, Answer, read_answer
from selfalign.execution.sandbox import Python, start_server

START_SECONDS = 120.0  # loading pandas or scikit-learn from a cold disk on a busy machine takes long
CLOSE_SECONDS = 2.0
PROCESSES, FILES, FILE_MB = 128, 512, 64
_TICK = os.sysconf("SC_CLK_TCK")
_PAGE = os.sysconf("SC_PAGE_SIZE")


# Does the kernel count how long a process waits for a core?
_COUNTS_WAITING = os.path.exists("/proc/self/schedstat")


class Lost(Exception):
    """The sandbox is gone: a fault of the machine, or of the program that ran in it."""


class Worker:
    """A sandbox that runs one program at a time. `modules` are loaded already when a program starts."""

    def __init__(self, kind: str, python: Python, modules: tuple[str, ...]):
        self.modules = modules
        self._home = tempfile.TemporaryDirectory(prefix="selfalign-", ignore_cleanup_errors=True) if kind == "none" else None
        self.process, self.socket, self._told = start_server(kind, python, modules, self._home.name if self._home else "")
        self.base = self.base_resident = 0
        self.asleep = self.held_up = self.seen = False
        self.pid = 0
        self.job = None
        self.last = -1  # number of the program that came last
        self.session = 0
        self.started = 0.0
        self.reason = ""
        self._buffer = b""

    def wait_ready(self) -> None:
        """Wait until the fork server has loaded its modules. SandboxError with the reason if it cannot start."""
        self.socket.settimeout(START_SECONDS)
        try:
            first = self.socket.recv(1)
            if first == b"r":
                self.socket.settimeout(None)
                self.pid = self._server_pid()
                self.base, self.base_resident = _memory(self.pid)
                self.session = _session(self.pid)
                return
            message = self.socket.recv(400).decode("utf-8", "replace") if first == b"f" else self._last_words()
        except OSError as error:
            message = str(error)
        self.close()
        raise SandboxError(f"no sandbox: {message}")

    def _last_words(self) -> str:
        self.process.wait()
        lines = os.pread(self._told, 100_000, 0).decode("utf-8", "replace").strip().splitlines()
        return lines[-1] if lines else f"it ended with exit code {self.process.returncode}"

    def _server_pid(self) -> int:
        """Host process id of the fork server: the innermost only child of what we started."""
        pid = self.process.pid
        while children := _children(pid):
            pid = children[0]
        return pid

    def send(self, number: int, program: bytes, control: bool, cfg: dict) -> None:
        """Start program `number` (its bytes: see inside/prepare.py) or its negative control under the limits of `cfg`."""
        memory = self.base + cfg["memory_mb"] * 1024 * 1024
        limits = (int(cfg["cpu_seconds"]) + 2, self._wall_ms(cfg), PROCESSES, FILES)
        order, program = (AGAIN, b"") if number == self.last else (RUN, program)
        self.job, self.last, self.started, self.reason = number, number, time.monotonic(), ""
        self.asleep = self.held_up = self.seen = False
        try:
            self.socket.sendall(JOB.pack(number, len(program), memory, FILE_MB << 20, *limits, order, control) + program)
        except OSError as error:
            raise Lost(str(error)) from None

    @staticmethod
    def _wall_ms(cfg: dict) -> int:
        # The server's own bound is a last resort, should we be gone: watch() stops programs.
        return int(min(20 * cfg["wall_seconds"] + 60, 4_000_000) * 1000)

    def receive(self) -> Answer | None:
        """The answer, if all of it has come. Lost if the server is gone."""
        try:
            data = self.socket.recv(ANSWER_SIZE - len(self._buffer))
        except OSError as error:
            raise Lost(str(error)) from None
        if not data:
            raise Lost("the sandbox ended")
        self._buffer += data
        if len(self._buffer) < ANSWER_SIZE:
            return None
        answer, self._buffer, self.job = read_answer(self._buffer), b"", None
        answer.reason, answer.held_up = self.reason, self.held_up
        self.asleep = False
        return answer

    def watch(self, cfg: dict) -> None:
        """Look at the running program's processes and stop it when all of them together are over a limit.

        Wall time does not count while a process waits for a core, so that a busy machine makes nobody late.
        """
        if self.reason:
            return
        cpu = memory = waited = 0.0
        # What is ours there (the compiler, the first process of the program's namespace) is in the server's session, a program never.
        processes = [found for pid in _descendants(self.pid) if (found := _usage(pid)) and found[3] != self.session]
        if not self.seen:
            # The program's time begins when its process is there: on a busy machine the fork server itself has to wait.
            self.started = time.monotonic()
            self.seen = bool(processes)
        for used, resident, delay, _ in processes:
            cpu += used
            memory += max(0, resident - self.base_resident)
            waited = max(waited, delay)
        wall = time.monotonic() - self.started
        self.asleep = wall > 1 and cpu + waited < wall / 5
        self.held_up = waited > wall / 10 or not _COUNTS_WAITING
        if cpu > cfg["cpu_seconds"]:
            self.stop("cpu")
        elif memory > cfg["memory_mb"] * 1024 * 1024:
            self.stop("memory")
        elif wall - waited > cfg["wall_seconds"]:
            self.stop("wall")

    def stop(self, reason: str) -> None:
        self.reason = reason
        try:
            self.socket.sendall(JOB.pack(self.job, *[0] * 7, STOP, 0))
        except OSError as error:
            raise Lost(str(error)) from None

    def close(self) -> None:
        """End the sandbox and everything in it."""
        # The fork server ends when its socket does, and with it its programs; their times then count as this process's children's.
        self.socket.close()
        try:
            self.process.wait(CLOSE_SECONDS)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
        os.close(self._told)
        if self._home:
            self._home.cleanup()


def _read(path: str) -> str:
    try:
        with open(path) as file:
            return file.read()
    except OSError:
        return ""


def _children(pid: int) -> list[int]:
    return [int(child) for child in _read(f"/proc/{pid}/task/{pid}/children").split()]


def _descendants(pid: int) -> list[int]:
    """All processes below `pid`; a parent may have forked in any of its threads."""
    found, stack = [], [pid]
    while stack:
        parent = stack.pop()
        try:
            threads = os.listdir(f"/proc/{parent}/task")
        except OSError:
            continue
        for thread in threads:
            children = [int(child) for child in _read(f"/proc/{parent}/task/{thread}/children").split()]
            found += children
            stack += children
    return found


def _memory(pid: int) -> tuple[int, int]:
    """(address space, resident memory) of a process in bytes."""
    fields = _read(f"/proc/{pid}/statm").split()
    return (int(fields[0]) * _PAGE, int(fields[1]) * _PAGE) if fields else (0, 0)


def _session(pid: int) -> int:
    fields = _read(f"/proc/{pid}/stat").rpartition(")")[2].split()
    return int(fields[3]) if fields else -1


def _usage(pid: int) -> tuple[float, int, float, int] | None:
    """(CPU seconds, with those of children that it has buried, resident bytes, seconds that it waited for a core, session) of a process."""
    fields = _read(f"/proc/{pid}/stat").rpartition(")")[2].split()
    if not fields:
        return None
    delay = _read(f"/proc/{pid}/schedstat").split()
    return sum(map(int, fields[11:15])) / _TICK, _memory(pid)[1], int(delay[1]) / 1e9 if delay else 0.0, int(fields[3])
