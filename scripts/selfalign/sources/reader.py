"""One way to read any source: a stream of source files."""

from collections.abc import Callable, Iterator
from pathlib import Path

from selfalign.data.errors import ConfigError, InputError
from selfalign.sources.python_files import read_folder, read_packages, read_stdlib
from selfalign.sources.source_file import SourceFile
from selfalign.sources.tables import read_huggingface, read_jsonl, read_parquet

READERS: dict[str, Callable[[dict], Iterator[SourceFile]]] = {
    "stdlib": read_stdlib,
    "packages": read_packages,
    "folder": read_folder,
    "parquet": read_parquet,
    "jsonl": read_jsonl,
    "huggingface": read_huggingface,
}


def read_source(source: dict) -> Iterator[SourceFile]:
    """The files of a source (an item of the config's `sources`, defaults filled in), streamed.

    A bad file is an item with an error. A source that cannot be read at all, or has no file, is an InputError that names it.
    """
    if source["kind"] in ("folder", "parquet", "jsonl", "huggingface"):
        if not source["path"]:
            raise ConfigError(f"source {source['name']!r}: kind {source['kind']} needs `path`")
        if source["kind"] != "huggingface" and not Path(source["path"]).exists():
            raise InputError(f"source {source['name']!r}: {source['path']}: no such file or folder")
    empty = True
    for file in READERS[source["kind"]](source):
        empty = False
        yield file
    if empty:
        place = source["path"] or ", ".join(source["packages"]) or source["kind"]
        raise InputError(f"source {source['name']!r}: no source file in {place}")
