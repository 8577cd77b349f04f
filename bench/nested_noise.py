"""Where speed noise comes from: pairs within launches, launches, output classes, machines.

A launch is one start of an engine; its centre is the median of its pairs' logarithms, so that one
disturbed pair cannot move it. Launches that emit the same tokens are one *output class*: in the
Fast Gemma Challenge the class explained 99 % of the spread between 18 launches of one unchanged
package, so launches of a class share one draw, however many they are.

Variances are estimated by moments from replicates, level by level (Searle, Casella and McCulloch,
Variance Components, 1992, chapter 3), and pooled with a prior that the challenge file gives: few
replicates, much prior. Natural logarithms throughout; plain Python, knows no record and no rule.
"""

from collections.abc import Iterable, Sequence
from itertools import combinations
from math import log, pi, sqrt
from statistics import fmean, median
from typing import NamedTuple

from sandbox.errors import JobError

MEDIAN_VARIANCE = (0.0, 1.0, 0.5, 0.4487, 0.2982, 0.2868, 0.2147, 0.2104, 0.1682, 0.1661, 0.1383)
"""Variance of the median of n standard normal values, n = 0 .. 10 (order-statistics tables, checked
by simulation in the tests); pi / (2 n) above, 4 % too wide at 11."""
PAIR_DIFFERENCE = 0.6745 * sqrt(2)
"""Median absolute difference of two normal values, in their standard deviations."""


class Launch(NamedTuple):
    """One launch of one config."""

    ratios: tuple[float, ...]
    """One per pair (or request): ratios or speeds, all > 0."""
    output_class: str
    """Its output digest; equal = the same tokens. Empty where nobody looked."""
    machine: str = ""

    @property
    def centre(self) -> float:
        """Median of the ln ratios.

        Raises:
            JobError: it has no ratio, so nothing was measured.
        """
        return centre(self.ratios)


class Components(NamedTuple):
    """ln standard deviations of each level; squares add up."""

    within: float
    """Of one pair about its launch (robust: from the median difference of two pairs)."""
    launch: float
    """Of a launch about its output class, beyond what its pairs explain."""
    output_class: float
    machine: float
    degrees: float
    """Of freedom behind the noise of a launch, the prior's weight among them."""
    rounds: float = 1.0
    """Pairs of a typical launch behind these figures."""
    shown_degrees: float = 0.0
    """Of `degrees`, those that replicates showed."""
    shown_ratio: float = 1.0
    """Variance that the replicates alone show, over the one given here (prior pooled in)."""

    def timing_variance(self, rounds: float | None = None) -> float:
        """Return the variance of a launch's centre about its class, with so many `rounds`."""
        return self.launch**2 + self.within**2 * median_variance(rounds or self.rounds)

    @property
    def single_sd(self) -> float:
        """Standard deviation of one launch of a config on one machine, class included."""
        return sqrt(self.timing_variance() + self.output_class**2)


class _Node(NamedTuple):
    """A centre at some level, and the variance it has from the levels below."""

    value: float
    noise: float


class _Level(NamedTuple):
    """Sample variance of nodes about their parents, and how much of it came from below."""

    spread: float
    inherited: float
    degrees: int

    @property
    def component(self) -> float:
        return max(0.0, self.spread - self.inherited)


class _Tree(NamedTuple):
    """Variances of launches, classes and machines, before any prior."""

    launches: _Level
    classes: _Level
    machine_variance: float


def median_variance(count: float) -> float:
    """Return the variance of the median of `count` standard normal values."""
    whole = max(1, round(count))
    return MEDIAN_VARIANCE[whole] if whole < len(MEDIAN_VARIANCE) else pi / (2 * whole)


def sample_variance(values: Sequence[float]) -> float:
    """Return the variance of two or more values; ten times faster than that of `statistics`."""
    middle = fmean(values)
    return sum((value - middle) ** 2 for value in values) / (len(values) - 1)


def centre(ratios: Sequence[float]) -> float:
    """Return the median of the ln ratios of one launch.

    Raises:
        JobError: there are none.
    """
    if not ratios:
        raise JobError("a launch without ratios has no centre", code="no_pairs")
    return median(map(log, ratios))


