"""Rows on their way to their shards: one file per shard, to which batches are appended as Arrow streams."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pyarrow as pa

_ROWS = 20_000  # in memory before they are appended to the files


class Spool:
    """Temporary files `folder`/`name`-<key>.arrows. `flush` once after the last `add`, then `read`.

    table_of: makes a table of `schema` from rows, and checks them; None takes rows as they are.
    """

    def __init__(self, folder: Path, name: str, schema: pa.Schema, table_of: Callable[[list[dict]], pa.Table] | None = None):
        self._folder = folder
        self._name = name
        self._schema = schema
        self._table_of = table_of or (lambda rows: pa.Table.from_pylist(rows, schema=schema))
        self._rows: dict[Any, list[dict]] = {}
        self._count = 0

    def _path(self, key: Any) -> Path:
        return self._folder / f"{self._name}-{key}.arrows"

    def add(self, key: Any, row: dict) -> None:
        """Put a row into the file of `key` (a shard number, or what else is part of a file name)."""
        self._rows.setdefault(key, []).append(row)
        self._count += 1
        if self._count >= _ROWS:
            self.flush()

    def flush(self) -> None:
        """Append what is in memory to the files."""
        for key, rows in self._rows.items():
            table = self._table_of(rows)
            with open(self._path(key), "ab") as file, pa.ipc.new_stream(file, self._schema) as stream:
                stream.write_table(table)
        self._rows.clear()
        self._count = 0

    def read(self, key: Any) -> pa.Table:
        """All rows of `key`, in the order in which they were added."""
        path = self._path(key)
        tables = [self._schema.empty_table()]
        if path.exists():
            size = path.stat().st_size
            with open(path, "rb") as file:
                while file.tell() < size:
                    tables.append(pa.ipc.open_stream(file).read_all())
        return pa.concat_tables(tables)
