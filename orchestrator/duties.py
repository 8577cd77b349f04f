"""What the organiser owes the session, and why it would stop: pure functions over the folds.

Duties: no promising screen is left without a full run, and the leader is measured twice. They wait
until the lane would idle or until time gets short, so that agents come first.
"""

from collections.abc import Sequence
from statistics import median
from typing import Literal, NamedTuple

from bench.challenge import Challenge
from bench.measurement import Stage
from tools.limits import Limits
from tools.record.events import JobRequested
from tools.record.lineage import Lineage, Node, Run
from tools.record.projection import Projection
from tools.record.spend import Spend

StopReason = Literal["attempts", "minutes", "budget", "no_progress", "asked", "failed"]
SLACK = 1.3
"""Jobs of one stage differ by about this much: builds, a busy neighbour."""
RECENT_RUNS = 9
LEADER_LAUNCHES = 2
START_SECONDS = 8.0
"""Loading two engines and scoring perplexity, before any job of the session has shown it."""


class Moment(NamedTuple):
    """When it is, and when the session ends; Unix seconds, None = no such limit."""

    now: float
    deadline: float | None

    @property
    def seconds_left(self) -> float:
        """Until the deadline; infinite without one."""
        return float("inf") if self.deadline is None else self.deadline - self.now


def expected_seconds(lineage: Lineage, stage: Stage, *, challenge: Challenge) -> float:
    """Return how long a job of `stage` takes, by the session's own recent ones."""
    ended = [
        run.outcome.seconds
        for node in lineage.nodes.values()
        for run in node.runs
        if run.stage == stage and run.outcome is not None and run.outcome.measurement is not None
    ]
    if ended:
        return SLACK * median(ended[-RECENT_RUNS:])
    limits = challenge.protocol.screen if stage == "screen" else challenge.protocol.full
    return min(limits.measure_seconds + START_SECONDS, limits.wall_seconds)


def next_job(lineage: Lineage, moment: Moment, *, challenge: Challenge) -> tuple[Node, Run] | None:
    """Return the waiting job to run now: first come, but fulls first when time gets short.

    A job that would not end before the deadline is left where it is.
    """
    waiting = lineage.jobs_waiting()
    cost = {
        stage: expected_seconds(lineage, stage, challenge=challenge)
        for stage in {run.stage for _, run in waiting}
    }
    if moment.seconds_left < sum(cost[run.stage] for _, run in waiting):
        waiting.sort(key=lambda pair: pair[1].stage != "full")
    fits = (pair for pair in waiting if cost[pair[1].stage] <= moment.seconds_left)
    return next(fits, None)


class Wish(NamedTuple):
    """A job the organiser wants."""

    node: Node
    stage: Stage
    replicate: bool


def duty(lineage: Lineage, moment: Moment, *, challenge: Challenge) -> Wish | None:
    """Return the job the organiser should ask for now."""
    full = expected_seconds(lineage, "full", challenge=challenge)
    screen = expected_seconds(lineage, "screen", challenge=challenge)
    if moment.seconds_left < full:
        return None
    is_idle = not lineage.live_jobs()
    is_late = moment.seconds_left < SLACK * (full + screen)
    contender = _contender(lineage)
    if contender is not None and (is_idle or is_late):
        return Wish(contender, "full", replicate=False)
    leader = lineage.best()
    if is_idle and leader is not None and _wants_replicate(leader):
        return Wish(leader, "full", replicate=True)
    return None


def affordable(spend: Spend, limits: Limits, request: JobRequested) -> bool:
    """Return whether `request` may be reserved."""
    usd = spend.spent_usd + spend.reserved_usd + request.reserved_usd
    seconds = spend.spent_seconds + spend.reserved_seconds + request.reserved_seconds
    return (limits.usd is None or usd <= limits.usd) and (
        limits.seconds is None or seconds <= limits.seconds
    )


class Circumstances(NamedTuple):
    """What else speaks for stopping."""

    limits: Limits
    patience: int | None
    """Measured attempts without a new best; None = no such limit."""
    can_afford: bool
    """The cheapest job may still be reserved."""
    is_fruitless: bool
    """Nobody made anything of its last turns."""
    last_job_seconds: float
    """With less time left nobody begins anything."""


def stop_reason(known: Projection, moment: Moment, of: Circumstances) -> StopReason | None:
    """Return why the ride is over: the clock at once, the rest when nothing is queued or runs."""
    if moment.seconds_left <= 0:
        return "minutes"
    lineage = known.lineage
    if of.patience is not None and _measured_since_best(lineage) >= of.patience:
        return "no_progress"
    return None if lineage.live_jobs() else _reason_of_an_idle_session(lineage, moment, of)


def _reason_of_an_idle_session(
    lineage: Lineage, moment: Moment, of: Circumstances
) -> StopReason | None:
    if of.limits.attempts is not None and len(lineage.nodes) > of.limits.attempts:
        return "attempts"
    if not of.can_afford:
        return "budget"
    if not of.is_fruitless:
        return None
    return "minutes" if moment.seconds_left < of.last_job_seconds else "no_progress"


def _contender(lineage: Lineage) -> Node | None:
    """Return the fastest clean attempt, if it was only screened and no full run is coming."""
    measured = [
        node
        for node in lineage.nodes.values()
        if node.measured_seq is not None and node.verdict != "invalid" and node.speedup is not None
    ]
    best = max(measured, key=_estimate, default=None)
    if best is None or best.best_stage == "full" or _has_failed_full(best.runs):
        return None
    return None if any(run.state != "ended" for run in best.runs) else best


def _has_failed_full(runs: Sequence[Run]) -> bool:
    return any(run.stage == "full" and run.state == "ended" for run in runs)


def _wants_replicate(leader: Node) -> bool:
    fulls = [run for run in leader.runs if run.stage == "full"]
    return bool(leader.parents) and 1 <= len(fulls) < LEADER_LAUNCHES


def _measured_since_best(lineage: Lineage) -> int:
    front = lineage.frontier()
    since = (front[-1].measured_seq or 0) if front else 0
    return sum((node.measured_seq or 0) > since for node in lineage.nodes.values())


def _estimate(node: Node) -> float:
    return node.speedup.estimate if node.speedup else 0.0
