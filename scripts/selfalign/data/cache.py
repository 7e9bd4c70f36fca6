"""Row caches: what one row cost (a model call, a run in the sandbox, a type-check) on disk, so that no job pays it twice.

`<cache_dir>/<kind>/<fingerprint>/` holds append-only segments, one per job, which no other job writes to: safe with many
jobs and machines on a shared file system, without locks. A segment is a header and records; a record is length of
the payload (4 bytes, big endian), CRC-32 of key and payload (4), key (32), payload (zlib, JSON). Reading stops at the first record
that is cut short or damaged, as a kill may leave at the end of a segment. A segment that was closed has an index beside it, so that a job
reads of other jobs' segments only the records that it asks for; without a usable index the segment is read through.
"""

import contextlib
import errno
import json
import os
import socket
import time
import uuid
import zlib
from collections.abc import Collection, Iterator
from pathlib import Path
from typing import BinaryIO

import numpy as np

from selfalign.data.errors import CacheError

_HEADER = b"selfalign request cache 1\n"
_INDEX_HEADER = b"selfalign index 1\n"
_KEY = 32
_SYNC_SECONDS = 5.0
USED_SECONDS = 3600.0  # how exactly the time of the last use is kept, and how long a segment counts as one that may still grow
# An index is sorted by the first 8 bytes of the key; `at` is where the record begins in its segment.
_ENTRY = np.dtype([("head", ">u8"), ("rest", "V24"), ("at", ">u8")])


class RowCache:
    """Values (what JSON can hold) by 32-byte key, in `folder`."""

    def __init__(self, folder: str | os.PathLike):
        self.folder = Path(folder)
        self._file: int | None = None
        self._path: Path | None = None
        self._synced = 0.0

    def lookup(self, keys: Collection[bytes], own: bool = True) -> dict[bytes, dict]:
        """The values of those of `keys` that the cache has. Of several values for a key the first, by file name, counts.

        own: look into what this object has put there, too? That has no index yet: it is read through.
        """
        missing = set(keys)
        found: dict[bytes, dict] = {}
        try:
            for path in sorted(self.folder.glob("*.segment")):
                if not missing:
                    break
                if path == self._path and not own:
                    continue
                hits = {key: json.loads(zlib.decompress(payload)) for key, payload in _wanted(path, missing)}
                found |= hits
                missing -= hits.keys()
                if hits:
                    _used_now(path)
        except OSError as error:
            raise CacheError(f"cache {self.folder}: {error.strerror or error}; delete the folder or change cache_dir") from error
        return found

    def put(self, key: bytes, value: dict) -> None:
        """Append a value to this job's segment. It survives a kill of the process at once, one of the machine within seconds."""
        payload = zlib.compress(json.dumps(value, ensure_ascii=False, separators=(",", ":")).encode("utf-8", "surrogatepass"), 1)
        record = len(payload).to_bytes(4, "big") + zlib.crc32(key + payload).to_bytes(4, "big") + key + payload
        try:
            if self._file is None:
                self._file = self._new_segment()
            _write(self._file, record)
            if time.monotonic() - self._synced > _SYNC_SECONDS:
                os.fsync(self._file)
                self._synced = time.monotonic()
        except OSError as error:
            raise CacheError(f"cache {self.folder}: cannot be written ({error.strerror or error}); make room or change cache_dir") from error

    def close(self) -> None:
        """Put this job's segment safely on the disk."""
        if self._file is None or self._path is None:
            return
        file, self._file = self._file, None
        try:
            os.fsync(file)
        except OSError as error:
            raise CacheError(f"cache {self.folder}: cannot be written ({error.strerror or error}); make room or change cache_dir") from error
        finally:
            os.close(file)
        _write_index(self._path)

    def _new_segment(self) -> int:
        self.folder.mkdir(parents=True, exist_ok=True)
        self._path = self.folder / f"{socket.gethostname()}-{os.getpid()}-{uuid.uuid4().hex[:12]}.segment"
        file = os.open(self._path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_APPEND, 0o666)
        _write(file, _HEADER)
        self._synced = time.monotonic()
        return file


def count_rows(segment: Path) -> int:
    """How many whole records a segment has; 0 if another job deletes it meanwhile."""
    file = _open(segment)
    if file is None:
        return 0
    with file:
        index = _read_index(segment, os.fstat(file.fileno()).st_size)
    return sum(1 for _ in _scan(segment)) if index is None else len(index)


def index_of(segment: Path) -> Path:
    """Where the index of a segment lies."""
    return segment.with_suffix(".index")


