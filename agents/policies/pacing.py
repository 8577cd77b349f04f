"""When to act: whose turn at the front it is, what there is still time for, what deserves a full.

All of it is worked out from the shared record, so riders agree without talking.
"""

from random import Random
from statistics import median

from agents.policies.scene import Scene
from bench.measurement import Stage
from tools.record.lineage import Node, Run

_MOST_ON_PAPER_SECONDS = 20.0
"""Real seconds of a simulated job, whatever hours it tells of."""
_EXPECTED_SHARE = 0.4
"""Of a job's hard limit, before any ended: limits are set at over twice the expected time."""

_SLACK = 1.2
"""Jobs of one stage differ by about this much."""

_MARGIN_SECONDS = 3.0
"""For the owner to see the outcome and post it."""

_EAGERNESS = 1.5
"""Riders per free slot: some find no idea, and one proposed attempt may wait for the next slot.
Twice that for recombiners: there are more pairs than attempts."""

_SCREENS_PER_FULL = 5.0
"""A full takes the lane as long as three screens; more fulls than this starve the search."""


def expected_seconds(scene: Scene, stage: Stage) -> float:
    """Return how long a job of `stage` usually takes, by this session's own."""
    runs = (run for node in scene.lineage.nodes.values() for run in node.runs)
    ended = (run.outcome for run in runs if run.stage == stage and run.outcome)
    seconds = [outcome.seconds for outcome in ended if outcome.measurement]
    if seconds:
        return _SLACK * median(seconds)
    protocol = scene.observation.challenge.protocol
    limit = protocol.screen if stage == "screen" else protocol.full
    expected = _EXPECTED_SHARE * limit.wall_seconds
    is_on_paper = scene.observation.challenge.engine == "simulated"
    return min(expected, _MOST_ON_PAPER_SECONDS) if is_on_paper else expected


def has_time(scene: Scene, stage: Stage, *, ahead: int = 0) -> bool:
    """Return whether a job asked for now would end in time, a last full of the leader included.

    `ahead` counts screens that are not asked for yet but come first.
    """
    left = scene.observation.seconds_left
    if left is None:
        return True
    seconds = {one: expected_seconds(scene, one) for one in ("screen", "full")}
    live = scene.lineage.live_jobs()
    backlog = sum(seconds["screen" if run.stage == "screen" else "full"] for _, run in live)
    need = backlog + seconds[stage] + ahead * seconds["screen"] + _MARGIN_SECONDS
    if stage == "screen":
        need += seconds["full"]
    return left >= need


def is_my_turn(scene: Scene, rng: Random) -> bool:
    """Return whether this rider should propose now: a fair lottery for the free slots."""
    ahead = len(scene.survey.unlaunched())
    slots = scene.observation.free_job_slots - ahead
    if slots <= 0 or scene.observation.attempts_left == 0 or is_busy(scene):
        return False
    riders = len(scene.survey.introduced)
    if scene.observation.turn == 0 or riders == 0:
        return False  # look who else rides first, or everybody starts at once from the same place
    mine = len(scene.survey.attempts.get(scene.agent, ()))
    if scene.keys.budget is not None and mine >= scene.keys.budget:
        return False
    if mine > len(scene.lineage.nodes) / _racers(scene) + 1:
        return False  # others have ridden less at the front
    eagerness = _EAGERNESS * (2 if scene.keys.policy == "recombiner" else 1)
    return rng.random() < eagerness * slots / riders and has_time(scene, "screen", ahead=ahead)


def _racers(scene: Scene) -> int:
    """Return how many riders share the front: who only reads and replicates takes nothing of it."""
    racers = [agent for agent in scene.survey.introduced if scene.survey.attempts.get(agent)]
    return max(1, len(racers))


def is_busy(scene: Scene) -> bool:
    """Return whether the rider has as many jobs pending as one agent may."""
    quota = scene.observation.challenge.quotas.pending_jobs_per_agent
    return len(scene.lineage.live_jobs(scene.agent)) >= quota


def is_live(node: Node) -> bool:
    """Return whether a job of `node` has not ended yet."""
    return any(run.state != "ended" for run in node.runs)


def is_clean(node: Node) -> bool:
    """Return whether `node` was measured and counts: neither invalid nor suspect."""
    return node.measured_seq is not None and node.counts


def promising(scene: Scene) -> Node | None:
    """Return this rider's attempt that leads the screens of its class and may beat its best full.

    Fitted keep-sets are a class of their own: private text may strike them all out, and then an
    honest attempt must stand there measured.
    """
    mine = [n for n in scene.survey.attempts.get(scene.agent, ()) if _only_screened(n)]
    if not mine or is_busy(scene) or scene.observation.free_job_slots == 0:
        return None
    node = max(mine, key=lambda one: one.estimate or 0)
    is_fitted = scene.is_fitted(node.config)
    rivals = [n for n in scene.clean if scene.is_fitted(n.config) == is_fitted]
    screened = (n.estimate or 0 for n in rivals if _only_screened(n))
    leads = (node.estimate or 0) >= max(screened, default=0)
    return node if leads and _deserves_full(scene, node, rivals) else None


def full_launches(scene: Scene) -> tuple[int, int, int]:
    """Return how many screens, fulls and replicates were asked for, the baseline aside."""
    runs = [
        run
        for node in scene.lineage.nodes.values()
        if node.parents
        for run in node.runs
        if run.is_riders
    ]
    replicates = sum(run.replicate for run in runs)
    fulls = sum(run.stage == "full" and not run.replicate for run in runs)
    return len(runs) - fulls - replicates, fulls, replicates


def _only_screened(node: Node) -> bool:
    """Tell whether a full is still to be asked for; one that failed is not asked for again."""
    if not is_clean(node) or is_live(node):
        return False
    return not any(r.stage == "full" and _counts(r) for r in node.runs)


def _counts(run: Run) -> bool:
    return run.outcome is None or run.outcome.status != "cancelled"


def _deserves_full(scene: Scene, node: Node, rivals: list[Node]) -> bool:
    if not has_time(scene, "full") or not _may_lead(node, rivals):
        return False
    if any(run.stage == "full" for _, run in scene.lineage.live_jobs()):
        return False
    screens, fulls, _ = full_launches(scene)
    return fulls < 1.5 + screens / _SCREENS_PER_FULL or _is_last_chance(scene)


def _may_lead(node: Node, rivals: list[Node]) -> bool:
    fulls = [rival.speedup for rival in rivals if rival.best_stage == "full" and rival.speedup]
    if not fulls or node.speedup is None:
        return node.speedup is not None
    best = max(fulls, key=lambda speedup: speedup.low)
    return node.speedup.high > best.low and node.speedup.estimate > best.estimate


def _is_last_chance(scene: Scene) -> bool:
    left = scene.observation.seconds_left
    return left is not None and left < 2 * expected_seconds(scene, "full")
