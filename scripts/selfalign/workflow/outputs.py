"""What earlier runs have left: files that something has damaged, rows to ask for again, locks."""

import json
import os
import shutil
from collections.abc import Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

from selfalign.data.errors import InputError

_MAGIC = b"PAR1"  # at both ends of a parquet file
_ENDS = {".html": b"</html>\n", **dict.fromkeys((".csv", ".md", ".txt", ".yaml"), b"\n")}  # how a text that a job wrote ends
_IN_FOLDERS = (".json", ".md", ".parquet", ".safetensors")  # of other kinds in a folder, as a tokenizer's lists, the end is not known
_THREADS = 16  # they wait for the file system


@dataclass(frozen=True)
class Output:
    """An output file of a job. `stats`: it holds the job's facts."""

    path: str
    stats: bool


def delete_damaged(outputs: Sequence[Output]) -> list[str]:
    """Delete files, and folders with files in them, that are cut short, empty or cannot be read, and return their paths.

    Jobs write whole files or none; such a file was damaged afterwards. InputError if it cannot be deleted.
    """
    with ThreadPoolExecutor(_THREADS) as pool:
        whole = pool.map(lambda output: _is_whole(output.path), outputs)
        damaged = [output.path for output, fine in zip(outputs, whole, strict=True) if not fine]
    for path in damaged:
        try:
            if os.path.isdir(path):
                shutil.rmtree(path)
            else:
                os.unlink(path)
        except OSError as error:
            raise InputError(f"{path}: damaged, and it cannot be deleted ({error.strerror or error}); delete it and run again") from error
    return damaged


def asked_again(outputs: Iterable[Output]) -> dict[str, int]:
    """Stats files of jobs with rows that failed for a reason outside the row (a model call, a sandbox), and how many."""
    failed = {}
    for output in outputs:
        if output.stats and os.path.exists(output.path):
            with open(output.path, encoding="utf-8") as file:
                count = json.load(file).get("failed", 0)
            if count:
                failed[output.path] = count
    return failed


def is_alone(folder: str | os.PathLike) -> bool:
    """Whether the Snakemake that holds its lock on `folder` is the only one. Another may be at work there on other targets: each has a lock file."""
    return len(list(Path(folder, ".snakemake", "locks").glob("*.output.lock"))) == 1


def _is_whole(path: str) -> bool:
    """Whether a file has the beginning and the end of its kind, or is not there at all."""
    try:
        if os.path.isdir(path):
            return all(_is_whole(str(file)) for file in Path(path).rglob("*") if file.suffix in _IN_FOLDERS)
        if path.endswith(".parquet"):
            return _parquet_is_whole(path)
        if path.endswith(".safetensors"):
            return _safetensors_is_whole(path)
        if path.endswith(".json"):
            with open(path, encoding="utf-8") as file:
                json.load(file)
        if end := _ENDS.get(os.path.splitext(path)[1]):
            with open(path, "rb") as file:
                file.seek(max(0, file.seek(0, os.SEEK_END) - len(end)))
                return file.read() == end
    except FileNotFoundError:
        return True
    except (OSError, ValueError):
        return False
    return True


def _parquet_is_whole(path: str) -> bool:
    """A parquet file ends with the length of its footer and a mark; the footer must fit in."""
    with open(path, "rb") as file:
        size = file.seek(0, os.SEEK_END)
        if size < 12:
            return False
        file.seek(size - 8)
        footer = file.read(8)
        return footer[4:] == _MAGIC and int.from_bytes(footer[:4], "little") <= size - 12


def _safetensors_is_whole(path: str) -> bool:
    """A safetensors file begins with the length of its header, which says where each tensor ends."""
    with open(path, "rb") as file:
        size = file.seek(0, os.SEEK_END)
        file.seek(0)
        length = int.from_bytes(file.read(8), "little")
        if not 0 < length <= size - 8:
            return False
        header = json.loads(file.read(length))
    return size == 8 + length + max(tensor["data_offsets"][1] for name, tensor in header.items() if name != "__metadata__")
