"""Rows to look at: some of the final dataset, and some that each step dropped, with the text that they were about."""

from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import pyarrow.compute as pc
import pyarrow.parquet as pq

from selfalign.data.tables import REASONS, steps_from

# Where the text behind a dropped row is: dataset, column, and which of the dropped row's ids finds it there.
_TEXT = {
    "filter_functions": ("extracted", "content", "id"),
    "judge_seeds": ("functions", "content", "parent_id"),
    "extract_concepts": ("seeds", "content", "parent_id"),
    "write_instructions": ("concepts", "concepts", "parent_id"),
    "write_responses": ("instructions", "instruction", "parent_id"),
    "execute_responses": ("responses", "response", "id"),
    "choose_responses": ("executed", "response", "id"),
    "select_dataset": ("candidates", "response", "id"),
}


def final_examples(kept: Iterable[str], count: int) -> list[dict[str, Any]]:
    """The first `count` rows of the final dataset in order of id, which is a random order."""
    (path,) = _files(kept, "dataset")
    return pq.read_table(path, partitioning=None).slice(0, count).to_pylist()


def dropped_examples(kept: Sequence[str], dropped: Sequence[str], per_reason: int, entry: str | None = None) -> dict[str, list[dict[str, Any]]]:
    """By step, the first `per_reason` dropped rows of each reason: id, reason, detail, and text ("" where none is kept).

    `entry` is the dataset at which a run with `inputs` enters.
    """
    examples: dict[str, list[dict[str, Any]]] = {}
    for dataset, step in steps_from(entry).items():
        rows: list[dict[str, Any]] = []
        for reason in REASONS[step]:
            found: list[dict[str, Any]] = []
            for path in _files(dropped, dataset):
                table = pq.read_table(path, columns=["id", "parent_id", "reason", "detail"], partitioning=None)
                found += table.filter(pc.equal(table["reason"], reason)).slice(0, per_reason).to_pylist()
            rows += sorted(found, key=lambda row: row["id"])[:per_reason]
        _add_texts(step, rows, kept)
        examples[step] = rows
    return examples


def _add_texts(step: str, rows: list[dict[str, Any]], kept: Sequence[str]) -> None:
    dataset, column, key = _TEXT.get(step, ("", "", "id"))
    wanted = sorted({row[key] for row in rows})
    texts: dict[str, str] = {}
    for path in _files(kept, dataset) if wanted else ():
        for found in pq.read_table(path, columns=["id", column], filters=[("id", "in", wanted)], partitioning=None).to_pylist():
            value = found[column]
            texts[found["id"]] = ", ".join(value) if isinstance(value, list) else value
    for row in rows:
        row["text"] = texts.get(row[key], "")


def _files(paths: Iterable[str], dataset: str) -> list[str]:
    return [path for path in paths if Path(path).parent.name == dataset]
