"""A simulated session: attempts with known true speeds, judged by the shipped rule.

Everything here is *simulated*: speeds are drawn, no engine runs. What is under test is real:
`triggers`, `decide`, `contrast_noise` and `fresh_interval` are those of `bench`.

One launch of an engine has a ln speed of truth + launch noise + pair noise; half of a launch's
variance comes from its pairs. `sigma` is the ln standard deviation of one launch's value.
"""

from collections.abc import Sequence
from math import exp, log, sqrt
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from bench.challenge import PromotionRule
from bench.measurement import Interval
from bench.noise import Components, Launch, components, fresh_interval, median_variance
from bench.promotion import contrast_noise, decide, triggers

Floats = npt.NDArray[np.float64]
PAIR_SHARE = 0.5
CONFIRM_EVERY = 20
"""One attempt in so many is run twice, as riders do to confirm; that is how a session learns the
noise of a run before its first test."""
BASELINE = Interval(1.0, 1.0, 1.0)


class World(NamedTuple):
    """How launches of contender and incumbent belong together."""

    name: str
    sigma: float
    is_apart: bool
    """False: both are timed in turns in one launch beside the baseline, as this project does, so a
    contrast is as noisy as a run. True: each has its own draw of sigma and the baseline has none,
    the worst case, so a contrast is sqrt(2) times as noisy as a run."""

    @property
    def engine_sd(self) -> float:
        return self.sigma if self.is_apart else self.sigma / sqrt(2)


class Fresh(NamedTuple):
    """Fresh launches of one test."""

    contrasts: list[list[float]]
    contender: list[Launch]
    incumbent: list[Launch]


class Outcome(NamedTuple):
    """What one campaign came to; sigmas of a launch, on logarithms."""

    records: int
    """Promotions, all of them false where no attempt is better than another."""
    tests: int
    optimism: float
    """The champion's reported value minus its true one."""


def draw_noise(rng: np.random.Generator, shape: tuple[int, int]) -> Floats:
    """Return launches x rounds whose medians have a variance of 1, half of it from the rounds."""
    pair = sqrt(PAIR_SHARE / median_variance(shape[1]))
    launch = sqrt(1 - PAIR_SHARE) * rng.standard_normal((shape[0], 1))
    noise: Floats = launch + pair * rng.standard_normal(shape)
    return noise


def draw_fresh(
    rng: np.random.Generator,
    world: World,
    rule: PromotionRule,
    *,
    contender: float,
    incumbent: float,
) -> Fresh:
    """Return one test's fresh launches; `contender` and `incumbent` are true ln speeds-up."""
    shape = (rule.launches, rule.rounds)
    first, second, baseline = (world.engine_sd * draw_noise(rng, shape) for _ in range(3))
    first, second = first + contender, second + incumbent
    baseline = 0 * baseline if world.is_apart else baseline
    return Fresh(
        np.exp(first - second).tolist(), launches(first - baseline), launches(second - baseline)
    )


def launches(logs: Floats) -> list[Launch]:
    return [Launch(tuple(row), "") for row in np.exp(logs).tolist()]


def run_noise(replicates: Sequence[Sequence[Launch]], rule: PromotionRule) -> Components:
    """Return the noise of one run, from replicates as the session's record holds them."""
    return components(
        replicates, prior_launch_sd=rule.prior_launch_sd, prior_weight=rule.prior_weight
    )


class Campaign:
    """One session: each attempt runs once, and after every run the rule is asked."""

    def __init__(self, rng: np.random.Generator, world: World, rule: PromotionRule) -> None:
        self.rng, self.world, self.rule = rng, world, rule
        self.value, self.champion, self.records = BASELINE, 0.0, 0
        self.tests: list[Fresh] = []
        self._replicates: list[list[Launch]] = []
        self._champion_launches: list[Launch] = []
        self._learn()

    def ride(self, truths: Sequence[float]) -> Outcome:
        """Run attempts of these true ln speeds-up, one in `CONFIRM_EVERY` a second time."""
        runs, confirmations = (self._draw_runs(truths) for _ in range(2))
        for number, (run, truth) in enumerate(zip(runs, truths, strict=True)):
            own = exp(run.centre)
            if triggers(Interval(own, own, own), self.value, self._run_known, self.rule):
                self._test(truth)
            elif number % CONFIRM_EVERY == 0:
                self._replicates.append([run, confirmations[number]])
                self._run_known = run_noise(self._replicates, self.rule)
        optimism = (log(self.value.estimate) - self.champion) / self.world.sigma
        return Outcome(self.records, len(self.tests), optimism)

    def _test(self, truth: float) -> None:
        fresh = draw_fresh(
            self.rng, self.world, self.rule, contender=truth, incumbent=self.champion
        )
        test = len(self.tests) + 1
        decision = decide(fresh.contrasts, test=test, known=self._known, rule=self.rule)
        self.tests.append(fresh)
        self._replicates.append(fresh.contender)
        self._champion_launches += fresh.incumbent if self.records else []
        if decision.is_promoted:
            self.champion, self._champion_launches = truth, list(fresh.contender)
            self.records += 1
        self._learn()
        if self.records:
            self.value = fresh_interval(self._champion_launches, self._run_known, seed=0)

    def _learn(self) -> None:
        self._run_known = run_noise(self._replicates, self.rule)
        self._known = contrast_noise([fresh.contrasts for fresh in self.tests], self.rule)

    def _draw_runs(self, truths: Sequence[float]) -> list[Launch]:
        shape = (len(truths), self.rule.rounds)
        noise = draw_noise(self.rng, shape) * self.world.sigma
        return launches(np.asarray(truths)[:, None] + noise)


def promoted_gains(
    rng: np.random.Generator,
    world: World,
    rule: PromotionRule,
    *,
    gain_sigmas: Sequence[float],
    test: int,
) -> list[bool]:
    """Return for each true gain whether the session's `test`-th test promotes it.

    The incumbent has withstood all tests before. One draw of noise serves all gains.
    """
    before = [draw_fresh(rng, world, rule, contender=0, incumbent=0) for _ in range(test - 1)]
    run_known = run_noise([fresh.contender for fresh in before], rule)
    known = contrast_noise([fresh.contrasts for fresh in before], rule)
    seen = [launch for fresh in before for launch in fresh.incumbent]
    incumbent = fresh_interval(seen, run_known, seed=0)
    luck = world.sigma * rng.standard_normal()
    fresh = draw_fresh(rng, world, rule, contender=0, incumbent=0)
    found = []
    for gain in (sigmas * world.sigma for sigmas in gain_sigmas):
        own = exp(gain + luck)
        contrasts = [[one * exp(gain) for one in launch] for launch in fresh.contrasts]
        found.append(
            triggers(Interval(own, own, own), incumbent, run_known, rule)
            and decide(contrasts, test=test, known=known, rule=rule).is_promoted
        )
    return found
