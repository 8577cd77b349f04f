"""How many jobs may be started in any 24 hours: by one agent, and by all agents of a session.

Pure, over the times the record has, so that a resume and a re-run decide the same. The organiser's
own jobs count for nobody; neither does a job that was given up before it ran.
"""

from collections.abc import Iterator
from datetime import UTC, datetime
from typing import NamedTuple

from bench.challenge import Quotas
from tools.record.board import ORGANISERS
from tools.record.lineage import Lineage
from tools.record.post_quota import DAY_SECONDS

_MINUTE_SECONDS, _HOUR_SECONDS = 60, 3600


class Overdrawn(NamedTuple):
    """A quota that is used up."""

    whose: str
    """`agent` or `session`."""
    limit: int
    free_at: float
    """Unix seconds at which one more may be started."""

    def wait(self, now: float) -> str:
        """Return how long that is from `now`, and when: `3 h 12 min, at 2026-06-12 14:03 UTC`."""
        seconds = max(1, round(self.free_at - now))
        hours, rest = divmod(seconds, _HOUR_SECONDS)
        minutes, seconds = divmod(rest, _MINUTE_SECONDS)
        length = f"{hours} h {minutes} min" if hours else f"{minutes} min {seconds} s"
        when = datetime.fromtimestamp(self.free_at, tz=UTC).strftime("%Y-%m-%d %H:%M UTC")
        return f"{length}, at {when}"


def overdrawn(lineage: Lineage, quotas: Quotas, *, agent: str, now: float) -> Overdrawn | None:
    """Return which quota one more job of `agent` would pass at `now`: the one freed last."""
    found = [
        Overdrawn(whose, limit, times[-limit] + DAY_SECONDS)
        for whose, limit, times in _accounts(lineage, quotas, agent, now)
        if len(times) >= limit
    ]
    return max(found, key=lambda one: one.free_at, default=None)


def jobs_left(lineage: Lineage, quotas: Quotas, *, agent: str, now: float) -> int | None:
    """Return how many jobs `agent` may still start at `now`; None = no quota says."""
    left = [
        max(0, limit - len(times)) for _, limit, times in _accounts(lineage, quotas, agent, now)
    ]
    return min(left, default=None)


def _accounts(
    lineage: Lineage, quotas: Quotas, agent: str, now: float
) -> Iterator[tuple[str, int, list[float]]]:
    """Yield each quota: whose, its limit, when the jobs that count were asked for, in order."""
    limits = {"agent": quotas.jobs_per_agent_per_day, "session": quotas.jobs_per_session_per_day}
    if not any(limits.values()):
        return
    asked = sorted(_asked(lineage, since=now - DAY_SECONDS))
    own = [time for time, name in asked if name == agent]
    for whose, times in (("agent", own), ("session", [time for time, _ in asked])):
        if (limit := limits[whose]) is not None:
            yield whose, limit, times


def _asked(lineage: Lineage, *, since: float) -> Iterator[tuple[float, str]]:
    for node in lineage.nodes.values():
        for run in node.runs:
            was_given_up = run.state == "ended" and run.tries == 0
            if run.time > since and run.requested_by not in ORGANISERS and not was_given_up:
                yield run.time, run.requested_by
