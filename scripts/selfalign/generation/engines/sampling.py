"""Sampling that depends on nothing but the row: its logits, its seed and the position of the token."""

import numpy as np
import torch

_GAMMA = np.uint64(0x9E3779B97F4A7C15)


def uniforms(seeds: np.ndarray, positions: np.ndarray) -> np.ndarray:
    """A number in [0, 1) for each (seed, position), both arrays of integers of one shape.

    The output function of SplitMix64 (Steele, Lea and Flood, Fast Splittable Pseudorandom Number Generators, OOPSLA 2014),
    once over the seed and once over the position: a counter in place of a state, so the order of calls does not matter.
    """
    with np.errstate(over="ignore"):
        state = _mix(seeds.astype(np.uint64) + _GAMMA)
        state = _mix(state + (positions.astype(np.uint64) + np.uint64(1)) * _GAMMA)
    return (state >> np.uint64(11)).astype(np.float64) * 2.0**-53


def _mix(z: np.ndarray) -> np.ndarray:
    z = (z ^ (z >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    z = (z ^ (z >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return z ^ (z >> np.uint64(31))


def choose_tokens(logits: torch.Tensor, temperatures: np.ndarray, seeds: np.ndarray, positions: np.ndarray) -> list[int]:
    """The next token of each row of `logits` (rows, vocabulary): the likeliest at temperature 0, else by inverse CDF."""
    greedy = temperatures == 0
    best = logits.argmax(-1)
    if greedy.all():
        return best.tolist()
    scale = torch.from_numpy(np.where(greedy, 1.0, temperatures)).to(logits.device)
    cumulative = torch.softmax(logits.double() / scale[:, None], -1).cumsum(-1)
    draws = torch.from_numpy(uniforms(seeds, positions)).to(logits.device)
    # Against the last sum, not 1, which rounding may leave just out of reach; right=True never lands on a token of probability 0.
    drawn = torch.searchsorted(cumulative, draws[:, None] * cumulative[:, -1:], right=True)[:, 0].clamp_(max=logits.shape[1] - 1)
    return torch.where(torch.from_numpy(greedy).to(logits.device), best, drawn).tolist()
