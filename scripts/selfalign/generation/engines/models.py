"""What stands for a model in a fingerprint."""

import hashlib
from pathlib import Path

_KINDS = (".safetensors", ".bin", ".json", ".txt", ".model", ".jinja")
_SAMPLED = 64  # pieces of 64 kB that stand for a weights file too large to read whole
_WHOLE = 256 << 20  # bytes up to which it is read whole


def model_digest(path: str, revision: str | None) -> str:
    """A hash of a model folder's files; of name and revision (or commit) for a model on the hub."""
    if not Path(path).is_dir():
        return f"{path}@{revision}"
    sha = hashlib.sha256()
    for file in sorted(Path(path).iterdir()):
        if file.suffix not in _KINDS:
            continue
        size = file.stat().st_size
        sha.update(f"{file.name} {size}\n".encode())
        with file.open("rb") as stream:
            if size <= _WHOLE:
                sha.update(hashlib.file_digest(stream, "sha256").digest())
                continue
            for piece in range(_SAMPLED):
                stream.seek(size * piece // _SAMPLED)
                sha.update(stream.read(1 << 16))
    return sha.hexdigest()
