"""Variance components, pooling, and what is made of them."""

import random
from collections.abc import Iterator
from math import exp, log, sqrt
from statistics import fmean, median, variance

import pytest

from bench.nested_noise import Components, Launch, components, median_variance
from bench.noise import (
    bootstrap_over_prompts,
    drift,
    fresh_interval,
    minimum_detectable,
    shrunk,
    welch,
)
from sandbox.errors import JobError

KNOWN = Components(within=0.0, launch=0.02, output_class=0.0, machine=0.0, degrees=30.0)
CLASSED = KNOWN._replace(launch=0.001, output_class=0.02)


def drawn_config(
    rng: random.Random, *, classes: int, launches: int, class_sd: float, launch_sd: float
) -> Iterator[Launch]:
    for name in range(classes):
        of_class = rng.gauss(0, class_sd)
        for _ in range(launches):
            yield Launch((exp(of_class + rng.gauss(0, launch_sd)),), str(name))


def single(value: float, of_class: str = "", machine: str = "") -> Launch:
    return Launch((value,), of_class, machine)


def width(found: tuple[float, float, float]) -> float:
    return log(found[2] / found[1])


@pytest.mark.parametrize("count", [1, 2, 3, 4, 5, 8, 10, 15])
def test_the_variance_of_a_median_is_the_tabled_one(count: int) -> None:
    rng = random.Random(count)
    medians = [median(rng.gauss(0, 1) for _ in range(count)) for _ in range(8000)]

    assert variance(medians) == pytest.approx(median_variance(count), rel=0.07)


def test_levels_are_told_apart() -> None:
    rng = random.Random(1)
    shape = {"classes": 6, "launches": 3, "class_sd": 0.01, "launch_sd": 0.001}
    configs = [list(drawn_config(rng, **shape)) for _ in range(60)]
    known = components(configs, prior_launch_sd=0.02, prior_weight=4)

    assert known.launch == pytest.approx(0.001, rel=0.1)
    assert known.output_class == pytest.approx(0.01, rel=0.1)
    assert known.machine == 0.0


def test_the_level_of_a_pair_ignores_a_disturbed_one() -> None:
    rng = random.Random(2)
    launches = [Launch((*(exp(rng.gauss(0, 0.03)) for _ in range(9)), 1.5), "") for _ in range(40)]
    known = components([launches], prior_launch_sd=0.02, prior_weight=0)

    assert known.within == pytest.approx(0.03, rel=0.35)
    assert known.launch < 0.01


def test_machines_are_a_level_of_their_own() -> None:
    rng = random.Random(3)
    configs = [
        [
            single(exp(offset + rng.gauss(0, 0.002)), "c", machine)
            for machine, offset in (("a", 0.0), ("b", rng.gauss(0, 0.05)))
            for _ in range(4)
        ]
        for _ in range(80)
    ]
    known = components(configs, prior_launch_sd=0.02, prior_weight=4)

    assert known.machine == pytest.approx(0.05 / sqrt(2), rel=0.2)
    assert known.single_sd < 0.01


def test_classes_that_do_not_differ_are_one_class() -> None:
    rng = random.Random(4)
    configs = [[single(exp(rng.gauss(0, 0.01)), str(i % 2)) for i in range(6)] for _ in range(100)]
    known = components(configs, prior_launch_sd=0.02, prior_weight=0)

    assert known.single_sd == pytest.approx(0.01, rel=0.1)
    assert known.output_class < 0.004


def test_classes_seen_once_each_take_all_the_spread() -> None:
    config = [single(value, str(value)) for value in (491.2, 503.8, 491.9, 497.9)]
    known = components([config], prior_launch_sd=1, prior_weight=0)

    assert known.launch == 0.0
    assert known.output_class == pytest.approx(0.0118, rel=0.01)
    assert known.degrees == 3


def test_without_replicates_the_prior_is_all_that_is_known() -> None:
    known = components([[single(1.2)], [single(3.4)]], prior_launch_sd=0.03, prior_weight=4)

    assert known.single_sd == pytest.approx(0.03)
    assert (known.degrees, known.shown_degrees) == (4, 0)


