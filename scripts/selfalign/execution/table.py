"""Reads the input of `selfalign execute` and writes its output."""

import json
import os
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from selfalign.data.errors import InputError
from selfalign.data.files import read_shard
from selfalign.execution.programs import Program, Verdict, program_of


def read_rows(path: str) -> list[dict[str, Any]]:
    """The rows of a parquet or JSONL file. InputError names the line that is none."""
    if path.endswith(".parquet"):
        return read_shard(path).to_pylist()
    rows = []
    number = 0
    try:
        with open(path, encoding="utf-8") as file:
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
    except ValueError:
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


def check_output(path: str) -> None:
    """InputError if write_verdicts could not write there: before the work, not after it."""
    if not path.endswith((".parquet", ".jsonl")):
        raise InputError(f"{path}: the name of the output must end in .parquet or .jsonl")
    if Path(path).is_dir():
        raise InputError(f"{path}: cannot be written (it is a folder)")
    try:
        Path(path).parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=Path(path).parent):
            pass
    except OSError as error:
        raise InputError(f"{path}: cannot be written ({error.strerror})") from None


def write_verdicts(ids: Sequence[Any], verdicts: Sequence[Verdict], path: str) -> None:
    """One row per input row: its id as given (its number, from 0, where it has none), verdict and detail."""
    columns = {"id": list(ids), "verdict": [item.verdict for item in verdicts], "detail": [item.detail for item in verdicts]}
    target = Path(path)
    temporary = target.with_name(f".{target.name}.{os.getpid()}.tmp")
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        if path.endswith(".parquet"):
            try:
                table = pa.table(columns)
            except pa.ArrowException:  # ids of several kinds
                table = pa.table({**columns, "id": [json.dumps(item) for item in ids]})
            pq.write_table(table, temporary, compression="zstd")
        else:
            lines = (json.dumps(dict(zip(columns, row, strict=True)), ensure_ascii=False) for row in zip(*columns.values(), strict=True))
            temporary.write_text("".join(f"{line}\n" for line in lines), encoding="utf-8")
        os.replace(temporary, target)
    except OSError as error:
        raise InputError(f"{path}: cannot be written ({error.strerror})") from None
    finally:
        temporary.unlink(missing_ok=True)
