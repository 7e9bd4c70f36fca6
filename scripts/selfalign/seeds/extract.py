"""From sources to `extracted`: every top-level function with a docstring, exact copies removed.

Two passes, so that memory holds one batch and then one shard, never a source: the first streams the sources into a spool file per shard,
the second reads one shard at a time, in which all copies of a function lie (a shard is a remainder of the id, the id a hash of the content).
"""

import hashlib
import heapq
import tempfile
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from functools import partial
from pathlib import Path

import pyarrow as pa

from selfalign.data.errors import InputError
from selfalign.data.files import concat_dropped, to_dropped, to_table
from selfalign.data.ids import content_id, row_id, shard_of
from selfalign.data.spool import Spool
from selfalign.data.tables import DROPPED, SCHEMAS
from selfalign.seeds.imports import mentioned_names, offered_imports
from selfalign.seeds.parse import Function, function_of, parse_module
from selfalign.seeds.workers import parse_files
from selfalign.sources.licences import licence_allowed
from selfalign.sources.reader import read_source
from selfalign.sources.source_file import SourceFile

STEP = "extract_functions"


def extract_functions(
    sources: Iterable[dict],
    licences: list[str],
    shards: int,
    spool: str,
    advance: Callable[..., None] = lambda n, **facts: None,
    processes: int = 1,
) -> Iterator[tuple[pa.Table, pa.Table]]:
    """Yield (kept, dropped) of shard 0, 1, ... of all `sources` (the config's, defaults filled in).

    Rows asked for are the function definitions at top level of every readable file with an allowed licence, and one row for every other
    file. `spool` is a folder for temporary files (about the size of the result, uncompressed). `advance(files, functions=...)` is told
    about progress. Files are parsed in `processes` of their own; their number changes no row. InputError names a source that has no
    file or no usable function.
    """
    sources = list(sources)
    with tempfile.TemporaryDirectory(dir=spool, prefix="extract-") as folder:
        writers = {
            "kept": Spool(Path(folder), "kept", SCHEMAS["extracted"], lambda rows: to_table(rows, "extracted")),
            "dropped": Spool(Path(folder), "dropped", DROPPED, to_dropped),
        }
        limits = {}
        for number, source in enumerate(sources):
            limits[number] = _spool_source(source, number, licences, shards, writers, advance, processes)
        for shard in range(shards):
            tables = [(number, writers["kept"].read(f"{number}-{shard}")) for number in range(len(sources))]
            dropped = [writers["dropped"].read(f"{number}-{shard}") for number in range(len(sources))]
            within, beyond = zip(*(_apply_limit(table, limits[number]) for number, table in tables), strict=True)
            kept, copies = _drop_copies(pa.concat_tables(within))
            yield kept, concat_dropped([*dropped, *beyond, copies])


def _spool_source(
    source: dict, number: int, licences: list[str], shards: int, writers: dict[str, Spool], advance: Callable[..., None], processes: int
) -> str | None:
    """Stream one source into the spool; the largest id within its limit, None where there is no limit or fewer functions."""
    reasons: Counter[str] = Counter()
    limit = source["limit"]
    smallest: list[int] = []  # a heap of the negated `limit` smallest ids
    among: set[int] = set()
    for kept, dropped in parse_files(read_source(source), partial(functions_of_file, licences=licences), _crashed, processes):
        reasons.update(row["reason"] for row in dropped)
        reasons["kept"] += len(kept)
        for row in kept:
            value = int(row["id"], 16)
            if limit and value not in among and (len(smallest) < limit or value < -smallest[0]):
                among.add(value)
                heapq.heappush(smallest, -value)
                if len(smallest) > limit:
                    among.discard(-heapq.heappop(smallest))
        for name, rows in (("kept", kept), ("dropped", dropped)):
            for row in rows:
                writers[name].add(f"{number}-{shard_of(row['id'], shards)}", row)
        advance(1, functions=len(kept))
    for writer in writers.values():
        writer.flush()
    if not reasons["kept"]:
        why = ", ".join(f"{reason} {count}" for reason, count in sorted(reasons.items()) if count)
        why = f"dropped: {why}" if why else "its files define no function"
        raise InputError(f"source {source['name']!r}: no usable function (at top level, with a triple-double-quoted docstring); {why}")
    return f"{-smallest[0]:016x}" if limit and len(smallest) == limit else None


