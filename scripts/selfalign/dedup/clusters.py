"""Near-duplicates from MinHash signatures: locality-sensitive hashing by bands, star edges, one union-find.

Two rows are candidates if they agree in all rows of a band (Leskovec, Rajaraman and Ullman, Mining of Massive Datasets, 3.4). In each
bucket the row with the smallest id is the centre of a star: the others are compared with it alone, so that a bucket costs linear
time however large it is. An edge counts only if the signatures agree in at least `threshold` of their values (an estimate of the Jaccard
similarity with a standard error of at most 0.032 at 250 permutations), which removes what LSH finds by chance. Rows that are unlike
their centre form stars of their own, up to `_ROUNDS` of them in a bucket. Clusters are the connected components: a row may
be less similar than `threshold` to the row that stands for it, but is linked to it by a chain of near-duplicates.
"""

from collections.abc import Container
from functools import cache

import numpy as np
import pyarrow as pa
from datasketch import MinHashLSH

from selfalign.data.errors import ConfigError

CLUSTERS = pa.schema([("id", pa.string()), ("representative", pa.string()), ("cluster_size", pa.int32())])

_ROUNDS = 8  # stars per bucket
_PAIRS = 16_384  # pairs of signatures compared at a time


@cache
def band_parameters(threshold: float, permutations: int) -> tuple[int, int]:
    """(bands, rows per band) that datasketch chooses: the least sum of false positive and false negative probability."""
    try:
        lsh = MinHashLSH(threshold=threshold, num_perm=permutations)
    except ValueError as error:
        raise ConfigError(f"near_dedup: threshold {threshold} with {permutations} permutations gives no usable bands ({error})") from error
    return lsh.b, lsh.r


def cluster(signatures: pa.Table, threshold: float, permutations: int) -> pa.Table:
    """Clusters of two or more rows: (id, representative, cluster_size), the representative being the smallest id and itself among the rows.

    `signatures` may come in any order. A threshold of 1 turns near-dedup off: no cluster.
    """
    if threshold >= 1 or not signatures.num_rows:
        return CLUSTERS.empty_table()
    signatures = signatures.sort_by("id")
    ids = signatures["id"].to_pylist()
    matrix = np.frombuffer(b"".join(signatures["signature"].to_pylist()), "<u4").reshape(len(ids), permutations)
    parents = list(range(len(ids)))
    bands, rows = band_parameters(threshold, permutations)
    for band in range(bands):
        _join_bucket_mates(matrix, _band_keys(matrix[:, band * rows : (band + 1) * rows]), threshold, parents)
    roots = np.fromiter((_root(parents, row) for row in range(len(ids))), np.int64, len(ids))
    sizes = np.bincount(roots, minlength=len(ids))
    members = np.flatnonzero(sizes[roots] > 1)
    return pa.table(
        {
            "id": [ids[row] for row in members],
            "representative": [ids[roots[row]] for row in members],
            "cluster_size": sizes[roots[members]].astype(np.int32),
        },
        schema=CLUSTERS,
    )


def _band_keys(band: np.ndarray) -> np.ndarray:
    """A 64-bit key for each row of a band [n, rows]: rows that agree in the band have the same."""
    keys = np.zeros(len(band), np.uint64)
    for column in band.T:
        keys = (keys ^ column.astype(np.uint64)) * np.uint64(0x9E3779B97F4A7C15)
        keys ^= keys >> np.uint64(29)
    return keys


def _join_bucket_mates(matrix: np.ndarray, keys: np.ndarray, threshold: float, parents: list[int]) -> None:
    """Union each row with the centre of its bucket if their signatures agree enough. Rows are in order of id."""
    order = np.argsort(keys, kind="stable")
    for _ in range(_ROUNDS):
        bucket = keys[order]
        first = np.concatenate(([True], bucket[1:] != bucket[:-1])) if len(order) else np.zeros(0, bool)
        centres = order[np.maximum.accumulate(np.where(first, np.arange(len(order)), 0))]
        members, centres = order[~first], centres[~first]
        if not len(members):
            return
        similar = _agreement(matrix, members, centres) >= threshold
        for member, centre in zip(members[similar].tolist(), centres[similar].tolist(), strict=True):
            _union(parents, member, centre)
        order = members[~similar]


def _agreement(matrix: np.ndarray, left: np.ndarray, right: np.ndarray) -> np.ndarray:
    """The share of values in which the signatures of each pair of rows agree [pairs]."""
    parts = [(matrix[left[start : start + _PAIRS]] == matrix[right[start : start + _PAIRS]]).mean(axis=1) for start in range(0, len(left), _PAIRS)]
    return np.concatenate(parts)


def _root(parents: list[int], row: int) -> int:
    while parents[row] != row:
        parents[row] = parents[parents[row]]
        row = parents[row]
    return row


def _union(parents: list[int], left: int, right: int) -> None:
    """Join two components under the smaller root, so that a component's root is its smallest id."""
    left, right = _root(parents, left), _root(parents, right)
    if left != right:
        parents[max(left, right)] = min(left, right)


def representatives(clusters: pa.Table) -> dict[str, str]:
    """The rows that a cluster file drops: id -> the id of the row that stands for it."""
    pairs = zip(clusters["id"].to_pylist(), clusters["representative"].to_pylist(), strict=True)
    return {row: representative for row, representative in pairs if row != representative}


def without(signatures: pa.Table, dropped: Container[str]) -> pa.Table:
    """The signatures of the rows that an earlier pass did not drop."""
    return signatures.filter(pa.array([row not in dropped for row in signatures["id"].to_pylist()], pa.bool_()))
