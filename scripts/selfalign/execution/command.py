"""`selfalign execute` and `selfalign sandbox`."""

import argparse
import math
import signal
import sys
from collections import Counter
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from selfalign.data.errors import SandboxError

if TYPE_CHECKING:
    from selfalign.execution.programs import Verdict


def add_parsers(subparsers: argparse._SubParsersAction) -> None:
    """Add both commands; each sets `run`, a function of the parsed arguments."""
    execute = subparsers.add_parser("execute", help="run programs in a sandbox and say which pass their own tests")
    execute.add_argument("input", help="JSONL or parquet with the column `response` (the four sections), or `code` and `tests`")
    execute.add_argument("-o", "--output", required=True, help="parquet or JSONL: id, verdict and detail of every row, in the order of the input")
    execute.add_argument("--sandbox", choices=["auto", "bubblewrap", "namespaces", "none"], default="auto", help="how programs are isolated (auto)")
    execute.add_argument("--workers", type=_positive(int), default=1, help="programs that run at the same time (1)")
    execute.add_argument("--python", default="", help="interpreter that runs the programs, with the libraries that they may import")
    execute.add_argument("--cpu-seconds", type=_positive(float), help="CPU time of a program")
    execute.add_argument("--wall-seconds", type=_positive(float), help="wall time of a program")
    execute.add_argument("--memory-mb", type=_positive(int), help="memory of a program")
    execute.add_argument("--output-kb", type=_positive(int), help="what a program may print")
    execute.add_argument("--no-negative-control", action="store_true", help="do not look for tests that pass without the implementation")
    execute.add_argument("--cache", metavar="FOLDER", help="remember verdicts in this folder")
    execute.set_defaults(run=run_execute)

    sandbox = subparsers.add_parser("sandbox", help="what this machine can isolate programs with")
    sandbox.add_argument("--check", action="store_true", help="start each kind of sandbox once; exit code 1 if none works")
    sandbox.add_argument("--python", default="", help="interpreter that is to run the programs")
    sandbox.set_defaults(run=run_sandbox)


def _positive(kind: type) -> Any:
    def number(text: str) -> Any:
        value = kind(text)
        if not 0 < value < math.inf:
            raise ValueError
        return value

    number.__name__ = f"positive {kind.__name__}"
    return number


def run_execute(arguments: argparse.Namespace) -> int:
    """Judge every row; a table of the verdicts is printed. Exit code 0 when all were judged."""
    from selfalign.data.config import defaults
    from selfalign.data.job import Progress
    from selfalign.execution.dispatch import judged
    from selfalign.execution.table import Rows, check_output, write_verdicts

    cfg = defaults("execution")
    given = {name: getattr(arguments, name) for name in ("sandbox", "workers", "python", "cpu_seconds", "wall_seconds", "memory_mb", "output_kb")}
    cfg |= {name: value for name, value in given.items() if value is not None}
    cfg["negative_control"] = not arguments.no_negative_control
    signal.signal(signal.SIGTERM, signal.default_int_handler)  # it ends as with Ctrl-C: nothing half-written stays
    check_output(arguments.output, arguments.input)
    rows = Rows(arguments.input)
    rows.check()
    counts: Counter[str] = Counter()

    def counted(verdicts: "Iterator[Verdict]") -> "Iterator[Verdict]":
        for verdict in verdicts:
            counts[verdict.verdict] += 1
            yield verdict

    write_verdicts(rows, counted(judged(rows.items(), cfg, Progress("execute", len(rows)), arguments.cache)), arguments.output)
    for verdict, count in counts.most_common():
        print(f"{verdict:<18}{count:>10,}{count / len(rows):>9.1%}")
    print(f"{'all':<18}{len(rows):>10,}")
    if broken := counts["infrastructure"]:
        print(f"selfalign: {broken} programs could not be judged; run again, with fewer --workers", file=sys.stderr)
        return 1
    return 0


def run_sandbox(arguments: argparse.Namespace) -> int:
    """Say what works here, and what would be used."""
    from selfalign.execution.sandbox import choose_sandbox, facts, python_for_programs, try_sandbox

    python = python_for_programs(arguments.python)
    for name, value in facts().items():
        print(f"{name:<16}{value}")
    print(f"{'python':<16}{python.executable}")
    for kind in ("bubblewrap", "namespaces"):
        print(f"{kind:<16}{try_sandbox(kind, arguments.python) or 'works'}")
    try:
        print(f"{'used (auto)':<16}{choose_sandbox('auto', arguments.python)}")
    except SandboxError as error:
        print(f"{'used (auto)':<16}none: {error}")
        return 1
    return 0
