"""Reads the input of `selfalign execute` and writes its output, a few rows at a time: files may be larger than memory."""

import contextlib
import errno
import json
import os
import shutil
import tempfile
from collections.abc import Callable, Iterable, Iterator, Sequence
from itertools import islice
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from selfalign.data.errors import InputError
from selfalign.execution.programs import Program, Verdict, program_of

BATCH = 1024  # rows that are read, or written, at once
_COLUMNS = ("id", "response", "code", "tests")


class Rows:
    """The rows of a parquet or JSONL file, with the columns that matter; iterate over it as often as you like.

    `len()` is known, and every row known to be a program's, after check().
    """

    def __init__(self, path: str):
        if os.path.isdir(path):
            raise InputError(f"{path}: a folder; give a file")
        self.path = path
        self.count = 0
        self.ids = IdType()
        self._copy = None
        if os.path.exists(path) and not os.path.isfile(path):  # a pipe can be read once
            self._copy = tempfile.NamedTemporaryFile(prefix="selfalign-")  # noqa: SIM115
            with open(path, "rb") as pipe:
                shutil.copyfileobj(pipe, self._copy)
            self._copy.flush()
        self._file = self._copy.name if self._copy else path

    def __iter__(self) -> Iterator[dict[str, Any]]:
        """InputError names the line that is no row."""
        return self._of_parquet() if self.path.endswith(".parquet") else self._of_lines()

    def __len__(self) -> int:
        return self.count

    def check(self) -> None:
        """InputError names the first row that holds no program: to be known before the work, not after it."""
        number = -1
        for batch in batches(enumerate(self), BATCH):
            for number, row in batch:
                _texts(self.path, number, row)
            self.ids.add([row.get("id", number) for number, row in batch])
        self.count = number + 1

    def items(self) -> Iterator[Program | Verdict]:
        """The program of each row, whose id is the row's number from 0, or the verdict where there is none."""
        for number, row in enumerate(self):
            texts = _texts(self.path, number, row)
            yield program_of(str(number), *texts) if len(texts) == 1 else Program(str(number), *texts)

    def given_ids(self) -> Iterator[Any]:
        """The id of each row; its number where it has none."""
        for number, row in enumerate(self):
            yield row.get("id", number)

    def _of_parquet(self) -> Iterator[dict[str, Any]]:
        try:
            # Through a buffer: a whole file may be one row group.
            with pq.ParquetFile(self._file, buffer_size=1 << 20) as file:
                columns = [name for name in _COLUMNS if name in file.schema_arrow.names]
                for batch in file.iter_batches(batch_size=BATCH, columns=columns):
                    yield from batch.to_pylist()
        except (OSError, pa.ArrowException) as error:
            raise InputError(f"{self.path}: cannot be read as parquet ({str(error).splitlines()[0]}); give parquet or JSONL") from None

    def _of_lines(self) -> Iterator[dict[str, Any]]:
        number = 0
        try:
            with open(self._file, encoding="utf-8-sig") as file:
                for line in file:
                    number += 1
                    if line.strip():
                        row = json.loads(line)
                        if not isinstance(row, dict):
                            raise ValueError
                        yield row
        except OSError as error:
            raise InputError(f"{self.path}: {error.strerror}") from None
        except UnicodeDecodeError:
            raise InputError(f"{self.path}: not UTF-8 text; give JSONL, or parquet with a name that ends in .parquet") from None
        except (ValueError, RecursionError):
            raise InputError(f"{self.path}, line {number}: not a JSON object") from None


def batches(items: Iterable[Any], size: int) -> Iterator[list[Any]]:
    """`items` in lists of `size`, the last one shorter."""
    iterator = iter(items)
    return iter(lambda: list(islice(iterator, size)), [])


def _texts(path: str, number: int, row: dict[str, Any]) -> list[str]:
    """The response of row `number` (from 0), or its code and tests."""
    names = ("response",) if "response" in row else ("code", "tests")
    if missing := [name for name in names if name not in row]:
        raise InputError(f"{path}, row {number + 1}: no column {missing[0]!r}; give `response`, or `code` and `tests`")
    values = [row[name] if row[name] is not None else "" for name in names]
    if not all(isinstance(value, str) for value in values):
        raise InputError(f"{path}, row {number + 1}: {' and '.join(names)} must be text")
    return values