def functions_of_file(file: SourceFile, licences: list[str]) -> tuple[list[dict], list[dict]]:
    """Rows kept and rows dropped of one source file: a row per function, or one for a file that is not read."""
    if file.text is None:
        return [], [_dropped_file(file, file.error, f"{file.path}: {file.detail}")]
    if not licence_allowed(file.licence, licences):
        return [], [_dropped_file(file, "licence", f"{file.path}: {file.licence or 'unknown'}")]
    module = parse_module(file.text)
    offers = None
    kept, dropped = [], []
    for function in module.functions:
        place = f"{file.path}:{function.line}"
        if not function.has_docstring:
            dropped.append(_dropped(content_id(function.content), "no_docstring", place))
            continue
        try:
            tree = function_of(function.content)
        except SyntaxError as error:
            dropped.append(_dropped(content_id(function.content), "syntax_error", f"{place}: {error.msg}"))
            continue
        if offers is None:
            offers = offered_imports(module.imports, module.defined, file.module, file.path.endswith("__init__.py"))
        imports = sorted({line for name in mentioned_names(function.content) & offers.keys() if name != tree.name for line in offers[name]})
        kept.append(_row(file, function, imports))
    return kept, dropped


def _crashed(file: SourceFile) -> tuple[list[dict], list[dict]]:
    return [], [_dropped_file(file, "unreadable_file", f"{file.path}: the parser crashed")]


def _row(file: SourceFile, function: Function, imports: list[str]) -> dict:
    content = function.content
    return {
        "id": content_id(content),
        "content": content,
        "sha1": hashlib.sha1(content.encode("utf-8")).hexdigest(),
        "path": file.path,
        "repository": file.repository,
        "line": function.line,
        "licence": file.licence,
        "source": file.source,
        "imports": imports,
    }


def _dropped(identifier: str, reason: str, detail: str) -> dict:
    return {"id": identifier, "parent_id": "", "step": STEP, "reason": reason, "detail": detail}


def _dropped_file(file: SourceFile, reason: str, detail: str) -> dict:
    return _dropped(row_id("file", f"{file.source}/{file.path}", 0), reason, detail)


def _apply_limit(table: pa.Table, last: str | None) -> tuple[pa.Table, pa.Table]:
    """The rows up to id `last`, and the dropped ones beyond it."""
    if last is None:
        return table, DROPPED.empty_table()
    keep = [identifier <= last for identifier in table["id"].to_pylist()]
    beyond = table.filter(pa.array([not kept for kept in keep], pa.bool_()))
    places = zip(*(beyond[name].to_pylist() for name in ("id", "path", "line")), strict=True)
    return table.filter(pa.array(keep, pa.bool_())), to_dropped(_dropped(row, "over_limit", f"{path}:{line}") for row, path, line in places)


def _drop_copies(table: pa.Table) -> tuple[pa.Table, pa.Table]:
    """Of the rows with one id the first by (source, path, line) stays, whatever the order in which files were read."""
    table = table.sort_by([(name, "ascending") for name in ("id", "source", "path", "line")])
    keep, dropped = [], []
    previous, survivor = None, ""
    for identifier, source, path, line in zip(*(table[name].to_pylist() for name in ("id", "source", "path", "line")), strict=True):
        place = f"{source} {path}:{line}"
        keep.append(identifier != previous)
        if identifier == previous:
            dropped.append(_dropped(identifier, "duplicate", f"{place} is a copy of {survivor}"))
        else:
            previous, survivor = identifier, place
    return table.filter(pa.array(keep, pa.bool_())), to_dropped(dropped)
