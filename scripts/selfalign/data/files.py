"""Read and write dataset shards: zstd parquet, sorted by id, written under a temporary name and renamed.

Identical rows give identical bytes: the schema is fixed, rows are sorted, and no time or path gets in.
"""

import os
import shutil
from collections.abc import Iterable, Sequence
from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from selfalign.data.errors import InputError
from selfalign.data.tables import ASKED_AGAIN, DROPPED, OPTIONAL, REASONS, SCHEMAS

ROW_GROUP = 2_048  # small, so that `selfalign trace` reads little for one row


def to_table(rows: Iterable[dict], dataset: str) -> pa.Table:
    """Rows as a table with the dataset's schema. A missing column (but `source_id`) is a KeyError, an extra one is refused."""
    return _to_table(list(rows), SCHEMAS[dataset])


def to_dropped(rows: Iterable[dict]) -> pa.Table:
    """Dropped rows (id, parent_id, step, reason, detail) as a table; the reason must be documented for its step."""
    rows = list(rows)
    for row in rows:
        if row["reason"] not in REASONS[row["step"]]:
            raise ValueError(f"undocumented reason {row['reason']!r} in step {row['step']!r}: add it to data/tables.py")
    return _to_table(rows, DROPPED)


def _to_table(rows: list[dict], schema: pa.Schema) -> pa.Table:
    names = set(schema.names)
    for row in rows:
        if extra := set(row) - names:
            raise ValueError(f"columns that the schema does not have: {sorted(extra)}")
    columns = {name: [row.get(name) if name == OPTIONAL else row[name] for row in rows] for name in schema.names}
    return pa.table(columns, schema=schema)


def write_table(table: pa.Table, path: str | os.PathLike, schema: pa.Schema, sort_by: Sequence[str] = ("id",)) -> None:
    """Write `table` (cast to `schema`, sorted by `sort_by`) to `path`, whole or not at all."""
    table = table.select(schema.names).cast(schema).replace_schema_metadata(None)
    table = table.take(pc.sort_indices(table, [(name, "ascending") for name in sort_by]))
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    try:
        with pq.ParquetWriter(temporary, schema, compression="zstd") as writer:
            if table.num_rows:  # datasets.load_dataset refuses a file with a row group without rows
                writer.write_table(table, row_group_size=ROW_GROUP)
        os.replace(temporary, path)
    finally:
        temporary.unlink(missing_ok=True)


def write_shard(table: pa.Table, path: str | os.PathLike, dataset: str) -> None:
    """Write one shard of `dataset`, with the dataset's schema, sorted by id."""
    write_table(table, path, SCHEMAS[dataset])


def write_dropped(table: pa.Table, path: str | os.PathLike) -> None:
    """Write the dropped rows of one shard, sorted by (id, step, reason, detail)."""
    write_table(table, path, DROPPED, sort_by=("id", "step", "reason", "detail"))


def read_shard(path: str | os.PathLike, columns: list[str] | None = None) -> pa.Table:
    """One parquet file as a table. A missing, truncated or foreign file is an InputError that names it."""
    if not Path(path).exists():
        raise InputError(f"{path}: no such file")
    try:
        return pq.read_table(path, columns=columns, partitioning=None)
    except (pa.ArrowInvalid, OSError) as error:
        raise InputError(f"{path}: not a readable parquet file ({str(error).splitlines()[0]}); delete it and run again") from error


def read_shards(paths: Iterable[str | os.PathLike], columns: list[str] | None = None) -> pa.Table:
    """Several shards of one dataset as one table, in the order given."""
    return pa.concat_tables([read_shard(path, columns) for path in paths])


def remove_stale_shards(results_dir: str | os.PathLike, shards: int) -> None:
    """Delete shards that a run with more shards left in any dataset's folder: readers take each folder as a whole."""
    for path in Path(results_dir).rglob("*.parquet"):
        if path.stem.isdigit() and int(path.stem) >= shards:
            path.unlink()


def remove_temporary_files(results_dir: str | os.PathLike) -> None:
    """Delete the temporary files and folders of jobs that were killed while they wrote. No job of this run may be at work."""
    for path in list(Path(results_dir).rglob(".*.tmp")):
        if path.is_dir():
            shutil.rmtree(path)
        else:
            path.unlink(missing_ok=True)


def failed_rows(dropped: pa.Table) -> int:
    """How many of the dropped rows the next run asks for again."""
    return pc.sum(pc.is_in(dropped["reason"], pa.array(ASKED_AGAIN))).as_py() or 0


def concat_dropped(tables: Iterable[pa.Table]) -> pa.Table:
    """Several tables of dropped rows as one."""
    return pa.concat_tables([DROPPED.empty_table(), *tables])
