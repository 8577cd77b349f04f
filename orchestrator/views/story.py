"""One sentence per event: what live progress prints without a terminal, and what replay tells.

Pure: an event in, a line out. Texts of agents are cleaned; numbers of a simulated session say so.
"""

from collections.abc import Callable
from statistics import median
from typing import Any, NamedTuple

from bench.measurement import FreshLaunch, Interval, JobOutcome, Stage
from orchestrator.views import figures
from orchestrator.views.clean import one_line
from tools.record.events import Event

LONGEST_BODY = 160


class Sentence(NamedTuple):
    """What happened, and the style it is shown in."""

    text: str
    style: str = ""


def tell(event: Event, *, body_limit: int | None = LONGEST_BODY) -> Sentence | None:
    """Return the sentence for `event`, or None when it is of no interest to a reader.

    Args:
        event: any event of a record.
        body_limit: characters of a message shown; None = all.
    """
    told = _TELLERS.get(event.kind)
    return told(event, event.payload, body_limit) if told else None


def _opened(_event: Event, payload: Any, _limit: int | None) -> Sentence:
    name = payload.challenge.get("name", "unknown")
    return Sentence(f"session opened: challenge {name}, engine {payload.engine_version}", "bold")


def _resumed(_event: Event, _payload: Any, _limit: int | None) -> Sentence:
    return Sentence("session resumed", "bold")


def _stopped(_event: Event, payload: Any, _limit: int | None) -> Sentence:
    detail = f" ({one_line(payload.detail)})" if payload.detail else ""
    return Sentence(f"session stopped: {payload.reason.replace('_', ' ')}{detail}", "bold")


def _joined(_event: Event, payload: Any, limit: int | None) -> Sentence:
    role = f" as {payload.persona}" * (payload.persona != payload.agent)
    what = one_line(payload.description, limit=limit)
    return Sentence(f"{payload.agent} joins{role} ({payload.model}): {what}", "dim")


def _posted(event: Event, payload: Any, limit: int | None) -> Sentence:
    refs = f" on {' '.join(payload.refs)}" if payload.refs else ""
    to = f" to {' '.join(payload.mentions)}" if payload.mentions else ""
    body = one_line(payload.body, limit=limit)
    return Sentence(
        one_line(f"{event.actor} posts m{event.seq} ({payload.type}{refs}{to}): ") + f" {body}"
    )


def _claimed(event: Event, payload: Any, limit: int | None) -> Sentence:
    return Sentence(f"{event.actor} claims {one_line(payload.direction, limit=limit)}", "dim")


def _released(event: Event, payload: Any, limit: int | None) -> Sentence:
    return Sentence(f"{event.actor} gives back {one_line(payload.direction, limit=limit)}", "dim")


def _dead_end(event: Event, payload: Any, limit: int | None) -> Sentence:
    text = f"{payload.direction}: {payload.reason}"
    return Sentence(f"{event.actor} records a dead end: {one_line(text, limit=limit)}", "magenta")


def _proposed(event: Event, payload: Any, limit: int | None) -> Sentence:
    parents = " + ".join(parent.attempt for parent in payload.parents)
    origin = f"from {parents}" if parents else "as the baseline"
    if payload.config.engine == "reported":
        origin = f"from {parents}" * bool(parents)
    parts = (payload.direction, payload.hypothesis)
    text = one_line("; ".join(part for part in parts if part), limit=limit)
    what = f"{event.actor} proposes {payload.attempt} {origin}".rstrip()
    return Sentence(f"{what}: {text}", "blue")


def _reported(event: Event, payload: Any, limit: int | None) -> Sentence:
    speed = payload.tokens_per_second
    told = "no speed" if speed is None else f"{figures.tokens(speed)} tokens/s"
    told += f" at perplexity {figures.perplexity(payload.perplexity)}"
    note = f" ({one_line(payload.note, limit=limit)})" if payload.note else ""
    what = f"{event.actor} reports {payload.attempt}: {told}, {payload.status}"
    return Sentence(what + note, "magenta" if payload.status == "negative" else "cyan")


def _requested(event: Event, payload: Any, _limit: int | None) -> Sentence:
    what = "replicate" if payload.replicate else stage_words(payload.stage, payload.incumbent)
    return Sentence(f"{event.actor} queues {payload.job} ({what})", "dim")


def _started(_event: Event, payload: Any, _limit: int | None) -> Sentence:
    again = f", try {payload.try_number}" if payload.try_number > 1 else ""
    return Sentence(f"{payload.job} starts{again}", "dim")


def stage_words(stage: Stage, incumbent: str = "") -> str:
    """Return what a stage is called; of a private one no more than that it verifies."""
    if stage == "fresh":
        return f"fresh launch beside {incumbent}" if incumbent else "fresh launch"
    return "verification" if stage == "private" else stage


def _ended(_event: Event, payload: Any, limit: int | None) -> Sentence:
    if payload.outcome.verification is not None:
        return Sentence(f"verification of {payload.attempt} ended", "cyan")
    style = "cyan" if payload.outcome.status == "measured" else "magenta"
    return Sentence(f"{payload.job} {outcome_words(payload.outcome, limit=limit)}", style)