def components(
    configs: Sequence[Sequence[Launch]], *, prior_launch_sd: float, prior_weight: float
) -> Components:
    """Return the noise that the replicates of several configs show, pooled with the prior.

    Configs may differ in speed; only spread within a config counts, so one launch of a config says
    nothing. Where no class was seen twice, launches and classes cannot be told apart: all is
    then laid to the class, which is the wider reading. Machines are not pooled with the prior.

    Args:
        configs: for each config its launches, none without ratios.
        prior_launch_sd: ln standard deviation of one launch, believed before any was seen.
        prior_weight: the degrees of freedom that this belief counts for; 0 = none.
    """
    launches = [launch for config in configs for launch in config]
    within = _within(launches)
    rounds = fmean(len(launch.ratios) for launch in launches) if launches else 1.0
    tree = _tree(configs)
    shown, shown_degrees = _total(tree)
    degrees = prior_weight + shown_degrees
    known = prior_launch_sd**2
    if degrees:
        known = (prior_weight * prior_launch_sd**2 + shown_degrees * shown) / degrees
    of_class = known * tree.classes.component / shown if shown else 0.0
    paired = (
        within**2 * fmean(median_variance(len(one.ratios)) for one in launches) if within else 0
    )
    return Components(
        within=within,
        launch=sqrt(max(0.0, known - of_class - paired)),
        output_class=sqrt(of_class),
        machine=sqrt(tree.machine_variance),
        degrees=degrees,
        rounds=rounds,
        shown_degrees=shown_degrees,
        shown_ratio=shown / known if shown_degrees and known else 1.0,
    )


_ALONE = Launch((1.0,), "")
"""Stands in for no launch at all."""


def _within(launches: Iterable[Launch]) -> float:
    """Return the standard deviation of a pair, from all differences between pairs of a launch.

    Not from squares: on a shared machine one pair in fifty lies 20 % off, which the median of a
    launch does not feel (28 real launches: squares say 0.056, this 0.037; the medians fit 0.037).
    """
    gaps = [
        abs(log(first / second))
        for launch in launches
        for first, second in combinations(launch.ratios, 2)
    ]
    return median(gaps) / PAIR_DIFFERENCE if gaps else 0.0


def _tree(configs: Sequence[Sequence[Launch]], *, classless: bool = False) -> _Tree:
    """Return each level's variance: launches in classes in machines in configs."""
    nested: dict[tuple[int, str], dict[str, list[float]]] = {}
    for number, config in enumerate(configs):
        for launch in config:
            name = "" if classless else launch.output_class
            family = nested.setdefault((number, launch.machine), {})
            family.setdefault(name, []).append(launch.centre)
    timing = _level([[_Node(v, 0.0) for v in c] for m in nested.values() for c in m.values()])
    machines = [
        (number, [_parent([_Node(v, 0.0) for v in c], timing.spread) for c in m.values()])
        for (number, _), m in nested.items()
    ]
    classes = _level([children for _, children in machines])
    if classes.degrees and not classes.component:
        return _tree(configs, classless=True)
    by_config: dict[int, list[_Node]] = {}
    for number, children in machines:
        by_config.setdefault(number, []).append(_parent(children, classes.component))
    return _Tree(timing, classes, _level(list(by_config.values())).component)


def _level(families: Sequence[Sequence[_Node]]) -> _Level:
    """Return the pooled sample variance of nodes about their family's mean."""
    degrees = sum(len(family) - 1 for family in families)
    if not degrees:
        return _Level(0.0, 0.0, 0)
    squares = inherited = 0.0
    for family in families:
        middle = sum(node.value for node in family) / len(family)
        squares += sum((node.value - middle) ** 2 for node in family)
        inherited += sum(node.noise for node in family) * (1 - 1 / len(family))
    return _Level(squares / degrees, inherited / degrees, degrees)


def _parent(children: Sequence[_Node], component: float) -> _Node:
    """Return the mean of `children`, and its variance given theirs and what sets them apart."""
    count = len(children)
    noise = (component + sum(child.noise for child in children) / count) / count
    return _Node(sum(child.value for child in children) / count, noise)


def _total(tree: _Tree) -> tuple[float, float]:
    """Return the variance of one launch and its degrees of freedom (Satterthwaite, 1946).

    It is classes.spread + (1 - h) launches.spread, with h the share of the launches' variance that
    class means still hold; degrees of such a sum: its square over the sum of (part^2 / degrees).
    """
    launches, classes, _ = tree
    if not classes.component:
        return launches.spread, float(launches.degrees)
    rest = launches.spread - classes.inherited
    total = classes.spread + rest
    parts = classes.spread**2 / classes.degrees
    if launches.degrees:
        parts += rest**2 / launches.degrees
    return total, total**2 / parts