@pytest.mark.parametrize(("launches", "least", "most"), [(2, 0.026, 0.03), (200, 0.009, 0.013)])
def test_few_replicates_stay_near_the_prior(launches: int, least: float, most: float) -> None:
    rng = random.Random(5)
    config = [single(exp(rng.gauss(0, 0.01))) for _ in range(launches)]
    known = components([config], prior_launch_sd=0.03, prior_weight=4)

    assert least < known.single_sd < most
    assert known.degrees == 4 + launches - 1


def test_configs_of_different_speed_show_no_noise_by_that() -> None:
    calm = [[single(speed), single(speed * 1.001)] for speed in (1.0, 2.0, 3.0)]

    assert components(calm, prior_launch_sd=0.02, prior_weight=0).single_sd < 0.001


def test_launches_of_a_class_share_its_draw() -> None:
    same = [single(value, "c") for value in (1.0, 1.001, 0.999, 1.0)]
    other = [single(value, str(i)) for i, value in enumerate((1.0, 1.001, 0.999, 1.0))]
    one_class, four = (fresh_interval(found, CLASSED, seed=1) for found in (same, other))

    assert width(four) == pytest.approx(width(one_class) / 2, rel=0.05)


def test_launches_on_one_machine_share_that_machine() -> None:
    known = KNOWN._replace(launch=0.0001, machine=0.02)
    here = fresh_interval([single(1.0, "c", "a")] * 4, known, seed=1)
    spread = fresh_interval([single(1.0, "c", name) for name in "abcd"], known, seed=1)

    assert width(spread) < 0.6 * width(here)


@pytest.mark.parametrize("count", [2, 3, 5])
def test_a_fresh_interval_covers_the_truth_as_often_as_it_says(count: int) -> None:
    rng, covered = random.Random(count), 0
    for _ in range(1500):
        config = [single(exp(rng.gauss(0, 0.02)), "c") for _ in range(count)]
        shown = [[single(exp(rng.gauss(0, 0.02)), "c") for _ in range(5)]]
        known = components(shown, prior_launch_sd=0.02, prior_weight=1)
        found = fresh_interval(config, known, seed=1)
        covered += found.low <= 1 <= found.high

    assert 0.93 * 1500 <= covered <= 0.975 * 1500


def test_an_interval_widens_with_ignorance() -> None:
    launches = [single(1.0), single(1.01)]
    widths = [width(fresh_interval(launches, KNOWN._replace(degrees=d), seed=1)) for d in (30, 2)]

    assert widths[1] > 1.3 * widths[0]


def test_a_launch_of_which_nothing_else_is_known_has_the_interval_of_its_pairs() -> None:
    nothing = components([], prior_launch_sd=0.02, prior_weight=0)
    found = fresh_interval([Launch((0.98, 1.0, 1.01, 1.03), "c")], nothing, seed=1)

    assert found.low < found.estimate < found.high


@pytest.mark.parametrize("launches", [[], [Launch((), "c")]])
def test_nothing_has_no_fresh_interval(launches: list[Launch]) -> None:
    with pytest.raises(JobError) as caught:
        fresh_interval(launches, KNOWN, seed=1)
    assert caught.value.code == "no_pairs"


def test_shrinkage_keeps_the_order_and_never_passes_the_prior() -> None:
    found = [shrunk(x, KNOWN, prior=1.2, prior_sd=0.1).estimate for x in (0.9, 1.1, 1.2, 1.3, 2.0)]

    assert found == sorted(found)
    assert found[2] == pytest.approx(1.2)
    assert 0.9 < found[0] < 1.2 < found[-1] < 2.0


def test_a_noisier_run_is_drawn_closer_to_the_prior() -> None:
    noises = (0.01, 0.05, 0.2)
    found = [shrunk(2.0, KNOWN._replace(launch=sd), prior=1.0, prior_sd=0.1) for sd in noises]

    assert [one.estimate for one in found] == sorted((o.estimate for o in found), reverse=True)
    assert shrunk(2.0, KNOWN, prior=1.0, prior_sd=0.0).estimate == pytest.approx(1.0)


def test_shrunk_values_err_less_than_the_runs_they_come_from() -> None:
    rng = random.Random(6)
    truths = [rng.gauss(0, 0.02) for _ in range(2000)]
    runs = [truth + rng.gauss(0, 0.02) for truth in truths]
    drawn = [log(shrunk(exp(x), KNOWN, prior=1.0, prior_sd=0.02).estimate) for x in runs]
    errors = [fmean((a - b) ** 2 for a, b in zip(v, truths, strict=True)) for v in (drawn, runs)]

    assert errors[0] == pytest.approx(errors[1] / 2, rel=0.1)


