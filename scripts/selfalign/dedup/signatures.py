"""MinHash signatures (Broder 1997), equal to those of `datasketch.MinHash(scheme="affine32")` over the same shingle hashes.

The permutations are datasketch's own; what is done here is to apply them to many texts at a time.
"""

from collections.abc import Sequence
from functools import cache

import numpy as np
import pyarrow as pa
from datasketch import MinHash

from selfalign.dedup.shingles import ngram_hashes, word_hashes

_CHUNK_TEXTS = 2048  # texts whose words are hashed at a time
_CHUNK_SHINGLES = 512  # shingles that are permuted at a time: with 250 permutations 512 kB, so that they stay in the cache of the processor


def shingle_hashes32(hashes: np.ndarray) -> np.ndarray:
    """The 32-bit hash of each shingle, which datasketch would get from its `hashfunc`: the upper half of the 64-bit one."""
    return (hashes >> np.uint64(32)).astype(np.uint32)


@cache
def _permutations(count: int) -> tuple[np.ndarray, np.ndarray]:
    a, b = np.asarray(MinHash(num_perm=count, scheme="affine32").permutations)
    return a[:, None], b[:, None]


def _premix(values: np.ndarray) -> np.ndarray:
    """The 32-bit finaliser of MurmurHash3, which the scheme puts before its permutations."""
    values = (values ^ (values >> np.uint32(16))) * np.uint32(0x85EBCA6B)
    values = (values ^ (values >> np.uint32(13))) * np.uint32(0xC2B2AE35)
    return values ^ (values >> np.uint32(16))


def signatures_of(texts: Sequence[str], ngram: int, permutations: int) -> tuple[np.ndarray, np.ndarray]:
    """(signatures of the texts that have a word: uint32 [k, permutations], their indices [k])."""
    parts = [_signatures(texts[start : start + _CHUNK_TEXTS], ngram, permutations) for start in range(0, len(texts), _CHUNK_TEXTS)]
    signed = [indices + number * _CHUNK_TEXTS for number, (_, indices) in enumerate(parts)]
    empty = (np.zeros((0, permutations), np.uint32), np.zeros(0, np.int64))
    return np.concatenate([empty[0], *(rows for rows, _ in parts)]), np.concatenate([empty[1], *signed])


def _signatures(texts: Sequence[str], ngram: int, permutations: int) -> tuple[np.ndarray, np.ndarray]:
    hashes, sizes = ngram_hashes(*word_hashes(texts), ngram)
    values = _premix(shingle_hashes32(hashes))
    a, b = _permutations(permutations)
    indices = np.flatnonzero(sizes)
    ends = np.cumsum(sizes[indices])
    starts = ends - sizes[indices]
    rows = np.empty((len(indices), permutations), np.uint32)
    done = 0
    while done < len(indices):
        # As many whole texts as fit into a chunk, at least one.
        stop = max(done + 1, int(np.searchsorted(ends, starts[done] + _CHUNK_SHINGLES, side="right")))
        permuted = a * values[None, starts[done] : ends[stop - 1]] + b
        rows[done:stop] = np.minimum.reduceat(permuted, starts[done:stop] - starts[done], axis=1).T
        done = stop
    return rows, indices


def signature_schema(permutations: int) -> pa.Schema:
    """Columns of a signature file: a row's id, and its signature as `permutations` little-endian 32-bit numbers."""
    return pa.schema([("id", pa.string()), ("signature", pa.binary(4 * permutations))])


def sign(ids: Sequence[str], texts: Sequence[str], ngram: int, permutations: int) -> pa.Table:
    """The signature of each text under its id. A text without a word has none: it is nobody's near-duplicate."""
    rows, indices = signatures_of(texts, ngram, permutations)
    data = rows.astype("<u4", copy=False).tobytes()
    width = 4 * permutations
    signed = [data[start : start + width] for start in range(0, len(data), width)]
    return pa.table({"id": [ids[index] for index in indices], "signature": signed}, schema=signature_schema(permutations))
