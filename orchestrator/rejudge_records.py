"""Who would have held the record under other rules: pure, over what was claimed and ruled.

Needs speeds and rulings only, so that a session of which no more is known can be judged too.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import NamedTuple

from bench.challenge import Challenge
from bench.measurement import Interval
from bench.promotion import contrast_noise, decide, triggers
from orchestrator.promotions import public_claim
from orchestrator.rejudge_claims import Claim, Happened, Ruled
from orchestrator.rejudge_reported import sigmas_between
from orchestrator.rejudge_rules import Rules
from tools.record.events import Event
from tools.record.noise_of import known_noise
from tools.record.projection import Projection
from tools.record.records import Promotion

BASELINE = "a0000"
VERIFIER = "verifier"


class Taken(NamedTuple):
    """When an attempt took the record, or got it back."""

    attempt: str
    seq: int
    speed: Interval | None
    """That it was taken with, tokens per second; None: by a promotion, or the baseline."""


def records_under(
    rules: Rules, told: Iterable[Happened], promoted: Mapping[int, str]
) -> Iterator[Taken]:
    """Yield who would have held the record, in order.

    Args:
        rules: to judge by.
        told: claims and rulings, in order.
        promoted: event -> the attempt that fresh launches promoted by then.
    """
    standing, holder = Standing(rules), ""
    moments: dict[int, Happened | str] = {**{one.seq: one for one in told}, **promoted}
    for seq in sorted(moments):
        standing.take_in(moments[seq])
        if standing.holder != holder:
            holder = standing.holder
            speed = None if rules.record == "promotion" else standing.speeds.get(holder)
            yield Taken(holder or BASELINE, seq, speed)


class Standing:
    """Who holds the record, under some rules, after some of what happened."""

    def __init__(self, rules: Rules) -> None:
        self._rules = rules
        self.speeds: dict[str, Interval] = {}
        """Of the best claim of each attempt."""
        self._out: set[str] = set()
        self._verified: set[str] = {BASELINE}
        self._promoted: list[str] = []
        self._taken: list[str] = []

    @property
    def holder(self) -> str:
        """Return the attempt that holds the record; empty: the baseline."""
        held = self._promoted if self._rules.record == "promotion" else self._taken
        return next((one for one in reversed(held) if self.counts(one)), "")

    def counts(self, attempt: str) -> bool:
        """Return whether an attempt stands: not ruled out, and verified where that is asked."""
        if attempt in self._out:
            return False
        return self._rules.verification != "from_the_start" or attempt in self._verified

    def take_in(self, one: Happened | str) -> None:
        """Take in what happened next; a text: that attempt was promoted."""
        before = self.holder
        if isinstance(one, str):
            self._promoted.append(one)
        elif isinstance(one, Ruled):
            self._rule(one)
        else:
            self._claim(one)
        is_free = before != "" and not self.counts(before)
        for attempt in self.speeds if is_free else self._named(one):
            self._consider(attempt)

    def _named(self, one: Happened | str) -> Sequence[str]:
        return () if isinstance(one, str) else (one.attempt,)

    def _claim(self, one: Claim) -> None:
        if not one.is_valid:
            self._out.add(one.attempt)
            return
        best = self.speeds.get(one.attempt)
        if best is None or one.speed.estimate > best.estimate:
            self.speeds[one.attempt] = one.speed

    def _rule(self, one: Ruled) -> None:
        is_verifiers = one.by == VERIFIER or one.is_verification
        if self._rules.verification == "none" and is_verifiers:
            return
        if one.what == "verified":
            self._verified.add(one.attempt)
        elif one.what == "invalid":
            self._out.add(one.attempt)
        else:
            self._out.discard(one.attempt)

    def _consider(self, attempt: str) -> None:
        """Let an attempt take the record, when it counts and beats who holds it."""
        own, held = self.speeds.get(attempt), self.speeds.get(self.holder or BASELINE)
        if own is None or not self.counts(attempt) or attempt in (self.holder, BASELINE):
            return
        if held is None:
            self._taken.append(attempt)
        elif self._rules.record == "interval":
            self._taken += [attempt] * (own.low > held.high)
        else:
            rules = self._rules
            is_ahead = own.estimate > held.estimate + rules.tie_tokens_per_second
            is_clear = not rules.tie_sigmas or sigmas_between(own, held) > rules.tie_sigmas
            self._taken += [attempt] * (is_ahead and is_clear)


def decided_under(
    rules: Rules, events: Sequence[Event], known: Projection, challenge: Challenge
) -> dict[str, str]:
    """Return what every promotion comes to under the rules, by its id.

    `promoted`, `refused`, `abandoned` or `open`; `not_opened`: the contender would not have
    triggered it; `undecided`: the rules want more fresh launches than were made.
    """
    rule = rules.of_promotions(known.promotion_rule)
    challenge = challenge.model_copy(update={"promotion": rule})
    begun = _triggered(events, challenge)
    decided: dict[str, str] = {}
    earlier: list[Promotion] = []
    for promotion in known.records.promotions.values():
        if not begun.get(promotion.id, True):
            decided[promotion.id] = "not_opened"
        elif promotion.outcome not in ("promoted", "refused"):
            decided[promotion.id] = promotion.outcome or "open"
        elif len(promotion.fresh) < rule.launches:
            decided[promotion.id] = "undecided"
        else:
            decided[promotion.id] = _decided(promotion, earlier, challenge)
            earlier.append(promotion)
    return decided


def _decided(promotion: Promotion, earlier: Sequence[Promotion], challenge: Challenge) -> str:
    rule = challenge.promotion
    fresh = promotion.fresh[: rule.launches]
    tests = [[one.contrasts for one in other.fresh] for other in earlier]
    found = decide(
        [one.contrasts for one in fresh],
        test=promotion.test,
        known=contrast_noise([one for one in tests if len(one) > 1], rule),
        rule=rule,
        classes=[f"{one.output_digest}/{one.incumbent_digest}" for one in fresh],
    )
    return "promoted" if found.is_promoted else "refused"


def _triggered(events: Sequence[Event], challenge: Challenge) -> dict[str, bool]:
    """Return for each promotion whether its contender would have triggered it then."""
    folded, begun = Projection(), {}
    for event in events:
        if event.kind == "promotion_opened":
            nodes = folded.lineage.nodes
            own = nodes[event.payload.contender].speedup
            held = public_claim(folded, nodes[event.payload.incumbent], challenge)
            noise = known_noise(folded.lineage, challenge.promotion)
            rule = challenge.promotion
            begun[event.payload.promotion] = bool(own and held and triggers(own, held, noise, rule))
        folded.apply(event)
    return begun
