"""What every job does around its work: its log, its progress lines, its errors and its facts."""

import errno
import json
import os
import resource
import socket
import sys
import threading
import time
import traceback
from collections.abc import Callable, Iterator
from contextlib import contextmanager, redirect_stderr, redirect_stdout, suppress
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, TextIO

from selfalign.data.errors import InputError, SelfalignError
from selfalign.data.gpus import take_gpus

# Where the user looks, while standard error goes to the job's log; None outside a job.
_terminal: TextIO | None = None
_said = 0.0  # when the job last said something, in seconds of the monotonic clock
_WATCH_SECONDS = 0.5
_LONGEST_PAUSE = 60.0  # seconds between two lines of a job
_REDRAWN_SECONDS = 1.0  # between two lines of a job where they take each other's place
_FULL = (errno.ENOSPC, errno.EDQUOT)
BOARD = "SELFALIGN_BOARD"  # names, in the environment of a job, the socket of the terminal's board (selfalign.workflow.board)


@dataclass(frozen=True)
class Said:
    """A line of a job for the board; a passing one stands there until its process says the next one."""

    process: int
    line: str
    passing: bool


def read_said(data: bytes) -> Said:
    """What a job has sent to the board."""
    return Said(**json.loads(data))


def say(line: str, passing: bool = False) -> None:
    """One line for the user: on the terminal, and in the log of a running job. A passing one is of interest until the next one."""
    global _said
    _said = time.monotonic()
    for stream in (None if _terminal and _on_board(line, passing) else _terminal, sys.stderr):
        if stream is not None:
            with suppress(OSError):  # a full disk or a closed terminal costs the line, not the job
                print(line, file=stream, flush=True)


def _on_board(line: str, passing: bool) -> bool:
    """Whether the terminal has a board, which shows the line."""
    if not (address := os.environ.get(BOARD)):
        return False
    with suppress(OSError), socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as sender:
        sender.setblocking(False)
        sender.sendto(json.dumps(asdict(Said(os.getpid(), line, passing))).encode(), address)
        return True
    return False


class Progress:
    """Says how far a job is: after `every` seconds, in a long job every twentieth of its time up to a minute, and at the end.

    `total` is None where nobody knows it.

    >>> progress = Progress("judge 0", total=200)
    >>> progress.advance(20, tokens=4100)
    judge 0: 20/200, 1.7/s, 12 s, 108 s left, tokens 4,100 (342/s)
    """

    def __init__(self, label: str, total: int | None = None, every: float = 5.0):
        self.label = label
        self.total = total
        self.done = 0
        self._every = every
        self._facts: dict[str, float] = {}
        self._start = self._said = self._shown = time.monotonic()

    def advance(self, n: int = 1, **facts: float) -> None:
        """`n` more are done; `facts` are numbers that add up over the job (tokens, hits, ...)."""
        self.done += n
        for name, value in facts.items():
            self._facts[name] = self._facts.get(name, 0) + value
        now = time.monotonic()
        pause = max(self._every, min(_LONGEST_PAUSE, (now - self._start) / 20))
        if now - self._said >= pause or (n and self.done == self.total):
            self._said = self._shown = now
            say(self.line(now - self._start), passing=True)
        elif _terminal and now - self._shown >= _REDRAWN_SECONDS:
            self._shown = now
            _on_board(self.line(now - self._start), passing=True)

    def line(self, seconds: float) -> str:
        """The progress line after `seconds` of work."""
        count = f"{self.done:,}" if self.total is None else f"{self.done:,}/{self.total:,}"
        counted = seconds >= 1  # before, a rate says nothing
        parts = [count, f"{self.done / seconds:,.1f}/s"] if counted else [count]
        parts.append(duration(seconds))
        if self.total and 0 < self.done < self.total:
            parts.append(f"{duration(seconds / self.done * (self.total - self.done))} left")
        # Last, since a narrow terminal cuts the end off.
        parts += [f"{name} {value:,.0f}" + (f" ({value / seconds:,.0f}/s)" if counted else "") for name, value in self._facts.items()]
        return f"{self.label}: {', '.join(parts)}"


def duration(seconds: float) -> str:
    """Seconds, minutes or hours, as a person would say it."""
    return f"{seconds:.0f} s" if seconds < 600 else f"{seconds / 60:.0f} min" if seconds < 6000 else f"{seconds / 3600:.1f} h"


