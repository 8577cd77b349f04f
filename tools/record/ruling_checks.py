"""What must hold of verdicts, receipts and promotions in every record, as functions of its events.

Each check reads the whole list and says what it found first; `invariants` gathers and names them.
"""

from collections import defaultdict
from collections.abc import Iterator, Sequence
from math import isclose

from bench.promotion import alpha_of
from tools.record.events import Event, VerdictGiven
from tools.record.projection import Projection
from tools.record.rulings import Ruling, taken_back

_RULINGS = frozenset(
    {
        "attempt_proposed",
        "verdict_given",
        "attempt_invalidated",
        "attempt_reinstated",
        "receipt_issued",
    }
)
_TRUST_KINDS = frozenset(
    {"job_requested", "job_ended", "attempt_invalidated", "receipt_issued", "verdict_given"}
)
_ENDS = frozenset({"session_stopped", "job_ended"})
"""By then a receipt that belongs to a verdict must have been issued."""


def rulings_name_known_attempts(events: Sequence[Event]) -> str:
    """Nobody rules on what was never proposed, nor takes back what was never ruled."""
    rulings: dict[str, list[Ruling]] = {}
    for event in (one for one in events if one.kind in _RULINGS):
        payload = event.payload
        if event.kind == "attempt_proposed":
            rulings.setdefault(payload.attempt, [])
        elif payload.attempt not in rulings:
            return f"event {event.seq}: {event.kind} for the unknown {payload.attempt}"
        elif event.kind == "attempt_invalidated":
            ruling = Ruling(event.seq, "invalid", payload.reason, payload.by, is_invalidation=True)
            rulings[payload.attempt].append(ruling)
        elif event.kind == "attempt_reinstated":
            ended = taken_back(rulings[payload.attempt], by=payload.by)
            if not ended:
                return f"event {event.seq} reinstates {payload.attempt}, which was not invalidated"
            kept = [one for one in rulings[payload.attempt] if one.seq not in ended]
            rulings[payload.attempt] = kept
    return ""


def valid_after_passing(events: Sequence[Event]) -> str:
    """A verifier's `valid` follows a passed private job, and an invalidation ends what it had."""
    private: set[str] = set()
    passed: defaultdict[str, set[str]] = defaultdict(set)
    for event in (one for one in events if one.kind in _TRUST_KINDS):
        payload = event.payload
        if event.kind == "job_requested" and payload.stage == "private":
            private.add(payload.job)
        elif event.kind == "job_ended" and payload.job in private:
            found = payload.outcome.verification
            if found is not None and not found.failed and not found.simulated:
                passed[payload.attempt].add(payload.job)
        elif event.kind == "attempt_invalidated":
            passed.pop(payload.attempt, None)
        elif event.kind == "receipt_issued" and payload.job not in passed[payload.attempt]:
            return f"event {event.seq} is a receipt for {payload.job}, which did not pass"
        elif _is_badge(event) and not passed[payload.attempt]:
            return f"event {event.seq}: {payload.attempt} is valid without a passed verification"
    return ""


def badges_have_receipts(events: Sequence[Event]) -> str:
    """A verifier's `valid` has a receipt, before the next job ends or the session stops."""
    owed: dict[str, int] = {}
    issued: set[str] = set()
    for event in events:
        if event.kind == "receipt_issued":
            issued.add(event.payload.attempt)
            owed.pop(event.payload.attempt, None)
        elif event.kind == "attempt_invalidated":
            issued.discard(event.payload.attempt)
            owed.pop(event.payload.attempt, None)
        elif _is_badge(event) and event.payload.attempt not in issued:
            owed[event.payload.attempt] = event.seq
        elif owed and event.kind in _ENDS:
            attempt, seq = next(iter(owed.items()))
            return f"event {seq} made {attempt} valid, and no receipt was issued"
    return ""


def promotions_in_turn(events: Sequence[Event]) -> str:
    """One at a time, numbered without gaps, each with its share of the error budget."""
    projection = Projection()
    for event in events:
        problem = next(_promotion_problems(event, projection), "")
        if problem:
            return f"event {event.seq} {problem}"
        projection.apply(event)
    return ""


def _promotion_problems(event: Event, before: Projection) -> Iterator[str]:
    """Yield what is wrong with `event` in the state `before` it."""
    records = before.records
    if event.kind == "promotion_opened":
        yield from _opening_problems(event, before)
    elif event.kind == "promotion_decided":
        if records.open is None or records.open.id != event.payload.promotion:
            yield f"decides {event.payload.promotion}, which is not open"
        elif event.payload.contender != records.open.contender:
            yield f"decides {records.open.id} for {event.payload.contender}, not its contender"
    elif event.kind == "job_requested" and event.payload.stage == "fresh":
        promotion = records.open
        if promotion is None or promotion.id != event.payload.purpose:
            yield f"asks for a fresh launch of {event.payload.purpose!r}, which is not open"
        elif (event.payload.attempt, event.payload.incumbent) != (
            promotion.contender,
            promotion.incumbent,
        ):
            yield f"asks for a fresh launch of others than {promotion.id} is about"


def _opening_problems(event: Event, before: Projection) -> Iterator[str]:
    payload, records = event.payload, before.records
    if records.open is not None:
        yield f"opens {payload.promotion} while {records.open.id} is open"
    if (payload.promotion, payload.test) != (f"p{records.tests + 1}", records.tests + 1):
        yield f"opens {payload.promotion} as test {payload.test} after {records.tests} tests"
    share = alpha_of(payload.test, before.promotion_rule)
    if not isclose(payload.alpha, share, rel_tol=1e-6):
        yield f"spends {payload.alpha:.3g} on {payload.promotion}, its share is {share:.3g}"
    for attempt in (payload.contender, payload.incumbent):
        if attempt not in before.lineage.nodes:
            yield f"opens {payload.promotion} for the unknown {attempt}"


def _is_badge(event: Event) -> bool:
    if event.kind != "verdict_given":
        return False
    ruling: VerdictGiven = event.payload
    return ruling.verdict == "valid" and ruling.by == "verifier"
