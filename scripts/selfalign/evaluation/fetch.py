"""Benchmarks at an address (hf://, https://) as local JSONL files."""

import gzip
import hashlib
import io
import json
import os
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any
from urllib.request import urlopen

import fsspec
import pyarrow.parquet as pq

from selfalign.data.errors import InputError
from selfalign.evaluation.rows import compare_digest, release_files

# What Google's MBPP calls HumanEval's columns, which decontamination reads.
_MBPP_NAMES = {"code": "canonical_solution", "text": "prompt"}
_SUFFIXES = (".parquet", ".jsonl", ".jsonl.gz")
_SECONDS = 60  # without a byte from a server


def fetch_benchmark(address: str, path: str | os.PathLike, sha256: str = "", release: int = 0) -> int:
    """Write the parquet or JSONL file at `address` as JSONL; returns the number of problems.

    An address without suffix is a folder with LiveCodeBench's files, of which those up to `release` are taken. InputError if something
    cannot be read or has another digest than `sha256`.
    """
    addresses = [address]
    if not address.endswith(_SUFFIXES):
        if not release:
            raise InputError(f"{address}: neither a .jsonl nor a .parquet file; name the file, or set release for a folder of LiveCodeBench")
        addresses = [f"{address.rstrip('/')}/{name}" for name in release_files(release)]
    path, digest, count = Path(path), hashlib.sha256(), 0
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    try:
        with temporary.open("w", encoding="utf-8") as file:
            for one in addresses:
                data = _read(one)
                digest.update(data)
                for row in _rows(one, data):
                    file.write(json.dumps(row, ensure_ascii=False) + "\n")
                    count += 1
        compare_digest(address, digest.hexdigest(), sha256)
        os.replace(temporary, path)
    finally:
        temporary.unlink(missing_ok=True)
    return count


def _read(address: str) -> bytes:
    try:
        # fsspec's own way to the web needs aiohttp, which nothing else here does.
        web = address.startswith(("https://", "http://"))
        with urlopen(address, timeout=_SECONDS) if web else fsspec.open(address, "rb") as file:
            return file.read()
    except Exception as error:  # the clients raise many kinds: no network, no such file, not allowed
        raise InputError(
            f"{address}: cannot be fetched ({' '.join(str(error).split())[:200]}); download it and put its path into the config"
        ) from error


def _rows(address: str, data: bytes) -> Iterator[dict[str, Any]]:
    try:
        if address.endswith(".parquet"):
            rows: Iterable[Any] = pq.read_table(io.BytesIO(data)).to_pylist()
        else:
            text = gzip.decompress(data) if address.endswith(".gz") else data
            rows = (json.loads(line) for line in io.BytesIO(text) if line.strip())
        for row in rows:
            if not isinstance(row, dict):
                raise ValueError("a line is not a JSON object")
            yield {_MBPP_NAMES.get(str(name), str(name)): value for name, value in row.items()} if "text" in row and "code" in row else row
    except (OSError, ValueError) as error:
        raise InputError(f"{address}: neither parquet nor JSONL ({' '.join(str(error).split())[:200]})") from error
