"""How often one agent may post: a bucket that fills at a steady rate, and a cap for a day.

Pure, over the times the record has, so that a replay decides the same. Knows no agent.
"""

from collections import defaultdict
from collections.abc import Sequence

from pydantic import ValidationError

from bench.challenge import Quotas
from tools.record.board import trust_of
from tools.record.events import Event

DAY_SECONDS = 86_400.0
ROUNDING_SECONDS = 1e-6
"""Unix seconds carry no finer time than this."""


def seconds_to_wait(times: Sequence[float], quotas: Quotas, *, now: float) -> float:
    """Return how long until one more post is due; 0 = it may be posted now.

    A bucket of `post_burst` that fills at `posts_per_second` lets a post through just when no
    stretch up to it holds more than the burst and what the rate allows for its length.

    Args:
        times: of the earlier posts, Unix seconds, in the order of the record.
        quotas: of the challenge.
        now: Unix seconds; a clock that was set back counts as standing still.
    """
    wait = 0.0
    rate, burst = quotas.posts_per_second, quotas.post_burst
    for posts, time in enumerate(reversed(times), start=2):
        passed = max(0.0, now - time)
        wait = max(wait, (posts - burst) / rate - passed)
        if burst + rate * passed > len(times) + 1:
            break
    if len(times) >= quotas.posts_per_day:
        oldest = times[-quotas.posts_per_day]
        wait = max(wait, oldest + DAY_SECONDS - now)
    return max(0.0, wait)


def posts_within_quota(events: Sequence[Event]) -> str:
    """Return which post no agent could have made; nothing in a record older than the quota."""
    quotas = _quotas(events)
    times: defaultdict[str, list[float]] = defaultdict(list)
    for event in events if quotas else ():
        if event.kind != "message_posted" or trust_of(event.actor) == "organiser":
            continue
        assert quotas is not None
        if seconds_to_wait(times[event.actor], quotas, now=event.time) > ROUNDING_SECONDS:
            return f"event {event.seq}: {event.actor!r} posts more often than the rules let anybody"
        times[event.actor].append(event.time)
    return ""


def _quotas(events: Sequence[Event]) -> Quotas | None:
    opened = events[0].payload if events and events[0].kind == "session_opened" else None
    if opened is not None and opened.challenge.get("engine") == "reported":
        return None  # how often others let their agents post is not ours to judge
    stored = opened.challenge.get("quotas") if opened else None
    if not isinstance(stored, dict) or "posts_per_second" not in stored:
        return None
    try:
        return Quotas.model_validate(stored)
    except ValidationError:
        return None
