"""What can happen in a session: one frozen payload per kind of event.

Knows the shape of what is written; knows neither storage nor what follows from an event.
"""

from typing import Annotated, Any, Literal, NamedTuple, get_args

from pydantic import Field, JsonValue, TypeAdapter

from bench.config import AnyConfig
from bench.frozen import Frozen, is_absent
from bench.measurement import JobOutcome, Stage
from tools.record.turn_events import (
    FREE,
    ModelAsked,
    ModelReplied,
    ToolCall,
    TurnEnded,
    Usage,
    WorkspaceChanged,
)

__all__ = [
    "FREE",
    "ModelAsked",
    "ModelReplied",
    "ToolCall",
    "TurnEnded",
    "Usage",
    "WorkspaceChanged",
]

FORMAT_VERSION = 3
"""Of the record on disk; a session of a newer format is refused, not guessed at."""

EdgeKind = Literal["builds-on", "merges", "confirms", "refutes"]
MessageType = Literal[
    "introduction", "plan", "result", "reply", "digest", "dead-end", "notice", "chat"
]
VerdictState = Literal["pending", "valid", "invalid", "suspect"]
"""pending: inside the guardrail; valid: verified on private texts; suspect: inherits something that
was ruled invalid, until it is verified itself."""


class Inference(Frozen):
    """Why somebody believes in an edge that its author did not state."""

    evidence: str = Field(max_length=64)
    """Where it was read: `text`, `method-name`, `notes`, ..."""
    confidence: Literal["high", "medium", "low"]


class Parent(Frozen):
    """A typed edge of the lineage."""

    attempt: str
    kind: EdgeKind = "builds-on"
    inferred: Inference | None = Field(default=None, exclude_if=is_absent)
    """None: stated by whoever proposed it."""


class SessionOpened(Frozen):
    """The first event of every record."""

    kind: Literal["session_opened"] = "session_opened"
    format_version: int
    challenge: dict[str, JsonValue]
    settings: dict[str, JsonValue]
    model_sha256: str
    engine_version: str


class SessionResumed(Frozen):
    """Another process took the session up."""

    kind: Literal["session_resumed"] = "session_resumed"
    settings: dict[str, JsonValue]


class SessionStopped(Frozen):
    """The session ended, or paused; `reason` is one of the documented stop reasons."""

    kind: Literal["session_stopped"] = "session_stopped"
    reason: Literal["attempts", "minutes", "budget", "no_progress", "asked", "failed"]
    detail: str = ""


class AgentJoined(Frozen):
    """An agent of the session."""

    kind: Literal["agent_joined"] = "agent_joined"
    agent: str
    persona: str
    description: str
    model: str
    seed: int


class MessagePosted(Frozen):
    """A post on the board; its id is `m` + the event's seq."""

    kind: Literal["message_posted"] = "message_posted"
    type: MessageType
    body: str
    refs: tuple[str, ...] = ()
    """Message ids (`m12`) and attempt ids (`a0003`)."""
    mentions: tuple[str, ...] = ()


class ClaimMade(Frozen):
    """An agent works on a direction; others keep off until it expires or is released."""

    kind: Literal["claim_made"] = "claim_made"
    direction: str
    expires_at: float
    """Unix seconds."""


class ClaimReleased(Frozen):
    """The holder gave a direction back."""

    kind: Literal["claim_released"] = "claim_released"
    direction: str


class DeadEndRecorded(Frozen):
    """A direction found not to pay, with the attempts that show it."""

    kind: Literal["dead_end_recorded"] = "dead_end_recorded"
    direction: str
    reason: str
    refs: tuple[str, ...] = ()


class AttemptProposed(Frozen):
    """A new node of the lineage."""

    kind: Literal["attempt_proposed"] = "attempt_proposed"
    attempt: str
    parents: tuple[Parent, ...]
    config: AnyConfig
    fingerprint: str
    hypothesis: str
    files: dict[str, str] = Field(default_factory=dict)
    """Path -> SHA-256 among the session's blobs: code that serves instead of ours; empty = none."""
    direction: str
    """What is new in it, as sorted `path=value` text; claims and dead ends use the same words."""


class JobRequested(Frozen):
    """Intent: a job to be run; its budget is reserved from here on."""

    kind: Literal["job_requested"] = "job_requested"
    job: str
    attempt: str
    stage: Stage
    replicate: bool = False
    incumbent: str = ""
    """fresh: the attempt it is timed against."""
    purpose: str = ""
    """fresh: the promotion's id (`p1`); private: `record`, `top_five`, `audit`, `suspect`,
    `asked`."""
    seed: int
    reserved_seconds: float
    reserved_usd: float


class JobStarted(Frozen):
    """The sandbox was told to start the job."""

    kind: Literal["job_started"] = "job_started"
    job: str
    attempt: str
    try_number: int


class JobEnded(Frozen):
    """Outcome: exactly one per job; settles its budget."""

    kind: Literal["job_ended"] = "job_ended"
    job: str
    attempt: str
    outcome: JobOutcome
    spent_seconds: float
    spent_usd: float


