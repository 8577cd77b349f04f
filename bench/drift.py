"""Has the machine changed under the session? Every job times the baseline anew, so it shows.

Knows a series of speeds and no more. Ratios within a launch survive a drift; single times, and
anything compared across the change, do not.
"""

from collections.abc import Sequence
from itertools import pairwise
from math import exp, log, sqrt
from statistics import fmean
from typing import NamedTuple

LEAST = 20
"""Fewer jobs than this do not show their own noise well enough; no alarm is raised on them."""
FALSE_ALARMS = 0.01
"""Chance of an alarm in a session that stands still (simulated: 1.8 % with 20 jobs, 1.2 % with 30,
0.9 % with 60 or more; 0.5 % where the noise is given)."""


class Drift(NamedTuple):
    """The baseline's speed moved."""

    at: int
    """Index of the first value of the new level."""
    change: float
    """Mean speed from there on over mean speed before."""
    p_value: float


def drift(baseline_speeds: Sequence[float], *, sd: float | None = None) -> Drift | None:
    """Return the change of level that `baseline_speeds`, in order of time, show; None = none.

    CUSUM of the ln speeds about their mean: max |S_k| / (sd sqrt(n)) has in a still series the
    distribution of Kolmogorov's statistic (Ploberger and Kraemer, Econometrica 60, 1992), and
    lies where the level changed. Speeds of neighbours in time that move together (a busy
    half-hour) count as a change, and are one.

    Args:
        baseline_speeds: tokens per second, all > 0.
        sd: ln standard deviation of one of them; None: from the differences between neighbours
            (von Neumann, 1941), which a change of level hardly touches.
    """
    logs = [log(speed) for speed in baseline_speeds]
    count = len(logs)
    if count < LEAST:
        return None
    if sd is None:
        sd = sqrt(fmean((after - before) ** 2 for before, after in pairwise(logs)) / 2)
    middle, total, farthest, at = fmean(logs), 0.0, 0.0, 0
    for number, value in enumerate(logs[:-1], start=1):
        total += value - middle
        if abs(total) > farthest:
            farthest, at = abs(total), number
    if not farthest:
        return None
    p_value = _kolmogorov_tail(farthest / (sd * sqrt(count))) if sd else 0.0
    if p_value > FALSE_ALARMS:
        return None
    return Drift(at, exp(fmean(logs[at:]) - fmean(logs[:at])), p_value)


def _kolmogorov_tail(x: float) -> float:
    """Return P(K > x) = 2 sum_j (-1)^(j-1) exp(-2 j^2 x^2); the fifth term is below 1e-8."""
    if x < 0.5:  # noqa: PLR2004  (the series is slow there, and the value above 0.96)
        return 1.0
    signs = (1, -1, 1, -1, 1)
    return 2 * sum(sign * exp(-2 * (j * x) ** 2) for j, sign in enumerate(signs, start=1))
