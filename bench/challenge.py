"""The rules as data: `challenge.toml` and the texts beside it.

Knows what is asked for and what is allowed; knows no engine code and no result.
"""

import re
from typing import Literal

from pydantic import Field, model_validator

from bench.config import AnyConfig
from bench.frozen import Frozen, is_absent

REPOSITORY = "hub-repo:"
_COMMIT = re.compile(r"[0-9a-f]{40}")


class ModelSource(Frozen):
    """Where the published weights come from; the hash is ours and always checked."""

    source: str
    """`package:NAME`, `path:FILE` or `hub:ORG/REPO/FILE@COMMIT`; for engines that read a folder
    `dir:FOLDER` or `hub-repo:ORG/REPO@REVISION`."""
    sha256: str = Field(default="", pattern=r"^([0-9a-f]{64})?$")
    """May be left out of a `hub-repo:` only, whose commit says as much of its many files."""
    title: str
    licence: str

    @model_validator(mode="after")
    def _is_named(self) -> "ModelSource":
        if not self.sha256 and not (self.source.startswith(REPOSITORY) and self.revision):
            raise ValueError("sha256 may be left out of hub-repo:ORG/NAME@REVISION only")
        return self

    @property
    def revision(self) -> str:
        """Branch, tag or commit of a repository; empty where the source names none."""
        return self.source.partition("@")[2]

    @property
    def identity(self) -> str:
        """What tells these weights from others: hash, else commit, else repository and branch."""
        is_commit = _COMMIT.fullmatch(self.revision) is not None
        name = self.source.removeprefix(REPOSITORY)
        return self.sha256 or (self.revision if is_commit else name)

    @property
    def is_pinned(self) -> bool:
        """Whether the same bytes come tomorrow."""
        return bool(self.sha256) or _COMMIT.fullmatch(self.revision) is not None


class Guardrail(Frozen):
    """What a fast config may not lose."""

    perplexity_ratio_cap: float = Field(gt=1.0)
    """Perplexity over the reference's perplexity, one-sided."""
    missing_target_logprob: float
    """ln probability scored for a target outside the kept vocabulary: the uniform floor."""
    missing_target_share_cap: float = Field(ge=0, le=1)
    perplexity_cap: float | None = Field(default=None, gt=1.0, exclude_if=is_absent)
    """Of the perplexity itself, beside the ratio; None = the ratio alone."""


class StageProtocol(Frozen):
    """How long one stage of a job measures."""

    min_pairs: int = Field(ge=1)
    max_pairs: int = Field(ge=1)
    half_width: float = Field(gt=0)
    """Stop early when the relative half-width of the 95 % interval is below this."""
    measure_seconds: float = Field(gt=0)
    """Start no new round after this many seconds of timed requests; with fewer than `min_pairs`
    kept, after twice as many."""
    perplexity_tokens: int = Field(ge=1)
    wall_seconds: float = Field(gt=0)
    """Hard limit of the whole job, building aside."""


class Protocol(Frozen):
    """How speed is timed: one request at a time, ABBA rounds with the baseline."""

    prompt_tokens: int = Field(ge=1)
    """Prompts are cut to this many tokens: what follows them is timed, not reading them."""
    output_tokens: int = Field(ge=1)
    """Tokens forced per timed request."""
    warmup_requests: int = Field(ge=1)
    digest_prompts: int = Field(ge=1)
    """The output digest covers this many prompts."""
    min_cpu_share: float = Field(ge=0, le=1)
    """A sample whose cpu / (wall x threads) is lower lost its core and does not count."""
    screen: StageProtocol
    full: StageProtocol
    alone: bool | None = Field(default=None, exclude_if=is_absent)
    """True: a device holds one engine, so a candidate is timed alone and compared with the
    challenge's stated baseline. None = candidate and baseline in turns."""


class PromotionRule(Frozen):
    """When a contender takes the record; derived and simulated in docs/statistics.md."""

    trigger_sigmas: float = Field(default=2.0, ge=0)
    """A contender's own run must lie this many launch standard deviations above the incumbent's
    mean before fresh launches are spent on it; that run is then thrown away."""
    launches: int = Field(default=5, ge=2)
    """Fresh launches of contender and incumbent, in turns within each."""
    rounds: int = Field(default=4, ge=2)
    """Timed rounds of one fresh launch."""
    alpha: float = Field(default=0.05, gt=0, lt=1)
    """Chance of any false record in a whole session; the k-th test may spend
    `alpha * 6 / (pi^2 k^2)` of it."""
    prior_launch_sd: float = Field(default=0.02, gt=0)
    """ln standard deviation of launches of one config, until the session has shown its own."""
    prior_weight: float = Field(default=4.0, ge=0)
    """Degrees of freedom that the prior counts for."""
    wall_seconds: float = Field(default=60.0, gt=0)
    """Hard limit of one fresh launch, building aside."""


