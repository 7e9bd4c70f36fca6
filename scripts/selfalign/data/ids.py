"""Row ids, shards and seeded draws.

Nothing here depends on the order of rows, the number of shards or the machine: an id is a hash of what the row
is, and a draw is a hash of (config seed, row id, purpose).
"""

import hashlib
import random
from collections.abc import Sequence

import numpy as np

ID_LENGTH = 16


def _digest(parts: tuple[object, ...]) -> bytes:
    # The length before each part keeps ("ab", "c") and ("a", "bc") apart.
    sha = hashlib.sha256()
    for part in parts:
        encoded = str(part).encode("utf-8", "surrogatepass")
        sha.update(len(encoded).to_bytes(8, "big"))
        sha.update(encoded)
    return sha.digest()


def content_id(content: str) -> str:
    """The id of a row that is its content (a function): first 16 hex digits of the SHA-256 of the UTF-8 text."""
    return hashlib.sha256(content.encode("utf-8", "surrogatepass")).hexdigest()[:ID_LENGTH]


def row_id(step: str, parent_id: str, draw: int) -> str:
    """The id of a row that `step` makes from `parent_id` in its draw number `draw` (from 0)."""
    return _digest((step, parent_id, draw)).hex()[:ID_LENGTH]


def imported_id(step: str, parent_id: str, text: str) -> str:
    """The id of a row that `step` could have made from `parent_id` but that came from a file: its content stands for the draw number."""
    return _digest((step, parent_id, "content", text)).hex()[:ID_LENGTH]


def shard_of(function_id: str, shards: int) -> int:
    """The shard of a function and of every row that descends from it: function id modulo number of shards."""
    return int(function_id, 16) % shards


def generator(seed: int, row: str, purpose: str) -> random.Random:
    """A random generator of its own for each (config seed, row id, purpose)."""
    return random.Random(_digest((seed, row, purpose)))


def row_seed(seed: int, row: str, purpose: str) -> int:
    """A 31-bit seed for an engine's request, from (config seed, row id, purpose)."""
    return int.from_bytes(_digest((seed, row, purpose))[:4], "big") >> 1


def numbers_of(ids: Sequence[str]) -> np.ndarray:
    """Ids as numbers: uint64 [n], which sort as the ids do."""
    return np.frombuffer(bytes.fromhex("".join(ids)), ">u8").astype(np.uint64)


def ids_of(numbers: np.ndarray) -> list[str]:
    """The ids behind `numbers_of`."""
    digits = np.asarray(numbers, ">u8").tobytes().hex()
    return [digits[start : start + ID_LENGTH] for start in range(0, len(digits), ID_LENGTH)]
