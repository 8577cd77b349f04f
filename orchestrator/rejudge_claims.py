"""What a record claims, and what was found of it, in the order it happened: pure.

Speeds, perplexities and rulings only, so that sessions of which no more is known fit too. Knows
events; knows no rule.
"""

from collections.abc import Iterable, Iterator
from typing import Literal, NamedTuple

from bench.challenge import Challenge, Guardrail
from bench.guardrails import Ruling, judge
from bench.measurement import Interval, Measurement, RiderStage
from orchestrator.rejudge_rules import Rules
from tools.record.events import Event, VerdictGiven
from tools.record.reported import ReportedYard


class Claim(NamedTuple):
    """One measured run of an attempt."""

    seq: int
    time: float
    attempt: str
    stage: RiderStage | Literal["reported"]
    speed: Interval
    """Tokens per second."""
    is_valid: bool
    """Within the guardrail of the rules."""
    reason: str
    was_valid: bool | None
    """Within the session's own; None: nobody ruled."""
    was_reason: str


class Ruled(NamedTuple):
    """What somebody found of an attempt later."""

    seq: int
    time: float
    attempt: str
    what: Literal["verified", "invalid", "reinstated"]
    by: str
    is_verification: bool = False
    """An organiser's run of an imported collaboration."""


Happened = Claim | Ruled


def happened(
    events: Iterable[Event], *, challenge: Challenge, rules: Rules, baseline: float
) -> Iterator[Happened]:
    """Yield claims, and rulings on them, in order.

    Args:
        events: of a session, in order.
        challenge: the session's own.
        rules: to judge by.
        baseline: tokens per second of the baseline, over the session.
    """
    told = list(events)
    ruled = {e.key: e.payload for e in told if e.kind == "verdict_given"}
    limits = rules.of_measurements(challenge.guardrail)
    yard = ReportedYard(launch_sd=challenge.promotion.prior_launch_sd)
    for event in told:
        if event.kind == "result_reported":
            if claim := _reported(event, yard, limits):
                yield claim
        elif event.kind == "job_ended" and event.payload.outcome.measurement is not None:
            was = ruled.get(f"verdict/{event.payload.job}")
            yield _claim(event, was, judge(event.payload.outcome.measurement, limits), baseline)
        elif found := _ruled(event):
            is_imported = challenge.engine == "reported"
            yield _ruled_again(event, found, rules, limits) if is_imported else found


def _claim(event: Event, was: VerdictGiven | None, now: Ruling, baseline: float) -> Claim:
    measured: Measurement = event.payload.outcome.measurement
    return Claim(
        event.seq,
        event.time,
        event.payload.attempt,
        measured.stage,
        _speed(measured, baseline),
        now.state != "invalid",
        now.reason,
        was.verdict != "invalid" if was else None,
        was.reason if was else "",
    )


def _reported(event: Event, yard: ReportedYard, limits: Guardrail) -> Claim | None:
    """Return what somebody posted; over there nothing was refused for its perplexity."""
    payload = event.payload
    if payload.status == "negative" or payload.tokens_per_second is None:
        return None
    value, cap = payload.perplexity, limits.perplexity_cap
    is_over = value is not None and cap is not None and value > cap
    reason = "perplexity_above_cap" if is_over else "within_guardrail"
    return Claim(
        event.seq,
        event.time,
        payload.attempt,
        "reported",
        yard.around(payload.tokens_per_second),
        not is_over,
        reason if value is not None else "perplexity_unknown",
        True,
        "posted",
    )


def _ruled_again(event: Event, found: Ruled, rules: Rules, limits: Guardrail) -> Ruled:
    """Return an organiser's ruling by other limits, where it says what was found."""
    found = found._replace(is_verification=found.by in ("organiser", "import"))
    evidence = getattr(event.payload, "evidence", {})
    claimed, private = evidence.get("claimed"), evidence.get("private")
    if rules.drift_cap is None or not claimed or not private:
        return found
    value, cap = evidence.get("private_ppl"), limits.perplexity_cap
    is_over = bool(value and cap and value > cap)
    is_lost = abs(claimed - private) / claimed > rules.drift_cap
    return found._replace(what="invalid" if is_over or is_lost else "verified")


def _ruled(event: Event) -> Ruled | None:
    """Return a ruling that is not the guardrail's."""
    what: Literal["verified", "invalid", "reinstated"] | None = None
    if event.kind == "verdict_given" and event.payload.by != "guardrail":
        what = "verified" if event.payload.verdict == "valid" else "invalid"
    elif event.kind == "attempt_invalidated":
        what = "invalid"
    elif event.kind == "attempt_reinstated":
        what = "reinstated"
    if what is None:
        return None
    return Ruled(event.seq, event.time, event.payload.attempt, what, event.payload.by)


def _speed(measured: Measurement, baseline: float) -> Interval:
    own = (measured.speedup, measured.speedup_low, measured.speedup_high)
    return Interval(*(baseline * one for one in own))
