"""Against printed tables of t and F."""

import pytest

from bench.student import f_tail, incomplete_beta, t_quantile, t_tail

T_TABLE = [
    (0.975, 1, 12.706),
    (0.95, 2, 2.920),
    (0.975, 4, 2.776),
    (0.99, 7, 2.998),
    (0.975, 10, 2.228),
    (0.9995, 30, 3.646),
    (0.975, 120, 1.980),
    (0.975, 1e9, 1.960),
]
F_TABLE = [(4.76, 3, 6, 0.05), (6.39, 4, 4, 0.05), (3.33, 5, 10, 0.05), (5.64, 5, 10, 0.01)]


@pytest.mark.parametrize(("p", "degrees", "quantile"), T_TABLE)
def test_quantiles_of_t_are_those_of_the_table(p: float, degrees: float, quantile: float) -> None:
    assert t_quantile(p, degrees) == pytest.approx(quantile, abs=6e-4)
    assert t_quantile(1 - p, degrees) == pytest.approx(-quantile, abs=6e-4)


@pytest.mark.parametrize(("f", "numerator", "denominator", "chance"), F_TABLE)
def test_tails_of_f_are_those_of_the_table(
    f: float, numerator: float, denominator: float, chance: float
) -> None:
    assert f_tail(f, numerator, denominator) == pytest.approx(chance, rel=0.01)


@pytest.mark.parametrize("degrees", [0.7, 3.0, 41.5, 1e4, 1e7])
def test_a_tail_and_its_quantile_undo_each_other(degrees: float) -> None:
    assert t_tail(t_quantile(0.9997, degrees), degrees) == pytest.approx(3e-4, rel=1e-6)


def test_t_of_one_degree_is_cauchys() -> None:
    assert t_tail(1.0, 1) == pytest.approx(0.25)
    assert t_tail(-1.0, 1) == pytest.approx(0.75)
    assert t_tail(float("inf"), 3) == 0.0


def test_the_ends_of_the_incomplete_beta_function() -> None:
    assert (incomplete_beta(0.0, 2, 3), incomplete_beta(1.0, 2, 3)) == (0.0, 1.0)
    assert incomplete_beta(0.25, 1, 1) == pytest.approx(0.25)
    assert f_tail(0.0, 2, 3) == 1.0
