"""Reads the input of `selfalign execute` and writes its output."""

import contextlib
import errno
import json
import os
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from selfalign.data.errors import InputError
from selfalign.execution.programs import Program, Verdict, program_of


def read_rows(path: str) -> list[dict[str, Any]]:
    """The rows of a parquet or JSONL file. InputError names the line that is none."""
    if os.path.isdir(path):
        raise InputError(f"{path}: a folder; give a file")
    if path.endswith(".parquet"):
        try:
            return pq.read_table(path, partitioning=None).to_pylist()
        except (OSError, pa.ArrowException) as error:
            raise InputError(f"{path}: cannot be read as parquet ({str(error).splitlines()[0]}); give parquet or JSONL") from None
    rows = []
    number = 0
    try:
        with open(path, encoding="utf-8-sig") as file:
            for line in file:
                number += 1
                if line.strip():
                    row = json.loads(line)
                    if not isinstance(row, dict):
                        raise ValueError
                    rows.append(row)
    except OSError as error:
        raise InputError(f"{path}: {error.strerror}") from None
    except UnicodeDecodeError:
        raise InputError(f"{path}: not UTF-8 text; give JSONL, or parquet with a name that ends in .parquet") from None
    except (ValueError, RecursionError):
        raise InputError(f"{path}, line {number}: not a JSON object") from None
    return rows


def row_program(path: str, number: int, row: dict[str, Any]) -> Program | Verdict:
    """The program of row `number` (from 0), which is its id, or the verdict where there is none."""
    names = ("response",) if "response" in row else ("code", "tests")
    if missing := [name for name in names if name not in row]:
        raise InputError(f"{path}, row {number + 1}: no column {missing[0]!r}; give `response`, or `code` and `tests`")
    values = [row[name] if row[name] is not None else "" for name in names]
    if not all(isinstance(value, str) for value in values):
        raise InputError(f"{path}, row {number + 1}: {' and '.join(names)} must be text")
    return program_of(str(number), *values) if len(values) == 1 else Program(str(number), *values)


def _column(ids: Sequence[Any]) -> pa.Array:
    """The ids as a column; as JSON texts where they have no common type that keeps each as it is."""
    try:
        column = pa.array(ids)
        if all(type(a) is type(b) and a == b for a, b in zip(column.to_pylist(), ids, strict=True)):
            return column
    except (pa.ArrowException, OverflowError, UnicodeError):
        pass
    return pa.array([json.dumps(item, default=str) for item in ids])


def _line(row: dict[str, Any]) -> bytes:
    try:
        return json.dumps(row, ensure_ascii=False, default=str).encode() + b"\n"
    except UnicodeEncodeError:  # half a surrogate pair
        return json.dumps(row, default=str).encode() + b"\n"


@contextlib.contextmanager
def _new_file(path: str) -> Iterator[Path]:
    """A temporary file beside `path`, whose folder is made. It is gone in the end. InputError where it cannot be written."""
    target = Path(path)
    temporary = target.with_name(f".{target.name}.{os.getpid()}.tmp")
    try:
        if target.is_dir():
            raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR))
        target.parent.mkdir(parents=True, exist_ok=True)
        yield temporary
    except OSError as error:
        raise InputError(f"{path}: cannot be written ({error.strerror or error})") from None
    finally:
        with contextlib.suppress(OSError):
            temporary.unlink(missing_ok=True)


def check_output(path: str) -> None:
    """InputError if `path` cannot be written: to be known before the work, not after it."""
    if not path.endswith((".parquet", ".jsonl")):
        raise InputError(f"{path}: the name of the output must end in .parquet or .jsonl")
    with _new_file(path) as temporary:
        temporary.touch()


def write_verdicts(ids: Sequence[Any], verdicts: Sequence[Verdict], path: str) -> None:
    """One row per input row: its id as given (its number, from 0, where it has none), verdict and detail."""
    columns = {"id": list(ids), "verdict": [item.verdict for item in verdicts], "detail": [item.detail for item in verdicts]}
    with _new_file(path) as temporary:
        if path.endswith(".parquet"):
            texts = {name: pa.array(columns[name], pa.string()) for name in ("verdict", "detail")}
            pq.write_table(pa.table({"id": _column(ids), **texts}), temporary, compression="zstd")
        else:
            with open(temporary, "wb") as file:
                file.writelines(_line(dict(zip(columns, row, strict=True))) for row in zip(*columns.values(), strict=True))
        os.replace(temporary, path)
