"""A session judged again under other rules, and what would have differed: pure but for reading.

What was proposed and measured stays as it was: agents who had known the rules would have done
other things, and nobody knows which. Knows claims and rulings; runs nothing.
"""

from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from bench.challenge import Challenge
from orchestrator.rejudge_claims import Claim, Happened, happened
from orchestrator.rejudge_records import BASELINE, Standing, decided_under, records_under
from orchestrator.rejudge_reported import Findings, findings
from orchestrator.rejudge_rules import Rules, load_rules
from orchestrator.session_folder import RECORD
from sandbox.errors import RecordError
from tools.record.events import Event
from tools.record.leaderboard import leaderboard
from tools.record.node import Node
from tools.record.projection import Projection
from tools.record.sqlite_store import SqliteStore


class Flip(NamedTuple):
    """A measurement that the guardrail would have ruled on differently."""

    attempt: str
    stage: str
    then: str
    now: str


class Held(NamedTuple):
    """When an attempt took the record, or got it back."""

    attempt: str
    seconds: float
    """After the session's first event."""
    tokens_per_second: float | None


class Redecided(NamedTuple):
    """A promotion that fresh launches would have decided differently."""

    promotion: str
    contender: str
    then: str
    now: str


class Moved(NamedTuple):
    """An attempt's place, then and now; None: not ranked."""

    attempt: str
    then: int | None
    now: int | None


class Rejudged(NamedTuple):
    """What would have differed."""

    session: str
    title: str
    attempts: int
    flips: tuple[Flip, ...]
    promotions: tuple[Redecided, ...]
    records_then: tuple[Held, ...]
    records_now: tuple[Held, ...]
    moved: tuple[Moved, ...]
    """In the order of now, then those no longer ranked."""
    invalid_now: tuple[str, ...]
    """Attempts that would count no more."""
    valid_now: tuple[str, ...]
    """Attempts that would count again."""
    reported: Findings | None = None
    """Of an imported session: its posted records against noise, caps and private runs."""

    def as_json(self) -> dict[str, Any]:
        """Return the documented shape."""
        counts = {
            name: len(getattr(self, name))
            for name in ("flips", "promotions", "moved", "invalid_now", "valid_now")
        }
        rows = {
            name: [one._asdict() if hasattr(one, "_asdict") else one for one in value]
            for name, value in self._asdict().items()
            if isinstance(value, tuple)
        }
        found = {"reported": self.reported.as_json() if self.reported else None}
        return {**self._asdict(), **rows, **found, "counts": counts}


def rejudge_session(folder: Path, rules_file: str) -> Rejudged:
    """Judge the session in `folder` by the rules in a file.

    Raises:
        ConfigError: rules that cannot be read.
        RecordError: a record that cannot be read, or was never opened.
    """
    rules = load_rules(rules_file)
    store = SqliteStore.open_read_only(folder / RECORD)
    try:
        return rejudge(list(store.events()), rules)
    finally:
        store.close_reader()


def rejudge(events: Sequence[Event], rules: Rules) -> Rejudged:
    """Judge a session again.

    Args:
        events: its whole record.
        rules: the other rules.

    Raises:
        RecordError: `not_opened`, the record is empty.
    """
    if not events:
        raise RecordError("the record has no session_opened event", code="not_opened")
    known = Projection.of(events)
    challenge = Challenge.model_validate(events[0].payload.challenge)
    baseline = known.lineage.baseline_tokens_per_second or 1.0
    told = list(happened(events, challenge=challenge, rules=rules, baseline=baseline))
    decided = decided_under(rules, events, known, challenge)
    nodes = known.lineage.nodes
    did_count = {name for name, node in nodes.items() if node.counts and _is_measured(node)}
    does_count = _counting(told, rules)
    return Rejudged(
        session=events[0].session,
        title=rules.title,
        attempts=len(nodes) - (BASELINE in nodes),
        flips=tuple(_flips(told)),
        promotions=tuple(
            Redecided(one.id, one.contender, one.outcome or "open", decided[one.id])
            for one in known.records.promotions.values()
            if one.outcome != decided[one.id]
        ),
        records_then=tuple(_records_then(events, known, told)),
        records_now=tuple(_records_now(events, told, known, decided, rules)),
        moved=tuple(_moved(known, told, does_count, rules)),
        invalid_now=tuple(sorted(did_count - does_count)),
        valid_now=tuple(sorted(does_count - did_count)),
        reported=_found(events, known, challenge, rules),
    )


def _is_measured(node: Node) -> bool:
    return node.pace is not None if node.reported else bool(node.best_stage)


def _found(
    events: Sequence[Event], known: Projection, challenge: Challenge, rules: Rules
) -> Findings | None:
    if not known.lineage.reported_results:
        return None
    rulings = [one.payload for one in events if one.kind == "verdict_given"]
    return findings(
        known.lineage,
        {one.attempt: one.evidence for one in rulings},
        rules=rules,
        limits=rules.of_measurements(challenge.guardrail),
        opened_at=events[0].time,
    )


