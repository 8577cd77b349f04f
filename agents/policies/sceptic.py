"""Sceptic: measures the leaders again, and asks what a result was fitted to."""

from collections.abc import Iterable
from functools import partial
from math import log
from random import Random

from agents.policies.duties import heed, leader, unreported, verb
from agents.policies.pacing import full_launches, has_time, is_busy, is_live
from agents.policies.scene import Idea, Scene
from bench.measurement import Measurement
from tools.record.events import ToolCall
from tools.record.lineage import Node, Run

_SUSPICIOUS = log(1.6)
"""ln of measured over expected speed: more than the kernels' known spread."""

_PATIENCE = 0.5
"""Chance to wait a turn, so that two sceptics seldom ask the same at once."""
_LEADERS = 4
_SCREENS_PER_CHECK = 12
"""A check takes the lane as long as three screens."""
_AGREE_SHARE = 0.05
"""Two launches of one config agree within this on a shared machine."""


def ideas(scene: Scene, rng: Random) -> Iterable[Idea]:
    """Yield nothing: who judges does not race."""
    del scene, rng
    return ()


def extra(scene: Scene, rng: Random) -> list[ToolCall]:
    """Return findings that are due, else a question, else a leader to measure again."""
    found = _findings(scene) or heed(scene, partial(_said_of_ruling, scene))
    if found:
        return found
    if rng.random() < _PATIENCE:
        return []
    question = _question(scene)
    if question:
        return question
    target = _target(scene)
    if target is None:
        return []
    return [verb("launch_benchmark", attempt=target.attempt, stage="full", replicate=True)]


def _said_of_ruling(scene: Scene, node: Node) -> str:
    family = {node.attempt, *scene.lineage.ancestors(node.attempt)}
    asked = not family.isdisjoint(scene.survey.questioned)
    start = "That is what was asked about it" if asked else "Nobody asked in time"
    return (
        f"{start}: {node.attempt} fails on texts it has not seen ({node.verdict_reason})."
        f" I measure no heir of it again; {leader(scene)}."
    )


def announce(scene: Scene, attempt: str) -> ToolCall:
    """Return the plan post for a replicate."""
    node = scene.lineage.nodes[attempt]
    body = (
        f"Measuring {attempt} once more at stage full: {node.estimate or 0:.2f}x is worth a second "
        f"launch before anybody builds on it."
    )
    return verb("post_message", type="plan", body=body, refs=(attempt, *_result_of(scene, attempt)))


def _findings(scene: Scene) -> list[ToolCall]:
    calls = []
    for attempt in scene.survey.checks.get(scene.agent, ()):
        node = scene.lineage.nodes[attempt]
        if run := unreported(scene, node):
            calls.append(_finding(scene, node, run))
    return calls


def _finding(scene: Scene, node: Node, run: Run) -> ToolCall:
    again = run.outcome.measurement if run.outcome else None
    first = _first_launch(node, run)
    if again is None or first is None:
        text = f"I could not measure {node.attempt} again; its claim stands as it was."
    else:
        same = "equal" if again.output_digest == first.output_digest else "differ"
        text = (
            f"{'Confirmed' if _agree(first, again) else 'Refuted'}: {node.attempt} was "
            f"{_interval(first)}, my launch says {_interval(again)}; outputs {same}."
        )
    mentions = (node.agent,) if node.agent in scene.survey.introduced else ()
    refs = (node.attempt, *_result_of(scene, node.attempt))
    return verb("post_message", type="reply", body=text, refs=refs, mentions=mentions)


def _first_launch(node: Node, run: Run) -> Measurement | None:
    launches = (r.outcome for r in node.runs if not r.replicate and r.stage == run.stage)
    return next((o.measurement for o in launches if o and o.measurement), None)


def _agree(first: Measurement, again: Measurement) -> bool:
    overlap = again.speedup_low <= first.speedup_high and first.speedup_low <= again.speedup_high
    return overlap or abs(log(again.speedup / first.speedup)) <= _AGREE_SHARE


def _interval(m: Measurement) -> str:
    return f"{m.speedup:.2f}x [{m.speedup_low:.2f}, {m.speedup_high:.2f}]"


def _question(scene: Scene) -> list[ToolCall]:
    for node in scene.clean[:_LEADERS]:
        family = {node.attempt, *scene.lineage.ancestors(node.attempt)}
        asked = not family.isdisjoint(scene.survey.questioned) or node.agent == scene.agent
        if not scene.is_fitted(node.config) or asked or node.agent not in scene.survey.introduced:
            continue
        body = (
            f"@{node.agent} {node.attempt} {scene.space.fitted_means} {scene.space.fitted_question}"
        )
        refs = (node.attempt, *_result_of(scene, node.attempt))
        return [verb("post_message", type="chat", body=body, refs=refs, mentions=(node.agent,))]
    return []


def _target(scene: Scene) -> Node | None:
    if is_busy(scene) or scene.observation.free_job_slots == 0 or not has_time(scene, "full"):
        return None
    screens, fulls, replicates = full_launches(scene)
    if replicates >= min(fulls / 2, screens / _SCREENS_PER_CHECK):
        return None
    for node in scene.clean[:_LEADERS]:
        others = node.agent != scene.agent and bool(node.parents)
        fresh = not any(run.replicate for run in node.runs) and not is_live(node)
        if others and fresh and (node.best_stage == "full" or _is_suspicious(scene, node)):
            return node
    return None


def _is_suspicious(scene: Scene, node: Node) -> bool:
    parent = scene.lineage.nodes[node.parents[0].attempt]
    if not parent.estimate or not node.estimate:
        return False
    expected = scene.evidence.forecast(parent, node.config, ()).speedup
    return log(node.estimate / expected) > _SUSPICIOUS


def _result_of(scene: Scene, attempt: str) -> tuple[str, ...]:
    message = scene.survey.result_message.get(attempt)
    return (message.id,) if message else ()
