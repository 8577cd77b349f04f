"""The rules as data: `challenge.toml` and the texts beside it.

Knows what is asked for and what is allowed; knows no engine code and no result.
"""

from typing import Literal

from pydantic import Field

from bench.config import EngineConfig
from bench.frozen import Frozen


class ModelSource(Frozen):
    """Where the published weights come from; the hash is ours and always checked."""

    source: str
    """`package:NAME`, `path:FILE` or `hub:ORG/REPO/FILE@COMMIT`."""
    sha256: str = Field(pattern=r"^[0-9a-f]{64}$")
    title: str
    licence: str


class Guardrail(Frozen):
    """What a fast config may not lose."""

    perplexity_ratio_cap: float = Field(gt=1.0)
    """Perplexity over the reference's perplexity, one-sided."""
    missing_target_logprob: float
    """ln probability scored for a target outside the kept vocabulary: the uniform floor."""
    missing_target_share_cap: float = Field(ge=0, le=1)


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


class Quotas(Frozen):
    """How much one agent may hold at once."""

    pending_jobs_per_agent: int = Field(ge=1)
    queued_jobs: int = Field(ge=1)
    """Jobs that may wait for the lane, all agents together."""
    message_bytes: int = Field(ge=256)
    build_seconds: float = Field(gt=0)
    memory_bytes: int = Field(gt=0)


class Challenge(Frozen):
    """Everything a session needs to know about what is being raced."""

    name: str = Field(pattern=r"^[a-z0-9][a-z0-9-]{0,63}$")
    title: str
    engine: Literal["llamacpp", "simulated"]
    model: ModelSource
    baseline: EngineConfig
    guardrail: Guardrail
    protocol: Protocol
    quotas: Quotas
    claim_seconds: float = Field(gt=0)
    """A claim expires after this long."""
    device_usd_per_hour: float = Field(ge=0)
    prompts: str
    """File of public prompts, JSON Lines: {id, text, source}."""
    passages: str
    """File of public passages for perplexity, JSON Lines: {id, text, source}."""
