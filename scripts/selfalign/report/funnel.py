"""How many rows each step was asked for, kept and dropped, and why: counted from the files, checked for lost rows."""

import os
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from selfalign.data.config import entry_of
from selfalign.data.errors import InputError, SelfalignError
from selfalign.data.tables import REASONS, STEP_OF, steps_from

# Rows of which dataset a step is asked about, and the key of the config with its number of draws for each.
_PARENT = {
    "functions": "extracted",
    "seeds": "functions",
    "concepts": "seeds",
    "instructions": "concepts",
    "responses": "instructions",
    "executed": "responses",
    "candidates": "executed",
    "dataset": "candidates",
}
_DRAWS = {"seeds": "judge", "concepts": "concepts", "instructions": "instructions", "responses": "responses"}


class LostRowsError(SelfalignError):
    """A step kept and dropped another number of rows than it was asked for."""


def count_steps(kept: Iterable[str], dropped: Iterable[str], cfg: dict[str, Any]) -> list[dict[str, Any]]:
    """One dict for each step: step, dataset, rows_in, draws, asked, kept, dropped, reasons (every documented one, zeros too).

    `kept` and `dropped` are parquet files in folders named after their dataset; a step without any is left out. The first step (of a run
    with `inputs`: the import) has no rows before it: it is asked for what it found. LostRowsError if a step's rows do not add up.
    """
    kept_files, dropped_files = _by_dataset(kept), _by_dataset(dropped)
    steps: list[dict[str, Any]] = []
    rows = {dataset: sum(_rows(path) for path in kept_files[dataset]) for dataset in STEP_OF}
    entry = entry_of(cfg)
    for dataset, step in steps_from(entry).items():
        if not kept_files[dataset] and not dropped_files[dataset]:
            continue
        reasons = _reasons(step, dropped_files[dataset])
        total = sum(reasons.values())
        parent = _PARENT.get(dataset)
        begins = dataset == entry or parent is None or not kept_files[parent]
        rows_in = rows[dataset] + total if parent is None or begins else rows[parent]
        draws = 1 if begins or dataset not in _DRAWS else cfg[_DRAWS[dataset]]["draws"]
        counts = {"rows_in": rows_in, "draws": draws, "asked": rows_in * draws, "kept": rows[dataset], "dropped": total}
        steps.append({"step": step, "dataset": dataset, **counts, "reasons": reasons})
        if counts["asked"] != counts["kept"] + total:
            difference = counts["asked"] - counts["kept"] - total
            raise LostRowsError(
                f"{step}: asked for {counts['asked']:,} rows, kept {counts['kept']:,} + dropped {total:,}: "
                f"{abs(difference):,} {'lost' if difference > 0 else 'too many'}; this is a defect of selfalign, please report it"
            )
    return steps


def _by_dataset(paths: Iterable[str]) -> dict[str, list[str]]:
    files: dict[str, list[str]] = {dataset: [] for dataset in STEP_OF}
    for path in filter(os.path.exists, paths):
        files[Path(path).parent.name].append(path)
    return files


def _rows(path: str | os.PathLike) -> int:
    try:
        return pq.read_metadata(path).num_rows
    except (pa.ArrowInvalid, OSError) as error:
        raise InputError(f"{path}: not a readable parquet file; delete it and run again") from error


def _reasons(step: str, paths: Iterable[str | os.PathLike]) -> dict[str, int]:
    """Dropped rows by reason. A step's files hold its own drops only."""
    counts = dict.fromkeys(REASONS[step], 0)
    for path in paths:
        found = pc.value_counts(pq.read_table(path, columns=["reason"], partitioning=None)["reason"])
        for entry in found.to_pylist():
            counts[entry["values"]] = counts.get(entry["values"], 0) + entry["counts"]
    return counts