class IdType:
    """The type of a column that keeps every id as it is, found a few ids at a time; JSON texts where they have none in common."""

    def __init__(self):
        self._type: pa.DataType | None = pa.null()

    def add(self, ids: Sequence[Any]) -> None:
        if self._type is None:
            return
        try:
            column = pa.array(ids)
            kept = all(type(a) is type(b) and a == b for a, b in zip(column.to_pylist(), ids, strict=True))
        except (pa.ArrowException, OverflowError, UnicodeError):
            self._type = None
            return
        if pa.types.is_null(self._type) and kept:
            self._type = column.type
        elif not kept or column.type not in (self._type, pa.null()):
            self._type = None

    @property
    def type(self) -> pa.DataType:
        return self._type or pa.string()

    def column(self, ids: Sequence[Any]) -> pa.Array:
        return pa.array(ids if self._type is not None else [json.dumps(item, default=str) for item in ids], self.type)


def _line(row: dict[str, Any]) -> bytes:
    try:
        return json.dumps(row, ensure_ascii=False, default=str).encode() + b"\n"
    except UnicodeEncodeError:  # half a surrogate pair
        return json.dumps(row, default=str).encode() + b"\n"


@contextlib.contextmanager
def _writing(path: str) -> Iterator[None]:
    """InputError where what is done in here cannot write `path`."""
    try:
        yield
    except OSError as error:
        raise InputError(f"{path}: cannot be written ({error.strerror or error})") from None


def _temporary(path: str) -> Path:
    """Where the file lies until it is whole: beside `path`, whose folder is made."""
    target = Path(path)
    if target.is_dir():
        raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR))
    target.parent.mkdir(parents=True, exist_ok=True)
    return target.with_name(f".{target.name}.{os.getpid()}.tmp")


def check_output(path: str, source: str) -> None:
    """InputError if `path` cannot be written, or is the input `source`: to be known before the work, not after it."""
    if not path.endswith((".parquet", ".jsonl")):
        raise InputError(f"{path}: the name of the output must end in .parquet or .jsonl")
    if os.path.exists(path) and os.path.exists(source) and os.path.samefile(path, source):
        raise InputError(f"{path}: is the input, which the verdicts would replace; give another name with -o")
    with _writing(path):
        temporary = _temporary(path)
        temporary.touch()
        temporary.unlink()


def write_verdicts(rows: Rows, verdicts: Iterable[Verdict], path: str) -> None:
    """One row per row of the checked `rows`: its id as given (its number, from 0, where it has none), verdict and detail, as the verdicts come."""
    with _writing(path):
        temporary = _temporary(path)
    try:
        with _writing(path):
            write, close = (_parquet if path.endswith(".parquet") else _lines)(temporary, rows.ids)
        for batch in batches(zip(rows.given_ids(), verdicts, strict=True), 16 * BATCH):
            with _writing(path):
                write(batch)
        with _writing(path):
            close()
            os.replace(temporary, path)
    finally:
        with contextlib.suppress(OSError):
            temporary.unlink(missing_ok=True)


def _parquet(path: Path, ids: IdType) -> tuple[Callable, Callable]:
    schema = pa.schema([("id", ids.type), ("verdict", pa.string()), ("detail", pa.string())])
    writer = pq.ParquetWriter(path, schema, compression="zstd")

    def write(batch: list[tuple[Any, Verdict]]) -> None:
        texts = [pa.array([getattr(verdict, name) for _, verdict in batch], pa.string()) for name in ("verdict", "detail")]
        writer.write_table(pa.Table.from_arrays([ids.column([row for row, _ in batch]), *texts], schema=schema))

    return write, writer.close


def _lines(path: Path, ids: IdType) -> tuple[Callable, Callable]:
    file = open(path, "wb")  # noqa: SIM115

    def write(batch: list[tuple[Any, Verdict]]) -> None:
        file.writelines(_line({"id": row, "verdict": verdict.verdict, "detail": verdict.detail}) for row, verdict in batch)

    return write, file.close
