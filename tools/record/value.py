"""What one attempt's speed is taken to be, and from which evidence.

The best evidence there is: private texts, else fresh launches, else the single run that everybody
starts from, drawn towards the session's mean because the highest of many runs was partly luck.
"""

import zlib
from math import exp, log, sqrt
from statistics import fmean, variance
from typing import Literal, NamedTuple

from bench.challenge import PromotionRule
from bench.measurement import Interval, Measurement
from bench.nested_noise import Components
from tools.record.lineage import Lineage, Node
from tools.record.noise_of import known_noise

ValueKind = Literal["verified", "fresh", "single", "reported"]
"""verified: on private texts; fresh: mean of fresh launches; single: one run, shrunk; reported: one
draw that others posted, its interval from the challenge's known noise."""

FEWEST_FOR_A_SPREAD = 3
"""Measured attempts; with fewer nobody knows how much attempts of this session differ."""
UNKNOWN_SPREAD = log(2)
"""ln standard deviation of attempts' speeds until then: a single run is hardly moved."""
LEAST_SPREAD = 0.5
"""Of true speeds, in standard deviations of a launch: attempts that differ by noise alone are drawn
together by four fifths, not onto one point."""


class Value(NamedTuple):
    """A speed-up over the baseline with its 95 % interval."""

    kind: ValueKind
    speedup: Interval
    n: int | None
    """Pairs or rounds behind it; None: others counted, and did not say."""
    launches: int


class Yardstick(NamedTuple):
    """What the attempts of a session are valued by."""

    known: Components
    mean: float
    """Geometric mean of all measured attempts' single runs."""
    spread: float
    """ln standard deviation of their true speeds about it, noise taken off."""


def yardstick(lineage: Lineage, rule: PromotionRule) -> Yardstick:
    """Return what `lineage` knows of its noise and its attempts; once per state of it."""
    key = ("yardstick", rule)
    if key not in lineage.memo:
        lineage.memo[key] = _yardstick(lineage, known_noise(lineage, rule))
    found: Yardstick = lineage.memo[key]
    return found


def value_of(node: Node, by: Yardstick) -> Value | None:
    """Return the attempt's value; None while nothing of it was timed."""
    if node.reported is not None:
        speedup = node.speedup
        return Value("reported", speedup, n=None, launches=1) if speedup else None
    if node.verified is not None and node.verified.speed is not None:
        speed = node.verified.speed
        interval = Interval(speed.speedup, speed.low, speed.high)
        return Value("verified", interval, n=speed.rounds, launches=1)
    if node.fresh:
        return _fresh(node, by.known)
    single = single_run(node)
    if single is None:
        return None
    interval = _shrunk(single.speedup, by)
    return Value("single", interval, n=len(single.pair_ratios), launches=1)


def single_run(node: Node) -> Measurement | None:
    """Return the attempt's first full run, else its first screen.

    The first one: further runs are asked for when the first was good, or until one is.
    """
    return next((one for one in node.measurements if one.pair_ratios), None)


def _fresh(node: Node, known: Components) -> Value:
    from bench.noise import fresh_interval  # noqa: PLC0415  (numpy: only for who looks at numbers)

    interval = fresh_interval(node.fresh, known, seed=zlib.crc32(node.attempt.encode()))
    rounds = sum(len(launch.ratios) for launch in node.fresh)
    return Value("fresh", interval, n=rounds, launches=len(node.fresh))


def _shrunk(speedup: float, by: Yardstick) -> Interval:
    from bench.noise import shrunk  # noqa: PLC0415  (numpy: only for who looks at numbers)

    return shrunk(speedup, by.known, prior=by.mean, prior_sd=by.spread)


def _yardstick(lineage: Lineage, known: Components) -> Yardstick:
    runs = (single_run(node) for node in lineage.nodes.values())
    logs = [log(run.speedup) for run in runs if run]
    if len(logs) < FEWEST_FOR_A_SPREAD:
        return Yardstick(known, exp(fmean(logs)) if logs else 1.0, UNKNOWN_SPREAD)
    noise = known.single_sd**2
    spread = sqrt(max(variance(logs) - noise, LEAST_SPREAD**2 * noise))
    return Yardstick(known, exp(fmean(logs)), spread)
