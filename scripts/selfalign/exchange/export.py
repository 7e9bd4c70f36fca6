"""A dataset of the run as a Hugging Face dataset repository, in the published layout: ancestors, prompt and fingerprint
joined back into each row.

Rows are joined and written in batches: in memory are one shard and the ancestors of its rows, never all prompts.
"""

import hashlib
import json
import os
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from selfalign.data.files import read_shard
from selfalign.data.tables import ANCESTORS
from selfalign.exchange.prompts import Prompts

_BATCH = 2048  # rows that are joined and written at a time
_text, _texts, _int = pa.string(), pa.list_(pa.string()), pa.int32()

_MEANING = {
    "content": "the function: source code with a docstring",
    "seed": "the function that the row began with",
    "sha1": "SHA-1 of the function",
    "id": "id of the row, a hash of where it comes from; `selfalign trace` takes it",
    "prompt": "what the model was given to continue in the step that made the row (null for a row that was imported)",
    "fingerprint": "of what determines that step's output: step, model, engine, sampling settings, seed, few-shot draws",
    "concepts": "programming concepts that the model found in the seed",
    "instruction": "the task",
    "response": "the answer",
    "category": "category that was drawn for the instruction",
    "language": "language that was asked for",
    "difficulty": "difficulty that was drawn for the instruction",
    "judge": "the model's verdict on the function",
    "score": "log P(yes) - log P(no) of that verdict",
    "imports": "import lines that the function needs to run alone",
    "sample": "number of the response among those to its instruction",
    "verdict": "what the execution of implementation and tests gave",
    "cluster_size": "rows that it stands for (copies and near-duplicates), itself included",
    "seed_id": "id of the seed",
    "concepts_id": "id of the concepts",
    "instruction_id": "id of the instruction",
    "license": "licence of the function (SPDX)",
    "path": "where its source has it",
    "repo_name": "repository or package of that file, if its source says",
    "line": "line in that file",
    "source": "the source",
    "source_id": "id that the row had in the file from which it was imported, null if it was not",
}
_ORIGIN = [("license", _text), ("repo_name", _text), ("path", _text), ("line", _int), ("source", _text), ("source_id", _text)]
_GENERATED = [("prompt", _text), ("fingerprint", _text), ("seed", _text), ("sha1", _text), ("id", _text), ("concepts", _texts)]
_FUNCTION = [("content", _text), ("sha1", _text), ("id", _text)]
_WRITTEN = [*_GENERATED, ("instruction", _text)]
_PROPERTIES = [("category", _text), ("language", _text), ("difficulty", _text)]
# The published columns come first, what else this project knows about a row after them.
COLUMNS: dict[str, pa.Schema] = {
    "extracted": pa.schema([*_FUNCTION, ("imports", _texts), *_ORIGIN]),
    "functions": pa.schema([*_FUNCTION, ("imports", _texts), *_ORIGIN]),
    "seeds": pa.schema([*_FUNCTION, ("imports", _texts), ("judge", _text), ("score", pa.float64()), *_ORIGIN]),
    "concepts": pa.schema([*_GENERATED, ("seed_id", _text), *_ORIGIN]),
    "instructions": pa.schema([*_WRITTEN, *_PROPERTIES, ("concepts_id", _text), *_ORIGIN]),
    "responses": pa.schema([*_WRITTEN, ("response", _text), *_PROPERTIES, ("instruction_id", _text), ("sample", _int), *_ORIGIN]),
    "executed": pa.schema([*_WRITTEN, ("response", _text), *_PROPERTIES, ("instruction_id", _text), ("sample", _int), ("verdict", _text), *_ORIGIN]),
    "dataset": pa.schema([*_WRITTEN, ("response", _text), *_PROPERTIES, ("instruction_id", _text), ("cluster_size", _int), *_ORIGIN]),
}
# Which datasets a row's ancestors are in, nearest last, and which step's prompt goes with it.
NEEDS: dict[str, tuple[str, ...]] = {"extracted": (), **ANCESTORS, "dataset": ("seeds", "concepts", "instructions")}
PROMPTED = {"concepts": "concepts", "instructions": "instructions", "responses": "responses", "executed": "responses", "dataset": "responses"}


def meaning(column: str) -> str:
    """One line about a column of the published layout."""
    return _MEANING[column]


