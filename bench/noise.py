"""How sure is a speed? One door to the noise model: intervals, shrinkage, tests, drift.

The nested model lives in `bench.nested_noise`, resampling in `bench.bootstrap`, the watch on the
baseline in `bench.drift`; here is what turns them into statements. Knows numbers only, not where
they come from, and holds no standard deviation of its own: each comes from replicates or as an
argument. Explained and tried out in docs/statistics.md.
"""

from collections import Counter
from collections.abc import Hashable, Iterable, Sequence
from math import exp, log, sqrt
from statistics import fmean
from typing import NamedTuple

from bench.bootstrap import bootstrap_over_prompts, combine, interval
from bench.drift import Drift, drift
from bench.measurement import Interval
from bench.nested_noise import (
    Components,
    Launch,
    centre,
    components,
    median_variance,
    sample_variance,
)
from bench.student import normal_quantile, t_quantile, t_tail
from sandbox.errors import JobError

__all__ = [
    "Components",
    "Drift",
    "Interval",
    "Launch",
    "Welch",
    "bootstrap_over_prompts",
    "centre",
    "combine",
    "components",
    "drift",
    "fresh_interval",
    "interval",
    "median_variance",
    "minimum_detectable",
    "shrunk",
    "welch",
]


class Welch(NamedTuple):
    """Is the first mean above the second, where variances differ?"""

    t: float
    degrees: float
    p_value: float
    """One-sided: the chance of such a difference or a larger one between equal means."""


def fresh_interval(launches: Sequence[Launch], known: Components, *, seed: int) -> Interval:
    """Return the geometric mean of the launches' centres and its 95 % t-interval.

    Timing noise is divided by the launches, a class's draw only by the classes seen, and likewise
    the machine's. The launches' own spread within classes is pooled with what is known. A single
    launch of which nothing is known beyond its pairs gets their bootstrap interval (`seed`).

    Raises:
        JobError: no launch, or one without ratios.
    """
    if not launches:
        raise JobError("an interval needs at least one launch", code="no_pairs")
    centres = [launch.centre for launch in launches]
    own, own_degrees = _spread_within_classes(launches)
    degrees = own_degrees + known.degrees
    if not degrees:
        return combine([launch.ratios for launch in launches], seed=seed)
    rounds = fmean(len(launch.ratios) for launch in launches)
    timing = (own_degrees * own + known.degrees * known.timing_variance(rounds)) / degrees
    of_mean = timing / len(launches)
    of_mean += known.output_class**2 * _shared(_class_of(launch) for launch in launches)
    of_mean += known.machine**2 * _shared(launch.machine for launch in launches)
    return _around(fmean(centres), t_quantile(0.975, degrees) * sqrt(of_mean))


def shrunk(estimate: float, known: Components, *, prior: float, prior_sd: float) -> Interval:
    """Return a single run's value, drawn towards `prior` by as much as it may be luck.

    On logarithms: prior + b (x - prior) with b = tau^2 / (tau^2 + sigma^2), the mean of a normal
    prior updated by one normal value (Efron and Morris, 1975); variance b sigma^2.

    Args:
        estimate: the run's value, > 0.
        known: gives sigma, of one launch.
        prior: what attempts like it come to, > 0.
        prior_sd: tau, the ln standard deviation of true values about it; 0 = nobody differs.
    """
    noise, spread = known.single_sd**2, prior_sd**2
    share = spread / (spread + noise) if spread + noise else 1.0
    middle = log(prior) + share * (log(estimate) - log(prior))
    quantile = t_quantile(0.975, known.degrees) if known.degrees else normal_quantile(0.975)
    return _around(middle, quantile * sqrt(share * noise))


def welch(first: Sequence[float], second: Sequence[float]) -> Welch:
    """Return Welch's test that the mean of `first` lies above that of `second`.

    t = (m1 - m2) / sqrt(s1^2/n1 + s2^2/n2), degrees after Welch (1947) and Satterthwaite (1946).

    Raises:
        JobError: fewer than two values on a side, which show no variance.
    """
    if min(len(first), len(second)) < 2:  # noqa: PLR2004  (a variance takes two)
        raise JobError(
            f"Welch's test on {len(first)} and {len(second)} values; it needs two on each side",
            code="too_few_launches",
        )
    parts = [sample_variance(side) / len(side) for side in (first, second)]
    gap = fmean(first) - fmean(second)
    if not sum(parts):
        return Welch(gap and gap * float("inf"), float("inf"), 0.5 if gap == 0 else float(gap < 0))
    squares = zip(parts, (first, second), strict=True)
    degrees = sum(parts) ** 2 / sum(part**2 / (len(side) - 1) for part, side in squares)
    t = gap / sqrt(sum(parts))
    return Welch(t, degrees, t_tail(t, degrees))


def minimum_detectable(
    sd: float, launches: int, *, alpha: float = 0.05, power: float = 0.8
) -> float:
    """Return the true difference that `launches` on each side find with this `power`.

    One-sided: (z(1 - alpha) + z(power)) sd sqrt(2 / n), in the unit of `sd` (of one launch).
    """
    return (normal_quantile(1 - alpha) + normal_quantile(power)) * sd * sqrt(2 / launches)


def _spread_within_classes(launches: Sequence[Launch]) -> tuple[float, int]:
    """Return the pooled variance of centres about their class's mean, and its degrees."""
    classes: dict[Hashable, list[float]] = {}
    for launch in launches:
        classes.setdefault(_class_of(launch), []).append(launch.centre)
    degrees = len(launches) - len(classes)
    if not degrees:
        return 0.0, 0
    repeated = [values for values in classes.values() if len(values) > 1]
    return sum(
        sample_variance(values) * (len(values) - 1) for values in repeated
    ) / degrees, degrees


def _class_of(launch: Launch) -> Hashable:
    return launch.machine, launch.output_class


def _shared(draws: Iterable[Hashable]) -> float:
    """Return the factor on a variance that all who share a draw have from it: sum of (n_c/n)^2."""
    counts = Counter(draws)
    return sum(count**2 for count in counts.values()) / counts.total() ** 2


def _around(middle: float, half: float) -> Interval:
    return Interval(exp(middle), exp(middle - half), exp(middle + half))
