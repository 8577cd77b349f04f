"""One sentence per event: what live progress prints without a terminal, and what replay tells.

Pure: an event in, a line out. Texts of agents are cleaned; numbers of a simulated session say so.
"""

from collections.abc import Callable
from typing import Any, NamedTuple

from bench.measurement import Interval, JobOutcome
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
    parts = (payload.direction, payload.hypothesis)
    text = one_line("; ".join(part for part in parts if part), limit=limit)
    return Sentence(f"{event.actor} proposes {payload.attempt} {origin}: {text}", "blue")


def _requested(event: Event, payload: Any, _limit: int | None) -> Sentence:
    what = "replicate" if payload.replicate else payload.stage
    return Sentence(f"{event.actor} queues {payload.job} ({what})", "dim")


def _started(_event: Event, payload: Any, _limit: int | None) -> Sentence:
    again = f", try {payload.try_number}" if payload.try_number > 1 else ""
    return Sentence(f"{payload.job} starts{again}", "dim")


def _ended(_event: Event, payload: Any, limit: int | None) -> Sentence:
    style = "cyan" if payload.outcome.measurement else "magenta"
    return Sentence(f"{payload.job} {outcome_words(payload.outcome, limit=limit)}", style)


def outcome_words(outcome: JobOutcome, *, limit: int | None = LONGEST_BODY) -> str:
    """Return what came of a job, in words."""
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


def _ruled(_event: Event, payload: Any, _limit: int | None) -> Sentence:
    reason = f": {one_line(payload.reason)}" if payload.reason else ""
    if payload.verdict == "invalid":
        return Sentence(f"{payload.by} rejects {payload.attempt}{reason}", "red")
    return Sentence(f"{payload.by} rules {payload.attempt} {payload.verdict}{reason}", "dim")


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
    "job_requested": _requested,
    "job_started": _started,
    "job_ended": _ended,
    "verdict_given": _ruled,
}
"""Model replies are not told: what they led to is."""
