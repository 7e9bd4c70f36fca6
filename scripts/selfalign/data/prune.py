"""What the caches hold, and deleting what has not been of use for longest.

A part is what is deleted as one: a segment of a row cache with its index, or a finished or broken off training. When it was last of use is in
its access time. What was written, and what training was used, within the last hour stays, as a job may still be at work with it. So does what
the user may not delete: a shared cache holds parts of others, and a run must not fail over them.
"""

import contextlib
import fcntl
import os
import shutil
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from selfalign.data.cache import USED_SECONDS, index_of
from selfalign.data.errors import CacheError

ROWS = {"completions": "model calls", "verdicts": "verdicts of executed programs", "typecheck": "verdicts of the type checker"}
TRAINING = "training"
KINDS = {**ROWS, TRAINING: "trained models"}


@dataclass(frozen=True)
class Part:
    """A part of a cache: where it lies, bytes, and seconds (of the clock) of its last use and last change."""

    kind: str
    path: Path
    size: int
    used: float
    changed: float


def parts(cache_dir: str | os.PathLike) -> list[Part]:
    """All parts, the longest unused one first. What another job deletes meanwhile is left out."""
    found = []
    for kind in ROWS:
        for path in Path(cache_dir, kind).glob("*/*.segment"):
            with contextlib.suppress(FileNotFoundError):
                status = path.stat()
                size = status.st_size + (index_of(path).stat().st_size if index_of(path).exists() else 0)
                found.append(Part(kind, path, size, max(status.st_atime, status.st_mtime), status.st_mtime))
    for path in Path(cache_dir, TRAINING).glob("*"):
        with contextlib.suppress(FileNotFoundError):
            files = [file.stat() for file in path.rglob("*") if file.is_file()]
            changed = max((file.st_mtime for file in files), default=path.stat().st_mtime)
            lock = path / "lock"  # a training opens it for writing, whether it is at work or has been done before
            used = lock.stat().st_mtime if lock.exists() else changed
            found.append(Part(TRAINING, path, sum(file.st_size for file in files), max(used, changed), changed))
    return sorted(found, key=lambda part: (part.used, str(part.path)))


def prune(cache_dir: str | os.PathLike, max_bytes: float | None = None, unused_since: float | None = None, kinds: tuple[str, ...] = ()) -> list[Part]:
    """Delete the parts (of these kinds, all for none given) not used since `unused_since` (of the clock), then the longest unused until
    what is left of the caches takes at most `max_bytes`. Returns what was deleted."""
    found = parts(cache_dir)
    size = sum(part.size for part in found)
    deleted = []
    for part in found:
        too_old = unused_since is not None and part.used < unused_since
        too_much = max_bytes is not None and size > max_bytes
        if (too_old or too_much) and (not kinds or part.kind in kinds) and _delete(part):
            size -= part.size
            deleted.append(part)
    return deleted


def _delete(part: Part) -> bool:
    """Whether the part could be deleted: not what is or may be in use, nor another user's."""
    if time.time() - (part.used if part.kind == TRAINING else part.changed) < USED_SECONDS:
        return False
    try:
        if part.kind == TRAINING:
            with _unlocked(part.path) as free:
                if free:
                    shutil.rmtree(part.path)
                return free
        index_of(part.path).unlink(missing_ok=True)
        part.path.unlink(missing_ok=True)
    except PermissionError:
        return False
    except OSError as error:
        raise CacheError(f"{part.path}: cannot be deleted ({error.strerror or error})") from error
    return True


@contextlib.contextmanager
def _unlocked(folder: Path) -> Iterator[bool]:
    """Whether no training holds this folder; nobody can begin one in it meanwhile."""
    lock = folder / "lock"
    if not lock.exists():
        yield True
        return
    with lock.open("r+") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            yield False
            return
        yield True
