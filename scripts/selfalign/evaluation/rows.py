"""Reads benchmark files: JSONL, also gzipped, one or several, line by line, with their digest."""

import gzip
import hashlib
import json
import os
import zlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from selfalign.data.errors import InputError


@dataclass(frozen=True)
class Row:
    """One line of a benchmark file and where it is."""

    path: str
    number: int
    values: dict[str, Any]

    def error(self, message: str) -> InputError:
        """What is wrong with this line."""
        return InputError(f"benchmark {self.path}: line {self.number} {message}")

    def texts(self, *names: str, kind: str) -> list[str]:
        """The values of these columns, all of them texts. kind: the format that asks for them."""
        missing = [name for name in names if not isinstance(self.values.get(name), str)]
        if missing:
            raise self.error(f"has no text {', '.join(missing)}: not in {kind}")
        return [self.values[name] for name in names]

    def parsed(self, name: str) -> Any:
        """The JSON value that a text column holds."""
        try:
            return json.loads(self.values[name])
        except (KeyError, TypeError, ValueError) as error:
            raise self.error(f"has no JSON text in {name}") from error


def read_rows(paths: Sequence[str | os.PathLike]) -> Iterator[Row]:
    """The rows of the files in order. InputError names the file and the line that is no JSON object."""
    for path in map(str, paths):
        number = 0
        try:
            with gzip.open(path, "rt", encoding="utf-8") if path.endswith(".gz") else open(path, encoding="utf-8") as file:
                for line in file:
                    number += 1
                    if line.strip():
                        values = json.loads(line)
                        if not isinstance(values, dict):
                            raise Row(path, number, {}).error("is not a JSON object: not in HumanEval's format or another that is known")
                        yield Row(path, number, values)
        except FileNotFoundError:
            raise InputError(f"benchmark {path}: no such file") from None
        except json.JSONDecodeError as error:
            raise InputError(f"benchmark {path}: line {number} is not JSON ({error})") from error
        except (OSError, EOFError, zlib.error, UnicodeDecodeError) as error:
            raise InputError(f"benchmark {path}: not readable ({error})") from error


def release_files(release: int) -> list[str]:
    """Names of the files that make a release of LiveCodeBench's code generation: each adds to those before."""
    return ["test.jsonl", *(f"test{number}.jsonl" for number in range(2, release + 1))]


def data_files(path: str | os.PathLike, release: int = 0) -> list[str]:
    """The files of a benchmark: a file; or of a folder those of a release, or every JSONL file from the shortest name on."""
    folder = Path(path)
    if not folder.is_dir():
        return [str(path)]
    files = {file.name.removesuffix(".gz"): file for file in folder.iterdir() if file.name.endswith((".jsonl", ".jsonl.gz"))}
    names = release_files(release) if release else sorted(files, key=lambda name: (len(name), name))
    if missing := [name for name in names if name not in files]:
        raise InputError(f"benchmark {path}: release {release} needs {', '.join(missing)} in this folder")
    if not names:
        raise InputError(f"benchmark {path}: no .jsonl or .jsonl.gz file in this folder")
    return [str(files[name]) for name in names]


def check_digest(paths: Sequence[str | os.PathLike], wanted: str = "") -> str:
    """SHA-256 of the files' bytes, one after the other. InputError if `wanted` is given and another."""
    sha = hashlib.sha256()
    for path in paths:
        if not Path(path).is_file():
            raise InputError(f"benchmark {path}: no such file")
        with open(path, "rb") as file:
            while block := file.read(1 << 20):
                sha.update(block)
    return compare_digest(", ".join(map(str, paths)), sha.hexdigest(), wanted)


def compare_digest(name: str, found: str, wanted: str) -> str:
    """`found`; InputError if it is not what the config asks for."""
    if wanted and wanted.lower() != found:
        raise InputError(f"benchmark {name}: its SHA-256 is {found}, and not the {wanted} of the config; get the right file or correct sha256")
    return found
