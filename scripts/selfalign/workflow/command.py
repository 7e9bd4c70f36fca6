"""`selfalign run` and `selfalign cache`."""

import argparse
import time
from collections import defaultdict
from datetime import datetime
from pathlib import Path


def add_parsers(subparsers: argparse._SubParsersAction) -> None:
    """Add both commands; each sets `run`, a function of the parsed arguments."""
    run = subparsers.add_parser(
        "run",
        add_help=False,  # --help is Snakemake's, as are all options
        allow_abbrev=False,
        help="the whole pipeline, stage by stage: what follows a step that wrote the same rows is skipped; takes Snakemake's targets and options",
    )
    run.set_defaults(run=run_workflow, takes_rest=True)

    cache = subparsers.add_parser("cache", help="what the caches of model calls, verdicts and trained models hold")
    cache.add_argument("--folder", default="cache", help="the config's cache_dir (cache)")
    cache.add_argument("--keep-gb", type=_number, metavar="GB", help="delete what was not used for longest until this much is left")
    cache.add_argument("--unused-days", type=_number, metavar="DAYS", help="delete what was not used for this many days")
    cache.add_argument("--kind", action="append", default=[], help="delete only completions, verdicts, typecheck or training (repeatable)")
    cache.set_defaults(run=run_cache)


def _number(text: str) -> float:
    value = float(text)
    if not 0 <= value < float("inf"):
        raise argparse.ArgumentTypeError(f"must be 0 or more, not {text}")
    return value


def run_workflow(arguments: argparse.Namespace) -> int:
    """The workflow with Snakemake's options. Exit code 0 if all that was asked for is there."""
    from selfalign.data.errors import InputError

    elsewhere = ("-s", "--snakefile", "-d", "--directory", "-h", "--help", "-v", "--version")
    found = any(Path(name).is_file() for name in ("Snakefile", "workflow/Snakefile"))
    if not found and not any(argument.partition("=")[0] in elsewhere for argument in arguments.rest):
        raise InputError(f"no Snakefile in {Path.cwd()}; go to the folder of the project, or name its file with --snakefile")
    from selfalign.workflow.staged import run

    return run(arguments.rest)


def run_cache(arguments: argparse.Namespace) -> int:
    """Delete what is asked for, and show what is there."""
    from selfalign.data.cache import count_rows
    from selfalign.data.errors import InputError
    from selfalign.data.prune import KINDS, TRAINING, parts, prune

    if unknown := set(arguments.kind) - KINDS.keys():
        raise InputError(f"--kind {sorted(unknown)[0]}: there are {', '.join(KINDS)}")
    if not Path(arguments.folder).is_dir():
        raise InputError(f"{arguments.folder}: no such folder; no run has made it yet, or the config's cache_dir is another: name it with --folder")
    if arguments.keep_gb is not None or arguments.unused_days is not None:
        limit = None if arguments.keep_gb is None else arguments.keep_gb * 1e9
        since = None if arguments.unused_days is None else time.time() - arguments.unused_days * 86_400
        deleted = prune(arguments.folder, limit, since, tuple(arguments.kind))
        stays = "; what was written, or trained with, in the last hour stays, and what you may not delete"
        print(f"deleted {len(deleted):,} files and trainings, {_size(sum(part.size for part in deleted))}{stays}")
    groups = defaultdict(list)
    for part in parts(arguments.folder):
        groups[part.kind, part.path.name if part.kind == TRAINING else part.path.parent.name].append(part)
    print(f"{'kind':<13}{'of':<18}{'rows':>12}{'size':>10}  last used")
    for (kind, name), group in sorted(groups.items()):
        rows = "" if kind == TRAINING else f"{sum(count_rows(part.path) for part in group):,}"
        used = datetime.fromtimestamp(max(part.used for part in group)).isoformat(" ", "minutes")
        print(f"{kind:<13}{name:<18}{rows:>12}{_size(sum(part.size for part in group)):>10}  {used}")
    total = sum(part.size for group in groups.values() for part in group)
    print(f"{arguments.folder}: {_size(total)}; deleting it changes time, not results")
    return 0


def _size(size: float) -> str:
    for unit in ("B", "kB", "MB"):
        if size < 1000:
            return f"{size:.0f} {unit}"
        size /= 1000
    return f"{size:,.1f} GB"