def fingerprint(cfg: Mapping[str, Any], prompts: Mapping[str, Any]) -> str:
    """16 hex digits over what determines a step's output: step, model, engine, sampling settings, seed, few-shot draws."""
    engine = {name: cfg["engine"][name] for name in ("kind", "dtype")}
    step = prompts["step"]
    parts = {"step": step, "model": cfg["model"], "engine": engine, "sampling": cfg[step], "seed": cfg["seed"], "prompts": prompts}
    return hashlib.sha256(json.dumps(parts, sort_keys=True, ensure_ascii=False).encode()).hexdigest()[:16]


class Facts:
    """What the card says about the rows that were written."""

    def __init__(self) -> None:
        self.rows = 0
        self.licences: Counter[str] = Counter()

    def add(self, batch: Sequence[Mapping[str, Any]]) -> None:
        """Count these rows."""
        self.rows += len(batch)
        self.licences.update(row["license"] or "unknown" for row in batch)


def export_data(
    dataset: str,
    shards: Sequence[tuple[str, Mapping[str, str]]],
    folder: str | os.PathLike,
    prompts: Mapping[str, Any] | None,
    digest: str | None,
    whole: bool = False,
) -> Facts:
    """Write data/train-*.parquet below `folder`, one file per shard (`whole`: one file in order of id), and return what to say about them.

    shards: for each the path of the dataset's own file and, by dataset, those of NEEDS[dataset]. prompts: content of the step's
    results/prompts/<step>.json; None, as `digest`, where the rows were imported.
    """
    data = Path(folder) / "data"
    data.mkdir(parents=True, exist_ok=True)
    maker = Prompts(dict(prompts)) if prompts else None
    facts = Facts()
    groups = [shards] if whole else [[shard] for shard in shards]
    for number, group in enumerate(groups):
        rows = pa.concat_tables([read_shard(own) for own in dict.fromkeys(own for own, _ in group)]).sort_by("id")
        ancestors = {name: _by_id([files[name] for _, files in group], rows, name) for name in NEEDS[dataset]}
        with pq.ParquetWriter(data / f"train-{number:05d}-of-{len(groups):05d}.parquet", COLUMNS[dataset], compression="zstd") as writer:
            for batch in _batches(rows):
                joined = [_join(dataset, row, ancestors, maker, digest) for row in batch]
                facts.add(joined)
                writer.write_table(pa.Table.from_pylist(joined, schema=COLUMNS[dataset]))
    return facts


def _batches(rows: pa.Table) -> Iterator[list[dict[str, Any]]]:
    for start in range(0, rows.num_rows, _BATCH):
        yield rows.slice(start, _BATCH).to_pylist()


def _by_id(paths: Iterable[str], rows: pa.Table, name: str) -> dict[str, dict[str, Any]]:
    """Ancestors by id; those without a row of the same function are left out."""
    functions = set(rows["function_id"].to_pylist())
    key = "id" if name == "seeds" else "function_id"
    found = {}
    for path in paths:
        table = read_shard(path)
        table = table.filter(pa.array([value in functions for value in table[key].to_pylist()], pa.bool_()))
        found |= {row["id"]: row for row in table.to_pylist()}
    return found


def _join(dataset: str, row: dict[str, Any], ancestors: Mapping[str, dict], maker: Prompts | None, digest: str | None) -> dict[str, Any]:
    """A row in the published layout."""
    if not NEEDS[dataset]:
        return {**row, "license": row["licence"], "repo_name": row["repository"]}
    instruction = row if dataset == "instructions" else ancestors["instructions"][row["instruction_id"]] if "instruction_id" in row else {}
    concepts = row if dataset == "concepts" else ancestors["concepts"][instruction["concepts_id"]]
    seed = ancestors["seeds"][concepts["seed_id"]]
    origin = {name: seed[name] for name in ("path", "line", "source")} | {
        "license": seed["licence"],
        "repo_name": seed["repository"],
        "seed": seed["content"],
        "sha1": seed["sha1"],
    }
    foreign = row["source_id"] or instruction.get("source_id") or concepts["source_id"] or seed["source_id"]
    parent = {"concepts": seed, "instructions": concepts}.get(dataset, instruction)
    prompt = maker.of(row, parent) if maker else None
    return {**concepts, **instruction, **origin, **row, "prompt": prompt, "fingerprint": digest, "source_id": foreign}
