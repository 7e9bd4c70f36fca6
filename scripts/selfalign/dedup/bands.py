"""Bands of MinHash signatures for locality-sensitive hashing (Leskovec, Rajaraman and Ullman, Mining of Massive Datasets, 3.4).

Two rows are candidates if they agree in all values of a band, so of each band only a 64-bit key is kept. To tell candidates that are alike from those
that met by chance, a row also keeps a sketch: one byte of each value of its signature (b-bit minwise hashing, Li and Koenig 2010).
Bands and sketch take a third of a signature's space.
"""

from functools import cache

import numpy as np
import pyarrow as pa
from datasketch import MinHashLSH

from selfalign.data.errors import ConfigError
from selfalign.data.ids import numbers_of
from selfalign.dedup.kernels import sketch_rows
from selfalign.dedup.signatures import fixed_binary, matrix_of

# False positives and false negatives count the same where signatures alone decide. Where the texts are compared a false positive costs only time.
_WEIGHTS = {"signature": (0.5, 0.5), "jaccard": (0.2, 0.8)}


@cache
def band_parameters(threshold: float, permutations: int, verify: str) -> tuple[int, int]:
    """(bands, rows per band) that datasketch chooses: the least weighted sum of false positive and false negative probability."""
    try:
        lsh = MinHashLSH(threshold=threshold, num_perm=permutations, weights=_WEIGHTS[verify])
    except ValueError as error:
        raise ConfigError(f"near_dedup: threshold {threshold} with {permutations} permutations gives no usable bands ({error})") from error
    return lsh.b, lsh.r


def band_names(cfg: dict) -> list[str]:
    """Names of the band columns; none for a threshold of 1, which turns near-dedup off. `cfg` is a near_dedup of the config."""
    return [f"band{number}" for number in range(_parameters(cfg)[0])] if cfg["threshold"] < 1 else []


def band_schema(cfg: dict) -> pa.Schema:
    """Columns of a band file: a row's id as a number, its sketch, and its key in each band."""
    keys = [(name, pa.uint64()) for name in band_names(cfg)]
    return pa.schema([("id", pa.uint64()), ("sketch", pa.binary(cfg["permutations"])), *keys])


def band(signatures: pa.Table, cfg: dict) -> pa.Table:
    """Bands and sketch of each signature (id, signature)."""
    rows = matrix_of(signatures["signature"], "<u4")
    sketches = np.empty(rows.shape, np.uint8)
    sketch_rows(rows, sketches)
    names = band_names(cfg)
    width = _parameters(cfg)[1] if names else 0
    keys = [_band_keys(rows[:, number * width : (number + 1) * width]) for number in range(len(names))]
    return pa.table([numbers_of(signatures["id"].to_pylist()), fixed_binary(sketches), *keys], schema=band_schema(cfg))


def _parameters(cfg: dict) -> tuple[int, int]:
    return band_parameters(cfg["threshold"], cfg["permutations"], cfg["verify"])


def _band_keys(values: np.ndarray) -> np.ndarray:
    """A 64-bit key for each row of a band [n, rows]: rows that agree in the band have the same."""
    keys = np.zeros(len(values), np.uint64)
    for column in values.T:
        keys = (keys ^ column.astype(np.uint64)) * np.uint64(0x9E3779B97F4A7C15)
        keys ^= keys >> np.uint64(29)
    return keys
