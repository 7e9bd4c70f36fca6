"""Rows from elsewhere: parquet, JSONL, folders of them, saved and published Hugging Face datasets, all read the same way.

A whole file that cannot serve (unreadable, a column missing or of the wrong type) is an InputError of one line that names file, column and what was
expected. A single bad row in an otherwise good file is a row with an error.
"""

import fnmatch
import gzip
import json
import re
import zlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from selfalign.data.config import HUB
from selfalign.data.errors import InputError

NESTED = "parsing_result"  # the published generator's own column: a list of {response}
_BATCH = 512  # rows in memory at a time
_SUFFIXES = (".parquet", ".jsonl", ".jsonl.gz")
_HUB_NAME = re.compile(r"hf://(?:datasets/)?(?P<name>[\w.-]+/[\w.-]+)(?:@(?P<revision>[^/]+))?(?:/(?P<rest>.*))?")
_TRAIN = re.compile(r"(?<![a-z])train(?![a-z])")
_MEANING = {
    "content": "the code of a function, a text",
    "seed": "the code of the function that the row began with, a text",
    "concepts": "a list of texts",
    "instruction": "a text",
    "response": "a text, or a list of texts",
}


@dataclass(frozen=True, slots=True)
class Row:
    """One row: its place ("file#number", numbers from 0), and its values by our names, or why it cannot be used."""

    file: str
    number: int
    values: dict[str, Any] | None
    error: str = ""

    @property
    def place(self) -> str:
        return f"{self.file}#{self.number}"


@dataclass(frozen=True)
class Columns:
    """What the columns are called in the file, by our names. `needed` must be there, and so must those in `named` (given in the config)."""

    names: Mapping[str, str]
    needed: Sequence[str]
    named: frozenset[str] = frozenset()

    def check(self, where: str, present: Sequence[str]) -> None:
        """InputError if a column that must be there is missing."""
        for name in [*self.needed, *sorted(self.named)]:
            if self.names[name] not in present and not (name == "response" and NESTED in present and name not in self.named):
                wanted = f" ({_MEANING[name]})" if name in _MEANING else ""
                raise InputError(
                    f"{where}: no column {self.names[name]!r}{wanted}, only {', '.join(present) or 'none'}; "
                    f"if it has another name, set inputs.columns.{name}"
                )

    def read(self, row: Mapping[str, Any]) -> tuple[dict[str, Any], str]:
        """The row's values by our names, and what is wrong with a needed one ("" if nothing)."""
        values = {name: row.get(column) for name, column in self.names.items()}
        if "response" in self.needed and values["response"] is None and isinstance(row.get(NESTED), list):
            values["response"] = [item.get("response") if isinstance(item, dict) else None for item in row[NESTED]]
        for name in self.needed:
            if problem := _problem(name, values[name]):
                return values, f"column {self.names[name]!r} {problem}, expected {_MEANING[name]}"
        return values, ""


def _problem(name: str, value: Any) -> str:
    texts = value if isinstance(value, list) else [value]
    if isinstance(value, list) != (name == "concepts") and not (name == "response" and isinstance(value, list)):
        return "is missing or null" if value is None else f"holds {_kind(value)}"
    if not texts:
        return "is an empty list"
    for text in texts:
        if not isinstance(text, str):
            return "is missing or null" if text is None else f"holds {_kind(text)}"
        if not text.strip():
            return "is empty"
        try:
            text.encode("utf-8")
        except UnicodeEncodeError:  # JSON can spell lone surrogates
            return "holds a lone surrogate"
    return ""


def _kind(value: Any) -> str:
    names = {str: "a text", bool: "a truth value", int: "a number", float: "a number", list: "a list", dict: "a mapping", bytes: "bytes"}
    return names.get(type(value), type(value).__name__)


def read_rows(address: str, columns: Columns) -> Iterator[Row]:
    """The rows at `address`, file by file in order of name. InputError if there is none, or a file cannot serve."""
    empty = True
    root = Path(address)
    saved = (root / "state.json").is_file() or (root / "dataset_dict.json").is_file()
    for row in _saved(root, columns) if saved else _files(address, columns):
        empty = False
        yield row
    if empty:
        raise InputError(f"{address}: has no row")


def input_files(address: str) -> list[Path]:
    """The local files behind an address, in order of name; none for the hub."""
    root = Path(address)
    if address.startswith(HUB):
        return []
    return _matching(root, (*_SUFFIXES, ".arrow", "state.json")) if root.is_dir() else [root]


def _matching(folder: Path, suffixes: tuple[str, ...]) -> list[Path]:
    return sorted(path for path in folder.rglob("*") if path.is_file() and path.name.endswith(suffixes))


