"""The request cache: finished completions on disk, so that a killed or repeated run asks for the rest only.

A folder per engine fingerprint holds append-only segments, one per job, which no other job writes to: safe with many
jobs and machines on a shared file system, without locks. A segment is a header and records; a record is
length of the payload (4 bytes, big endian), CRC-32 of key and payload (4), key (32), payload (zlib, JSON). Reading stops
at the first record that is cut short or damaged, as a kill may leave at the end of a segment.
"""

import json
import os
import socket
import time
import uuid
import zlib
from collections.abc import Collection
from pathlib import Path

from selfalign.data.errors import EngineError

_HEADER = b"selfalign request cache 1\n"
_KEY = 32
_SYNC_SECONDS = 5.0


class RequestCache:
    """Values (what JSON can hold) by 32-byte key, under `folder`, for one engine fingerprint (hex)."""

    def __init__(self, folder: str | os.PathLike, fingerprint: str):
        self.folder = Path(folder) / "completions" / fingerprint[:16]
        self._file: int | None = None
        self._synced = 0.0

    def lookup(self, keys: Collection[bytes]) -> dict[bytes, dict]:
        """The values of those of `keys` that the cache has. Of several values for a key the first, by file name, counts."""
        keys = frozenset(keys)
        found: dict[bytes, dict] = {}
        try:
            for path in sorted(self.folder.glob("*.segment")):
                for key, payload in _records(path):
                    if key in keys and key not in found:
                        found[key] = json.loads(zlib.decompress(payload))
        except OSError as error:
            raise EngineError(f"request cache {self.folder}: {error.strerror or error}; delete the folder or change cache_dir") from error
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
            raise EngineError(f"request cache {self.folder}: cannot be written ({error.strerror or error}); change cache_dir") from error

    def close(self) -> None:
        """Put this job's segment safely on the disk."""
        if self._file is not None:
            os.fsync(self._file)
            os.close(self._file)
            self._file = None

    def _new_segment(self) -> int:
        self.folder.mkdir(parents=True, exist_ok=True)
        name = f"{socket.gethostname()}-{os.getpid()}-{uuid.uuid4().hex[:12]}.segment"
        file = os.open(self.folder / name, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_APPEND, 0o666)
        _write(file, _HEADER)
        self._synced = time.monotonic()
        return file


def _write(file: int, data: bytes) -> None:
    while data:
        data = data[os.write(file, data) :]


def _records(path: Path):
    """(key, payload) of each whole record of a segment; none of a file that is not one, or has been deleted meanwhile."""
    try:
        file = path.open("rb")
    except FileNotFoundError:
        return
    with file:
        if file.read(len(_HEADER)) != _HEADER:
            return
        while len(head := file.read(8 + _KEY)) == 8 + _KEY:
            key = head[8:]
            length = int.from_bytes(head[:4], "big")
            payload = file.read(length)
            if len(payload) != length or zlib.crc32(key + payload) != int.from_bytes(head[4:8], "big"):
                return
            yield key, payload
