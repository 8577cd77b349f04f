"""When does a contender take the record? The rule of docs/statistics.md, as pure arithmetic.

A contender's own run only *triggers*: it was looked at because it was high, so it is thrown away
and never enters `decide`, which sees fresh launches alone. The session's chance of any false record
is spent test by test. Knows numbers and the challenge's rule; knows no record and no engine.
"""

from collections import Counter
from collections.abc import Sequence
from math import exp, log, pi, sqrt
from statistics import fmean
from typing import NamedTuple

from bench.challenge import PromotionRule
from bench.measurement import Interval
from bench.nested_noise import Components, Launch, centre, components, sample_variance
from bench.student import f_tail, t_quantile, t_tail
from sandbox.errors import JobError

LEAST_LAUNCHES = 2
"""One launch shows no spread of its own."""
SPREAD_DIFFERS = 0.05
"""Below this chance of so wide a spread, the launches are believed about their own noise, and what
is known of other configs is left out (as Welch's test would). Found by resampling 28 recorded
launches, one of them disturbed: without it 10 to 13 % of sessions of 100 tests mint a false record,
with it 2 to 4.5 %; it costs 4 to 5 % of power at 3 sigma (simulated, 2,000 tests each)."""


class Decision(NamedTuple):
    """What the fresh launches say."""

    is_promoted: bool
    gain: Interval
    """Contender over incumbent, with its 95 % interval."""
    p_value: float
    """One-sided: the chance of such a gain or a larger one if there were none."""
    alpha: float
    """What this test may spend; promoted means p_value <= alpha."""
    launches: int


class _Reading(NamedTuple):
    """One way to read the noise: variance of a launch's contrast, and its degrees of freedom."""

    variance: float
    degrees: float


def alpha_of(test: int, rule: PromotionRule) -> float:
    """Return what the session's `test`-th test (1, 2, ...) may spend: alpha 6 / (pi^2 test^2).

    The sum over all tests, however many, is `rule.alpha` (Basel's series), so the chance of any
    false record stays below it whenever one stops (Bonferroni).
    """
    return rule.alpha * 6 / (pi * test) ** 2


def triggers(own: Interval, incumbent: Interval, known: Components, rule: PromotionRule) -> bool:
    """Return whether a run is high enough above the incumbent's mean to spend fresh launches on.

    Only a filter that saves launches: however it errs, no false record comes of it.
    """
    if min(own.estimate, incumbent.estimate) <= 0:
        return False
    return log(own.estimate / incumbent.estimate) > rule.trigger_sigmas * known.single_sd


def contrast_noise(earlier: Sequence[Sequence[Sequence[float]]], rule: PromotionRule) -> Components:
    """Return the noise of contrasts: what the session's earlier tests showed, and the prior.

    The `known` of `decide`. Contrasts of the test itself stay out: it brings its own spread.

    Args:
        earlier: for each earlier test its contrasts, shaped as in `decide`.
        rule: gives the prior.
    """
    tests = [[Launch(tuple(rounds), "") for rounds in contrasts] for contrasts in earlier]
    return components(tests, prior_launch_sd=rule.prior_launch_sd, prior_weight=rule.prior_weight)


def decide(
    contrasts: Sequence[Sequence[float]],
    *,
    test: int,
    known: Components,
    rule: PromotionRule,
    classes: Sequence[str] = (),
) -> Decision:
    """Return whether fresh launches show the contender above the incumbent.

    A launch counts by the median of its rounds' ln contrasts, so a disturbed round does not move
    it. One-sided t-test on the launches' mean. Its variance is read in up to three ways, and the
    largest p-value counts: the launches' own spread pooled with what the session showed; the same
    with the challenge's prior; and, if it is significantly wider than that, their own alone. So
    a prior may widen and never narrow.

    Args:
        contrasts: per launch, per round contender speed over incumbent speed, all > 0.
        test: how many tests the session has spent, this one included.
        known: noise of a launch, best from `contrast_noise`; variance of an output class counts
            twice, since contender and incumbent each draw one.
        rule: the challenge's.
        classes: per launch the output classes of contender and incumbent as one word; launches of
            one word share their draws. Empty: each launch drew its own.

    Raises:
        JobError: fewer than two launches, or one without rounds; the test is not to be spent.
    """
    if len(contrasts) < LEAST_LAUNCHES:
        raise JobError(
            f"a promotion on {len(contrasts)} fresh launches; it needs {LEAST_LAUNCHES} or more",
            code="too_few_launches",
            hint="ask for further fresh launches, or abandon it",
        )
    centres = [centre(rounds) for rounds in contrasts]
    count, gain = len(centres), fmean(centres)
    single = known.timing_variance(fmean(map(len, contrasts))) + 2 * known.output_class**2
    likeness = _likeness(classes or [str(number) for number in range(count)], known, single)
    own = _Reading(sample_variance(centres) / (1 - likeness), (count - 1) * (1 - likeness))
    inflation = 1 + (count - 1) * likeness
    readings = _readings(own, _Reading(single, known.degrees), known)
    errors = [sqrt(reading.variance * inflation / count) for reading in readings]
    p_value = max(
        _chance(gain, error, reading.degrees)
        for error, reading in zip(errors, readings, strict=True)
    )
    half = max(
        error * t_quantile(0.975, reading.degrees)
        for error, reading in zip(errors, readings, strict=True)
    )
    alpha = alpha_of(test, rule)
    interval = Interval(exp(gain), exp(gain - half), exp(gain + half))
    return Decision(p_value <= alpha, interval, p_value, alpha, count)


def _likeness(classes: Sequence[str], known: Components, single: float) -> float:
    """Return the mean correlation of two launches: those of one class share its variance."""
    count = len(classes)
    pairs = sum(n * (n - 1) for n in Counter(classes).values()) / (count * (count - 1))
    share = 2 * known.output_class**2 / single if single else 0.0
    return min(pairs * share, 0.99)


def _readings(own: _Reading, pooled: _Reading, known: Components) -> list[_Reading]:
    """Return the readings of the noise that the data allow."""
    shown = _Reading(pooled.variance * known.shown_ratio, known.shown_degrees)
    readings = [_together(own, pooled)]
    # Launches of one class show little of their spread: below one degree they say nothing alone.
    if own.degrees + shown.degrees >= 1:
        readings.append(_together(own, shown))
    if own.degrees >= 1 and pooled.degrees and 0 < pooled.variance < own.variance:
        chance = f_tail(own.variance / pooled.variance, own.degrees, pooled.degrees)
        readings += [own] if chance < SPREAD_DIFFERS else []
    return readings


def _together(first: _Reading, second: _Reading) -> _Reading:
    degrees = first.degrees + second.degrees
    return _Reading(
        (first.variance * first.degrees + second.variance * second.degrees) / degrees, degrees
    )


def _chance(gain: float, error: float, degrees: float) -> float:
    """Return the one-sided p-value; without any noise, a gain is a certainty."""
    if not error:
        return float(gain <= 0)
    return t_tail(gain / error, degrees)
