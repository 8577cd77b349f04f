"""What a verification found: numbers and verdicts of its tests, never a private text.

Records only, so that the record and the views may know them; how they are found is `bench.verify`,
which nothing that an agent or a candidate touches may import.
"""

from typing import Literal

from bench.frozen import Frozen

TestName = Literal[
    "completeness",
    "missing_targets",
    "private_perplexity",
    "private_speed",
    "public_drop",
    "cache",
    "timing_shape",
    "idle_work",
    "roofline",
    "regret",
    "self_consistency",
    "strict",
    "served_likelihood",
    "repetition",
    "canaries",
    "score_path",
    "shape_probe",
]
"""Each is explained, with its formula and source, in docs/verification.md."""


class Finding(Frozen):
    """One test: what was found, and what would have been too much."""

    test: TestName
    status: Literal["passed", "failed", "not_run"]
    value: float | None = None
    """None: not run, or not a finite number (which fails)."""
    limit: float | None = None
    unit: str = ""
    """e.g. `nats per token`, `ratio`, `share`."""
    detail: str = ""
    """Figures only: it is shown in public once the ruling is."""


class Regret(Frozen):
    """How much likelier the judge's own choice was than what was served, in nats."""

    mean: float
    """Mean over tokens of max_v ln p(v) - ln p(served)."""
    share_above_one: float
    """Share of tokens with more than 1 nat of it."""
    largest: float
    tokens: int


class PrivateSpeed(Frozen):
    """Speed on private prompts, candidate over baseline in the same rounds."""

    tokens_per_second: float
    baseline_tokens_per_second: float
    speedup: float
    low: float
    high: float
    rounds: int


class PrivatePerplexity(Frozen):
    """Perplexity on private texts, beside the reference's on the same tokens."""

    value: float
    reference: float
    tokens: int
    missing_targets: int


class Verification(Frozen):
    """One launch of a candidate before the judge."""

    findings: tuple[Finding, ...]
    numeric_class: str
    """Which honest runs its limits were calibrated on."""
    speed: PrivateSpeed | None = None
    perplexity: PrivatePerplexity | None = None
    regret: Regret | None = None
    """Of the served tokens under the reference."""
    self_regret: Regret | None = None
    """Of the served tokens under the candidate's own weights, speculation off."""
    drawn: tuple[str, ...]
    """Ids of the private texts used."""
    drawn_sha256: str
    """Over the RFC 8785 form of the drawn texts, in this order."""
    timings_sha256: str
    """Over the RFC 8785 form of all timed samples."""
    output_digest: str
    """Over the served tokens."""
    simulated: bool = False
    hardware: dict[str, str | int | float]
    """The stamp of the launch."""
    seconds: float
    seed: int

    @property
    def tests_run(self) -> int:
        """How many tests had something to look at."""
        return sum(finding.status != "not_run" for finding in self.findings)

    @property
    def failed(self) -> tuple[TestName, ...]:
        """Names of the failed tests, in the order they ran; empty = it passed."""
        return tuple(finding.test for finding in self.findings if finding.status == "failed")
