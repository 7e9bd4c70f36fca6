"""From links to clusters and to keep-lists. Clusters are the connected components: a row may be less similar than the threshold to the
row that stands for it, but is linked to it by a chain of near-duplicates.
"""

from collections.abc import Iterable, Sequence
from os import PathLike

import numpy as np
import pyarrow as pa
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components

from selfalign.data.files import read_shards, write_table
from selfalign.data.ids import ids_of, numbers_of

CLUSTERS = pa.schema([("id", pa.string()), ("representative", pa.string()), ("cluster_size", pa.int32())])
_NUMBERS = pa.schema([("id", pa.uint64()), ("representative", pa.uint64()), ("cluster_size", pa.int32()), ("shard", pa.int32())])


def cluster(links: pa.Table) -> pa.Table:
    """The rows of all clusters with their shards, in order of id; ids are numbers. The representative is the smallest id."""
    members, centres, *shards = (links[name].to_numpy() for name in ("id", "centre", "shard", "centre_shard"))
    ids, first_seen = np.unique(np.concatenate((members, centres)), return_index=True)
    if not len(ids):
        return _NUMBERS.empty_table()
    edges = (np.ones(len(members), bool), (np.searchsorted(ids, members), np.searchsorted(ids, centres)))
    count, labels = connected_components(coo_array(edges, shape=(len(ids), len(ids))), directed=False)
    first = np.full(count, len(ids))
    np.minimum.at(first, labels, np.arange(len(ids)))
    sizes = np.bincount(labels, minlength=count)
    return pa.table([ids, ids[first[labels]], sizes[labels].astype(np.int32), np.concatenate(shards)[first_seen]], schema=_NUMBERS)


def keep_list(clusters: pa.Table, shard: int) -> pa.Table:
    """The part of `clusters` that is about the rows of one shard, with ids as texts."""
    own = clusters.filter(pa.array(clusters["shard"].to_numpy() == shard))
    texts = [ids_of(own[name].to_numpy()) for name in ("id", "representative")]
    return pa.table([*texts, own["cluster_size"]], schema=CLUSTERS)


def representatives(clusters: pa.Table) -> dict[str, str]:
    """The rows that a keep-list drops: id -> the id of the row that stands for it."""
    pairs = zip(clusters["id"].to_pylist(), clusters["representative"].to_pylist(), strict=True)
    return {row: representative for row, representative in pairs if row != representative}


def dropped_ids(clusters: Iterable[pa.Table]) -> np.ndarray:
    """The ids (as numbers) that keep-lists drop."""
    return numbers_of([row for table in clusters for row in representatives(table)])


def write_keep_lists(links: Sequence[str | PathLike], keep_lists: Sequence[str | PathLike]) -> dict[str, int]:
    """Write the keep-list of each shard, in the order of the shards, from all link files; the facts of the job."""
    pairs = read_shards(links)
    pairs = pairs.group_by(pairs.column_names).aggregate([])  # each once
    clusters = cluster(pairs)
    for shard, path in enumerate(keep_lists):
        write_table(keep_list(clusters, shard), path, CLUSTERS)
    is_representative = clusters["id"].to_numpy() == clusters["representative"].to_numpy()
    return {
        "links": pairs.num_rows,
        "near_duplicates": int((~is_representative).sum()),
        "clusters": int(is_representative.sum()),
        "largest_cluster": int(clusters["cluster_size"].to_numpy().max(initial=0)),
    }
