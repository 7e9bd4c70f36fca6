"""Pairs of rows that are near-duplicates: within each bucket of a band a star, whose edges are checked.

In each bucket the row with the smallest id is the centre of a star: the others are compared with it alone, so that a bucket costs linear
time however large it is. An edge counts only if the sketches agree often enough (an estimate of the Jaccard similarity with a
standard error of at most 0.032 at 250 permutations), which removes what met by chance. Rows that are unlike their centre form stars
of their own, up to `_ROUNDS` of them in a bucket. Centres go by id, so neither the number of shards nor the order of rows matters.
"""

import tempfile
from collections.abc import Iterable, Sequence
from os import PathLike
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from selfalign.data.files import read_shard, write_table
from selfalign.data.ids import numbers_of
from selfalign.dedup.bands import band_names
from selfalign.dedup.kernels import count_equal, jaccard, sort_distinct
from selfalign.dedup.shingles import ngram_hashes, word_hashes
from selfalign.dedup.signatures import matrix_of

# With the numbers of the shards in which the two rows are.
LINKS = pa.schema([("id", pa.uint64()), ("centre", pa.uint64()), ("shard", pa.int32()), ("centre_shard", pa.int32())])

_ROUNDS = 8  # stars per bucket
_CHANCE = 1 / 256  # with which two bytes of a sketch agree though the values behind them differ
# Candidates for the comparison of the texts themselves may seem less alike by this much: 3 standard errors at 250 permutations.
_MARGIN = 0.1
_CHUNK_TEXTS = 2048


def needed_agreement(cfg: dict, permutations: int) -> tuple[int, int]:
    """In how many places two sketches must agree to be linked, and to be linked for sure. `cfg` is a near_dedup of the config."""
    margin = _MARGIN if cfg["verify"] == "jaccard" else 0
    shares = (min(max(cfg["threshold"] + change, 0), 1) * (1 - _CHANCE) + _CHANCE for change in (-margin, margin))
    linked, sure = (int(np.ceil(permutations * share - 1e-9)) for share in shares)
    return linked, sure


def link(files: Sequence[str | PathLike], group: int, groups: int, excluded: np.ndarray, cfg: dict) -> pa.Table:
    """The distinct links of every `groups`-th band from number `group` on, over the band files of all shards.

    Takes paths, not tables: of the bands only one is in memory at a time, beside the sketches of all rows (a byte per permutation) and
    40 bytes a row. `excluded` are ids (as numbers) that an earlier pass dropped.
    """
    names = band_names(cfg)[group::groups]
    if not names:
        return LINKS.empty_table()
    ids = _column(files, "id")
    sketches = np.empty((len(ids), cfg["permutations"]), np.uint8)
    done = 0
    for path in files:
        part = matrix_of(read_shard(path, ["sketch"])["sketch"], "u1")
        sketches[done : done + len(part)] = part
        done += len(part)
    by_id = np.argsort(ids)
    by_id = by_id[~np.isin(ids[by_id], excluded)]
    needed = needed_agreement(cfg, cfg["permutations"])
    pairs = np.zeros(0, np.uint64)  # member's row * number of rows + centre's row
    for name in names:
        keys = _column(files, name)[by_id]
        members, centres = _stars(sketches, by_id, keys, needed)
        pairs = np.union1d(pairs, members.astype(np.uint64) * np.uint64(len(ids)) + centres.astype(np.uint64))
    members, centres = np.divmod(pairs, np.uint64(max(len(ids), 1)))
    places = np.repeat(np.arange(len(files), dtype=np.int32), [pq.read_metadata(path).num_rows for path in files])
    rows = [side.astype(np.int64) for side in (members, centres)]
    return pa.table([*(ids[side] for side in rows), *(places[side] for side in rows)], schema=LINKS)


