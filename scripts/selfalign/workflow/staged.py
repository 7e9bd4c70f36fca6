"""The workflow, stage by stage: what runs again and writes the same rows costs nothing after it.

Snakemake compares checksums between its invocations only: within one, everything below a job that runs, runs. So the plan is
split. Jobs with a reason of their own (no output yet, other params, other input) run first; then Snakemake plans anew, and what was
planned only because something before it was to run has gone from the plan if that wrote the same bytes. A run from nothing has no such
jobs and is one plain invocation.
"""

import sys
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from selfalign.data.errors import ConfigError
from selfalign.workflow.outputs import Output, asked_again, delete_damaged
from selfalign.workflow.plan import Parsed, parse, plan, snakemake
from selfalign.workflow.terminal import held_endings, say_ending

# Options that say themselves which jobs run, or that ask for something else than a run: Snakemake gets these in one invocation.
_AS_THEY_ARE = (
    *("force", "forceall", "forcerun", "until", "omit_from", "batch", "allowed_rules", "target_jobs", "immediate_submit", "touch"),
    *("unlock", "lint", "dag", "rulegraph", "filegraph", "d3dag", "summary", "detailed_summary", "archive", "report", "list_rules"),
    *("list_target_rules", "list_changes", "list_input_changes", "list_params_changes", "list_untracked", "cleanup_metadata", "cleanup_shadow"),
    *("delete_all_output", "delete_temp_output", "conda_cleanup_envs", "conda_create_envs_only", "list_conda_envs", "containerize"),
    *("container_cleanup_images", "generate_unit_tests", "print_compilation", "edit_notebook", "draft_notebook"),
)
NOTHING = "Nothing to be done (all requested files are present and up to date)."  # as Snakemake says it


@dataclass(frozen=True)
class Job:
    """A job of the plan. `own`: it has a reason to run beside the jobs before it. `after`: numbers of the jobs that it needs."""

    rule: str
    outputs: tuple[Output, ...]
    runs: bool
    own: bool
    after: tuple[int, ...]


def run(arguments: Sequence[str]) -> int:
    """Run Snakemake with these command-line arguments, stage by stage. The exit code."""
    parsed = parse(arguments)
    args = parsed[1]
    for path in args.configfile or ():
        _check_configfile(path)
    if any(getattr(args, name, None) for name in _AS_THEY_ARE):
        return snakemake(parsed)
    with held_endings() as endings:
        code = _run_stages(parsed)
    if endings and not code:
        say_ending(endings[-1])
    return code


def _run_stages(parsed: Parsed) -> int:
    args = parsed[1]
    jobs, locked = plan(parsed, lambda dag: (_jobs(dag), dag.workflow.persistence.locked)) or (None, False)
    outputs = [output for job in jobs or () for output in job.outputs]
    if locked and not args.dryrun and not args.nolock:  # what another run is writing now is not damaged
        return snakemake(parsed)  # it says so
    if not args.dryrun:
        for path in (damaged := delete_damaged(outputs)):
            _say(f"{path} is damaged, no job wrote it like this; it is made again")
        failed = asked_again(outputs)
        if failed:
            _say(f"{sum(failed.values())} rows whose model call or execution failed are asked for again")
        if damaged or failed:
            # By name: Snakemake makes no file again that nothing needs any more.
            if code := snakemake(parsed, targets=[*damaged, *failed], forced=list(failed)):
                return code
            jobs = plan(parsed, _jobs)
    last: list[int] = []
    while jobs is None or any(job.runs for job in jobs):
        if jobs is None:
            return snakemake(parsed)  # it says why there is no plan
        stage = next_stage(jobs)
        if not stage or stage == last:  # the same again: jobs that never become up to date
            return snakemake(parsed)
        later = _count(job for number, job in enumerate(jobs) if job.runs and number not in stage)
        if code := snakemake(parsed, targets=[jobs[number].outputs[0].path for number in stage]):
            return code
        if args.dryrun:
            _say(f"then, where the rows before them have changed: {later}")
            return 0
        last, jobs = stage, plan(parsed, _jobs)
    _say(NOTHING if not last else "what follows is up to date")
    return 0


def _check_configfile(path: Path) -> None:
    """ConfigError for a config file that cannot be read: Snakemake would end with a traceback or without its name."""
    try:
        yaml.safe_load(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(f"config {path}: {(getattr(error, 'strerror', None) or str(error)).lower()}; check --configfile") from error
    except yaml.YAMLError as error:
        raise ConfigError(f"config {path}: not readable as YAML ({' '.join(str(error).split())})") from error


def next_stage(jobs: Sequence[Job]) -> list[int]:
    """Numbers of the jobs that certainly run, as do all planned jobs that they need; none if that holds for every planned job.

    `jobs` are in an order in which each comes after those that it needs.
    """
    certain: set[int] = set()
    for number, job in enumerate(jobs):
        if job.runs and job.own and all(before in certain or not jobs[before].runs for before in job.after):
            certain.add(number)
    planned = {number for number, job in enumerate(jobs) if job.runs}
    return sorted(certain) if planned - certain else []


def _count(jobs: Iterable[Job]) -> str:
    return ", ".join(f"{rule} {count}" for rule, count in Counter(job.rule for job in jobs).items())


def _say(line: str) -> None:
    print(f"selfalign: {line}" if line != NOTHING else line, file=sys.stderr, flush=True)


def _jobs(dag: Any) -> list[Job]:
    """The jobs of Snakemake's plan that write something, in an order of dependency."""
    ordered = [job for level in dag.toposorted() for job in level if job.output]
    numbers = {job: number for number, job in enumerate(ordered)}
    jobs = []
    for job in ordered:
        outputs = tuple(Output(str(path), path == job.output.get("stats")) for path in job.output)
        runs = dag.needrun(job)
        own = runs and (_has_own_reason(dag.reason(job)) or not all(Path(output.path).exists() for output in outputs))
        after = tuple(sorted(numbers[before] for before in dag.dependencies[job] if before in numbers))
        jobs.append(Job(job.rule.name, outputs, runs, bool(own), after))
    return jobs


def _has_own_reason(reason: Any) -> bool:
    """Whether a job would run even if no job before it did."""
    followed, reason._updated_input_run = reason._updated_input_run, None
    try:
        return bool(reason)
    finally:
        reason._updated_input_run = followed
