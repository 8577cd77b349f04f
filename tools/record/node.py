"""One attempt as the lineage knows it: its runs, its measurements, its verdict.

Statistics are worked out when somebody looks, and kept until a new measurement arrives.
"""

import zlib
from dataclasses import dataclass, field
from functools import lru_cache
from statistics import median
from typing import Literal

from bench.config import EngineConfig
from bench.measurement import Interval, JobOutcome, Measurement, Stage
from tools.record.events import Parent, VerdictState

RunState = Literal["queued", "running", "ended"]
NodeState = Literal["proposed", "queued", "running", "measured", "failed", "cancelled"]


@dataclass(slots=True)
class Run:
    """One job of an attempt, from its request to its outcome."""

    job: str
    stage: Stage
    replicate: bool
    requested_by: str
    seed: int
    seq: int
    """Of the request."""
    state: RunState = "queued"
    tries: int = 0
    """Highest try number started."""
    outcome: JobOutcome | None = None
    ended_seq: int | None = None


@dataclass(slots=True)
class Node:
    """One attempt. Changed only by the lineage fold; everybody else reads."""

    attempt: str
    agent: str
    parents: tuple[Parent, ...]
    config: EngineConfig
    fingerprint: str
    hypothesis: str
    direction: str
    seq: int
    time: float
    runs: list[Run] = field(default_factory=list)
    verdict: VerdictState = "pending"
    verdict_reason: str = ""
    verdict_by: str = ""
    measured_seq: int | None = None
    """Seq of the first measurement of any stage."""
    _speedup: tuple[tuple[int, Stage | None], Interval | None] = ((0, None), None)

    @property
    def state(self) -> NodeState:
        """`measured` is final; before it, a job that still lives counts over one that failed."""
        if self.measured_seq is not None:
            return "measured"
        live = [run.state for run in self.runs if run.state != "ended"]
        if live:
            return "running" if "running" in live else "queued"
        ends = [run.outcome.status for run in self.runs if run.outcome]
        if not ends:
            return "proposed"
        return "cancelled" if all(status == "cancelled" for status in ends) else "failed"

    @property
    def all_measurements(self) -> list[Measurement]:
        """Every measurement, screens included, in the order they ended."""
        ended = sorted(self.runs, key=lambda run: run.ended_seq or 0)
        return [run.outcome.measurement for run in ended if run.outcome and run.outcome.measurement]

    @property
    def measurements(self) -> list[Measurement]:
        """The full measurements if there is any, else the screens."""
        everything = self.all_measurements
        fulls = [one for one in everything if one.stage == "full"]
        return fulls or everything

    @property
    def best_stage(self) -> Stage | None:
        """`full` once a full run was measured."""
        measurements = self.measurements
        return measurements[0].stage if measurements else None

    @property
    def speedup(self) -> Interval | None:
        """Speed over the baseline with its 95 % interval over launches and pairs."""
        key = (sum(run.outcome is not None for run in self.runs), self.best_stage)
        if self._speedup[0] != key:
            self._speedup = (key, self._combined())
        return self._speedup[1]

    @property
    def estimate(self) -> float | None:
        """The middle of `speedup` alone: no resampling, so thousands of nodes cost nothing."""
        medians = [median(one.pair_ratios) for one in self.measurements if one.pair_ratios]
        return sum(medians) / len(medians) if medians else None

    @property
    def pairs(self) -> int:
        """Kept pairs behind `speedup`."""
        return sum(len(one.pair_ratios) for one in self.measurements)

    @property
    def perplexity(self) -> float | None:
        """Median perplexity of the counted measurements."""
        values = [one.perplexity.value for one in self.measurements]
        return median(values) if values else None

    @property
    def perplexity_ratio(self) -> float | None:
        """Median perplexity over the baseline's on the same tokens of the same launch."""
        ratios = [
            one.perplexity.value / one.reference_perplexity.value
            for one in self.measurements
            if one.reference_perplexity.value > 0
        ]
        return median(ratios) if ratios else None

    def _combined(self) -> Interval | None:
        launches = [one.pair_ratios for one in self.measurements if one.pair_ratios]
        if not launches:
            return None
        return _interval(tuple(launches), zlib.crc32(self.attempt.encode()))


@lru_cache(maxsize=4096)
def _interval(launches: tuple[tuple[float, ...], ...], seed: int) -> Interval:
    """Return the interval, from memory when another fold of the same record has asked before."""
    from bench.noise import combine  # noqa: PLC0415  (numpy: only for who looks at numbers)

    return combine(launches, seed=seed)
