"""95% confidence intervals of scores, by problem: the problems are the sample, drawn from all that could have been asked."""

import math
from collections.abc import Sequence

import numpy as np

_Z = 1.959964  # 97.5% quantile of the normal distribution
_RESAMPLES = 10_000


def wilson(passed: int, problems: int) -> tuple[float, float]:
    """Wilson's score interval of a share (Wilson 1927): right also near 0 and 1, where the normal interval is not."""
    share = passed / problems
    centre = (share + _Z**2 / (2 * problems)) / (1 + _Z**2 / problems)
    half = _Z / (1 + _Z**2 / problems) * math.sqrt(share * (1 - share) / problems + _Z**2 / (4 * problems**2))
    return round(max(0.0, centre - half), 6), round(min(1.0, centre + half), 6)


def bootstrap(rates: Sequence[float]) -> tuple[float, float]:
    """Percentile bootstrap interval of the mean of per-problem pass rates, with a fixed seed."""
    values = np.asarray(rates, dtype=np.float64)
    places = np.random.default_rng(0).integers(0, len(values), size=(_RESAMPLES, len(values)))
    low, high = np.quantile(values[places].mean(axis=1), [0.025, 0.975])
    return round(float(low), 6), round(float(high), 6)


def pass_at(k: int, samples: int, passed: int) -> float:
    """The unbiased estimate of pass@k of a problem (Chen et al. 2021, section 2.1): 1 - C(n - c, k) / C(n, k)."""
    return 1.0 - math.comb(samples - passed, k) / math.comb(samples, k)