def write_links(
    bands: Sequence[str | PathLike],
    texts: Iterable[tuple[Sequence[str], Sequence[str]]],
    group: tuple[int, int],
    excluded: np.ndarray,
    cfg: dict,
    path: str | PathLike,
    spool: str | PathLike,
) -> dict[str, int]:
    """Write the links of a group of bands (its number, and how many there are); the facts of the job.

    `texts` gives (ids, texts) of each shard; they are read only where `cfg` asks for verification by the texts.
    """
    found = links = link(bands, *group, excluded, cfg)
    if cfg["verify"] == "jaccard":
        Path(spool).mkdir(parents=True, exist_ok=True)
        links = verified(links, texts, cfg, spool)
    write_table(links, path, LINKS, sort_by=LINKS.names)
    return {"links": found.num_rows, "verified_links": links.num_rows}


def _column(files: Iterable[str | PathLike], name: str) -> np.ndarray:
    return np.concatenate([read_shard(path, [name])[name].to_numpy() for path in files])


def _stars(sketches: np.ndarray, rows: np.ndarray, keys: np.ndarray, needed: tuple[int, int]) -> tuple[np.ndarray, np.ndarray]:
    """(members, centres) of one band's stars. `rows` are places in `sketches` in order of id, `keys` their band keys.

    A row that is linked but not for sure goes into the next star too: its link may not stand the comparison of the texts.
    """
    order = np.argsort(keys, kind="stable")
    found = [(np.zeros(0, np.int64), np.zeros(0, np.int64))]
    for _ in range(_ROUNDS):
        bucket = keys[order]
        first = np.concatenate((np.ones(min(len(order), 1), bool), bucket[1:] != bucket[:-1]))
        centre = order[np.maximum.accumulate(np.where(first, np.arange(len(order)), 0))]
        order, centre = order[~first], centre[~first]
        if not len(order):
            break
        equal = np.empty(len(order), np.uint32)
        count_equal(sketches, rows[order], rows[centre], equal)
        alike = equal >= needed[0]
        found.append((rows[order[alike]], rows[centre[alike]]))
        order = order[equal < needed[1]]
    members, centres = zip(*found, strict=True)
    return np.concatenate(members), np.concatenate(centres)


def verified(links: pa.Table, shards: Iterable[tuple[Sequence[str], Sequence[str]]], cfg: dict, spool: str | PathLike) -> pa.Table:
    """The links whose texts have a Jaccard similarity of `threshold` or more, taken exactly over their sets of n-grams.

    `shards` gives (ids, texts) of each shard in turn. The n-grams of the rows that are in a link lie in a temporary file in the folder
    `spool`, 8 bytes each, and are read from there.
    """
    pairs = [links["id"].to_numpy(), links["centre"].to_numpy()]
    needed = np.unique(np.concatenate(pairs))
    lengths = np.zeros(len(needed), np.int64)
    offsets = np.zeros(len(needed), np.int64)
    total = 0
    with tempfile.TemporaryFile(dir=spool) as file:
        for ids, texts in shards:
            numbers = numbers_of(ids)
            wanted = np.flatnonzero(np.isin(numbers, needed))
            for start in range(0, len(wanted), _CHUNK_TEXTS):
                rows = wanted[start : start + _CHUNK_TEXTS]
                hashes, sizes = ngram_hashes(*word_hashes([texts[int(row)] for row in rows]), cfg["ngram"])
                file.write(hashes[: sort_distinct(hashes, sizes)].data)
                places = np.searchsorted(needed, numbers[rows])
                lengths[places] = sizes
                offsets[places] = total + np.cumsum(sizes) - sizes
                total += int(sizes.sum())
        file.flush()
        values = np.memmap(file, np.uint64, "r") if total else np.zeros(0, np.uint64)
        similarity = np.empty(links.num_rows)
        left, right = (np.searchsorted(needed, side) for side in pairs)
        jaccard(values, offsets, lengths, left, right, similarity)
    return links.filter(pa.array(similarity >= cfg["threshold"]))
