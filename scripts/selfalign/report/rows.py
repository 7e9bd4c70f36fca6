"""Single rows out of a run's parquet files, without reading the files whole.

Files are sorted by id, so that the statistics of their row groups say which one can hold a row; of that group the column `id` is read, and
the whole group only if the row is in it.
"""

from collections.abc import Iterator, Sequence
from functools import cached_property
from itertools import accumulate
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from selfalign.data.errors import InputError
from selfalign.data.ids import shard_of


class File:
    """One parquet file, opened when it is first needed."""

    def __init__(self, path: Path):
        self.path = path

    @cached_property
    def _file(self) -> pq.ParquetFile:
        try:
            return pq.ParquetFile(self.path, memory_map=True)
        except (pa.ArrowException, OSError) as error:
            raise InputError(f"{self.path}: not a readable parquet file ({str(error).splitlines()[0]}); delete it and run again") from error

    @cached_property
    def _column(self) -> dict[str, int]:
        return {self._file.schema.column(at).name: at for at in range(len(self._file.schema.names))}

    def _groups_with(self, column: str, values: Sequence[str]) -> Iterator[int]:
        """Row groups whose statistics do not rule the values out."""
        at = self._column[column]
        metadata = self._file.metadata
        for group in range(metadata.num_row_groups):
            statistics = metadata.row_group(group).column(at).statistics
            if statistics is None or not statistics.has_min_max or any(statistics.min <= value <= statistics.max for value in values):
                yield group

    def find(self, column: str, values: Sequence[str], columns: Sequence[str] | None = None) -> list[dict[str, Any]]:
        """The rows with one of these values in a text column; of each row all columns, or those named."""
        found = []
        for group in self._groups_with(column, values):
            keys = self._file.read_row_group(group, columns=[column])[column]
            matches = pc.indices_nonzero(pc.is_in(keys, value_set=_texts(values)))
            if len(matches):
                found += self._file.read_row_group(group, columns=columns).take(matches).to_pylist()
        return found


def _texts(values: Sequence[str]) -> pa.StringArray:
    """pa.array(values), without the import of pandas that pa.array costs (half a second)."""
    encoded = [value.encode("utf-8", "surrogatepass") for value in values]
    ends = accumulate(map(len, encoded), initial=0)
    offsets = b"".join(end.to_bytes(4, "little") for end in ends)
    return pa.StringArray.from_buffers(len(values), pa.py_buffer(offsets), pa.py_buffer(b"".join(encoded)))


class Files:
    """The files of a dataset by shard number; `train.parquet` counts as the only shard."""

    def __init__(self, folder: Path):
        paths = sorted(folder.glob("*.parquet"), key=lambda path: (len(path.name), path.name)) if folder.is_dir() else []
        self._files = [File(path) for path in paths]

    def __bool__(self) -> bool:
        return bool(self._files)

    def find(
        self, column: str, values: str | Sequence[str], function: str | None = None, columns: Sequence[str] | None = None
    ) -> list[dict[str, Any]]:
        """The rows with this value, or one of these. `function`: the id of the function that they descend from, if known; then one shard is read."""
        files: Sequence[File] = self._files
        if function is not None and files:
            files = [files[shard_of(function, len(files))]]
        return [row for file in files for row in file.find(column, [values] if isinstance(values, str) else list(values), columns)]

    def row(self, identifier: str, function: str | None = None) -> dict[str, Any] | None:
        """The row with this id, None if there is none."""
        return next(iter(self.find("id", identifier, function)), None)
