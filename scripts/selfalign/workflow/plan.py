"""Snakemake's plans, without running them.

This package is the only part of the library that imports Snakemake.
"""

from argparse import ArgumentParser, Namespace
from collections.abc import Callable, Sequence
from copy import copy
from typing import Any, TypeVar

from snakemake.cli import args_to_api, parse_args
from snakemake.settings.enums import Quietness
from snakemake.workflow import Workflow

T = TypeVar("T")
Parsed = tuple[ArgumentParser, Namespace]  # a command line, as Snakemake reads it together with its profile


def parse(arguments: Sequence[str]) -> Parsed:
    """Read Snakemake's command line."""
    return parse_args(list(arguments))


def plan(parsed: Parsed, read: Callable[[Any], T]) -> T | None:
    """What `read` makes of the graph of jobs (snakemake.dag.DAG) of a command line; None if Snakemake cannot make one."""
    parser, args = parsed[0], copy(parsed[1])
    args.quiet = {Quietness.ALL}
    plans: list[T] = []

    def instead_of_running(self: Workflow, *_: Any, **__: Any) -> bool:
        self._prepare_dag(forceall=False, ignore_incomplete=self.execution_settings.ignore_incomplete, lock_warn_only=True, nolock=True)
        self._build_dag()
        plans.append(read(self.dag))
        return True

    execute = Workflow.execute
    Workflow.execute = instead_of_running  # its API has no call for a plan
    try:
        args_to_api(args, parser)
    finally:
        Workflow.execute = execute
    return plans[0] if plans else None


def snakemake(parsed: Parsed, targets: Sequence[str] = (), forced: Sequence[str] = ()) -> int:
    """One invocation of Snakemake, with these targets instead of those on the command line, `forced` made in any case. The exit code."""
    parser, args = parsed[0], copy(parsed[1])
    if targets:
        args.targets = set(targets)
    if forced:
        args.forcerun = set(forced)
    return 0 if args_to_api(args, parser) else 1
