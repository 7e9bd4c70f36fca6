"""From links to clusters and to keep-lists. Clusters are the connected components: a row may be less similar than the threshold to the
row that stands for it, but is linked to it by a chain of near-duplicates.
"""

from collections.abc import Iterable, Sequence
from os import PathLike
from pathlib import Path

import numpy as np
import pyarrow as pa
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components

from selfalign.data.files import read_shard, read_shards, write_table
from selfalign.data.ids import ids_of, numbers_of
from selfalign.dedup.links import verified

CLUSTERS = pa.schema([("id", pa.string()), ("representative", pa.string()), ("cluster_size", pa.int32())])
_NUMBERS = pa.schema([("id", pa.uint64()), ("representative", pa.uint64()), ("cluster_size", pa.int32())])


def cluster(links: pa.Table) -> pa.Table:
    """The rows of all clusters (id, representative, cluster_size; ids as numbers), in order of id. The representative is the smallest id."""
    members, centres = links["id"].to_numpy(), links["centre"].to_numpy()
    ids = np.unique(np.concatenate((members, centres)))
    if not len(ids):
        return _NUMBERS.empty_table()
    edges = (np.ones(len(members), bool), (np.searchsorted(ids, members), np.searchsorted(ids, centres)))
    count, labels = connected_components(coo_array(edges, shape=(len(ids), len(ids))), directed=False)
    first = np.full(count, len(ids))
    np.minimum.at(first, labels, np.arange(len(ids)))
    sizes = np.bincount(labels, minlength=count)
    return pa.table([ids, ids[first[labels]], sizes[labels].astype(np.int32)], schema=_NUMBERS)


def keep_list(clusters: pa.Table, ids: np.ndarray) -> pa.Table:
    """The part of `clusters` that is about the rows `ids` (as numbers) of one shard, with ids as texts."""
    own = clusters.filter(pa.array(np.isin(clusters["id"].to_numpy(), ids)))
    texts = [ids_of(own[name].to_numpy()) for name in ("id", "representative")]
    return pa.table([*texts, own["cluster_size"]], schema=CLUSTERS)


def representatives(clusters: pa.Table) -> dict[str, str]:
    """The rows that a keep-list drops: id -> the id of the row that stands for it."""
    pairs = zip(clusters["id"].to_pylist(), clusters["representative"].to_pylist(), strict=True)
    return {row: representative for row, representative in pairs if row != representative}


def dropped_ids(clusters: Iterable[pa.Table]) -> np.ndarray:
    """The ids (as numbers) that keep-lists drop."""
    return numbers_of([row for table in clusters for row in representatives(table)])


def write_keep_lists(
    links: Sequence[str | PathLike],
    bands: Sequence[str | PathLike],
    texts: Iterable[tuple[Sequence[str], Sequence[str]]],
    cfg: dict,
    keep_lists: Sequence[str | PathLike],
    spool: Path,
) -> dict[str, int]:
    """Write the keep-list of each shard from all link files; the facts of the job. `bands` and `keep_lists` are in the order of the shards.

    `texts` gives (ids, texts) of each shard; they are read only where `cfg` asks for verification by the texts.
    """
    pairs = read_shards(links)
    pairs = pairs.group_by(pairs.column_names).aggregate([])  # each once
    candidates = pairs.num_rows
    if cfg["verify"] == "jaccard":
        spool.mkdir(parents=True, exist_ok=True)
        pairs = verified(pairs, texts, cfg, spool)
    clusters = cluster(pairs)
    representative = clusters["representative"].to_numpy()
    for shard, path in zip(bands, keep_lists, strict=True):
        write_table(keep_list(clusters, read_shard(shard, ["id"])["id"].to_numpy()), path, CLUSTERS)
    is_representative = clusters["id"].to_numpy() == representative
    return {
        "links": candidates,
        "verified_links": pairs.num_rows,
        "near_duplicates": int((~is_representative).sum()),
        "clusters": int(is_representative.sum()),
        "largest_cluster": int(clusters["cluster_size"].to_numpy().max(initial=0)),
    }
