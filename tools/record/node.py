"""One attempt as the lineage knows it: its runs, its measurements, its verdict.

Statistics are worked out when somebody looks, and kept until a new measurement arrives.
"""

import zlib
from collections.abc import Collection
from dataclasses import dataclass, field
from functools import lru_cache
from statistics import median
from typing import Literal

from pydantic import JsonValue

from bench.configs.engine_config import EngineConfig
from bench.measurement import (
    FreshLaunch,
    Interval,
    JobOutcome,
    Measurement,
    RiderStage,
    Stage,
    Stamp,
)
from bench.nested_noise import Launch
from bench.verification import Verification
from tools.record.events import Parent, VerdictState
from tools.record.reported import BASELINE, Reported, ReportedYard
from tools.record.retraction import Ban
from tools.record.rulings import Ruling, counting, rank

RunState = Literal["queued", "running", "ended"]
NodeState = Literal["proposed", "queued", "running", "measured", "failed", "cancelled", "negative"]
"""negative: an imported dead end; measured: also what an imported collaboration reported."""

INHERITS = "inherits_invalid"
"""Reason of every `suspect`: it has an ingredient that a ruling on an ancestor banned."""


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
    time: float = 0.0
    """Of the request, Unix seconds."""
    incumbent: str = ""
    """fresh: the attempt it is timed against."""
    purpose: str = ""
    """fresh: the promotion; private: why it is verified."""
    state: RunState = "queued"
    tries: int = 0
    """Highest try number started."""
    outcome: JobOutcome | None = None
    ended_seq: int | None = None

    @property
    def is_riders(self) -> bool:
        """Whether it is a screen or a full: what fresh and private jobs do is no measurement."""
        return self.stage in ("screen", "full")


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
    files: dict[str, str] = field(default_factory=dict)
    """Path -> SHA-256 of the code it serves itself with; empty = a config alone."""
    runs: list[Run] = field(default_factory=list)
    verdict: VerdictState = "pending"
    verdict_reason: str = ""
    verdict_by: str = ""
    measured_seq: int | None = None
    """Seq of the first measurement of any stage."""
    all_measurements: list[Measurement] = field(default_factory=list)
    """Every measurement, screens included, in the order they ended."""
    fresh: list[Launch] = field(default_factory=list)
    """Fresh launches, as contender or as incumbent; never the run that triggered them."""
    verifications: list[tuple[str, Verification]] = field(default_factory=list)
    """Each with its job, in the order they ended."""
    flags: int = 0
    """Failed verifications since the last reinstatement. Private until a ruling says so."""
    verified: Verification | None = None
    """The passed verification behind a `valid`; None under any other verdict."""
    receipt: dict[str, JsonValue] | None = None
    """The latest one issued."""
    rulings: list[Ruling] = field(default_factory=list)
    """All that were not taken back, oldest first."""
    suspicions: dict[int, Ban] = field(default_factory=dict)
    """Bans of ancestors whose ingredient it has and after which it was not verified, by event."""
    reported: Reported | None = None
    """Imported: what others say they measured; nothing was run here."""
    yard: ReportedYard | None = None
    """Goes with `reported`."""
    _ruling: Ruling | None = None
    """The one of `rulings` that counts."""
    _fulls: list[Measurement] = field(default_factory=list)
    _speedup: tuple[int, Interval | None] = (0, None)
    _estimate: tuple[int, float | None] = (0, None)

    @property
    def state(self) -> NodeState:
        """`measured` is final; before it, a job that still lives counts over one that failed."""
        if self.reported is not None and self.reported.status == "negative":
            return "negative"
        if self.measured_seq is not None:
            return "measured"
        runs = [run for run in self.runs if run.is_riders]
        live = [run.state for run in runs if run.state != "ended"]
        if live:
            return "running" if "running" in live else "queued"
        ends = [run.outcome.status for run in runs if run.outcome]
        if not ends:
            return "proposed"
        return "cancelled" if all(status == "cancelled" for status in ends) else "failed"

    @property
    def counts(self) -> bool:
        """Whether it may be ranked, hold the record or be built on: neither invalid nor suspect."""
        return self.verdict in ("pending", "valid") and self.state != "negative"

    @property
    def is_baseline(self) -> bool:
        """Whether the others are compared with it; an imported root without a parent is not."""
        return not self.parents and (self.config.engine != "reported" or self.attempt == BASELINE)

    @property
    def suspected_by(self) -> set[str]:
        """The invalid attempts whose ingredient it inherits."""
        return {ban.attempt for ban in self.suspicions.values()}

    @property
    def measurements(self) -> list[Measurement]:
        """The full measurements if there is any, else the screens."""
        return self._fulls or self.all_measurements

    @property
    def best_stage(self) -> RiderStage | None:
        """`full` once a full run was measured."""
        measurements = self.measurements
        return measurements[0].stage if measurements else None

    @property
    def speedup(self) -> Interval | None:
        """Speed over the baseline with its 95 % interval over launches and pairs."""
        if self.reported is not None and self.yard is not None:
            speedup = self.yard.speedup(self.reported)
            return None if speedup is None else self.yard.around(speedup)
        known = len(self.all_measurements)
        if self._speedup[0] != known:
            self._speedup = (known, self._combined())
        return self._speedup[1]

    @property
    def estimate(self) -> float | None:
        """The middle of `speedup` alone: no resampling, so thousands of nodes cost nothing."""
        if self.reported is not None and self.yard is not None:
            return self.yard.speedup(self.reported)
        known = len(self.all_measurements)
        if self._estimate[0] != known:
            medians = [median(_ratios(one)) for one in self.measurements if one.pair_ratios]
            self._estimate = (known, sum(medians) / len(medians) if medians else None)
        return self._estimate[1]

    @property
    def pace(self) -> float | None:
        """What the attempts of one session are ordered by: `estimate`, or reported tokens/s."""
        return self.reported.tokens_per_second if self.reported else self.estimate

    @property
    def pace_interval(self) -> Interval | None:
        """`pace` with its 95 % interval."""
        if self.reported is None or self.yard is None:
            return self.speedup
        speed = self.reported.tokens_per_second
        return None if speed is None else self.yard.around(speed)

    @property
    def pairs(self) -> int:
        """Kept pairs behind `speedup`."""
        return sum(len(one.pair_ratios) for one in self.measurements)

    @property
    def perplexity(self) -> float | None:
        """Median perplexity of the counted measurements, or the reported one."""
        if self.reported is not None:
            return self.reported.perplexity
        values = [one.perplexity.value for one in self.measurements]
        return median(values) if values else None

    @property
    def perplexity_ratio(self) -> float | None:
        """Median perplexity over the baseline's on the same tokens of the same launch."""
        if self.reported is not None and self.yard is not None:
            return self.yard.perplexity_ratio(self.reported)
        ratios = [
            one.perplexity.value / one.reference_perplexity.value
            for one in self.measurements
            if one.reference_perplexity.value > 0
        ]
        return median(ratios) if ratios else None

    # --- for the fold

    def measured(self, measurement: Measurement, *, seq: int) -> None:
        """Take in what a screen or a full measured."""
        self.measured_seq = self.measured_seq or seq
        self.all_measurements.append(measurement)
        if measurement.stage == "full":
            self._fulls.append(measurement)

    def report(self, reported: Reported, yard: ReportedYard) -> None:
        """Take in what others say they measured; what is posted over there never changes."""
        self.reported, self.yard = reported, yard
        if reported.status != "negative":
            self.measured_seq = self.measured_seq or reported.seq

    def examined(self, job: str, verification: Verification) -> None:
        """Take in a verification. What follows from it is a ruling of its own."""
        self.verifications.append((job, verification))
        self.flags += bool(verification.failed)

    def rule(self, ruling: Ruling) -> None:
        """Take in a ruling; a `valid` of a verifier or above also ends what was suspected of it."""
        if ruling.state == "valid":
            passed = (one for _, one in reversed(self.verifications) if not one.failed)
            ruling = ruling._replace(verification=next(passed, None))
            if rank(ruling.by) > rank("guardrail"):
                self.suspicions.clear()
        self.rulings.append(ruling)
        self._ruling = counting(self.rulings)
        self.settle()

    def take_back(self, seqs: Collection[int]) -> None:
        """Forget these rulings on it."""
        self.rulings = [one for one in self.rulings if one.seq not in seqs]
        self._ruling = counting(self.rulings)
        self.flags = 0
        self.settle()

    def suspect(self, ban: Ban) -> None:
        """Take in that an ancestor was ruled invalid for something it has too."""
        self.suspicions[ban.seq] = ban
        self.settle()

    def acquit(self, seqs: Collection[int]) -> None:
        """Forget what was suspected on the grounds of these rulings."""
        self.suspicions = {seq: ban for seq, ban in self.suspicions.items() if seq not in seqs}
        self.settle()

    def settle(self) -> None:
        """Work out the verdict: the ruling that counts, then what is suspected."""
        ruling = self._ruling
        if ruling is None:
            self.verdict, self.verdict_reason, self.verdict_by = "pending", "", ""
        else:
            self.verdict, self.verdict_reason, self.verdict_by = (
                ruling.state,
                ruling.reason,
                ruling.by,
            )
        if self.suspicions and self.verdict != "invalid":
            by = next(iter(self.suspicions.values())).by
            self.verdict, self.verdict_reason, self.verdict_by = "suspect", INHERITS, by
        is_valid = ruling is not None and self.verdict == "valid"
        self.verified = ruling.verification if ruling and is_valid else None

    def _combined(self) -> Interval | None:
        launches = [_ratios(one) for one in self.measurements if one.pair_ratios]
        if not launches:
            return None
        return _interval(tuple(launches), zlib.crc32(self.attempt.encode()))


def _ratios(one: Measurement) -> tuple[float, ...]:
    """Return the pair ratios; alone, moved so that their middle is the ratio of totals."""
    if not one.baseline_stated:
        return one.pair_ratios
    return tuple(ratio * one.speedup / median(one.pair_ratios) for ratio in one.pair_ratios)


def machine_of(stamp: Stamp) -> str:
    """Return what tells the machines of a session apart."""
    name = f"{stamp.cpu}/{stamp.cores}"
    return f"{name}/{stamp.device}" if stamp.device else name


def launches_of(fresh: FreshLaunch) -> tuple[Launch, Launch]:
    """Return what a fresh launch says of the contender, and of the incumbent."""
    machine = machine_of(fresh.stamp)
    return (
        Launch(fresh.ratios, fresh.output_digest, machine),
        Launch(fresh.incumbent_ratios, fresh.incumbent_digest, machine),
    )


@lru_cache(maxsize=4096)
def _interval(launches: tuple[tuple[float, ...], ...], seed: int) -> Interval:
    """Return the interval, from memory when another fold of the same record has asked before."""
    from bench.noise import combine  # noqa: PLC0415  (numpy: only for who looks at numbers)

    return combine(launches, seed=seed)
