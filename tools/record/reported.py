"""What others measured elsewhere and reported: figures without samples, one draw each. Pure.

Knows what such a draw is worth; knows no file it came from. What is unknown stays None.
"""

from dataclasses import dataclass
from math import exp
from typing import Literal, NamedTuple

from bench.measurement import Interval

BASELINE = "a0000"
"""What the others are compared with, where the collaboration posted one."""

LAUNCH_SD = 0.0103
"""ln standard deviation of one posted figure, where the challenge names none: 18 jobs of one
byte-identical package in the Fast Gemma Challenge, mean 500.39 tokens/s, sd 5.17. Within one output
class it is 0.61 tokens/s, but nobody posted the class."""

NORMAL_95 = 1.96


class Reported(NamedTuple):
    """A result as it was posted."""

    seq: int
    time: float
    """When it was posted over there, Unix seconds."""
    tokens_per_second: float | None
    perplexity: float | None
    status: Literal["agent-run", "negative"]
    source: str
    note: str


@dataclass(slots=True)
class ReportedYard:
    """What the reported results of a session are held against; shared by all of its nodes."""

    launch_sd: float = LAUNCH_SD
    baseline: Reported | None = None

    def around(self, value: float) -> Interval:
        """Return `value` with the 95 % interval of a single draw."""
        factor = exp(NORMAL_95 * self.launch_sd)
        return Interval(value, value / factor, value * factor)

    def speedup(self, reported: Reported) -> float | None:
        """Return the speed over that of the baseline; None where either is unknown."""
        base = self.baseline.tokens_per_second if self.baseline else None
        speed = reported.tokens_per_second
        return speed / base if speed is not None and base else None

    def perplexity_ratio(self, reported: Reported) -> float | None:
        """Return the perplexity over that of the baseline; None where either is unknown."""
        base = self.baseline.perplexity if self.baseline else None
        value = reported.perplexity
        return value / base if value is not None and base else None
