"""Reads what the fork server says of a program, and judges it. The structs are those of inside/record.h and inside/server.h.

The record is shared with the program's processes: nothing in it is trusted to be well formed.
"""

import errno
import signal
import struct
from dataclasses import dataclass

PREPARING, IMPLEMENTATION, TESTS, REMAINING, COMPLETE = range(5)
NOTHING, EXCEPTION, SYNTAX_ERROR, NO_CODE, NO_TESTS, EXIT, FORBIDDEN = range(7)
ENDED, STOPPED_WALL, STOPPED_HOST = range(3)

RUN, AGAIN, STOP = range(3)  # orders to the fork server

JOB = struct.Struct("=QQQQIIIIII")
_RECORD = struct.Struct("=17i64s64s64s64s")
_ANSWER = struct.Struct("=QQiidd")
ANSWER_SIZE = _ANSWER.size + _RECORD.size + (-_RECORD.size % 8)


@dataclass
class Answer:
    """One run of one program. Times in seconds, output in bytes.

    `reason`: why the host stopped it ("", cpu, wall, memory). `held_up`: may a busy machine have made it late?
    """

    number: int
    output: int
    stop: int
    status: int
    cpu: float
    wall: float
    stage: int = 0
    checks: int = 0
    failed: int = 0
    failed_line: int = 0
    vacuous_line: int = 0
    denied: int = 0
    noted: int = 0
    patched: int = 0
    outcome: int = 0
    where: int = 0
    line: int = 0
    error_number: int = 0
    memory: int = 0
    swallowed: int = 0
    swallowed_line: int = 0
    opened: int = 0
    closed: int = 0
    exception: str = ""
    swallowed_exception: str = ""
    denied_detail: str = ""
    noted_detail: str = ""
    reason: str = ""
    held_up: bool = False

    @property
    def faulty(self) -> bool:
        """The process did not get as far as the program."""
        return self.stage == PREPARING and not self.outcome and not self.stop and not self.denied and self.status >> 8 in (95, 96)

    @property
    def killed_from_outside(self) -> bool:
        """SIGKILL, but not ours: its own, or the kernel's when the machine ran out of memory."""
        return self.status & 0x7F == signal.SIGKILL and not self.stop and not self.denied


def _text(raw: bytes) -> str:
    return raw.split(b"\0")[0].decode("utf-8", "replace")


def read_answer(data: bytes) -> Answer:
    """The answer in ANSWER_SIZE bytes."""
    numbers = _RECORD.unpack_from(data, _ANSWER.size)
    return Answer(*_ANSWER.unpack_from(data), *numbers[:17], *map(_text, numbers[17:]))


def _at(where: int, line: int) -> str:
    place = {1: "implementation", 2: "tests"}.get(where, "")
    return f"{place} line {line}" if place and line > 0 else place


def _exception(name: str, place: str) -> str:
    return f"{name} at {place}" if place else name


_DENIED = (errno.EPERM, errno.EACCES, errno.EROFS)
_FULL = (errno.ENOSPC, errno.EFBIG, errno.EDQUOT)


def judge(answer: Answer, cfg: dict) -> tuple[str, str]:
    """(verdict, detail) of one run. `passed` means: everything ran, at least one check was evaluated, none failed."""
    ended_by = answer.status & 0x7F
    if answer.denied:
        return "denied", answer.denied_detail
    if answer.outcome == FORBIDDEN:
        return "denied", "imports ctypes or cffi"
    if answer.reason == "memory":
        return "memory", f"more than {cfg['memory_mb']} MB in all its processes"
    if answer.cpu > cfg["cpu_seconds"] or answer.reason == "cpu" or (ended_by == signal.SIGXCPU and answer.stage):
        return "timeout", f"more than {cfg['cpu_seconds']:g} s of CPU time"
    if answer.stop:
        return "timeout", f"more than {cfg['wall_seconds']:g} s"
    if answer.output > cfg["output_kb"] * 1024:
        return "output_limit", f"printed more than {cfg['output_kb']} kB"
    place = _at(answer.where, answer.line)
    if answer.memory:
        return "memory", _exception("MemoryError", place)
    if ended_by:
        name = signal.Signals(ended_by).name if ended_by in signal.Signals.__members__.values() else f"signal {ended_by}"
        return "killed", name
    if answer.outcome == NO_CODE:
        return "no_code", "the implementation is empty"
    if answer.outcome == NO_TESTS:
        return "no_tests", "the tests are empty"
    if answer.outcome == SYNTAX_ERROR:
        return "syntax_error", _exception(answer.exception, place)
    if answer.failed:
        return "assertion_failed", f"tests line {answer.failed_line}"
    if answer.outcome == EXCEPTION:
        if answer.error_number in _FULL:
            return "output_limit", _exception(answer.exception, place)
        if answer.error_number in _DENIED:
            return "denied", answer.noted_detail or _exception(answer.exception, place)
        if answer.noted and answer.error_number:
            return "denied", answer.noted_detail
        if answer.exception == "AssertionError" and answer.where == 2:
            return "assertion_failed", place
        if answer.exception == "Failed" and answer.opened > answer.closed:  # pytest.raises
            return "assertion_failed", place
        return "error", _exception(answer.exception, place)
    if answer.opened > answer.closed:
        return "assertion_failed", "an expected exception did not come"
    if answer.swallowed:
        return "error", _exception(answer.swallowed_exception, f"tests line {answer.swallowed_line}")
    if answer.stage != COMPLETE:
        detail = "left before the end of the tests"
        return ("error" if answer.checks else "tests_not_run"), detail
    if not answer.checks:
        return "tests_not_run", "no check was evaluated"
    if answer.patched:
        return "tests_not_run", "a test, or something that its checks are made of, was replaced"
    if answer.vacuous_line:
        return "vacuous", f"tests line {answer.vacuous_line}: a value for which a comparison with anything is true"
    return "passed", ""
