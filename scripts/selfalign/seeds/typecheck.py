"""Type-check functions, each one alone; verdicts are cached by content.

Nothing around the job decides a verdict: a batch is checked in a temporary folder of its own, with a config and an environment that are
written out here and in `checkers`.
"""

import hashlib
import os
import signal
import subprocess
import tempfile
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from selfalign.data.cache import RowCache
from selfalign.data.errors import ConfigError
from selfalign.seeds.checkers import CHECKERS, Checker, Finding
from selfalign.seeds.environment import Environment

# Files of one call. Starting basedpyright and reading what all functions import takes about 3 s, a function 8 ms and 0.3 MB. A package costs
# far more (torch 8 s and 600 MB), and near its limit of memory basedpyright is 20 times as slow: so the functions that import a package
# are checked together, and apart from those that import another one, but that packages of few functions share calls of as few.
BATCH = 1500
PACKAGE_BATCH = 300
FEW = 50
# CPU time decides, so that a busy machine changes no verdict; the wall time, this many times as long, is for a checker that hangs.
_PATIENCE = 20
# For basedpyright, which runs in Node. A large young generation saves a tenth of its time.
_NODE_OPTIONS = "--max-old-space-size=2048 --max-semi-space-size=64"  # MB
# How a process ends that is over its CPU time, seen directly, through a shell, and through a Python that passes it on.
_OVER_CPU = (-signal.SIGXCPU, 128 + signal.SIGXCPU, 256 - signal.SIGXCPU)
# A file with an error in every batch: an answer without that error is no answer. The name cannot be that of a program, whose names begin with f.
_CANARY = "canary"
_CANARY_SOURCE = "x: int = undefined_name\n"


@dataclass(frozen=True)
class Program:
    """What is checked: a function with the imports it needs. `modules` are the top-level modules that it imports."""

    id: str
    content: str
    imports: tuple[str, ...]
    modules: tuple[str, ...]

    @property
    def source(self) -> str:
        head = "\n".join(self.imports)
        return f"{head}\n\n\n{self.content}\n" if head else f"{self.content}\n"


_EMPTY = Program("empty", "", (), ())


def type_check(
    programs: Sequence[Program],
    name: str,
    seconds: int,
    cache_dir: str | None,
    environment: Environment,
    advance: Callable[..., None] = lambda n, **facts: None,
) -> dict[str, tuple[str, str]]:
    """Verdict of the checker `name` on each program in `environment` by its id.

    ("ok", ""), ("type_error", the first error) or ("type_check_failed", what happened).

    A batch that crashes the checker or takes more than `seconds` of CPU time is halved and tried again, down to a single program; but a checker that
    cannot even check an empty program is a ConfigError. Failures are not cached. `cache_dir` None for no cache.
    """
    checker = CHECKERS[name]
    cache = RowCache(Path(cache_dir) / "typecheck" / f"{name}-{checker.version}") if cache_dir else None
    keys = {program.id: _key(checker, program, environment) for program in programs}
    known = cache.lookup(keys.values()) if cache else {}
    verdicts: dict[str, tuple[str, str]] = {id: tuple(known[key]["verdict"]) for id, key in keys.items() if key in known}
    waiting = [program for program in programs if program.id not in verdicts]
    advance(len(verdicts), cached=len(verdicts))
    try:
        for batch in _batches(waiting, environment):
            for program, verdict in _check(checker, batch, seconds, environment):
                verdicts[program.id] = verdict
                if cache and verdict[0] != "type_check_failed":
                    cache.put(keys[program.id], {"verdict": verdict})
            advance(len(batch))
    finally:
        if cache:
            cache.close()
    return verdicts


def _batches(programs: Sequence[Program], environment: Environment) -> Iterator[list[Program]]:
    """The programs in the batches in which they are checked: by the package that they import, of several the one that most programs do."""
    frequency = Counter(module for program in programs for module in program.modules if environment.is_package(module))
    groups: dict[str, list[Program]] = defaultdict(list)
    for program in programs:
        groups[min(frequency.keys() & program.modules, key=lambda name: (-frequency[name], name), default="")].append(program)
    yield from _slices(groups.pop("", []), BATCH)
    for name in sorted(groups):
        if len(groups[name]) >= FEW:
            yield from _slices(groups.pop(name), PACKAGE_BATCH)
    yield from _slices([program for name in sorted(groups) for program in groups[name]], FEW)


def _slices(programs: list[Program], size: int) -> Iterator[list[Program]]:
    return (programs[start : start + size] for start in range(0, len(programs), size))


