"""Intervals by resampling: over the pairs of a launch, over launches, over prompts.

Knows numbers only, not where they come from. Works on logarithms: a ratio and its inverse are then
equally far from one, and no interval of a speed reaches zero. Plain numpy on purpose: `scipy.stats`
takes more than a second to import, these intervals take one or two milliseconds. The method: Efron
and Tibshirani, An Introduction to the Bootstrap (1993), chapter 13.
"""

from collections.abc import Mapping, Sequence
from math import exp

import numpy as np
import numpy.typing as npt

from bench.measurement import Interval
from bench.student import t_quantile
from sandbox.errors import JobError

RESAMPLES = 2000
PAIR_NOISE = 0.05
"""Relative standard deviation of one interleaved pair on a shared machine (measured 4.4 to 6.5 %);
stands in where one or two pairs cannot show their own spread. It is shown, and decides nothing."""
MEDIAN_FACTOR = 1.96 * 1.2533
"""Half-width of a 95 % interval of a median of normal values, in standard errors of their mean."""
WIDENING = {3: 4.31, 4: 1.73, 5: 1.15, 6: 1.06, 7: 1.57, 8: 1.21}
"""The percentile bootstrap of a median of n values covers too little (n = 3: 75 %, 7: 87 %): the
stretch that makes it cover 95 %, found by simulation (4,000 normal samples, 1,000 resamples)."""
WIDENING_ABOVE = 1.1
"""The same for every n > 8 (measured 1.03 to 1.14)."""

Floats = npt.NDArray[np.float64]


def interval(ratios: Sequence[float], *, seed: int) -> Interval:
    """Return the median of `ratios` (pairs of one launch) and its 95 % bootstrap interval.

    One or two ratios cannot show a spread: the noise of a pair measured elsewhere is used.
    It knows nothing of the noise *between* launches; `combine` does.

    Raises:
        JobError: no ratios, so nothing was measured; the caller must look before it asks.
    """
    values = np.log(np.asarray(ratios, dtype=np.float64))
    if values.size == 0:
        raise JobError("interval of no ratios", code="no_pairs")
    return _as_ratio(_log_interval(values, seed=seed))


def combine(launches: Sequence[Sequence[float]], *, seed: int) -> Interval:
    """Return the geometric mean of the launches' medians and its 95 % interval.

    Launches are resampled, and each draw is moved by its own pairs' uncertainty. Deviations between
    launches are stretched by sqrt(k / (k - 1)): k launches underestimate their variance by that.
    A single launch gives `interval`.

    Raises:
        JobError: no launch, or one without ratios.
    """
    if not launches or not all(launches):
        raise JobError("combine needs launches that all have ratios", code="no_pairs")
    if len(launches) == 1:
        return interval(launches[0], seed=seed)
    rng = np.random.default_rng(seed)
    count = len(launches)
    logs = [np.log(np.asarray(launch, dtype=np.float64)) for launch in launches]
    centres = np.array([np.median(launch) for launch in logs])
    within = np.stack([_spread(launch, seed=seed + i) for i, launch in enumerate(logs)])
    estimate = float(centres.mean())
    between = (centres - estimate) * (count / (count - 1)) ** 0.5
    drawn = rng.integers(0, count, (RESAMPLES, count))
    noise = within[drawn] * rng.standard_normal((RESAMPLES, count))
    low, high = np.percentile(estimate + (between[drawn] + noise).mean(axis=1), [2.5, 97.5])
    return _as_ratio(_ordered(float(low), estimate, float(high)))


def bootstrap_over_prompts(per_prompt: Mapping[str, Sequence[float]], *, seed: int) -> Interval:
    """Return the geometric mean over prompts and how far other prompts would have moved it.

    Block bootstrap: prompts are drawn with all their ratios, since the ratios of one prompt say the
    same thing again. The percentile interval is stretched by t / z * sqrt(n / (n - 1)), which n
    prompts lack. One prompt shows nothing of others: the interval of its own ratios comes back.

    Raises:
        JobError: no prompt, or one without ratios.
    """
    if not per_prompt or not all(per_prompt.values()):
        raise JobError("bootstrap over prompts that all have ratios", code="no_pairs")
    if len(per_prompt) == 1:
        return interval(next(iter(per_prompt.values())), seed=seed)
    means = np.array([np.log(np.asarray(ratios)).mean() for ratios in per_prompt.values()])
    count = means.size
    drawn = np.random.default_rng(seed).integers(0, count, (RESAMPLES, count))
    low, high = np.percentile(means[drawn].mean(axis=1), [2.5, 97.5])
    estimate = float(means.mean())
    stretch = t_quantile(0.975, count - 1) / t_quantile(0.975, 1e9) * (count / (count - 1)) ** 0.5
    return _as_ratio(
        _ordered(
            estimate - stretch * (estimate - low), estimate, estimate + stretch * (high - estimate)
        )
    )


def _log_interval(values: Floats, *, seed: int) -> Interval:
    estimate = float(np.median(values))
    if values.size in {1, 2}:
        half = PAIR_NOISE * MEDIAN_FACTOR / values.size**0.5
        return _ordered(
            min(estimate - half, values.min()), estimate, max(estimate + half, values.max())
        )
    medians = _resampled_medians(values, np.random.default_rng(seed))
    low, high = np.percentile(medians, [2.5, 97.5])
    stretch = WIDENING.get(values.size, WIDENING_ABOVE)
    return _ordered(
        estimate - stretch * (estimate - low), estimate, estimate + stretch * (high - estimate)
    )


def _spread(values: Floats, *, seed: int) -> float:
    """Return the standard error that the interval of one launch stands for."""
    alone = _log_interval(values, seed=seed)
    return (alone.high - alone.low) / (2 * 1.96)


def _resampled_medians(values: Floats, rng: np.random.Generator) -> Floats:
    """Return `RESAMPLES` medians. Sorting 12 columns beats `np.median`'s checks threefold."""
    drawn = np.sort(values[rng.integers(0, values.size, (RESAMPLES, values.size))], axis=1)
    half = values.size // 2
    upper: Floats = drawn[:, half]
    return upper if values.size % 2 else (drawn[:, half - 1] + upper) / 2


def _ordered(low: float, estimate: float, high: float) -> Interval:
    return Interval(estimate, min(float(low), estimate), max(float(high), estimate))


def _as_ratio(logs: Interval) -> Interval:
    return Interval(*map(exp, logs))
