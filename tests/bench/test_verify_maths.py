import math
import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bench.engines.engine import Ranked
from bench.verify.likelihood import (
    first_divergence,
    mean_difference,
    mean_nll,
    most_by_chance,
    paired_noise,
    regrets,
    repeated_share,
    standard_error,
    summary,
    thirds,
)


def test_what_the_judge_would_have_served_is_not_regretted() -> None:
    assert regrets([Ranked(-2.0, -2.0), Ranked(-3.0, -1.0)]) == [0.0, 2.0]


def test_a_token_the_judge_does_not_have_is_regretted_without_end() -> None:
    assert regrets([None]) == [math.inf]


def test_regret_in_short() -> None:
    found = summary([0.0, 0.0, 0.5, 1.5])

    assert found is not None
    assert (found.mean, found.share_above_one, found.largest, found.tokens) == (0.5, 0.25, 1.5, 4)


@pytest.mark.parametrize("values", [[], [math.nan], [0.0, math.inf]])
def test_regrets_that_are_no_numbers_have_no_summary(values: list[float]) -> None:
    assert summary(values) is None


def test_an_impossible_token_makes_the_surprise_infinite() -> None:
    assert mean_nll([-1.0, -3.0]) == 2.0
    assert mean_nll([-1.0, None]) == math.inf
    assert math.isnan(mean_nll([]))
    assert math.isnan(mean_nll([-1.0, math.nan]))


def test_a_loop_repeats_nearly_everything_and_prose_nothing() -> None:
    assert repeated_share([[1, 2, 3, 4] * 16]) > 0.9
    assert repeated_share([list(range(64))]) == 0.0
    assert repeated_share([[1, 2]]) == 0.0


@given(st.lists(st.integers(0, 3), max_size=40))
def test_a_share_is_a_share(text: list[int]) -> None:
    assert 0.0 <= repeated_share([text]) < 1.0


def test_texts_diverge_where_they_first_differ() -> None:
    assert first_divergence([1, 2, 3], [1, 9, 3]) == 1
    assert first_divergence([1, 2, 3], [1, 2]) is None


def test_a_target_that_only_one_side_has_differs_without_end() -> None:
    assert mean_difference([-1.0, None], [-1.5, None]) == 0.25
    assert mean_difference([None], [-1.0]) == math.inf
    assert math.isnan(mean_difference([], []))


def test_noise_of_a_mean_shrinks_with_the_root_of_its_values() -> None:
    rng = random.Random(1)
    few = [rng.gauss(0, 1) for _ in range(400)]

    assert standard_error(few) == pytest.approx(0.05, rel=0.15)
    assert standard_error([1.0]) == 0.0
    assert paired_noise([1.0, 2.0, 3.0], [0.0, 1.0, 2.0]) == 0.0


def test_how_many_misses_are_still_chance() -> None:
    """P(X >= 4) = 3.4 % and P(X >= 3) = 12 % for 240 draws at 0.5 %."""
    assert most_by_chance(240, 0.005) == 3
    assert most_by_chance(1, 0.9) == 1


@given(st.integers(1, 300), st.floats(0.001, 0.5))
def test_chance_never_allows_more_than_all(count: int, share: float) -> None:
    assert 0 <= most_by_chance(count, share) <= count


def test_thirds_leave_the_middle_out() -> None:
    assert thirds([1.0, 2.0, 3.0, 4.0, 5.0, 6.0, 7.0]) == ([1.0, 2.0], [6.0, 7.0])
    assert thirds([3.0]) == ([3.0], [3.0])
