"""Which queued job runs next, the full that the organiser owes a screen, and why a ride stops.

Pure functions over the folds. No promising screen is left without a full run: it waits until the
lane would idle or until time gets short, so that agents come first. Records and verifications are
`orchestrator.promotions` and `orchestrator.verifications`.
"""

from collections.abc import Sequence
from statistics import median
from typing import Literal, NamedTuple

from bench.challenge import Challenge
from bench.measurement import JobOutcome, Stage
from tools.budget import shortage
from tools.job_request import wall_seconds
from tools.limits import EVERYTHING, Limits
from tools.record.events import JobRequested
from tools.record.lineage import Lineage, Node, Run
from tools.record.projection import Projection
from tools.record.spend import Amount, Spend

StopReason = Literal["attempts", "minutes", "budget", "no_progress", "asked", "failed"]
SLACK = 1.3
"""Jobs of one stage differ by about this much: builds, a busy neighbour."""
RECENT_RUNS = 9
START_SECONDS = 8.0
"""Loading two engines and scoring perplexity, before any job of the session has shown it."""
MOST_ON_PAPER_SECONDS = 20.0
"""Real seconds of a simulated job, whatever hours it tells of."""
EXPECTED_SHARE: dict[Stage, float] = {"fresh": 0.15, "private": 0.4}
"""Of a job's limit, before any of the session has shown it: a fresh launch of the default model
takes 9 s of its 60, a first verification 60 s of its 150."""


class Moment(NamedTuple):
    """When it is, and when the session ends; Unix seconds, None = no such limit."""

    now: float
    deadline: float | None
    began: float | None = None
    """When the ride began."""

    @property
    def share_gone(self) -> float:
        """Of the ride's time; half without a deadline, where it is never early and never late."""
        if self.deadline is None or self.began is None or self.deadline <= self.began:
            return 0.5
        return (self.now - self.began) / (self.deadline - self.began)

    @property
    def seconds_left(self) -> float:
        """Until the deadline; infinite without one."""
        return float("inf") if self.deadline is None else self.deadline - self.now


def expected_seconds(lineage: Lineage, stage: Stage, *, challenge: Challenge) -> float:
    """Return how long a job of `stage` takes, by the session's own recent ones."""
    ended = [
        run.outcome.seconds / max(run.tries, 1)
        for node in lineage.nodes.values()
        for run in node.runs
        if run.stage == stage and run.outcome is not None and _went_to_its_end(run.outcome)
    ]
    if ended:
        return SLACK * median(ended[-RECENT_RUNS:])
    limit = wall_seconds(challenge, stage)
    if challenge.engine == "simulated":
        limit = min(limit, MOST_ON_PAPER_SECONDS)
    if stage in EXPECTED_SHARE:
        return EXPECTED_SHARE[stage] * limit
    limits = challenge.protocol.screen if stage == "screen" else challenge.protocol.full
    return min(limits.measure_seconds + START_SECONDS, limit)


def _went_to_its_end(outcome: JobOutcome) -> bool:
    """A verification that fails early says nothing of how long one that passes takes."""
    if outcome.verification is not None:
        return not outcome.verification.failed
    return outcome.status == "measured"


def next_job(lineage: Lineage, moment: Moment, *, challenge: Challenge) -> tuple[Node, Run] | None:
    """Return the waiting job to run now: the organiser's, then first come; late, fulls first.

    A job that would not end before the deadline is left where it is.
    """
    waiting = lineage.jobs_waiting()
    cost = {
        stage: expected_seconds(lineage, stage, challenge=challenge)
        for stage in {run.stage for _, run in waiting}
    }
    if moment.seconds_left < sum(cost[run.stage] for _, run in waiting):
        waiting.sort(key=lambda pair: pair[1].stage != "full")
    waiting.sort(key=lambda pair: pair[1].is_riders)
    fits = (pair for pair in waiting if cost[pair[1].stage] <= moment.seconds_left)
    return next(fits, None)


class Wish(NamedTuple):
    """A job the organiser wants."""

    node: Node
    stage: Stage
    purpose: str = ""
    """Of a fresh or private job, as `JobRequested` has it."""
    incumbent: str = ""


def full_duty(
    lineage: Lineage, moment: Moment, *, challenge: Challenge, kept_seconds: float = 0.0
) -> Wish | None:
    """Return the full that the organiser should ask for now.

    Args:
        lineage: the attempts.
        moment: now.
        challenge: the rules.
        kept_seconds: what has to happen after the full, and what time gets short for.
    """
    full = expected_seconds(lineage, "full", challenge=challenge)
    screen = expected_seconds(lineage, "screen", challenge=challenge)
    if moment.seconds_left < full:
        return None
    is_idle = not lineage.live_jobs()
    is_late = moment.seconds_left < SLACK * (full + screen) + kept_seconds
    contender = _contender(lineage)
    if contender is not None and (is_idle or is_late):
        return Wish(contender, "full")
    return None


def affordable(spend: Spend, limits: Limits, request: JobRequested) -> bool:
    """Return whether the session may reserve `request`; whose it is does not matter."""
    wanted = Amount(usd=request.reserved_usd, seconds=request.reserved_seconds)
    return shortage(spend, limits, EVERYTHING, agent="", wanted=wanted) is None


class Circumstances(NamedTuple):
    """What else speaks for stopping."""

    limits: Limits
    patience: int | None
    """Measured attempts without a new best; None = no such limit."""
    can_afford: bool
    """The cheapest job may still be reserved."""
    is_fruitless: bool
    """Nobody made anything of its last turns."""
    is_spent: bool
    """Nobody may take another turn."""
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
    if of.is_spent or not of.can_afford:
        return "budget"
    if not of.is_fruitless:
        return None
    return "minutes" if moment.seconds_left < of.last_job_seconds else "no_progress"


def _contender(lineage: Lineage) -> Node | None:
    """Return the fastest clean attempt, if it was only screened and no full run is coming."""
    measured = [
        node
        for node in lineage.nodes.values()
        if node.counts and node.estimate and lineage.ban_on(node.config) is None
    ]
    best = max(measured, key=lambda node: node.estimate or 0.0, default=None)
    if best is None or best.best_stage == "full" or _has_failed_full(best.runs):
        return None
    return None if any(run.state != "ended" for run in best.runs) else best


def _has_failed_full(runs: Sequence[Run]) -> bool:
    return any(run.stage == "full" and run.state == "ended" for run in runs)


def _measured_since_best(lineage: Lineage) -> int:
    front = lineage.frontier()
    since = (front[-1].measured_seq or 0) if front else 0
    return sum((node.measured_seq or 0) > since for node in lineage.nodes.values())