class ResultReported(Frozen):
    """What an imported collaboration says of an attempt: one draw, without its samples."""

    kind: Literal["result_reported"] = "result_reported"
    attempt: str
    tokens_per_second: float | None = Field(default=None, gt=0)
    perplexity: float | None = Field(default=None, gt=0)
    status: Literal["agent-run", "negative"]
    """negative: a dead end, logged on purpose; never ranked."""
    source: str
    """The file's name over there."""
    note: str = ""


class VerdictGiven(Frozen):
    """A ruling on an attempt. `by`: guardrail < verifier < organiser < person:NAME.

    Of the highest who ruled, the latest counts.
    """

    kind: Literal["verdict_given"] = "verdict_given"
    attempt: str
    verdict: VerdictState
    reason: str
    evidence: dict[str, JsonValue] = Field(default_factory=dict)
    by: str


class PoolCommitted(Frozen):
    """The private texts of the session are fixed: their hash now, they themselves after the end."""

    kind: Literal["pool_committed"] = "pool_committed"
    commitment: str
    """SHA-256 over the RFC 8785 form of `[salt, texts]`."""
    texts: int
    public_key: str
    """Hex of the Ed25519 key that signs this session's receipts."""


class VerificationRefused(Frozen):
    """Nothing can be verified in this ride, and why."""

    kind: Literal["verification_refused"] = "verification_refused"
    code: str
    message: str


class PromotionOpened(Frozen):
    """A contender is to be timed against the incumbent in fresh launches."""

    kind: Literal["promotion_opened"] = "promotion_opened"
    promotion: str
    """`p1`, `p2`, ... in order."""
    contender: str
    incumbent: str
    test: int = Field(ge=1)
    """How many tests the session has spent, this one included."""
    alpha: float
    """What this test may spend."""
    launches: int


class PromotionDecided(Frozen):
    """What the fresh launches said. Promoted: the contender holds the record, to be verified."""

    kind: Literal["promotion_decided"] = "promotion_decided"
    promotion: str
    contender: str
    incumbent: str
    outcome: Literal["promoted", "refused", "abandoned"]
    evidence: dict[str, JsonValue] = Field(default_factory=dict)


class AttemptInvalidated(Frozen):
    """A ruling that an attempt does not count, and what in it must not be built on."""

    kind: Literal["attempt_invalidated"] = "attempt_invalidated"
    attempt: str
    reason: str
    """Stable code, e.g. `missing_targets`, `self_consistency`, `uncited_copy`."""
    ingredient: tuple[str, ...] = ()
    """`path=value` words in the wording of directions; a config that has all of them inherits it.
    Banned until reinstated. Empty: only this attempt."""
    note: str = ""
    evidence: dict[str, JsonValue] = Field(default_factory=dict)
    by: str
    """`verifier`, `organiser` or `person:NAME`."""


class AttemptReinstated(Frozen):
    """An invalidation taken back; its ingredient is allowed again."""

    kind: Literal["attempt_reinstated"] = "attempt_reinstated"
    attempt: str
    note: str = ""
    by: str


class ReceiptIssued(Frozen):
    """A signed receipt of a passed verification; see `orchestrator.receipts`."""

    kind: Literal["receipt_issued"] = "receipt_issued"
    attempt: str
    job: str
    receipt: dict[str, JsonValue]


Payload = Annotated[
    SessionOpened
    | SessionResumed
    | SessionStopped
    | AgentJoined
    | ModelAsked
    | ModelReplied
    | TurnEnded
    | WorkspaceChanged
    | MessagePosted
    | ClaimMade
    | ClaimReleased
    | DeadEndRecorded
    | AttemptProposed
    | JobRequested
    | JobStarted
    | JobEnded
    | ResultReported
    | VerdictGiven
    | PoolCommitted
    | VerificationRefused
    | PromotionOpened
    | PromotionDecided
    | AttemptInvalidated
    | AttemptReinstated
    | ReceiptIssued,
    Field(discriminator="kind"),
]

payload_adapter: TypeAdapter[Any] = TypeAdapter(Payload)

PAYLOAD_KINDS: dict[str, type[Frozen]] = {
    kind.model_fields["kind"].default: kind for kind in get_args(get_args(Payload)[0])
}
"""Every kind's payload class, by the name that is stored."""


class Draft(NamedTuple):
    """An event not yet written. Actor is the caller's identity, never taken from a body."""

    actor: str
    payload: Any
    key: str
    """Idempotency key, unique in the session; the same key again returns the first event."""


class Event(NamedTuple):
    """One entry of the record."""

    seq: int
    """1, 2, 3, ... without gaps."""
    time: float
    """Unix seconds, from the session's clock."""
    session: str
    actor: str
    kind: str
    payload: Any
    key: str
    previous_hash: str
    hash: str
    """SHA-256 hex over the RFC 8785 form of all the fields above."""
    payload_json: str = ""
    """The payload as it was hashed; empty for an event that was never stored."""
