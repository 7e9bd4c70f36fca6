"""import_rows: rows in the published layout become a dataset of the run, and the ancestors that they carry inline become tables of their own.

Our ids are made from content, so that they do not depend on the order of rows or files. Two passes, as in seeds/extract.py: the first streams
the rows into a spool file per shard, the second makes one shard at a time, in which all rows of a function lie.
"""

import hashlib
import json
import tempfile
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

import pyarrow as pa

from selfalign.data.config import load_schema, source_name
from selfalign.data.errors import InputError
from selfalign.data.files import to_dropped, to_table
from selfalign.data.ids import content_id, imported_id, row_id, shard_of
from selfalign.data.spool import Spool
from selfalign.data.tables import ANCESTORS, IMPORT_STEP, STEP_OF
from selfalign.exchange.reader import Columns, Row, read_rows
from selfalign.sources.licences import joined_licence, licence_allowed

NEEDED: dict[str, tuple[str, ...]] = {
    "functions": ("content",),
    "seeds": ("content",),
    "concepts": ("seed", "concepts"),
    "instructions": ("seed", "concepts", "instruction"),
    "responses": ("seed", "concepts", "instruction", "response"),
    "executed": ("seed", "concepts", "instruction", "response"),
    "dataset": ("seed", "concepts", "instruction", "response"),
}
_TEXTS = ("path", "repository", "licence", "source", "category", "language", "difficulty", "source_id")
_SPOOLED = pa.schema(
    [
        *((name, pa.string()) for name in ("seed", "instruction", "response", *_TEXTS, "file")),
        ("concepts", pa.list_(pa.string())),
        *((name, pa.int64()) for name in ("line", "number", "part")),  # part: which of a row's responses
    ]
)
_DROPPED = pa.schema([(name, pa.string()) for name in ("id", "reason", "detail")])
_CHAIN = ("seeds", "concepts", "instructions", "responses")  # a row's ancestors and itself, where it has that many


def import_rows(
    entry: str, cfg: Mapping[str, Any], licences: list[str], shards: int, spool: str, advance: Callable[..., None] = lambda n, **facts: None
) -> Iterator[tuple[dict[str, pa.Table], pa.Table]]:
    """Yield (tables by dataset, dropped) of shard 0, 1, ...: `entry` and the datasets of ANCESTORS[entry].

    cfg is the config's `inputs`. Rows asked for are the rows of the files, a row with a list of responses counting once for each of them. `spool` is
    a folder for temporary files. InputError for a file that cannot serve, or if no row can.
    """
    address = cfg[entry]
    columns = _columns(entry, cfg["columns"])
    kept = 0
    with tempfile.TemporaryDirectory(dir=spool, prefix="import-") as folder:
        rows, dropped = Spool(Path(folder), "rows", _SPOOLED), Spool(Path(folder), "dropped", _DROPPED)
        reasons: defaultdict[str, int] = defaultdict(int)
        for row in read_rows(address, columns):
            usable, reason = _spooled(row, cfg, licences, address)
            if reason:
                identifier = row_id("file", row.place, 0)
                reasons[reason[0]] += 1
                dropped.add(shard_of(identifier, shards), {"id": identifier, "reason": reason[0], "detail": f"{row.place}: {reason[1]}"})
            for item in usable:
                kept += 1
                rows.add(shard_of(content_id(item["seed"]), shards), item)
            advance(1)
        rows.flush()
        dropped.flush()
        if not kept:
            raise InputError(f"{address}: no usable row; dropped: {', '.join(f'{reason} {count}' for reason, count in sorted(reasons.items()))}")
        for shard in range(shards):
            tables, copies = _shard(entry, rows.read(shard))
            bad = [{**row, "parent_id": "", "step": IMPORT_STEP} for row in dropped.read(shard).to_pylist()]
            yield tables, to_dropped([*bad, *copies])


def _columns(entry: str, names: Mapping[str, str]) -> Columns:
    """All columns that this entry may read; one that the config calls by another name than the schema does must be there."""
    usual = {name: part["default"] for name, part in load_schema()["properties"]["inputs"]["properties"]["columns"]["properties"].items()}
    needed = NEEDED[entry]
    ours = {name: column for name, column in names.items() if name in needed or name not in _MAIN}
    return Columns(ours, needed, frozenset(name for name, column in ours.items() if column != usual[name]))


_MAIN = ("content", "seed", "concepts", "instruction", "response")


