"""What the organiser would do next, and whether it is its turn: pure, over the folds and a moment.

Records first: fresh launches and the verification of who holds one; then the full run of a
promising screen; then who inherited something invalid, who is near the top, and audits. Agents go
first up to a share of the lane; at the end of a ride without a verified record, the record does.
"""

from collections.abc import Collection, Iterable
from typing import NamedTuple

from bench.challenge import Challenge
from bench.measurement import Stage
from orchestrator import promotions, verifications
from orchestrator.duties import Moment, Wish, expected_seconds, full_duty
from orchestrator.verifications import Examination
from tools.record.events import PromotionOpened
from tools.record.lineage import Lineage, Node
from tools.record.projection import Projection

LANE_SHARE = 0.45
"""Of the lane's time so far, at most, while jobs of agents wait."""
LEISURE_SHARE = 0.3
"""The same, for examining whom no record hangs on."""
LEISURE = ("suspect", "top_five", "audit")
LAST_SHARE = 0.4
"""Of the ride: its end, in which the organiser goes first as long as no record is verified."""
HURRY = 2.0
"""With less time left than so many records take, the next one does not wait for agents."""

Step = Wish | PromotionOpened
"""A job to run, or a promotion to open."""


class Agenda(NamedTuple):
    """The organiser's view of one moment."""

    known: Projection
    challenge: Challenge
    moment: Moment
    can_verify: bool
    audited: Collection[str] = ()
    """Attempts that the chain's hash picked for an audit."""

    def next_step(self) -> Step | None:
        """Return the next step, None while others go first."""
        due = self.record_step() or self.examination()
        if due is not None and self.is_its_turn(due):
            return due
        kept = 0.0 if self._has_verified() else self._record_seconds()
        lineage = self.known.lineage
        return full_duty(lineage, self.moment, challenge=self.challenge, kept_seconds=kept)

    def record_step(self) -> Step | None:
        """Return the next step for a record, if there is one that would end in time."""
        known, challenge = self.known, self.challenge
        if wish := self._first(verifications.urgent(known)):
            return wish
        if known.records.open is not None:
            return promotions.fresh_wish(known, self.moment, challenge)
        best = self._contender()
        return promotions.opening(known, challenge, best) if best else None

    def examination(self) -> Wish | None:
        """Return the next verification that no record waits for."""
        return self._first(verifications.leisurely(self.known, self.audited))

    def due_examination(self) -> Wish | None:
        """Return the next verification of all, whoever waits for it."""
        return self._first(verifications.urgent(self.known)) or self.examination()

    def is_its_turn(self, due: Step) -> bool:
        """Return whether agents have to wait for `due`."""
        lineage = self.known.lineage
        if not lineage.live_jobs():
            return True
        share = lane_share(lineage)
        if isinstance(due, Wish) and due.purpose in LEISURE:
            return share <= LEISURE_SHARE
        is_short = self.moment.seconds_left < HURRY * self._record_seconds()
        if isinstance(due, Wish) and is_short:
            return True
        is_last = is_short or self.moment.share_gone >= 1 - LAST_SHARE
        return share <= LANE_SHARE or (is_last and not self._has_verified())

    def _first(self, due: Iterable[Examination]) -> Wish | None:
        if not self.can_verify or self.moment.seconds_left < self._expected("private"):
            return None
        first = next(iter(due), None)
        return Wish(first.node, "private", first.purpose) if first else None

    def _contender(self) -> Node | None:
        """Return who is to be promoted, if that and a verification still due end in time."""
        known, left = self.known, self.moment.seconds_left
        is_idle = not known.lineage.live_jobs()
        may_begin = promotions.may_begin(known, self.moment, is_idle=is_idle)
        if self._launches_seconds() > left or not may_begin:
            return None
        own = (
            node
            for node in promotions.contenders(known, self.challenge)
            if promotions.copied_from(known.lineage, node) is None
        )
        best = next(own, None)
        if best is None or best.verdict == "valid" or self._record_seconds() <= left:
            return best
        return None

    def _has_verified(self) -> bool:
        """Return whether who holds the record is verified, or cannot be."""
        lineage = self.known.lineage
        holder = lineage.nodes.get(self.known.records.incumbent(lineage))
        if holder is None or not holder.parents:
            return False
        return holder.verdict == "valid" or not self.can_verify

    def _record_seconds(self) -> float:
        """Return how long a promotion takes, with the verification that follows it."""
        return self._launches_seconds() + (self._expected("private") if self.can_verify else 0.0)

    def _launches_seconds(self) -> float:
        return self.challenge.promotion.launches * self._expected("fresh")

    def _expected(self, stage: Stage) -> float:
        return expected_seconds(self.known.lineage, stage, challenge=self.challenge)


def lane_share(lineage: Lineage) -> float:
    """Return the organiser's share of all the seconds the lane was used."""
    own = whole = 0.0
    for node in lineage.nodes.values():
        for run in node.runs:
            seconds = run.outcome.seconds if run.outcome else 0.0
            whole += seconds
            own += 0.0 if run.is_riders else seconds
    return own / whole if whole else 0.0
