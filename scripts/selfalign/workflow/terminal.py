"""What the terminal shows of a run: the jobs' own lines and little else, and at the end what there is now, or what to do."""

import json
import logging
import os
import re
import signal
import sys
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path

from selfalign.data.job import duration
from selfalign.data.tables import IMPORT_STEP, STEP_OF

# Snakemake's events that its own log file in .snakemake/log keeps and the terminal does not need: jobs speak for themselves.
_EVENTS = {"run_info", "resources_info", "job_info", "job_started", "job_finished", "group_info", "shellcmd", "workflow_started"}
_MESSAGES = ("Building DAG of jobs", "Select jobs to execute", "Assuming unrestricted shared filesystem", "Conda environments: ignored")
_MESSAGES += ("Complete log(s)", "Elapsed time", "Using workflow specific profile", "Using shell")
_FAILED_JOB = "At least one job did not complete successfully"  # `failing` has said which, and what to do
_PROGRESS_SECONDS = 30


class Quiet(logging.Filter):
    """Keeps what Snakemake says about its bookkeeping off the terminal; warnings, errors and whatever is not known here stay.

    `active` tells, at the time of a message, whether the run is one of real jobs on this machine: a dry run shows its plan, and jobs
    elsewhere do not write to this terminal.
    """

    def __init__(self, active: Callable[[], bool]):
        super().__init__()
        self._active = active
        self._said = time.monotonic()

    def filter(self, record: logging.LogRecord) -> bool:
        """Whether the terminal shows this message."""
        if not self._active():
            return True
        if _FAILED_JOB in str(record.msg):
            return False
        if record.levelno >= logging.WARNING:
            return True
        event = str(getattr(record, "event", None) or "")
        if event == "progress":  # how many jobs are done, now and then
            if time.monotonic() - self._said < _PROGRESS_SECONDS:
                return False
            self._said = time.monotonic()
            return True
        return event not in _EVENTS and not str(record.msg).startswith(_MESSAGES)


def end_on_hangup() -> None:
    """Let a terminal that is closed end the run as SIGTERM does: by default it would leave Snakemake's lock behind. Not under nohup."""

    def hang_up(*_: object) -> None:
        nowhere = os.open(os.devnull, os.O_WRONLY)  # what is said from here on has no terminal to go to
        for descriptor in (1, 2):
            os.dup2(nowhere, descriptor)
        os.kill(os.getpid(), signal.SIGTERM)

    if signal.getsignal(signal.SIGHUP) == signal.SIG_DFL:
        signal.signal(signal.SIGHUP, hang_up)


_held: list[str] | None = None


@contextmanager
def held_endings() -> Iterator[list[str]]:
    """What the runs inside say at their end, in place of the terminal: of several stages the last one's is enough."""
    global _held
    _held = held = []
    try:
        yield held
    finally:
        _held = None


def say_ending(text: str) -> None:
    """Print what a run says at its end, or hand it to `held_endings`."""
    if _held is None:
        print(f"\n{text}", file=sys.stderr, flush=True)
    else:
        _held.append(text)


def ending(results: str) -> str:
    """What a run has made so far, how long its jobs took, where it is, and the next command to try."""
    stats = _stats(results)
    lines = [f"{'step':<20}{'rows in':>12}{'kept':>12}{'dropped':>12}{'time':>10}"]
    for rule in (*([IMPORT_STEP] if IMPORT_STEP in stats else []), *STEP_OF.values(), "train_model", "evaluate_model"):
        if rule in stats:
            total = {key: sum(job.get(key, 0) for job in stats[rule]) for key in ("rows_in", "kept", "dropped", "seconds")}
            known = [key if any(key in job for job in stats[rule]) else "" for key in ("rows_in", "kept", "dropped")]
            counts = "".join(f"{total[key]:>12,}" if key else f"{'':>12}" for key in known)
            lines.append(f"{rule:<20}{counts}{duration(total['seconds']):>10}")
    places = {"dataset/train.parquet": "dataset", "model": "model", "summary.json": "summary", "report.html": "report"}
    found = {name: f"{results}/{path}" for path, name in places.items() if (Path(results) / path).exists()}
    lines += ["", *(f"{name:<10}{path}" for name, path in found.items())]
    lines.append(f"{'next':<10}{_next(results, found)}")
    if failed := sum(job.get("failed", 0) for jobs in stats.values() for job in jobs):
        again = f"{_program()}/selfalign run (with the same --configfile, if you gave one) asks for them again"
        lines.append(f"{'failed':<10}{failed:,} rows had no answer from the model or the sandbox: {again}")
    return "\n".join(lines)


def _program() -> Path:
    """Where the commands are, as short as it can be said."""
    command = Path(sys.executable).parent
    return command.relative_to(Path.cwd()) if command.is_relative_to(Path.cwd()) else command


def _next(results: str, found: Iterable[str]) -> str:
    program = _program()
    if "report" in found:
        return f"open {results}/report.html, or ask the model: {program}/selfalign respond 'Write a function that …' --model {results}/model"
    return f"{program}/snakemake goes on from here to the model and the report (with the same --configfile, if you gave one)"


def _stats(results: str) -> dict[str, list[dict]]:
    """The facts of every finished job, by rule."""
    return {folder.name: [json.loads(path.read_text()) for path in sorted(folder.glob("*.json"))] for folder in (Path(results) / "stats").glob("*")}


_FAILED = re.compile(r"^ *Error in (?:rule|group) ([\w-]+):\n(?:    .*\n)*?    log: (\S+?)(?:,.*)? \(check log", re.MULTILINE)


def failing(logs: Iterable[str]) -> str:
    """What failed according to Snakemake's log files, the last useful line of each job's log, and what to do."""
    failed: dict[str, str] = {}
    for path in logs:
        text = Path(path).read_text(encoding="utf-8", errors="replace")
        failed |= {log: rule for rule, log in _FAILED.findall(text)}
    lines = [f"{rule} failed: {last_line(log)}\n    log: {log}" for log, rule in failed.items()]
    again = "What is done stays done: after the cause is gone, the same command goes on from here and asks the model only what it has not answered."
    return "\n".join([*lines, again])


def last_line(log: str) -> str:
    """The last line of a job's log that says something. One that says how far it was is no reason: it was killed, mostly for memory."""
    try:
        lines = Path(log).read_text(encoding="utf-8", errors="replace").splitlines()
    except OSError:
        lines = []
    useful = [line.strip() for line in lines if line.strip(" ^~-=*")]
    if not useful:
        return f"its log is empty; {_KILLED}"
    return f"it ended without an error of its own, last at {useful[-1]}; {_KILLED}" if _PROGRESS.search(useful[-1]) else useful[-1]


# As data.job.Progress and run_script say it.
_PROGRESS = re.compile(r": (done, |at work, |[\d,]+(/[\d,]+)?(, [\d.,]+/s)?, [\d.,]+ (s|min|h)\b)")
_KILLED = "if it was killed, memory may have run out: more shards or a smaller batch_size make jobs smaller"
