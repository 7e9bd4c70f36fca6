"""What the jobs of a run asked for beside what they used: `selfalign resources results`.

Asked for: the rule's threads and resources, as each job wrote them to results/stats/. Used: Snakemake's `benchmark:` files, and what the
system counted for the job's process and its children (the benchmark of a short job misses its peak).
"""

import argparse
import csv
import json
from collections.abc import Iterable
from pathlib import Path

from selfalign.data.errors import InputError

COLUMNS = ("rule", "jobs", "threads", "cores used", "mem_mb", "peak MB", "runtime min", "longest min", "disk_mb", "written MB", "gpu")


def add_parsers(subparsers: argparse._SubParsersAction) -> None:
    """Add the command; it sets `run`, a function of the parsed arguments."""
    parser = subparsers.add_parser("resources", help="what the jobs of a run asked for, and what they used")
    parser.add_argument("results", nargs="?", default="results", help="the run's folder (results)")
    parser.set_defaults(run=run_resources)


def run_resources(arguments: argparse.Namespace) -> None:
    """Print the table; a use above what was asked for is marked with an exclamation mark."""
    table = [COLUMNS, *(_cells(row) for row in measure(arguments.results))]
    widths = [max(len(line[i]) for line in table) for i in range(len(COLUMNS))]
    for rule, *numbers in table:
        print("  ".join([rule.ljust(widths[0]), *(cell.rjust(width) for cell, width in zip(numbers, widths[1:], strict=True))]))


def measure(results: str) -> list[dict]:
    """One dict a rule, in order of name: its number of jobs, the largest of what each asked for, and of what each used.

    Memory in MB, runtime in minutes; None where a run did not write it down. InputError if the folder has no benchmark files.
    """
    jobs: dict[str, list[dict]] = {}
    folder = Path(results) / "benchmarks"
    for path in sorted(folder.glob("*/*.tsv")):
        jobs.setdefault(path.parent.name, []).append(_job(path, Path(results) / "stats" / path.parent.name / f"{path.stem}.json"))
    if not jobs:
        raise InputError(f"{folder}: no benchmark files; name the folder of a run (results_dir in its config)")
    return [{"rule": rule, "jobs": len(rows), **{key: _largest(row[key] for row in rows) for key in rows[0]}} for rule, rows in sorted(jobs.items())]


def _job(benchmark: Path, stats: Path) -> dict:
    with open(benchmark, newline="") as file:
        runs = list(csv.DictReader(file, delimiter="\t"))
    facts = json.loads(stats.read_text()) if stats.exists() else {}
    asked = facts.get("requested", {})
    seconds = max([facts.get("seconds", 0.0), *(_number(run["s"]) or 0.0 for run in runs)])
    cpu = facts.get("cpu_seconds") or max((_number(run["cpu_time"]) or 0.0 for run in runs), default=0.0)
    return {
        "threads": asked.get("threads"),
        "cores": cpu / seconds if seconds else None,
        "mem_mb": asked.get("mem_mb"),
        "peak": _largest([facts.get("peak_memory_mb"), *(_number(run["max_rss"]) for run in runs)]),
        "runtime": asked.get("runtime"),
        "minutes": seconds / 60,
        "disk_mb": asked.get("disk_mb"),
        "written": _largest(_number(run["io_out"]) for run in runs),
        "gpu": asked.get("gpu"),
    }


def _number(text: str | None) -> float | None:
    """A number of a benchmark file, in which what could not be measured is NA or a dash."""
    try:
        return float(text or "")
    except ValueError:
        return None


def _largest(values: Iterable[float | None]) -> float | None:
    return max((value for value in values if value is not None), default=None)


def _cells(row: dict) -> tuple[str, ...]:
    def used(key: str, asked: str, digits: int = 0) -> str:
        if row[key] is None:
            return "-"
        over = row[asked] is not None and row[key] > row[asked]
        return f"{row[key]:,.{digits}f}{'!' if over else ''}"

    def asked(key: str) -> str:
        return "-" if row[key] is None else f"{row[key]:,.0f}"

    memory = (asked("mem_mb"), used("peak", "mem_mb"))
    time = (asked("runtime"), used("minutes", "runtime", 1))
    disk = (asked("disk_mb"), used("written", "disk_mb"))
    cores = "-" if row["cores"] is None else f"{row['cores']:.1f}"
    return (row["rule"], str(row["jobs"]), asked("threads"), cores, *memory, *time, *disk, asked("gpu"))
