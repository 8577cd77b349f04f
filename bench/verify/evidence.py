"""From what was measured to findings: each test is one part or several, and the worst one speaks.

Pure. A part fails when its value lies above its limit (below, for a floor) by more than its own
noise; a value that is not a finite number always fails.
"""

import math
from collections.abc import Callable, Iterable, Sequence
from typing import NamedTuple

from bench.verification import Finding, TestName

ONE_SIDED = 1.645
"""Standard errors of a one-sided 95 % bound."""


class Part(NamedTuple):
    """One number that a test looks at."""

    test: TestName
    value: float
    unit: str
    limit: float | None = None
    """Set by a rule; None: calibrated, under `measure`."""
    measure: str = ""
    """Name of the calibrated limit; empty: that of the test."""
    noise: float = 0.0
    """How far beyond the limit chance alone may take it, one-sided 95 %."""
    is_floor: bool = False
    """The limit is the least, not the most."""
    detail: str = ""
    """Figures only."""

    @property
    def name(self) -> str:
        """What its limit is called."""
        return self.measure or self.test


Limits = Callable[[str], float]
"""Gives the calibrated limit called so."""


def findings(
    parts: Iterable[Part], order: Sequence[TestName], limits: Limits
) -> tuple[Finding, ...]:
    """Return one finding per test of `order`; a test without parts was not run."""
    by_test: dict[TestName, list[Part]] = {test: [] for test in order}
    for part in parts:
        bound = limits(part.name) if part.limit is None else part.limit
        by_test[part.test].append(part._replace(limit=bound))
    return tuple(_finding(test, found) for test, found in by_test.items())


def has_failed(part: Part) -> bool:
    """Return whether a part with its limit set is beyond it."""
    assert part.limit is not None
    if not math.isfinite(part.value) or not math.isfinite(part.noise):
        return True
    if part.is_floor:
        return part.value + part.noise < part.limit
    return part.value - part.noise > part.limit


def _finding(test: TestName, parts: list[Part]) -> Finding:
    if not parts:
        return Finding(test=test, status="not_run")
    worst = max(parts, key=_excess)
    return Finding(
        test=test,
        status="failed" if any(map(has_failed, parts)) else "passed",
        value=worst.value if math.isfinite(worst.value) else None,
        limit=worst.limit,
        unit=worst.unit,
        detail="; ".join(filter(None, map(_in_words, parts))),
    )


def _excess(part: Part) -> tuple[bool, float]:
    """Return how bad a part is beside the others of its test."""
    limit = part.limit or 0.0
    if not math.isfinite(part.value):
        return True, math.inf
    share = part.value / limit if limit else part.value
    return has_failed(part), -share if part.is_floor else share


def _in_words(part: Part) -> str:
    sign = ">=" if part.is_floor else "<="
    noise = f" (noise {part.noise:.3g})" if part.noise else ""
    named = f"{part.name} {part.value:.4g} {sign} {part.limit:.4g}{noise}"
    return f"{named}: {part.detail}" if part.detail else named
