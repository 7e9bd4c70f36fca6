"""Attention of decoding rows over their own cached tokens, on CPU.

Decoding is bound by reading the cache from memory. These loops read each row's tokens once, only as many as it has, from float32, and
compute in float64: five times as fast as batched matrix products in float64 over a padded block. A row's sums are always
taken in the same order, so they do not depend on the rows beside it.
"""

import numpy as np
import torch
from numba import njit

_FAST = {"reassoc", "contract", "nsz"}  # lets a sum use vector registers; the order is fixed when the loop is compiled


@njit(cache=True, fastmath=_FAST, error_model="numpy")
def _scores(queries, keys, first, last, at, scores, top):
    rows, kv_heads, group, size = queries.shape
    for row in range(rows):
        count = last[row] - first[row]
        for head in range(kv_heads):
            for member in range(group):
                base = at[row] + (head * group + member) * count
                best = -np.inf
                for token in range(count):
                    score = 0.0
                    for i in range(size):
                        score += queries[row, head, member, i] * keys[row, head, first[row] + token, i]
                    scores[base + token] = score
                    best = max(best, score)
                top[row, head, member] = best
                for token in range(count):
                    scores[base + token] -= best


@njit(cache=True, fastmath=_FAST, error_model="numpy")
def _sums(weights, values, first, last, at, out, total):
    rows, kv_heads, group, size = out.shape
    parts = np.empty(size)
    for row in range(rows):
        count = last[row] - first[row]
        for head in range(kv_heads):
            for member in range(group):
                base = at[row] + (head * group + member) * count
                sum_of_weights = 0.0
                parts[:] = 0.0
                # Four tokens at a time: three times as fast as one, since `parts` is read and written a quarter as often.
                whole = count // 4 * 4
                for token in range(0, whole, 4):
                    a, b, c, d = weights[base + token], weights[base + token + 1], weights[base + token + 2], weights[base + token + 3]
                    sum_of_weights += (a + b) + (c + d)
                    j = first[row] + token
                    for i in range(size):
                        parts[i] += (
                            a * values[row, head, j, i]
                            + b * values[row, head, j + 1, i]
                            + c * values[row, head, j + 2, i]
                            + d * values[row, head, j + 3, i]
                        )
                for token in range(whole, count):
                    a = weights[base + token]
                    sum_of_weights += a
                    for i in range(size):
                        parts[i] += a * values[row, head, first[row] + token, i]
                total[row, head, member] = sum_of_weights
                for i in range(size):
                    out[row, head, member, i] = parts[i]


def attend_rows(
    queries: torch.Tensor, keys: torch.Tensor, values: torch.Tensor, first: np.ndarray, last: np.ndarray
) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """Attention before its division: (weighted values, largest score, sum of weights), float64, of each row over tokens first:last.

    queries (rows, kv heads, group, head dim), already scaled; keys and values (at least rows, kv heads, capacity, head dim).
    """
    rows, kv_heads, group, size = queries.shape
    counts = (last - first) * kv_heads * group
    at = np.concatenate([[0], np.cumsum(counts)])
    weights = np.empty(at[-1])
    top = np.empty((rows, kv_heads, group))
    total = np.empty((rows, kv_heads, group))
    out = np.empty((rows, kv_heads, group, size))
    _scores(queries.double().contiguous().numpy(), keys.numpy(), first, last, at, weights, top)
    torch.from_numpy(weights).exp_()  # vectorised, as numba's exp is not
    _sums(weights, values.numpy(), first, last, at, out, total)
    return torch.from_numpy(out), torch.from_numpy(top)[..., None], torch.from_numpy(total)[..., None]
