"""Who holds the record, as a fold: promotions, their fresh launches, and what was decided.

Knows what was opened and decided; when to open and how to decide are rules of others. Whether a
holder still counts is the lineage's to say.
"""

from collections.abc import Callable
from dataclasses import dataclass, field

from pydantic import JsonValue

from bench.measurement import FreshLaunch
from tools.record.events import Event
from tools.record.lineage import Lineage

_BASELINE = "a0000"
"""Holds the record before anybody was promoted, and again when nobody who was still counts."""


@dataclass(slots=True)
class Promotion:
    """One test of a contender against the incumbent."""

    id: str
    contender: str
    incumbent: str
    test: int
    """How many tests the session had spent, this one included."""
    alpha: float
    launches: int
    seq: int
    """Of its opening."""
    fresh: list[FreshLaunch] = field(default_factory=list)
    """What was launched for it so far, in the order it ended."""
    failed_jobs: int = 0
    outcome: str | None = None
    """`promoted`, `refused` or `abandoned`; None while it is open."""
    evidence: dict[str, JsonValue] = field(default_factory=dict)


class Records:
    """All promotions so far. Valid after any prefix of a record."""

    def __init__(self) -> None:
        self.promotions: dict[str, Promotion] = {}
        self.open: Promotion | None = None
        self.history: list[str] = []
        """Attempts promoted, oldest first."""
        self.tested: dict[str, int] = {}
        """Contender -> event of the latest promotion opened for it."""
        self._jobs: dict[str, Promotion] = {}
        self.rules: dict[str, Callable[[Event], None]] = {
            "promotion_opened": self._begin,
            "promotion_decided": self._decide,
            "job_requested": self._request,
            "job_ended": self._end,
        }

    @property
    def tests(self) -> int:
        """Promotions opened so far: each has spent its share of the session's error budget."""
        return len(self.promotions)

    def apply(self, event: Event) -> None:
        """Take in the next event; kinds that have no part in a record are ignored."""
        if rule := self.rules.get(event.kind):
            rule(event)

    def incumbent(self, lineage: Lineage) -> str:
        """Return the latest promoted attempt that is neither invalid nor suspect, else a0000."""
        for attempt in reversed(self.history):
            node = lineage.nodes.get(attempt)
            if node is not None and node.counts:
                return attempt
        return _BASELINE

    def _begin(self, event: Event) -> None:
        payload = event.payload
        if payload.promotion in self.promotions:
            return
        self.open = self.promotions[payload.promotion] = Promotion(
            id=payload.promotion,
            contender=payload.contender,
            incumbent=payload.incumbent,
            test=payload.test,
            alpha=payload.alpha,
            launches=payload.launches,
            seq=event.seq,
        )
        self.tested[payload.contender] = event.seq

    def _decide(self, event: Event) -> None:
        payload = event.payload
        promotion = self.promotions.get(payload.promotion)
        if promotion is None or promotion.outcome is not None:
            return  # a second decision never counts
        promotion.outcome, promotion.evidence = payload.outcome, payload.evidence
        if payload.outcome == "promoted":
            self.history.append(promotion.contender)
        if self.open is promotion:
            self.open = None

    def _request(self, event: Event) -> None:
        payload = event.payload
        if payload.stage == "fresh" and payload.purpose in self.promotions:
            self._jobs[payload.job] = self.promotions[payload.purpose]

    def _end(self, event: Event) -> None:
        promotion = self._jobs.pop(event.payload.job, None) if self._jobs else None
        if promotion is None:
            return  # no fresh job, or its second outcome
        launch = event.payload.outcome.fresh
        if launch is None:
            promotion.failed_jobs += 1
        else:
            promotion.fresh.append(launch)