def _spooled(row: Row, cfg: Mapping[str, Any], licences: list[str], address: str) -> tuple[list[dict[str, Any]], tuple[str, str] | None]:
    """A row as records for the spool, one for each response, and why it is dropped (None if it is not)."""
    if row.values is None:
        return [], ("unreadable_row", row.error)
    values = row.values
    licence = joined_licence(values["licence"], cfg["licence"])
    if licence and not licence_allowed(licence, licences):
        return [], ("licence", licence)
    record = {name: _text(values.get(name)) for name in _TEXTS}
    record |= {
        "licence": licence,
        "source_id": _text(values["id"]),
        "source": record["source"] or source_name(address),
        "path": record["path"] or row.place,
    }
    record |= {"seed": values.get("seed") or values.get("content"), "instruction": values.get("instruction"), "concepts": values.get("concepts")}
    record |= {"line": values["line"] if isinstance(values["line"], int) else None, "file": row.file, "number": row.number}
    response = values.get("response")
    responses = response if isinstance(response, list) else [response]
    return [{**record, "response": text, "part": part} for part, text in enumerate(responses)], None


def _text(value: Any) -> str | None:
    """A foreign id (text or number) or an optional text; None where there is none."""
    return None if value is None or isinstance(value, list | dict) else str(value).encode("utf-8", "replace").decode("utf-8")


def _shard(entry: str, table: pa.Table) -> tuple[dict[str, pa.Table], list[dict[str, Any]]]:
    """The tables of one shard, and the copies among its rows. Of rows with one id the first by file and row stands for all."""
    records = sorted(table.to_pylist(), key=lambda record: (record["file"], record["number"], record["part"]))
    found: dict[str, dict[str, dict[str, Any]]] = {name: {} for name in (*ANCESTORS[entry], entry)}
    places: dict[str, str] = {}
    copies = []
    for record in records:
        place = f"{record['file']}#{record['number']}"
        chain = _identified(entry, record)
        own = chain[entry]
        if own["id"] in places:
            parent = own.get("instruction_id") or own.get("concepts_id") or own.get("seed_id") or ""
            detail = f"{place} is a copy of {places[own['id']]}"
            copies.append({"id": own["id"], "parent_id": parent, "step": IMPORT_STEP, "reason": "duplicate", "detail": detail})
            continue
        places[own["id"]] = place
        for name, row in chain.items():
            found[name].setdefault(row["id"], row)
    for name, parent, number in (("concepts", "seed_id", "draw"), ("instructions", "concepts_id", "draw"), *_SAMPLES):
        _number(found.get(name, {}).values(), parent, number)
    return {name: to_table(rows.values(), name) for name, rows in found.items()}, copies


_SAMPLES = (("responses", "instruction_id", "sample"), ("executed", "instruction_id", "sample"))


def _number(rows: Iterable[dict[str, Any]], parent: str, number: str) -> None:
    """Number the rows of each parent in order of id: imported rows have no draw number of their own."""
    children = defaultdict(list)
    for row in rows:
        children[row[parent]].append(row)
    for several in children.values():
        for position, row in enumerate(sorted(several, key=lambda row: row["id"])):
            row[number] = position


def _identified(entry: str, record: Mapping[str, Any]) -> dict[str, dict[str, Any]]:
    """The row of each table that a record holds, with our ids."""
    seed, foreign = record["seed"], record["source_id"]
    function = content_id(seed)
    sha1 = hashlib.sha1(seed.encode("utf-8")).hexdigest()
    origin = {name: record[name] for name in ("path", "repository", "line", "licence", "source")}
    root = {"id": function, "content": seed, "sha1": sha1, **origin, "imports": [], "source_id": foreign}
    if entry == "functions":
        return {entry: root}
    chain = {"seeds": {**root, "judge": None, "score": None}}
    if entry == "seeds":
        return chain
    shared = {"function_id": function, "prefix": None, "source_id": foreign}
    concepts = imported_id(STEP_OF["concepts"], function, json.dumps(record["concepts"]))
    chain["concepts"] = {"id": concepts, "seed_id": function, "draw": 0, **shared, "concepts": record["concepts"]}
    if entry == "concepts":
        return chain
    instruction = imported_id(STEP_OF["instructions"], concepts, record["instruction"])
    properties = {"category": record["category"], "language": record["language"] or "Python", "difficulty": record["difficulty"]}
    chain["instructions"] = {"id": instruction, "concepts_id": concepts, "draw": 0, **shared, **properties, "instruction": record["instruction"]}
    if entry == "instructions":
        return chain
    own = {"id": imported_id(STEP_OF["responses"], instruction, record["response"]), "function_id": function, "instruction_id": instruction}
    if entry == "dataset":
        joined = {"instruction": record["instruction"], "concepts": record["concepts"], "seed": seed, "sha1": sha1}
        return {entry: {**own, "response": record["response"], **joined, "cluster_size": 1, "source_id": foreign}}
    own |= {"sample": 0, "response": record["response"], "source_id": foreign}
    how = {"prefix": None, "finish_reason": None} if entry == "responses" else {"verdict": "passed", "detail": "as imported"}
    return {**chain, entry: {**own, **how}}