def _write(file: int, data: bytes) -> None:
    while data:
        data = data[os.write(file, data) :]


def _used_now(path: Path) -> None:
    """Keep in the access time when a segment was last of use; set by hand, since many file systems do not keep it."""
    with contextlib.suppress(FileNotFoundError, PermissionError):  # pruned meanwhile; another user's, who then prunes by its age
        status = path.stat()
        if time.time() - status.st_atime > USED_SECONDS:
            os.utime(path, ns=(time.time_ns(), status.st_mtime_ns))


def _open(path: Path) -> BinaryIO | None:
    """The file, None if another job has pruned it meanwhile."""
    try:
        return path.open("rb")
    except OSError as error:
        if error.errno in (errno.ENOENT, errno.ESTALE):
            return None
        raise


def _wanted(path: Path, keys: Collection[bytes]) -> Iterator[tuple[bytes, bytes]]:
    """(key, payload) of the records of a segment whose key is among `keys`, the first for each key."""
    file = _open(path)
    if file is None:
        return
    with file:
        size = os.fstat(file.fileno()).st_size
        index = _read_index(path, size)
        if index is None:
            if time.time() - path.stat().st_mtime > USED_SECONDS:  # of a job that was killed
                _write_index(path)
            places = ((key, at) for key, at in _scan(path) if key in keys)
        else:
            heads = np.fromiter((int.from_bytes(key[:8], "big") for key in keys), dtype=np.uint64, count=len(keys))
            hits = index[np.isin(index["head"].astype(np.uint64), heads)]
            hits = ((int(entry["head"]).to_bytes(8, "big") + bytes(entry["rest"]), int(entry["at"])) for entry in hits)
            places = ((key, at) for key, at in hits if key in keys)
        seen = set()
        for key, at in places:
            payload = _read_record(file, key, at)
            if payload is not None and key not in seen:
                seen.add(key)
                yield key, payload


def _read_record(file: BinaryIO, key: bytes, at: int) -> bytes | None:
    """The payload of the record that begins at `at`, None if it is not that of `key` or not whole."""
    file.seek(at)
    head = file.read(8 + _KEY)
    if len(head) != 8 + _KEY or head[8:] != key:
        return None
    payload = file.read(int.from_bytes(head[:4], "big"))
    whole = zlib.crc32(key + payload) == int.from_bytes(head[4:8], "big") and len(payload) == int.from_bytes(head[:4], "big")
    return payload if whole else None


def _scan(path: Path) -> Iterator[tuple[bytes, int]]:
    """(key, where it begins) of each whole record of a segment; none of a file that is not one, or has been deleted meanwhile."""
    file = _open(path)
    if file is None:
        return
    with file:
        if file.read(len(_HEADER)) != _HEADER:
            return
        at = len(_HEADER)
        while len(head := file.read(8 + _KEY)) == 8 + _KEY:
            key, length = head[8:], int.from_bytes(head[:4], "big")
            payload = file.read(length)
            if len(payload) != length or zlib.crc32(key + payload) != int.from_bytes(head[4:8], "big"):
                return
            yield key, at
            at += len(head) + length


def _write_index(segment: Path) -> None:
    """Write the index of a segment, whole or not at all. It saves time only: where it cannot be written, jobs read the segment through."""
    temporary = segment.with_name(f".{segment.name}.{os.getpid()}.tmp")
    try:
        size = segment.stat().st_size
        entries = [(int.from_bytes(key[:8], "big"), key[8:], at) for key, at in _scan(segment)]
        index = np.array(entries, dtype=_ENTRY)
        index = index[np.argsort(index["head"], kind="stable")]
        data = index.tobytes()
        temporary.write_bytes(_INDEX_HEADER + size.to_bytes(8, "big") + zlib.crc32(data).to_bytes(4, "big") + data)
        os.replace(temporary, index_of(segment))
    except OSError:
        pass
    finally:
        with contextlib.suppress(OSError):
            temporary.unlink(missing_ok=True)


def _read_index(segment: Path, size: int) -> np.ndarray | None:
    """The index of a segment of `size` bytes, None if there is none, or not one of this segment as it is."""
    file = _open(index_of(segment))
    if file is None:
        return None
    with file:
        start = len(_INDEX_HEADER) + 12
        head, data = file.read(start), file.read()
    known = _INDEX_HEADER + size.to_bytes(8, "big") + zlib.crc32(data).to_bytes(4, "big")
    return np.frombuffer(data, dtype=_ENTRY) if head == known and len(data) % _ENTRY.itemsize == 0 else None
