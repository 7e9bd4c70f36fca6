"""Rows to look at: some that each step kept and some that it dropped, with the texts and the prompt behind them.

Ids are hashes of content, so the rows with the smallest ids are a sample drawn by content: the same whatever the shards.
What a run did not make is left out.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pyarrow.compute as pc
import pyarrow.parquet as pq

from selfalign.data.tables import STEP_OF
from selfalign.exchange.prompts import Prompts
from selfalign.generation.draws import draw_properties

# What a listing shows: title, language, column, and the datasets that may have it, the best first.
_LISTINGS = {
    "function": ("Function", "python", "content", ("seeds", "functions", "extracted")),
    "concepts": ("Concepts", "text", "concepts", ("concepts",)),
    "instruction": ("Instruction", "markdown", "instruction", ("instructions",)),
    "response": ("Response", "markdown", "response", ("responses", "executed", "candidates")),
}
# Which listings tell about a row of a dataset, and in which column of the row their id is; kept rows, then dropped ones.
_TOLD_BY: dict[str, tuple[dict[str, str], dict[str, str]]] = {
    "extracted": ({"function": "id"}, {}),
    "functions": ({"function": "id"}, {"function": "id"}),
    "seeds": ({"function": "id"}, {"function": "parent_id"}),
    "concepts": ({"concepts": "id", "function": "seed_id"}, {"function": "parent_id"}),
    "instructions": ({"instruction": "id", "concepts": "concepts_id"}, {"concepts": "parent_id"}),
    "responses": ({"response": "id", "instruction": "instruction_id"}, {"instruction": "parent_id"}),
    "executed": ({"response": "id", "instruction": "instruction_id"}, {"response": "id", "instruction": "parent_id"}),
    "candidates": ({"response": "id", "instruction": "instruction_id"}, {"response": "id", "instruction": "parent_id"}),
    "dataset": ({}, {"response": "id", "instruction": "parent_id"}),  # the final rows carry their texts, varied in form
}
_FINAL = (("Instruction", "markdown", "instruction"), ("Response", "markdown", "response"), ("Seed", "python", "seed"))
# Columns that are worth a word beside the listings.
_FACTS = ("path", "line", "licence", "source", "score", "category", "difficulty", "sample", "finish_reason", "verdict", "cluster_size")

# Of a model step: its part of the config, the dataset of its parents, and their id in a kept row.
_ASK = {
    "seeds": ("judge", "functions", "id"),
    "concepts": ("concepts", "seeds", "seed_id"),
    "instructions": ("instructions", "concepts", "concepts_id"),
    "responses": ("responses", "instructions", "instruction_id"),
}


@dataclass
class Example:
    """One row: what became of it, facts in a word each, listings (title, language, text), and the prompt of a model step."""

    id: str
    reason: str = ""  # "" of a kept row
    detail: str = ""
    facts: dict[str, Any] = field(default_factory=dict)
    listings: list[tuple[str, str, str]] = field(default_factory=list)
    prompt: str = ""


def collect_examples(
    kept: Sequence[str], dropped: Sequence[str], prompts: Mapping[str, dict], cfg: dict, count: int
) -> dict[str, tuple[list[Example], list[Example]]]:
    """By dataset: (kept, dropped), at most `count` of each. prompts: content of results/prompts/<step>.json by step."""
    rows = {
        dataset: (first_rows(files_of(kept, dataset), count), first_of_each_reason(files_of(dropped, dataset), count))
        for dataset in STEP_OF
        if files_of(kept, dataset) or files_of(dropped, dataset)
    }
    texts = _texts(rows, kept)
    asked = _prompts(rows, kept, prompts, cfg)
    found: dict[str, tuple[list[Example], list[Example]]] = {}
    for dataset, both in rows.items():
        examples: tuple[list[Example], list[Example]] = ([], [])
        for told_by, group, made in zip(_TOLD_BY[dataset], both, examples, strict=True):
            for row in group:
                example = Example(row["id"], row.get("reason", ""), row.get("detail", ""), prompt=asked.get((dataset, row["id"]), ""))
                example.facts = {name: row[name] for name in _FACTS if row.get(name) not in (None, "")}
                for listing, key in told_by.items():
                    if shown := texts[listing].get(row[key]):
                        example.listings.append((*_LISTINGS[listing][:2], shown))
                if dataset == "dataset" and "instruction" in row:
                    example.listings += [(title, language, row[column]) for title, language, column in _FINAL]
                made.append(example)
        found[dataset] = examples
    return found


def first_rows(paths: Iterable[str], count: int) -> list[dict[str, Any]]:
    """The `count` rows with the smallest ids of files that are sorted by id."""
    rows: list[dict[str, Any]] = []
    for path in paths:
        with pq.ParquetFile(path) as file:
            for batch in file.iter_batches(batch_size=max(count, 1)):
                rows += batch.to_pylist()
                break
    return sorted(rows, key=lambda row: row["id"])[:count]


def first_of_each_reason(paths: Iterable[str], count: int) -> list[dict[str, Any]]:
    """`count` dropped rows: the smallest id of each reason, then the second of each, and so on, until there are enough."""
    by_reason: dict[str, list[dict[str, Any]]] = {}
    for path in paths:
        of_file: dict[str, list[dict[str, Any]]] = {}
        with pq.ParquetFile(path) as file:
            for batch in file.iter_batches():
                for reason in pc.unique(batch["reason"]).to_pylist():
                    have = of_file.setdefault(reason, [])
                    if len(have) < count:
                        have += batch.filter(pc.equal(batch["reason"], reason)).slice(0, count - len(have)).to_pylist()
        for reason, rows in of_file.items():
            by_reason.setdefault(reason, []).extend(rows)
    ordered = [sorted(by_reason[reason], key=lambda row: (row["id"], row["detail"])) for reason in sorted(by_reason)]
    turns = (rows[turn] for turn in range(count) for rows in ordered if turn < len(rows))
    return [row for row, _ in zip(turns, range(count), strict=False)]


def rows_by_id(paths: Iterable[str], ids: Iterable[str], columns: list[str] | None = None) -> dict[str, dict[str, Any]]:
    """The rows with these ids. `columns` must have `id`."""
    wanted = sorted(set(ids))
    rows: dict[str, dict[str, Any]] = {}
    for path in paths if wanted else ():
        rows |= {row["id"]: row for row in pq.read_table(path, columns=columns, filters=[("id", "in", wanted)], partitioning=None).to_pylist()}
    return rows


def texts_of(listing: str, kept: Sequence[str], ids: Iterable[str]) -> dict[str, str]:
    """The texts of a listing (function, concepts, instruction, response) by id."""
    column, datasets = _LISTINGS[listing][2:]
    missing, texts = set(ids), {}
    for dataset in datasets:
        found = rows_by_id(files_of(kept, dataset), missing, ["id", column])
        texts |= {row: ", ".join(values[column]) if isinstance(values[column], list) else values[column] for row, values in found.items()}
        missing -= texts.keys()
    return texts


def files_of(paths: Iterable[str], dataset: str) -> list[str]:
    """Those of the paths that are files of this dataset and exist."""
    return [path for path in paths if Path(path).parent.name == dataset and Path(path).exists()]


Rows = dict[str, tuple[list[dict[str, Any]], list[dict[str, Any]]]]


def _texts(rows: Rows, kept: Sequence[str]) -> dict[str, dict[str, str]]:
    wanted: dict[str, set[str]] = {listing: set() for listing in _LISTINGS}
    for dataset, both in rows.items():
        for told_by, group in zip(_TOLD_BY[dataset], both, strict=True):
            for listing, key in told_by.items():
                wanted[listing] |= {row[key] for row in group}
    return {listing: texts_of(listing, kept, ids) for listing, ids in wanted.items()}


def _prompts(rows: Rows, kept: Sequence[str], prompts: Mapping[str, dict], cfg: dict) -> dict[tuple[str, str], str]:
    """The whole prompt of each example of a model step, by dataset and row id."""
    found: dict[tuple[str, str], str] = {}
    for dataset, (step, parents, key) in _ASK.items():
        if step not in prompts or dataset not in rows:
            continue
        pairs = list(_pairs(rows[dataset], key))
        by_id = rows_by_id(files_of(kept, parents), (parent for _, parent in pairs))
        asked = Prompts(prompts[step])
        for row, parent in pairs:
            if parent in by_id:
                properties = draw_properties(row, cfg) if step == "instructions" else {}
                found[dataset, row] = asked.of({"id": row, **properties}, by_id[parent])
    return found


def _pairs(both: tuple[list[dict[str, Any]], list[dict[str, Any]]], key: str) -> Iterator[tuple[str, str]]:
    """(id, parent's id) of kept and dropped rows."""
    kept, dropped = both
    yield from ((row["id"], row[key]) for row in kept)
    yield from ((row["id"], row["parent_id"]) for row in dropped)
