"""Have the files of a source changed since they were read?"""

import hashlib
import os
from collections.abc import Iterator
from pathlib import Path

_SUFFIXES = {"folder": (".py",), "parquet": (".parquet",), "jsonl": (".jsonl", ".jsonl.gz"), "huggingface": ("",)}


def files_digest(source: dict) -> str:
    """A digest of the names, sizes and times of change of a source's local files; "" for a source that has none (an item of the config's `sources`).

    In place of a list of input files: a source may have a million of them, with names that Snakemake takes for patterns.
    """
    root = source["path"]
    if source["kind"] not in _SUFFIXES or not root or not os.path.exists(root):
        return ""
    digest = hashlib.sha256()
    for path in _files(root, _SUFFIXES[source["kind"]]) if os.path.isdir(root) else [root]:
        try:
            facts = os.stat(path)
        except OSError:  # a link to nowhere, which the reader counts
            facts = os.lstat(path)
        digest.update(os.fsencode(os.path.relpath(path, root)) + f"\0{facts.st_size}\0{facts.st_mtime_ns}\0".encode())
    return digest.hexdigest()


def _files(root: str, suffixes: tuple[str, ...]) -> Iterator[str]:
    """The files below `root` that end in one of `suffixes`, in order; hidden folders left out."""
    for folder, folders, names in os.walk(root):
        folders[:] = sorted(name for name in folders if not name.startswith(".") and name != "__pycache__")
        yield from (str(Path(folder, name)) for name in sorted(names) if name.endswith(suffixes))