def _files(address: str, columns: Columns) -> Iterator[Row]:
    if address.startswith(HUB):
        root = _fetch(address)
        files = _asked_for(address, root)
    else:
        root = Path(address)
        files = _matching(root, _SUFFIXES) if root.is_dir() else [root]
        if not root.exists():
            raise InputError(f"{address}: no such file or folder")
    if not files:
        raise InputError(f"{address}: no {', '.join(_SUFFIXES)} file there")
    base = root if root.is_dir() else root.parent
    for path in files:
        name = path.relative_to(base).as_posix()
        if path.suffix == ".parquet":
            yield from _parquet(path, name, columns)
        elif path.name.endswith((".jsonl", ".jsonl.gz", ".json")):
            yield from _jsonl(path, name, columns)
        else:
            raise InputError(f"{path}: neither parquet nor JSONL; the name must end in {', '.join(_SUFFIXES)}")


def _parquet(path: Path, name: str, columns: Columns) -> Iterator[Row]:
    try:
        with pq.ParquetFile(path) as file:
            present = file.schema_arrow.names
            columns.check(str(path), present)
            wanted = [column for column in dict.fromkeys([*columns.names.values(), NESTED]) if column in present]
            batches = file.iter_batches(batch_size=_BATCH, columns=wanted)
            yield from _batches(str(path), name, batches, columns)
    except (pa.ArrowException, OSError, UnicodeDecodeError) as error:
        raise InputError(f"{path}: not a readable parquet file ({str(error).splitlines()[0]})") from error


def _saved(root: Path, columns: Columns) -> Iterator[Row]:
    """A folder of datasets.save_to_disk; of several splits the one called train."""
    from datasets import DatasetDict, load_from_disk  # slow to import

    try:
        data = load_from_disk(str(root))
    except Exception as error:  # whatever the library raises, the user needs folder and cause
        raise InputError(f"{root}: not a readable saved dataset ({str(error).strip().partition(chr(10))[0]})") from error
    if isinstance(data, DatasetDict):
        if "train" not in data:
            raise InputError(f"{root}: no split 'train', only {', '.join(data)}; name the split's folder")
        data = data["train"]
    columns.check(str(root), data.column_names)
    yield from _batches(str(root), root.name, data.with_format("arrow").iter(_BATCH), columns)


def _batches(where: str, name: str, batches: Iterator[Any], columns: Columns) -> Iterator[Row]:
    number, good = 0, False
    for batch in batches:
        for row in batch.to_pylist():
            values, error = columns.read(row)
            if error and not good:
                raise InputError(f"{where}: row {number + 1}: {error}; if another column is meant, set inputs.columns")
            good = True
            yield Row(name, number, None if error else values, error)
            number += 1


def _jsonl(path: Path, name: str, columns: Columns) -> Iterator[Row]:
    good = False
    try:
        with (gzip.open if path.suffix == ".gz" else open)(path, "rb") as lines:
            for number, line in enumerate(lines):
                if not line.strip():
                    continue
                values, row, error = None, None, "not a JSON object"
                try:
                    row = json.loads(line)
                except (ValueError, RecursionError) as problem:
                    error = f"not a JSON object ({problem})"
                if isinstance(row, dict):
                    if not good:
                        columns.check(f"{path}, line {number + 1}", list(row))
                    values, error = columns.read(row)
                if error and not good:
                    raise InputError(f"{path}, line {number + 1}: {error}")
                good = True
                yield Row(name, number, None if error else values, error)
    except (OSError, EOFError, zlib.error) as error:
        raise InputError(f"{path}: not readable ({getattr(error, 'strerror', None) or error})") from error


def _address(address: str) -> tuple[str, str | None, list[str]]:
    """(name, revision, patterns of files) of an address on the hub."""
    parts = _HUB_NAME.fullmatch(address)
    if parts is None:
        raise InputError(f"{address}: expected hf://datasets/OWNER/NAME, with @REVISION and /FOLDER or /PATTERN after it if need be")
    rest = (parts["rest"] or "").rstrip("/")
    patterns = [rest, *(f"{rest}/*{suffix}" for suffix in _SUFFIXES)] if rest else [f"*{suffix}" for suffix in _SUFFIXES]
    return parts["name"], parts["revision"], patterns


def _fetch(address: str) -> Path:
    """A local copy (in the Hugging Face cache) of a dataset's parquet and JSONL files on the hub."""
    from huggingface_hub import snapshot_download  # slow to import

    name, revision, patterns = _address(address)
    try:
        return Path(snapshot_download(name, repo_type="dataset", revision=revision, allow_patterns=patterns))
    except Exception as error:  # the hub's client raises many kinds: no network, no such dataset, not allowed
        raise InputError(f"{address}: cannot be fetched ({' '.join(str(error).split())[:200]}); download it and give its path") from error


def _asked_for(address: str, folder: Path) -> list[Path]:
    """Of a dataset's files those that the address names (the cache may hold more); of several splits the one called train."""
    patterns = _address(address)[2]
    found = [path for path in _matching(folder, _SUFFIXES) if _matches(path.relative_to(folder).as_posix(), patterns)]
    return [path for path in found if _TRAIN.search(path.relative_to(folder).as_posix())] or found


def _matches(name: str, patterns: Sequence[str]) -> bool:
    return any(fnmatch.fnmatch(name, pattern) for pattern in patterns)
