"""What a job measured: samples, not a number. Unknown is None, never 0."""

from typing import Literal, NamedTuple

from pydantic import Field

from bench.frozen import Frozen, is_absent
from bench.verification import Verification

RiderStage = Literal["screen", "full"]
"""screen: few pairs and a short passage, to decide whether a full run is worth its time."""

Stage = Literal["screen", "full", "fresh", "private"]
"""Besides what riders ask for. fresh: contender and incumbent timed in turns, for a record.
private: the organiser's verification on texts nobody saw."""

Side = Literal["candidate", "baseline", "incumbent"]


class Interval(NamedTuple):
    """An estimate with its 95 % interval."""

    estimate: float
    low: float
    high: float


class Sample(Frozen):
    """One timed request, as the client saw it."""

    side: Side
    round: int = Field(ge=0)
    """Samples of one round served the same prompt, in turns; two sides of it make a pair."""
    prompt: str
    """Prompt id in the challenge's prompt file."""
    output_tokens: int
    wall_seconds: float
    cpu_seconds: float | None
    """CPU time the engine's process used meanwhile."""
    tokens_sha256: str
    """Over the comma-joined decimal ids of the emitted tokens."""
    rejected: str | None = None
    """Why the sample does not count, e.g. `cpu_taken_away`."""


class Perplexity(Frozen):
    """exp(mean negative log-likelihood) over the harness's own target list."""

    value: float
    tokens: int
    missing_targets: int
    """Targets outside the kept vocabulary, scored by the challenge's floor."""
    text_sha256: str
    """Of the scored token ids, so that only like is compared with like."""


class KeptCheck(Frozen):
    """How many targets lie outside the kept vocabulary, scored in this job or not."""

    targets: int
    missing: int


class Drafting(Frozen):
    """How often speculation guessed right; None beside it when nothing was drafted."""

    drafted_tokens: int
    accepted_tokens: int


class Stamp(Frozen):
    """Where and with what the measurement was made."""

    cpu: str
    cores: int
    memory_bytes: int
    kernel: str
    python: str
    engine: str
    engine_version: str
    model_sha256: str
    load_average_start: float
    load_average_end: float
    isolation: str = ""
    """What kept the job in, as `sandbox.job.Level`; stamped by who ran it. Empty: unknown."""
    device: str | None = Field(default=None, exclude_if=is_absent)
    """Name of the accelerator, where the engine computes on one."""


class Durations(Frozen):
    """Seconds spent in each part of the job."""

    build_seconds: float
    load_seconds: float
    measure_seconds: float
    perplexity_seconds: float
    total_seconds: float
    start_seconds: dict[str, float] | None = Field(default=None, exclude_if=is_absent)
    """Phases of the candidate's start as its engine tells them, e.g. `import`, `load`, `compile`;
    None where it tells none. `load_seconds` is the whole start, of all engines."""


class Measurement(Frozen):
    """One launch of a candidate beside the baseline."""

    stage: RiderStage
    simulated: bool
    samples: tuple[Sample, ...]
    pair_ratios: tuple[float, ...]
    """Candidate speed over baseline speed, one per kept pair. Alone: of each kept request, over
    the stated baseline."""
    tokens_per_second: float
    """Median candidate request, output tokens per wall second; uncalibrated. Alone: all output
    tokens over all timed seconds, as in the Fast Gemma Challenge."""
    baseline_tokens_per_second: float
    speedup: float
    """Median of `pair_ratios`. Alone: `tokens_per_second` over the stated baseline's."""
    speedup_low: float
    speedup_high: float
    perplexity: Perplexity
    reference_perplexity: Perplexity
    """Of the baseline config over the same token ids on this machine and engine."""
    output_digest: str
    """Over the emitted tokens of the digest prompts; equal digests = one numeric class."""
    peak_memory_bytes: int | None
    drafting: Drafting | None = None
    kept_check: KeptCheck | None = None
    """Counting costs nothing, so that a screen knows what a full would find."""
    artefact: str
    """Recipe hash of the weight file."""
    artefact_bytes: int
    durations: Durations
    stamp: Stamp
    seed: int
    baseline_stated: bool | None = Field(default=None, exclude_if=is_absent)
    """True: the candidate ran alone, and the baseline's figures are those the challenge states;
    None: the baseline was measured beside it."""

    @property
    def missing_share(self) -> float:
        """Share of public targets outside the kept vocabulary: of those scored, or of all."""
        scored = self.perplexity.missing_targets / max(self.perplexity.tokens, 1)
        kept = self.kept_check
        return scored if kept is None else max(scored, kept.missing / max(kept.targets, 1))


class FreshLaunch(Frozen):
    """One launch of a contender beside the incumbent record and the baseline: speed only.

    Alone: contender and incumbent one after the other, each a launch of its own; the three lists of
    ratios then hold one number each, of all tokens over all seconds.
    """

    simulated: bool
    samples: tuple[Sample, ...]
    ratios: tuple[float, ...]
    """Contender speed over baseline speed, one per kept round."""
    incumbent_ratios: tuple[float, ...]
    """Incumbent over baseline, per kept round; all 1.0 where the baseline is the incumbent."""
    contrasts: tuple[float, ...]
    """Contender over incumbent, per kept round."""
    baseline_tokens_per_second: float
    output_digest: str
    """Of the contender: equal digests = one numeric class."""
    incumbent_digest: str
    durations: Durations
    stamp: Stamp
    seed: int
    baseline_stated: bool | None = Field(default=None, exclude_if=is_absent)
    """As in `Measurement`."""


class JobOutcome(Frozen):
    """What came of a job, as the record keeps it. A failed job is data, not an exception."""

    status: Literal[
        "measured", "crashed", "timed_out", "out_of_memory", "rubbish", "refused", "cancelled"
    ]
    fault: Literal["agent", "infrastructure", "budget"] | None = None
    code: str | None = None
    message: str | None = None
    seconds: float = 0.0
    measurement: Measurement | None = None
    """Of a screen or a full."""
    fresh: FreshLaunch | None = None
    verification: Verification | None = None
