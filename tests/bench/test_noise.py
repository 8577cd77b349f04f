import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bench.noise import combine, interval
from sandbox.errors import JobError

ratio_lists = st.lists(st.floats(0.1, 10), min_size=1, max_size=14)


def drawn(rng: random.Random, count: int, *, shift: float = 0.0) -> list[float]:
    return [1 + shift + rng.gauss(0, 0.03) for _ in range(count)]


@given(ratio_lists, st.integers(0, 1000))
def test_the_estimate_lies_in_its_interval(ratios: list[float], seed: int) -> None:
    found = interval(ratios, seed=seed)

    assert 0 <= found.low <= found.estimate <= found.high


@given(ratio_lists)
def test_the_same_seed_gives_the_same_interval(ratios: list[float]) -> None:
    assert interval(ratios, seed=1) == interval(ratios, seed=1)


@given(st.lists(ratio_lists, min_size=1, max_size=4))
def test_launches_combine_to_an_interval_around_their_mean(launches: list[list[float]]) -> None:
    found = combine(launches, seed=1)

    assert found.low <= found.estimate <= found.high


@pytest.mark.parametrize("count", [1, 2, 3, 4, 5, 7, 10, 14])
def test_the_interval_covers_the_truth_as_often_as_it_says(count: int) -> None:
    rng = random.Random(count)
    found = [interval(drawn(rng, count), seed=i) for i in range(400)]

    assert sum(one.low <= 1 <= one.high for one in found) >= 0.92 * 400


@pytest.mark.parametrize("count", [2, 3, 5])
def test_launches_that_differ_widen_the_interval(count: int) -> None:
    rng = random.Random(count)
    covered = 0
    for seed in range(200):
        launches = [drawn(rng, 8, shift=rng.gauss(0, 0.02)) for _ in range(count)]
        found = combine(launches, seed=seed)
        covered += found.low <= 1 <= found.high

    assert covered >= 0.85 * 200


def test_more_agreeing_launches_narrow_the_interval() -> None:
    launch = [0.98, 0.99, 1.0, 1.01, 1.02]
    few, many = combine([launch], seed=1), combine([launch] * 4, seed=1)

    assert many.high - many.low < 0.7 * (few.high - few.low)


def test_one_pair_is_as_uncertain_as_pairs_are_elsewhere() -> None:
    found = interval([1.2], seed=1)

    assert found.low < 1.1
    assert found.high > 1.3


@pytest.mark.parametrize("launches", [[], [[]], [[1.0], []]])
def test_nothing_has_no_interval(launches: list[list[float]]) -> None:
    with pytest.raises(JobError) as caught:
        combine(launches, seed=1)
    assert caught.value.code == "no_pairs"


def test_no_pairs_have_no_interval() -> None:
    with pytest.raises(JobError) as caught:
        interval([], seed=1)
    assert caught.value.code == "no_pairs"