class VerificationRule(Frozen):
    """What a record has to show on texts nobody saw; explained in docs/verification.md."""

    pool: str = "sampled"
    """`sampled`: written by the reference on this machine from a secret seed; `file`: the
    organiser's own, `pools/NAME.jsonl` in the private folder, NAME being the challenge's;
    `path:FILE`: own texts elsewhere. JSON Lines like the prompts."""
    pool_texts: int = Field(default=64, ge=8)
    pool_tokens: int = Field(default=48, ge=16)
    """Of each sampled text."""
    speed_rounds: int = Field(default=10, ge=3)
    """Timed rounds on private prompts."""
    public_rounds: int = Field(default=6, ge=2)
    """Timed rounds on public prompts in the same shuffled stream, for the drop test."""
    perplexity_tokens: int = Field(default=240, ge=16)
    """Private targets that are scored."""
    served_prompts: int = Field(default=6, ge=2)
    served_tokens: int = Field(default=64, ge=16)
    """Tokens asked for per served prompt; all of them are scored."""
    repeated_prompts: int = Field(default=4, ge=2)
    canaries: int = Field(default=16, ge=0)
    speed_drift_cap: float = Field(default=0.05, gt=0, lt=1)
    """Private speed may fall this share below the claim, and by its own noise besides."""
    audit_share: float = Field(default=0.1, ge=0, le=1)
    """Of all measured attempts, chosen by the chain's hash, besides records and the top five."""
    thresholds: str = "thresholds.json"
    """File beside the challenge: limits calibrated on honest runs."""
    wall_seconds: float = Field(default=150.0, gt=0)
    """Hard limit of one verification, building aside."""
    device_bytes_per_second: float | None = Field(default=None, gt=0, exclude_if=is_absent)
    """What the device's memory can do at best, for the roofline test of engines that compute
    elsewhere than on the CPU; None = the test is not run for them."""


class Quotas(Frozen):
    """How much one agent may hold at once."""

    pending_jobs_per_agent: int = Field(ge=1)
    queued_jobs: int = Field(ge=1)
    """Jobs that may wait for the lane, all agents together."""
    message_bytes: int = Field(ge=256)
    posts_per_second: float = Field(default=1.0, gt=0)
    """Of one agent in the long run: its bucket fills at this rate."""
    post_burst: int = Field(default=10, ge=1)
    """Posts at once: what the bucket holds."""
    posts_per_day: int = Field(default=2000, ge=1)
    build_seconds: float = Field(gt=0)
    """For building the weights and for starting the engines."""
    memory_bytes: int = Field(gt=0)
    jobs_per_agent_per_day: int | None = Field(default=None, ge=1, exclude_if=is_absent)
    """Jobs one agent may start in any 24 hours; None = as many as its budget pays for."""
    jobs_per_session_per_day: int | None = Field(default=None, ge=1, exclude_if=is_absent)
    """The same of all agents together, who share one account."""


class StatedBaseline(Frozen):
    """What somebody measured for the baseline, where it is not measured beside each candidate."""

    tokens_per_second: float = Field(gt=0)
    perplexity: float = Field(gt=1)
    source: str = Field(min_length=1)
    """Who measured it, and where it was published."""


class Challenge(Frozen):
    """Everything a session needs to know about what is being raced."""

    name: str = Field(pattern=r"^[a-z0-9][a-z0-9-]{0,63}$")
    title: str
    engine: Literal["llamacpp", "vllm", "openai", "transformers", "simulated", "reported"]
    model: ModelSource
    baseline: AnyConfig
    guardrail: Guardrail
    protocol: Protocol
    promotion: PromotionRule = PromotionRule()
    verification: VerificationRule | None = None
    """None: nothing is verified."""
    quotas: Quotas
    stated: StatedBaseline | None = Field(default=None, exclude_if=is_absent)
    """Needed where `protocol.alone`."""
    claim_seconds: float = Field(gt=0)
    """A claim expires after this long."""
    device_usd_per_hour: float = Field(ge=0)
    prompts: str
    """File of public prompts, JSON Lines: {id, source, text} or {id, source, token_ids}."""
    passages: str
    """File of public passages for perplexity, likewise; a passage may also be
    {id, source, context_token_ids, target_token_ids}, of which the targets are scored."""
    engine_version: str | None = Field(default=None, exclude_if=is_absent)
    """Of the engine that jobs run with, where that is not installed on this machine."""

    @model_validator(mode="after")
    def _alone_has_a_yardstick(self) -> "Challenge":
        if not self.protocol.alone:
            return self
        if self.stated is None:
            raise ValueError("protocol.alone needs [stated]: what the baseline measured")
        screen, full = self.protocol.screen, self.protocol.full
        if screen.perplexity_tokens != full.perplexity_tokens:
            raise ValueError(
                "protocol.alone: a screen scores as many perplexity_tokens as a full,"
                " for the stated perplexity is of one list"
            )
        return self
