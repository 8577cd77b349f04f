"""Student's t and Fisher's F without `scipy`, whose import costs more than a second.

Both are the regularised incomplete beta function I_x(a, b) with other arguments:
P(T > t) = I_x(v/2, 1/2) / 2 at x = v / (v + t^2), and P(F > f) = I_x(v2/2, v1/2) at
x = v2 / (v2 + v1 f); https://dlmf.nist.gov/8.17 gives the function, its continued fraction
(8.17.22) and its symmetry (8.17.4). Knows nothing of speeds.
"""

from functools import lru_cache
from math import exp, isinf, lgamma, log, log1p
from statistics import NormalDist

TINY = 1e-300
"""Stands in for a zero denominator, as in Lentz's method."""
ENOUGH = 1e-13
MAX_STEPS = 500
"""The fraction needs about sqrt(max(a, b)) steps; `NORMAL_ABOVE` keeps that below 400."""
NORMAL_ABOVE = 200_000.0
"""More degrees of freedom than this are infinitely many: t then differs from z by < 1e-4."""

normal_quantile = NormalDist().inv_cdf


def t_tail(t: float, degrees: float) -> float:
    """Return P(T > t) for Student's t with `degrees` > 0 of freedom (not only whole ones)."""
    if degrees > NORMAL_ABOVE or isinf(t):
        return NormalDist().cdf(-t)
    half = 0.5 * incomplete_beta(degrees / (degrees + t * t), degrees / 2, 0.5)
    return half if t >= 0 else 1 - half


def f_tail(f: float, numerator: float, denominator: float) -> float:
    """Return P(F > f) for the ratio of two variances with these degrees of freedom."""
    if f <= 0:
        return 1.0
    denominator = min(denominator, NORMAL_ABOVE)
    return incomplete_beta(
        denominator / (denominator + numerator * f), denominator / 2, numerator / 2
    )


@lru_cache(maxsize=8192)
def t_quantile(p: float, degrees: float) -> float:
    """Return t with P(T <= t) = p, for 0 < p < 1; by bisection, so a new pair costs 0.5 ms."""
    if p < 0.5:  # noqa: PLR2004  (the distribution is symmetric)
        return -t_quantile(1 - p, degrees)
    low, high = 0.0, 2.0
    while t_tail(high, degrees) > 1 - p:
        low, high = high, 2 * high
    while high - low > 1e-10 * high:
        middle = (low + high) / 2
        low, high = (middle, high) if t_tail(middle, degrees) > 1 - p else (low, middle)
    return high


def incomplete_beta(x: float, a: float, b: float) -> float:
    """Return I_x(a, b) for 0 <= x <= 1, to about 12 digits."""
    if x <= 0 or x >= 1:
        return float(x >= 1)
    if x > (a + 1) / (a + b + 2):
        return 1 - incomplete_beta(1 - x, b, a)
    front = exp(lgamma(a + b) - lgamma(a) - lgamma(b) + a * log(x) + b * log1p(-x))
    return front * _fraction(x, a, b) / a


def _fraction(x: float, a: float, b: float) -> float:
    """Return the continued fraction DLMF 8.17.22 by Lentz's method, two terms a step."""
    c, d = 1.0, 1 / _nonzero(1 - (a + b) * x / (a + 1))
    value = d
    for m in range(1, MAX_STEPS):
        even = m * (b - m) * x / ((a + 2 * m - 1) * (a + 2 * m))
        odd = -(a + m) * (a + b + m) * x / ((a + 2 * m) * (a + 2 * m + 1))
        for term in (even, odd):
            c, d = _nonzero(1 + term / c), 1 / _nonzero(1 + term * d)
            value *= c * d
        if abs(c * d - 1) < ENOUGH:
            break
    return value


def _nonzero(value: float) -> float:
    return value if abs(value) > TINY else TINY