def outcome_words(outcome: JobOutcome, *, limit: int | None = LONGEST_BODY) -> str:
    """Return what came of a job, in words; of a verification only that it is over."""
    if outcome.verification is not None:
        return "verification ended"
    if outcome.fresh is not None:
        return _fresh_words(outcome.fresh)
    measured = outcome.measurement
    if measured is None:
        why = one_line(f"{outcome.code or ''} {outcome.message or ''}", limit=limit)
        fault = f", {outcome.fault} fault" if outcome.fault else ""
        return f"{outcome.status.replace('_', ' ')}{fault}{': ' if why else ''}{why}"
    interval = Interval(measured.speedup, measured.speedup_low, measured.speedup_high)
    simulated = " [simulated]" if measured.simulated else ""
    return (
        f"measured ({measured.stage}): {figures.speedup(interval)} the baseline, "
        f"{figures.tokens(measured.tokens_per_second)} tokens/s, "
        f"perplexity {figures.perplexity(measured.perplexity.value)}{simulated}"
    )


def _fresh_words(launch: FreshLaunch) -> str:
    own, other = (
        figures.ratio(median(ratios) if ratios else None)
        for ratios in (launch.ratios, launch.incumbent_ratios)
    )
    simulated = " [simulated]" if launch.simulated else ""
    rounds = figures.count(len(launch.ratios), "round")
    return f"launched afresh: {own} the baseline, the incumbent {other}, {rounds}{simulated}"


def _ruled(_event: Event, payload: Any, _limit: int | None) -> Sentence:
    reason = f": {one_line(payload.reason)}" if payload.reason else ""
    if payload.verdict == "invalid":
        return Sentence(f"{payload.by} rejects {payload.attempt}{reason}", "red")
    style = "bold green" if payload.verdict == "valid" else "dim"
    return Sentence(f"{payload.by} rules {payload.attempt} {payload.verdict}{reason}", style)


def _pool(_event: Event, payload: Any, _limit: int | None) -> Sentence:
    return Sentence(
        f"{payload.texts} private texts are fixed, their hash {payload.commitment[:16]} published",
        "dim",
    )


def _no_verification(_event: Event, payload: Any, limit: int | None) -> Sentence:
    why = one_line(f"{payload.code}: {payload.message}", limit=limit)
    return Sentence(f"nothing can be verified in this ride: {why}", "yellow")


def _promotion(_event: Event, payload: Any, _limit: int | None) -> Sentence:
    return Sentence(
        f"{payload.contender} contends for the record of {payload.incumbent}: {payload.promotion}, "
        f"{payload.launches} fresh launches, test {payload.test} at level {payload.alpha:.2g}",
        "bold",
    )


def _decision(_event: Event, payload: Any, _limit: int | None) -> Sentence:
    told = {
        "promoted": f"{payload.contender} takes the record from {payload.incumbent}",
        "refused": f"{payload.contender} does not take the record from {payload.incumbent}",
        "abandoned": f"the test of {payload.contender} against {payload.incumbent} is abandoned",
    }
    style = "bold green" if payload.outcome == "promoted" else "dim"
    return Sentence(f"{told[payload.outcome]} ({payload.promotion})", style)


def _invalidated(_event: Event, payload: Any, limit: int | None) -> Sentence:
    words = one_line(" ".join(payload.ingredient), limit=limit)
    banned = f"; {words} is banned" if words else ""
    note = f" ({one_line(payload.note, limit=limit)})" if payload.note else ""
    what = f"{payload.by} rules {payload.attempt} invalid: {payload.reason}"
    return Sentence(one_line(what) + note + banned, "bold red")


def _reinstated(_event: Event, payload: Any, limit: int | None) -> Sentence:
    note = f": {one_line(payload.note, limit=limit)}" if payload.note else ""
    return Sentence(one_line(f"{payload.by} reinstates {payload.attempt}") + note, "bold")


def _receipt(_event: Event, payload: Any, _limit: int | None) -> Sentence:
    return Sentence(f"a signed receipt is issued for {payload.attempt} ({payload.job})", "green")


_TELLERS: dict[str, Callable[[Event, Any, int | None], Sentence]] = {
    "session_opened": _opened,
    "session_resumed": _resumed,
    "session_stopped": _stopped,
    "agent_joined": _joined,
    "message_posted": _posted,
    "claim_made": _claimed,
    "claim_released": _released,
    "dead_end_recorded": _dead_end,
    "attempt_proposed": _proposed,
    "result_reported": _reported,
    "job_requested": _requested,
    "job_started": _started,
    "job_ended": _ended,
    "verdict_given": _ruled,
    "pool_committed": _pool,
    "verification_refused": _no_verification,
    "promotion_opened": _promotion,
    "promotion_decided": _decision,
    "attempt_invalidated": _invalidated,
    "attempt_reinstated": _reinstated,
    "receipt_issued": _receipt,
}
"""Model replies are not told: what they led to is."""