def test_welch_by_hand() -> None:
    found = welch([5.0, 7.0, 9.0], [1.0, 2.0, 3.0, 2.0])

    # Means 7 and 2, variances 4 and 2/3: t = 5 / sqrt(4/3 + 1/6), degrees 1.5^2 / (8/9 + 1/108).
    assert found.t == pytest.approx(4.0825, abs=1e-4)
    assert found.degrees == pytest.approx(2.505, abs=1e-3)
    assert 0.01 < found.p_value < 0.025


@pytest.mark.parametrize(("first", "p_value"), [([2.0, 2.0], 0.0), ([1.0, 1.0], 0.5), ([0, 0], 1)])
def test_welch_without_any_spread(first: list[float], p_value: float) -> None:
    assert welch(first, [1.0, 1.0]).p_value == p_value


def test_welch_needs_two_values_on_each_side() -> None:
    with pytest.raises(JobError) as caught:
        welch([1.0], [1.0, 2.0])
    assert caught.value.code == "too_few_launches"


@pytest.mark.parametrize(("count", "sigmas"), [(1, 3.5), (2, 2.5), (3, 2.0), (5, 1.6), (16, 0.9)])
def test_what_is_detectable_with_so_many_launches(count: int, sigmas: float) -> None:
    assert minimum_detectable(1.0, count) == pytest.approx(sigmas, abs=0.05)


def still(rng: random.Random, count: int) -> list[float]:
    return [30 * exp(rng.gauss(0, 0.03)) for _ in range(count)]


@pytest.mark.parametrize("count", [30, 60, 200])
@pytest.mark.parametrize("sd", [None, 0.03])
def test_a_still_machine_raises_no_alarm(count: int, sd: float | None) -> None:
    rng = random.Random(count)
    alarms = sum(drift(still(rng, count), sd=sd) is not None for _ in range(1000))

    assert alarms <= 20


def test_a_machine_that_slows_down_is_noticed_where_it_did() -> None:
    speeds = still(random.Random(7), 60)
    found = drift([*speeds[:40], *(0.9 * speed for speed in speeds[40:])])

    assert found is not None
    assert abs(found.at - 40) <= 2
    assert found.change == pytest.approx(0.9, abs=0.02)


def test_a_slow_slide_is_noticed() -> None:
    speeds = still(random.Random(8), 60)

    assert drift([speed * (1 - n / 400) for n, speed in enumerate(speeds)]) is not None


@pytest.mark.parametrize("speeds", [[], [30.0] * 10 + [20.0] * 9, [30.0] * 20])
def test_too_few_or_equal_speeds_raise_no_alarm(speeds: list[float]) -> None:
    assert drift(speeds) is None


def test_a_step_without_any_noise_is_certain() -> None:
    found = drift([30.0] * 10 + [20.0] * 10, sd=0.0)

    assert found is not None
    assert (found.at, found.p_value) == (10, 0.0)


@pytest.mark.parametrize("count", [4, 12])
def test_other_prompts_are_covered_by_the_bootstrap(count: int) -> None:
    rng, covered = random.Random(count), 0
    for seed in range(300):
        prompts = {str(n): (rng.gauss(0, 0.05),) * 3 for n in range(count)}
        ratios = {name: [exp(v + rng.gauss(0, 0.01)) for v in vs] for name, vs in prompts.items()}
        found = bootstrap_over_prompts(ratios, seed=seed)
        covered += found.low <= 1 <= found.high

    assert covered >= 0.91 * 300


def test_one_prompt_speaks_for_itself_alone() -> None:
    assert bootstrap_over_prompts({"a": [1.1, 1.2, 1.3]}, seed=1).estimate == pytest.approx(1.2)


@pytest.mark.parametrize("per_prompt", [{}, {"a": [], "b": [1.0]}])
def test_no_prompts_have_no_interval(per_prompt: dict[str, list[float]]) -> None:
    with pytest.raises(JobError) as caught:
        bootstrap_over_prompts(per_prompt, seed=1)
    assert caught.value.code == "no_pairs"