def _check(checker: Checker, batch: Sequence[Program], seconds: int, environment: Environment) -> Iterable[tuple[Program, tuple[str, str]]]:
    errors, failure = _run_checker(checker, batch, seconds, environment)
    if errors is not None:
        for program in batch:
            error = errors.get(program.id)
            yield program, ("type_error", error) if error else ("ok", "")
    elif _run_checker(checker, [_EMPTY], seconds, environment)[0] is None:
        raise ConfigError(f"functions.type_checker: {checker.package} does not work here ({failure}); mend it or set the key to none")
    elif len(batch) == 1:
        yield batch[0], ("type_check_failed", failure)
    else:
        middle = len(batch) // 2
        yield from _check(checker, batch[:middle], seconds, environment)
        yield from _check(checker, batch[middle:], seconds, environment)


def _run_checker(
    checker: Checker, batch: Sequence[Program], seconds: int, environment: Environment, node_options: str = _NODE_OPTIONS
) -> tuple[dict[str, str] | None, str]:
    """(first error of each program that has one, by id; "") or (None, why the checker gave no answer)."""
    with tempfile.TemporaryDirectory(prefix="typecheck-") as folder:
        (Path(folder) / checker.config[0]).write_text(checker.config_text(folder, environment), encoding="utf-8")
        (Path(folder) / f"{_CANARY}.py").write_text(_CANARY_SOURCE, encoding="utf-8")
        for program in batch:
            (Path(folder) / f"f{program.id}.py").write_text(program.source, encoding="utf-8")
        limited = ["/bin/sh", "-c", f'ulimit -S -t {seconds}; exec "$@"', "sh", *checker.command(folder, environment)]
        # A process group of its own: a checker may start others, and one that hangs is ended with all of them.
        pipes: dict[str, Any] = {"stdin": subprocess.DEVNULL, "stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
        with subprocess.Popen(limited, cwd=folder, env=_environment(folder, node_options), text=True, process_group=0, **pipes) as process:
            try:
                output, complaints = process.communicate(timeout=seconds * _PATIENCE)
            except BaseException as error:
                os.killpg(process.pid, signal.SIGKILL)
                process.communicate()
                if not isinstance(error, subprocess.TimeoutExpired):
                    raise
                return None, f"no answer after {seconds * _PATIENCE} s"
        if process.returncode in _OVER_CPU:
            return None, f"over {seconds} s of CPU time"
        try:
            findings = checker.read(output) if process.returncode in (0, 1) else None
        except (ValueError, KeyError, TypeError):
            findings = None
        if findings is None:
            last = (complaints.strip() or output.strip()).splitlines()
            return None, f"exit code {process.returncode}: {last[-1][:200] if last else 'no output'}"
    if not any(finding.file == _CANARY for finding in findings):
        return None, "the checker did not read its files"
    return _first_errors(findings, batch), ""


def _first_errors(findings: Iterable[Finding], batch: Sequence[Program]) -> dict[str, str]:
    imports_of = {program.id: program.imports for program in batch}
    errors: dict[str, tuple[int, int, str]] = {}
    for finding in findings:
        identifier = finding.file.removeprefix("f")
        if identifier not in imports_of:
            continue
        imports = imports_of[identifier]
        place = imports[finding.line - 1] if finding.line <= len(imports) else f"line {finding.line - (len(imports) + 2 if imports else 0)}"
        message = f"{place}: {finding.rule}: {' '.join(finding.message.split())}"
        found = (finding.line, finding.column, message)
        errors[identifier] = min(found, errors.get(identifier, found))
    return {identifier: message for identifier, (_, _, message) in errors.items()}


def _environment(folder: str, node_options: str) -> dict[str, str]:
    """Of the job's environment only what it takes to start a program; a home that is empty, so that no settings get in."""
    kept = {name: os.environ[name] for name in ("PATH", "LD_LIBRARY_PATH", "SYSTEMROOT") if name in os.environ}
    return {**kept, "HOME": folder, "LANG": "C.UTF-8", "NO_COLOR": "1", "NODE_OPTIONS": node_options, "TY_MAX_PARALLELISM": "1"}


def _key(checker: Checker, program: Program, environment: Environment) -> bytes:
    """A verdict depends on the source, the checker, its config and Python; on installed packages only where one is imported.

    Not on paths: the same environment at another place gives the same verdicts.
    """
    third_party = any(map(environment.is_package, program.modules))
    versions = [checker.version, environment.version, *(environment.packages if third_party else ())]
    parts = [program.source, checker.package, *checker.arguments, *checker.config, *versions]
    return hashlib.sha256("\0".join(parts).encode("utf-8")).digest()
