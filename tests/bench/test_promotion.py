"""When a contender takes the record, and how seldom by luck."""

import random
from math import exp, inf

import pytest

from bench.challenge import PromotionRule
from bench.measurement import Interval
from bench.nested_noise import Components
from bench.promotion import Decision, alpha_of, contrast_noise, decide, triggers
from sandbox.errors import JobError

RULE = PromotionRule(launches=4, prior_launch_sd=0.02)
KNOWN = Components(within=0.0, launch=0.02, output_class=0.0, machine=0.0, degrees=4.0)
BASELINE = Interval(1.0, 1.0, 1.0)


def drawn(
    rng: random.Random, *, gain: float = 0.0, sd: float = 0.02, launches: int = 4
) -> list[list[float]]:
    return [
        [exp(launch + rng.gauss(0, 0.005)) for _ in range(4)]
        for launch in (gain + rng.gauss(0, sd) for _ in range(launches))
    ]


def decided(contrasts: list[list[float]], *, test: int = 1, known: Components = KNOWN) -> Decision:
    return decide(contrasts, test=test, known=known, rule=RULE)


def test_the_budget_of_all_tests_together_is_alpha() -> None:
    spent = sum(alpha_of(test, RULE) for test in range(1, 5000))

    assert 0.0499 < spent < 0.05
    assert alpha_of(1, RULE) == pytest.approx(0.0304, abs=1e-4)
    assert alpha_of(10, RULE) == pytest.approx(alpha_of(1, RULE) / 100)


@pytest.mark.parametrize(("own", "is_far"), [(1.03, False), (1.05, True), (0.9, False), (0, False)])
def test_a_run_two_launch_deviations_up_triggers(own: float, *, is_far: bool) -> None:
    assert triggers(Interval(own, own, own), BASELINE, KNOWN, RULE) is is_far


def test_a_class_of_its_own_makes_a_run_less_remarkable() -> None:
    noisy = KNOWN._replace(output_class=0.05)

    assert not triggers(Interval(1.05, 1.05, 1.05), BASELINE, noisy, RULE)


def test_a_clear_gain_is_promoted_and_reported_with_its_interval() -> None:
    found = decided(drawn(random.Random(1), gain=0.2))

    assert found.is_promoted
    assert found.gain.low < exp(0.2) < found.gain.high
    assert (found.launches, found.alpha) == (4, alpha_of(1, RULE))


@pytest.mark.parametrize("gain", [0.0, -0.2])
def test_no_gain_is_refused(gain: float) -> None:
    assert not decided(drawn(random.Random(2), gain=gain)).is_promoted


def test_a_later_test_asks_for_more() -> None:
    contrasts = drawn(random.Random(3), gain=0.07)

    assert decided(contrasts, test=1).is_promoted
    assert not decided(contrasts, test=40).is_promoted


@pytest.mark.parametrize("prior", [0.005, 0.02, 0.06])
def test_equal_speeds_are_promoted_no_more_often_than_spent(prior: float) -> None:
    rng, rule = random.Random(4), PromotionRule(prior_launch_sd=prior, launches=4)
    known = contrast_noise([], rule)
    hits = sum(decide(drawn(rng), test=1, known=known, rule=rule).is_promoted for _ in range(3000))

    assert hits <= 1.25 * alpha_of(1, rule) * 3000


def test_a_prior_that_is_too_narrow_does_not_help() -> None:
    contrasts = drawn(random.Random(5), gain=0.04)
    rules = [PromotionRule(prior_launch_sd=sd) for sd in (0.001, 0.02)]
    narrow, fair = (decide(contrasts, test=1, known=contrast_noise([], r), rule=r) for r in rules)

    assert narrow.p_value > 0.5 * fair.p_value


def test_earlier_tests_sharpen_the_next() -> None:
    rng = random.Random(6)
    earlier = [drawn(rng) for _ in range(9)]
    contrasts = drawn(rng, gain=0.06)
    taught, new = decided(contrasts, known=contrast_noise(earlier, RULE)), decided(contrasts)

    assert taught.p_value < new.p_value
    assert contrast_noise(earlier, RULE).degrees == 4 + 9 * 3


def test_a_noisy_contender_is_not_judged_by_the_calm_of_others() -> None:
    rng = random.Random(7)
    calm = contrast_noise([drawn(rng, sd=0.005) for _ in range(40)], RULE)
    hits = sum(decided(drawn(rng, sd=0.03), known=calm).is_promoted for _ in range(1000))

    assert hits <= 0.1 * 1000


def test_one_disturbed_launch_makes_no_record() -> None:
    known = contrast_noise([drawn(random.Random(8), sd=0.01) for _ in range(20)], RULE)
    contrasts = [[1.0, 1.01, 0.99, 1.0], [1.0, 1.0, 1.0, 1.01], [0.99, 1.0, 1.0, 1.0], [1.2] * 4]

    assert not decided(contrasts, known=known, test=2).is_promoted


def test_one_disturbed_round_does_not_move_a_launch() -> None:
    calm = [[1.1, 1.1, 1.1, 1.1] for _ in range(4)]
    disturbed = [[1.1, 1.1, 1.1, 9.0], *calm[1:]]

    assert decided(disturbed).gain == decided(calm).gain


def test_launches_of_one_class_are_not_so_many_draws() -> None:
    known = KNOWN._replace(output_class=0.02, launch=0.005, degrees=40.0)
    contrasts = drawn(random.Random(9), gain=0.08, sd=0.005)
    same = decide(contrasts, test=1, known=known, rule=RULE, classes=["x"] * 4)
    different = decide(contrasts, test=1, known=known, rule=RULE, classes=list("abcd"))

    assert same.p_value > 3 * different.p_value
    assert same.gain.low < different.gain.low


def test_equal_launches_without_any_noise_are_certain() -> None:
    known = Components(0.0, 0.0, 0.0, 0.0, degrees=0.0)

    assert decided([[1.1] * 4] * 4, known=known).p_value == 0.0
    assert decided([[1.0] * 4] * 4, known=known).p_value == 1.0


@pytest.mark.parametrize(
    ("contrasts", "code"),
    [([], "too_few_launches"), ([[1.0]], "too_few_launches"), ([[1.0], []], "no_pairs")],
)
def test_too_little_decides_nothing(contrasts: list[list[float]], code: str) -> None:
    with pytest.raises(JobError) as caught:
        decided(contrasts)
    assert caught.value.code == code


def test_the_gain_is_finite_however_little_is_known() -> None:
    found = decided([[1.1, 1.2], [1.3, 1.1]])

    assert 0 < found.gain.low < found.gain.estimate < found.gain.high < inf
