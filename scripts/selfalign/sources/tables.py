"""Source files from tables: parquet files, JSONL files, Hugging Face datasets. A row is a source file."""

import gzip
import json
import zlib
from collections.abc import Iterator
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from selfalign.data.errors import InputError
from selfalign.sources.licences import joined_licence
from selfalign.sources.source_file import SourceFile, as_text

_BATCH = 1024  # rows of a parquet file in memory at a time


def _row(source: dict, row: dict, place: str) -> SourceFile:
    """A row as a source file; `place` (file and row number) is its path where the table has no path column."""
    columns = source["columns"]
    licence = joined_licence(row.get(columns["licence"]), source["licence"])
    path = row.get(columns["path"])
    path = path if isinstance(path, str) and path else place
    repository = row.get(columns["repository"])
    repository = repository if isinstance(repository, str) else ""
    text = row.get(columns["content"])
    if not isinstance(text, str):
        detail = f"no text in column {columns['content']!r}" + (f" of {place}" if path != place else "")
        return SourceFile(source["name"], path, licence, error="unreadable_file", detail=detail, repository=repository)
    try:
        text.encode("utf-8")
    except UnicodeEncodeError as error:  # JSON can spell lone surrogates
        return SourceFile(source["name"], path, licence, error="not_utf8", detail=str(error))
    return SourceFile(source["name"], path, licence, text=as_text(text), repository=repository)


def _files(source: dict, suffixes: tuple[str, ...]) -> list[tuple[str, Path]]:
    """The file of a source, or those in its folder (and below) that end in one of `suffixes` and are not hidden: relative name and path, sorted."""
    root = Path(source["path"])
    if root.is_dir():
        found = sorted(path.relative_to(root) for path in root.rglob("*") if path.name.endswith(suffixes) and path.is_file())
        found = [path for path in found if not any(part.startswith(".") for part in path.parts)]
        if not found:
            raise InputError(f"source {source['name']!r}: no {' or '.join(suffixes)} file in folder {root}")
        return [(path.as_posix(), root / path) for path in found]
    return [(root.name, root)]


def _bad_file(source: dict, name: str, rows: int, error: Exception) -> SourceFile:
    """The rejection of a file that breaks off after `rows` rows, or of one of a folder's files; InputError where it is all of the source."""
    cause = (str(error).splitlines() or [type(error).__name__])[0]
    if not rows and not Path(source["path"]).is_dir():
        raise InputError(f"source {source['name']!r}: {source['path']} is not a readable {source['kind']} file ({cause})") from error
    return SourceFile(source["name"], name, source["licence"], error="unreadable_file", detail=f"breaks off after {rows} rows: {cause}")


def read_parquet(source: dict) -> Iterator[SourceFile]:
    """Rows of a parquet file, or of all parquet files in a folder."""
    content = source["columns"]["content"]
    for name, path in _files(source, (".parquet",)):
        number = 0
        try:
            with pq.ParquetFile(path) as file:
                present = file.schema_arrow.names
                if content not in present:
                    raise InputError(f"source {source['name']!r}: {path} has no column {content!r}, only {', '.join(present)}; set columns.content")
                wanted = [column for column in dict.fromkeys(source["columns"].values()) if column in present]
                for batch in file.iter_batches(batch_size=_BATCH, columns=wanted):
                    for row in batch.to_pylist():
                        yield _row(source, row, f"{name}#{number}")
                        number += 1
        except (pa.ArrowException, OSError, UnicodeDecodeError) as error:
            yield _bad_file(source, name, number, error)


def read_jsonl(source: dict) -> Iterator[SourceFile]:
    """Lines of a JSONL file (also gzipped), or of all .jsonl and .jsonl.gz files in a folder. A line that is no JSON object is a bad file."""
    content = source["columns"]["content"]
    for name, path in _files(source, (".jsonl", ".jsonl.gz")):
        seen, number = False, 0
        try:
            with (gzip.open if path.suffix == ".gz" else open)(path, "rb") as lines:
                for number, line in enumerate(lines):
                    if not line.strip():
                        continue
                    place = f"{name}#{number}"
                    try:
                        row = json.loads(line)
                        if not isinstance(row, dict):
                            raise ValueError("not an object")
                    except UnicodeDecodeError as error:
                        yield SourceFile(source["name"], place, source["licence"], error="not_utf8", detail=str(error))
                        continue
                    except (ValueError, RecursionError) as error:
                        yield SourceFile(source["name"], place, source["licence"], error="unreadable_file", detail=f"not a JSON object: {error}")
                        continue
                    seen = seen or content in row
                    if not seen:
                        raise InputError(f"source {source['name']!r}: {place} has no key {content!r}, only {', '.join(row)}; set columns.content")
                    yield _row(source, row, place)
        except (OSError, EOFError, zlib.error) as error:
            yield _bad_file(source, name, number + seen, error)


def read_huggingface(source: dict) -> Iterator[SourceFile]:
    """Rows of a dataset on the hub, or of a local folder that `datasets` can load, streamed. The token comes from the environment (HF_TOKEN)."""
    content = source["columns"]["content"]
    name = f"{source['path']}/{source['data_dir']}".rstrip("/")
    try:
        rows = _dataset_rows(source)
        number = 0
        while (row := next(rows, None)) is not None:
            if number == 0 and content not in row:
                raise InputError(f"source {source['name']!r}: dataset {name} has no column {content!r}, only {', '.join(row)}; set columns.content")
            yield _row(source, row, f"{source['split']}#{number}")
            number += 1
    except InputError:
        raise
    except Exception as error:  # whatever the library and the network under it raise, the user needs the name and the cause
        cause = str(error).strip().partition("\n")[0]
        raise InputError(f"source {source['name']!r}: Hugging Face dataset {name} cannot be read ({type(error).__name__}: {cause})") from error


def _dataset_rows(source: dict) -> Iterator[dict]:
    from datasets import DatasetDict, load_dataset, load_from_disk  # slow to import, and only this kind of source needs it

    folder = Path(source["path"], source["data_dir"])
    if any((folder / name).is_file() for name in ("state.json", "dataset_dict.json")):  # from Dataset.save_to_disk
        saved = load_from_disk(str(folder))
        return iter(saved[source["split"]] if isinstance(saved, DatasetDict) else saved)
    return iter(load_dataset(source["path"], data_dir=source["data_dir"] or None, split=source["split"], streaming=True))
