"""Source files from a folder, an archive, the running Python's standard library, or installed packages."""

import io
import lzma
import os
import platform
import sysconfig
import tarfile
import tokenize
import zipfile
import zlib
from collections.abc import Callable, Iterator
from functools import partial
from importlib.metadata import PackageNotFoundError, distribution
from pathlib import Path, PurePosixPath

from selfalign.data.errors import ConfigError, InputError
from selfalign.sources.licences import package_licence
from selfalign.sources.source_file import SourceFile, as_text

# Folders of the standard library and of packages that hold tests and their data (code that is broken on purpose).
TEST_FOLDERS = frozenset({"test", "tests", "idle_test"})
_NOT_THE_LIBRARY = frozenset({"site-packages", "dist-packages"})
_ARCHIVES = (".zip", ".whl", ".tar", ".tar.gz", ".tgz", ".tar.bz2", ".tbz2", ".tar.xz", ".txz")


def decode_python(data: bytes) -> str:
    """The text of a Python file, in UTF-8 or the encoding that it declares (PEP 263).

    UnicodeError, LookupError or SyntaxError if it is in neither.
    """
    encoding, _ = tokenize.detect_encoding(io.BytesIO(data).readline)
    text = data.decode(encoding)
    text.encode("utf-8")  # some codecs decode to lone surrogates, which are no text
    return text


def _module(path: str) -> str:
    """The dotted name of an installed file; "" if its path is none (a script in a folder with a dash)."""
    parts = path.removesuffix(".py").removesuffix("/__init__").split("/")
    return ".".join(parts) if all(part.isidentifier() for part in parts) else ""


def _source_file(source: dict, path: str, licence: str, read: Callable[[], bytes], package: str = "") -> SourceFile:
    """`package`: name and version of what is installed, "" for a file that is not."""
    try:
        text = decode_python(read())
    except (UnicodeError, LookupError, SyntaxError) as error:
        return SourceFile(source["name"], path, licence, error="not_utf8", detail=str(error), repository=package)
    except (OSError, EOFError, RuntimeError, zipfile.BadZipFile, zlib.error, NotImplementedError) as error:
        detail = f"{type(error).__name__}: {error}"
        return SourceFile(source["name"], path, licence, error="unreadable_file", detail=detail, repository=package)
    return SourceFile(source["name"], path, licence, text=as_text(text), module=_module(path) if package else "", repository=package)


def read_stdlib(source: dict) -> Iterator[SourceFile]:
    """The standard library of the running Python, without installed packages and tests."""
    root = Path(sysconfig.get_path("stdlib"))
    python = f"{platform.python_implementation().lower()}=={platform.python_version()}"
    yield from _walk(source, root, source["licence"] or "PSF-2.0", skip=TEST_FOLDERS | _NOT_THE_LIBRARY, package=python)


def read_packages(source: dict) -> Iterator[SourceFile]:
    """Installed packages, without tests, each under the licence that its metadata names, else the source's."""
    if not source["packages"]:
        raise ConfigError(f"source {source['name']!r}: `packages` names no package")
    for name in source["packages"]:
        try:
            package = distribution(name)
        except PackageNotFoundError:
            raise InputError(f"source {source['name']!r}: package {name!r} is not installed; install it or take it off `packages`") from None
        licence = package_licence(package) or source["licence"]
        release = f"{package.metadata['Name']}=={package.version}"
        for file in sorted(package.files or (), key=str):
            if file.suffix == ".py" and not TEST_FOLDERS & set(file.parts[:-1]) and ".." not in file.parts:
                yield _source_file(source, file.as_posix(), licence, Path(str(file.locate())).read_bytes, release)


def read_folder(source: dict) -> Iterator[SourceFile]:
    """The .py files of a folder (hidden folders and __pycache__ left out) or of a zip or tar archive, or a single .py file."""
    path = Path(source["path"])
    if path.is_dir():
        yield from _walk(source, path, source["licence"], skip=frozenset())
    elif path.suffix == ".py":
        yield _source_file(source, path.name, source["licence"], partial(_read_file, path))
    elif path.name.lower().endswith(_ARCHIVES):
        yield from _archive(source, path)
    else:
        raise InputError(f"source {source['name']!r}: {path} is neither a folder, a .py file nor an archive ({', '.join(_ARCHIVES)})")


def _read_file(path: Path) -> bytes:
    if path.exists() and not path.is_file():  # a pipe would wait for ever
        raise OSError("not a regular file")
    return path.read_bytes()


def _walk(source: dict, root: Path, licence: str, skip: frozenset[str], package: str = "") -> Iterator[SourceFile]:
    errors: list[OSError] = []
    for folder, folders, names in os.walk(root, onerror=errors.append):
        folders[:] = sorted(name for name in folders if name not in skip and name != "__pycache__" and not name.startswith("."))
        for name in sorted(names):
            if name.endswith(".py"):
                path = Path(folder, name)
                yield _source_file(source, _printable(path.relative_to(root).as_posix()), licence, partial(_read_file, path), package)
    for error in errors:
        path = _printable(os.path.relpath(error.filename, root))
        yield SourceFile(source["name"], path, licence, error="unreadable_file", detail=f"{type(error).__name__}: {error.strerror}")


def _printable(path: str) -> str:
    """A path as text: bytes of a file name that are not UTF-8 become a replacement mark."""
    return os.fsencode(path).decode("utf-8", "replace")


def _is_python_member(name: str) -> bool:
    path = PurePosixPath(name)
    return name.endswith(".py") and not any(part.startswith(".") or part == "__pycache__" for part in path.parts)


def _archive(source: dict, path: Path) -> Iterator[SourceFile]:
    """Members of an archive, never unpacked to disk. One that breaks off gives what can be read, and a row that says so."""
    begun = False
    try:
        for file in _zip(source, path) if path.name.lower().endswith((".zip", ".whl")) else _tar(source, path):
            begun = True
            yield file
    except (OSError, EOFError, zipfile.BadZipFile, tarfile.TarError, zlib.error, lzma.LZMAError) as error:
        cause = str(error).partition(":\n")[0]
        if not begun:
            raise InputError(f"source {source['name']!r}: {path} is not a readable archive ({cause})") from error
        yield SourceFile(source["name"], path.name, source["licence"], error="unreadable_file", detail=f"{path.name} breaks off: {cause}")


def _zip(source: dict, path: Path) -> Iterator[SourceFile]:
    with zipfile.ZipFile(path) as archive:
        for name in sorted(filter(_is_python_member, archive.namelist())):
            yield _source_file(source, _printable(name), source["licence"], lambda name=name: archive.read(name))


def _tar(source: dict, path: Path) -> Iterator[SourceFile]:
    with tarfile.open(path, "r:*") as archive:
        for member in archive:
            if member.isfile() and _is_python_member(member.name) and (file := archive.extractfile(member)):
                yield _source_file(source, _printable(member.name), source["licence"], file.read)
        # tarfile takes the end of the file, and half a header, for the end of the archive.
        archive.fileobj.seek(archive.offset)
        if archive.fileobj.read(tarfile.BLOCKSIZE) != bytes(tarfile.BLOCKSIZE):
            detail = "the archive has no end mark: it may be cut off"
            yield SourceFile(source["name"], path.name, source["licence"], error="unreadable_file", detail=detail)
