"""Benchmarks on the Hugging Face hub as local files in HumanEval's format."""

import gzip
import io
import json
import os
from pathlib import Path

import fsspec
import pyarrow.parquet as pq

from selfalign.data.errors import InputError

# What MBPP calls HumanEval's columns.
_NAMES = {"code": "canonical_solution", "text": "prompt"}


def fetch_benchmark(address: str, path: str | os.PathLike) -> int:
    """Write the parquet or JSONL file at `address` (hf://datasets/... or a path) as JSONL; returns the number of problems.

    InputError if it cannot be read or has no prompt and canonical_solution, which decontamination needs.
    """
    try:
        with fsspec.open(address, "rb") as file:
            data = file.read()
    except Exception as error:  # the hub's client raises many kinds: no network, no such file, not allowed
        raise InputError(
            f"{address}: cannot be fetched ({' '.join(str(error).split())[:200]}); download it and put its path into the config"
        ) from error
    rows = [{_NAMES.get(name, name): value for name, value in row.items()} for row in _rows(address, data)]
    for number, row in enumerate(rows, 1):
        if missing := [name for name in ("prompt", "canonical_solution") if not isinstance(row.get(name), str)]:
            raise InputError(f"{address}: problem {number} has no {' and no '.join(missing)}; its columns are {', '.join(row)}")
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows), encoding="utf-8")
    return len(rows)


def _rows(address: str, data: bytes) -> list[dict]:
    try:
        if address.endswith(".parquet"):
            return pq.read_table(io.BytesIO(data)).to_pylist()
        text = gzip.decompress(data) if address.endswith(".gz") else data
        return [json.loads(line) for line in text.decode("utf-8").splitlines() if line.strip()]
    except (OSError, ValueError) as error:
        raise InputError(f"{address}: neither parquet nor JSONL ({' '.join(str(error).split())[:200]})") from error