def run_script(main: Callable[[Any], dict[str, Any] | None], smk: Any) -> None:
    """Run a rule's `main(smk)` as a job.

    Standard output and error go to the job's log, `say` and `Progress` to the terminal too. The facts that `main`
    returns (rows_in, asked, kept, dropped, tokens, ...) are written to `smk.output.stats`, if the rule has it, with rule, shard,
    wall and CPU seconds, peak memory and the GPUs that it was given. An error is one line for the user that names the log, and exit code 1.
    """
    start = time.monotonic()
    name = smk.rule + "".join(f" {value}" for value in smk.wildcards)
    _watch(name, start)
    with _redirected(smk.log[0] if smk.log else None):
        try:
            _on_board(f"{name}: begins", passing=True)  # before a model is loaded there is nothing to count
            gpus = getattr(smk, "resources", {}).get("gpu", 0)
            taken = {"gpus": take_gpus(gpus, say)} if gpus else {}
            facts = main(smk) or {}
            seconds = time.monotonic() - start
            if stats := getattr(smk.output, "stats", None):
                write_json({**_cost(smk, seconds), **taken, **facts}, stats)
        except SelfalignError as error:
            say(f"{name}: {error}")
            raise SystemExit(1) from None
        except Exception as error:
            with suppress(OSError):  # the log may lie on the disk that is full
                traceback.print_exc()
            log = f"; the whole story is in {smk.log[0]}" if smk.log else ""
            say(f"{name}: {_explain(error)}{log}")
            raise SystemExit(1) from None
        rows = [f"{key.replace('_', ' ')} {facts[key]:,}" for key in ("rows_in", "kept", "dropped") if key in facts]
        say(f"{name}: done, {', '.join([*rows, duration(seconds)])}")


def _cost(smk: Any, seconds: float) -> dict[str, Any]:
    used = [resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
    return {
        "rule": smk.rule,
        "shard": getattr(smk.wildcards, "s", None),
        "seconds": round(seconds, 3),
        "cpu_seconds": round(sum(usage.ru_utime + usage.ru_stime for usage in used), 3),
        "peak_memory_mb": round(max(usage.ru_maxrss for usage in used) / (1 << 20 if sys.platform == "darwin" else 1 << 10)),
        "requested": _requested(smk),
    }


def _explain(error: Exception) -> str:
    """What happened and what to do, for an error that nobody expected."""
    if isinstance(error, MemoryError):
        return "out of memory; more shards or a smaller batch_size make jobs smaller"
    # Libraries that write files (pyarrow, torch, safetensors) have errors of their own for a full disk, with the system's text in them.
    if getattr(error, "errno", None) in _FULL or any(os.strerror(number) in str(error) for number in _FULL):
        return f"no room on the disk ({_first_line(error)}); make room and run again: finished rows are kept"
    return f"unexpected {type(error).__name__}: {_first_line(error)}"


def _watch(name: str, start: float) -> None:
    """Beside the job: say that it is at work when it has long said nothing, and end it when Snakemake is gone.

    A job that went on without Snakemake could write over the files of the run that follows, from an older config.
    """
    workflow = os.getppid()

    def watch() -> None:
        while os.getppid() == workflow:
            time.sleep(_WATCH_SECONDS)
            if _terminal is not None and time.monotonic() - max(start, _said) >= _LONGEST_PAUSE:
                say(f"{name}: at work, {duration(time.monotonic() - start)}", passing=True)
        say("the workflow was killed, and with it this job; finished rows are kept")
        os._exit(1)

    threading.Thread(target=watch, daemon=True).start()


def read_json(path: str | os.PathLike) -> Any:
    """A JSON file that an earlier job has written. InputError that names it if it is damaged or not there."""
    try:
        return json.loads(Path(path).read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise InputError(f"{path}: not a readable JSON file ({_first_line(error)}); delete it and run again") from error


def _requested(smk: Any) -> dict[str, int]:
    """What the rule asked for: threads, mem_mb, runtime (minutes), disk_mb, gpu."""
    resources = getattr(smk, "resources", {})
    asked = {name: resources.get(name) for name in ("mem_mb", "runtime", "disk_mb", "gpu")}
    return {"threads": getattr(smk, "threads", 1)} | {name: value for name, value in asked.items() if isinstance(value, int)}


def write_json(value: Any, path: str | os.PathLike) -> None:
    """Write `value` as indented JSON to `path`, whole or not at all."""
    write_text(json.dumps(value, indent=2, ensure_ascii=False) + "\n", path)


def write_text(text: str, path: str | os.PathLike) -> None:
    """Write `text` to `path`, whole or not at all. The last line should end: by that a file that was cut short is known."""
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    try:
        temporary.write_text(text, encoding="utf-8")
        os.replace(temporary, path)
    finally:
        temporary.unlink(missing_ok=True)


def _first_line(error: BaseException) -> str:
    return next((line.strip() for line in str(error).splitlines() if line.strip()), "no message")


@contextmanager
def _redirected(path: str | None) -> Iterator[None]:
    """Send standard output and error, those of C libraries and child processes too, to the file `path`."""
    global _terminal
    if path is None:
        yield
        return
    Path(path).parent.mkdir(parents=True, exist_ok=True)
    sys.stdout.flush()
    sys.stderr.flush()
    saved = [os.dup(1), os.dup(2)]
    with (
        open(path, "w", encoding="utf-8", errors="backslashreplace", buffering=1) as log,
        os.fdopen(os.dup(2), "w", encoding="utf-8", errors="backslashreplace") as _terminal,
        redirect_stdout(log),
        redirect_stderr(log),
    ):
        os.dup2(log.fileno(), 1)
        os.dup2(log.fileno(), 2)
        try:
            yield
        finally:
            _terminal = None
            for number, descriptor in enumerate(saved, 1):
                os.dup2(descriptor, number)
                os.close(descriptor)
