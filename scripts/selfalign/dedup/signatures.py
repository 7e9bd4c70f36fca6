"""MinHash signatures (Broder 1997), equal to those of `datasketch.MinHash(scheme="affine32")` over the same shingle hashes.

The permutations are datasketch's own; what is done here is to apply them to many texts at a time.
"""

from collections.abc import Sequence
from functools import cache

import numpy as np
import pyarrow as pa
from datasketch import MinHash

from selfalign.dedup.kernels import min_permuted
from selfalign.dedup.shingles import ngram_hashes, word_hashes

_CHUNK_TEXTS = 2048  # texts whose shingles are in memory at a time


def shingle_hashes32(hashes: np.ndarray) -> np.ndarray:
    """The 32-bit hash of each shingle, which datasketch would get from its `hashfunc`: the upper half of the 64-bit one."""
    return (hashes >> np.uint64(32)).astype(np.uint32)


@cache
def _permutations(count: int) -> tuple[np.ndarray, np.ndarray]:
    a, b = np.asarray(MinHash(num_perm=count, scheme="affine32").permutations)
    return np.ascontiguousarray(a), np.ascontiguousarray(b)


def signatures_of(texts: Sequence[str], ngram: int, permutations: int) -> tuple[np.ndarray, np.ndarray]:
    """(signatures of the texts that have a word: uint32 [k, permutations], their indices [k])."""
    rows = np.empty((len(texts), permutations), np.uint32)
    indices = np.empty(len(texts), np.int64)
    done = 0
    for start in range(0, len(texts), _CHUNK_TEXTS):
        hashes, sizes = ngram_hashes(*word_hashes(texts[start : start + _CHUNK_TEXTS]), ngram)
        signed = np.flatnonzero(sizes)
        min_permuted(hashes, sizes[signed], *_permutations(permutations), rows[done : done + len(signed)])
        indices[done : done + len(signed)] = signed + start
        done += len(signed)
    return rows[:done], indices[:done]


def signature_schema(permutations: int) -> pa.Schema:
    """Columns of a signature file: a row's id, and its signature as `permutations` little-endian 32-bit numbers."""
    return pa.schema([("id", pa.string()), ("signature", pa.binary(4 * permutations))])


def fixed_binary(rows: np.ndarray) -> pa.Array:
    """Each row of a matrix of numbers as one binary value."""
    data = np.ascontiguousarray(rows.astype(rows.dtype.newbyteorder("<"), copy=False))
    width = data.shape[1] * data.dtype.itemsize
    return pa.FixedSizeBinaryArray.from_buffers(pa.binary(width), len(data), [None, pa.py_buffer(data)])


def matrix_of(column: pa.ChunkedArray, dtype: str) -> np.ndarray:
    """What `fixed_binary` stored: [rows, numbers], without a copy where the column is one chunk."""
    width = column.type.byte_width // np.dtype(dtype).itemsize
    parts = [
        np.frombuffer(chunk.buffers()[1], dtype)[chunk.offset * width : (chunk.offset + len(chunk)) * width].reshape(len(chunk), width)
        for chunk in column.chunks
        if len(chunk)
    ]
    return parts[0] if len(parts) == 1 else np.concatenate([np.zeros((0, width), dtype), *parts])


def sign(ids: Sequence[str], texts: Sequence[str], ngram: int, permutations: int) -> pa.Table:
    """The signature of each text under its id. A text without a word has none: it is nobody's near-duplicate."""
    rows, indices = signatures_of(texts, ngram, permutations)
    return pa.table([[ids[index] for index in indices], fixed_binary(rows)], schema=signature_schema(permutations))