def _flips(told: Iterable[Happened]) -> Iterable[Flip]:
    for one in told:
        if isinstance(one, Claim) and one.was_valid not in (None, one.is_valid):
            yield Flip(one.attempt, one.stage, one.was_reason, one.reason)


def _counting(told: Iterable[Happened], rules: Rules) -> set[str]:
    """Return the attempts that count at the end: measured, within limits, not ruled out."""
    standing = Standing(rules)
    for one in told:
        standing.take_in(one)
    return {attempt for attempt in standing.speeds if standing.counts(attempt)}


# --- records


def _records_then(
    events: Sequence[Event], known: Projection, told: Sequence[Happened]
) -> Iterable[Held]:
    """Yield who held the record, as the session had it."""
    if known.lineage.reported_results:
        yield from _posted_records(events, told)
        return
    folded, holder = Projection(), BASELINE
    for event in events:
        folded.apply(event)
        if event.kind in _RECORD_KINDS:
            now = folded.records.incumbent(folded.lineage)
            if now != holder:
                yield Held(now, event.time - events[0].time, _claimed(known, now))
            holder = now


def _posted_records(events: Sequence[Event], told: Sequence[Happened]) -> Iterable[Held]:
    """Yield who led the posted board: a better figure at once, until it was ruled invalid."""
    times = {event.seq: event.time - events[0].time for event in events}
    as_posted = [one._replace(is_valid=True) if isinstance(one, Claim) else one for one in told]
    for one in records_under(Rules(record="claim"), as_posted, {}):
        yield Held(one.attempt, times[one.seq], one.speed.estimate if one.speed else None)


_RECORD_KINDS = (
    "promotion_decided",
    "attempt_invalidated",
    "attempt_reinstated",
    "verdict_given",
)


def _records_now(
    events: Sequence[Event],
    told: Sequence[Happened],
    known: Projection,
    decided: dict[str, str],
    rules: Rules,
) -> Iterable[Held]:
    """Yield who would have held the record."""
    promoted = {
        event.seq: event.payload.contender
        for event in events
        if event.kind == "promotion_decided" and decided[event.payload.promotion] == "promoted"
    }
    times = {event.seq: event.time - events[0].time for event in events}
    for one in records_under(rules, told, promoted):
        speed = one.speed.estimate if one.speed else _claimed(known, one.attempt)
        yield Held(one.attempt, times[one.seq], speed)


def _claimed(known: Projection, attempt: str) -> float | None:
    baseline = known.lineage.baseline_tokens_per_second
    node = known.lineage.nodes.get(attempt)
    if node is not None and node.reported is not None:
        return node.pace
    if node is None or baseline is None:
        return None
    estimate = node.estimate if node.parents else 1.0
    return estimate * baseline if estimate else None


# --- places


def _moved(
    known: Projection, told: Iterable[Happened], counting: set[str], rules: Rules
) -> Iterable[Moved]:
    """Yield whose place would be another one."""
    assert known.opened is not None
    board = leaderboard(known.lineage, session="", challenge="", rule=known.promotion_rule)
    then = {row.attempt: row.rank for row in board.rows}
    now = _places(known, told, counting, rules)
    for attempt in [*now, *(one for one in then if one not in now)]:
        if then.get(attempt) != now.get(attempt):
            yield Moved(attempt, then.get(attempt), now.get(attempt))


def _places(
    known: Projection, told: Iterable[Happened], counting: set[str], rules: Rules
) -> dict[str, int]:
    """Return each counting attempt's rank: by claims as they were made, or as the session ranks."""
    board = leaderboard(known.lineage, session="", challenge="", rule=known.promotion_rule)
    rows = (*board.rows, *board.suspects, *board.rejected)
    speeds = {row.attempt: row.tokens_per_second for row in rows}
    highs = {row.attempt: row.ci_high for row in rows}
    lows = {row.attempt: row.ci_low for row in rows}
    margin = rules.tie_tokens_per_second
    if rules.record == "claim":
        claims = [one for one in told if isinstance(one, Claim) and one.is_valid]
        speeds = {one.attempt: one.speed.estimate for one in sorted(claims, key=_by_speed)}
        highs, lows = speeds, {name: speed - margin for name, speed in speeds.items()}
    order = sorted((one for one in speeds if one in counting), key=lambda one: -speeds[one])
    places: dict[str, int] = {}
    leader, rank = "", 0
    for place, attempt in enumerate(order, start=1):
        if not leader or highs[attempt] < lows[leader]:
            leader, rank = attempt, place
        places[attempt] = rank
    return places


def _by_speed(claim: Claim) -> float:
    return claim.speed.estimate
