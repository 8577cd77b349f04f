"""Librarian: says where everybody stands, and records what should not be tried again."""

from collections import defaultdict
from collections.abc import Iterable
from functools import partial
from random import Random

from agents.policies.duties import heed, leader, may_retire, verb
from agents.policies.evidence import is_at_fault
from agents.policies.pacing import is_clean
from agents.policies.scene import Idea, Scene
from tools.directions import blocking_dead_end
from tools.record.events import ToolCall
from tools.record.lineage import Node

_RESULTS_PER_DIGEST = 6
_SLOWER = 0.015
"""ln speed lost per word; below it, noise looks like a pattern."""
_PATIENCE = 0.3
"""Chance to wait a turn, so that two librarians seldom say the same at once."""
_REFS = 8
_REJECTIONS = 2
"""One rejection may be bad luck with its parent; two with nothing passing are a pattern."""


def ideas(scene: Scene, rng: Random) -> Iterable[Idea]:
    """Yield nothing: the librarian reads."""
    del scene, rng
    return ()


def extra(scene: Scene, rng: Random) -> list[ToolCall]:
    """Return a dead end that the record shows, or a digest when enough has happened."""
    due = heed(scene, partial(_said_of_ruling, scene)) or _dead_end(scene)
    if due:
        return due
    if len(scene.survey.results_since_digest) < _RESULTS_PER_DIGEST or rng.random() < _PATIENCE:
        return []
    return [_digest(scene)]


def _said_of_ruling(scene: Scene, node: Node) -> str:
    ban = scene.lineage.bans.get(node.attempt)
    closed = f"; {' '.join(ban.ingredient)} is closed to all" if ban else ""
    suspects = len(scene.lineage.suspects())
    waiting = f", {suspects} wait as suspects" if suspects else ""
    return f"Noted: {node.attempt} is out, {node.verdict_reason}{closed}{waiting}; {leader(scene)}."


def _digest(scene: Scene) -> ToolCall:
    survey, nodes = scene.survey, scene.lineage.nodes
    tried = [node for node in nodes.values() if node.parents]
    riders = {node.agent for node in tried}
    rejected = [n for n in tried if n.verdict == "invalid" and n.verdict_by == "guardrail"]
    ruled = sum(n.verdict == "invalid" for n in tried) - len(rejected)
    verified = sum(node.verdict == "valid" for node in tried)
    measured = sum(node.measured_seq is not None for node in tried)
    results = survey.results_since_digest[-_REFS:]
    suspects = len(scene.lineage.suspects())
    claims = len(scene.board.claims(now=scene.observation.now))
    counts = (
        f"Digest: {len(tried)} attempts by {len(riders)} riders, {measured} measured, "
        f"{len(rejected)} rejected by the guardrail."
    )
    lines = [
        counts,
        _best_line(scene),
        f"On private text: {verified} verified, {ruled} ruled invalid, {suspects} suspect.",
        f"Dead ends so far: {len(scene.board.dead_ends)}. Directions claimed now: {claims}.",
        f"Untouched: {', '.join(_untouched(scene, tried)) or 'no lever'}.",
    ]
    best = scene.lineage.best()
    refs = (*((best.attempt,) if best else ()), *(message.id for message in results))
    return verb("post_message", type="digest", body="\n".join(lines), refs=refs)


def _best_line(scene: Scene) -> str:
    best = scene.lineage.best()
    if best is None or best.speedup is None:
        return "Nothing clean is measured yet."
    path = " > ".join(scene.lineage.path(best.attempt))
    return (
        f"Best: {best.attempt} by {best.agent}, {best.speedup.estimate:.2f}x "
        f"[{best.speedup.low:.2f}, {best.speedup.high:.2f}] at stage {best.best_stage}, "
        f"by way of {path}."
    )


def _untouched(scene: Scene, tried: list[Node]) -> list[str]:
    said = " ".join(node.direction for node in tried)
    return [lever for lever in scene.space.levers if lever not in said]


def _dead_end(scene: Scene) -> list[ToolCall]:
    return _rejected(scene) or _slow(scene)


def _slow(scene: Scene) -> list[ToolCall]:
    """Return the first word that cost speed each time it was measured, and more than once."""
    for word, lessons in scene.evidence.lessons.items():
        if len(lessons) < _REJECTIONS or max(one.speed for one in lessons) > -_SLOWER:
            continue
        if scene.space.is_telling(word) and may_retire(scene, word.split()):
            best = max(one.speed for one in lessons)
            reason = f"{len(lessons)} attempts had it and each was slower, by {-best:.1%} at least."
            nodes = [n for n in scene.lineage.nodes.values() if word in scene.words(n)]
            refs = tuple(node.attempt for node in nodes[:_REFS])
            return [verb("record_dead_end", direction=word, reason=reason, refs=refs)]
    return []


def _rejected(scene: Scene) -> list[ToolCall]:
    """Return the first word that was rejected repeatedly and never passed."""
    bad: defaultdict[str, list[Node]] = defaultdict(list)
    good: set[str] = set()
    for node in scene.lineage.nodes.values():
        for word in scene.space.phrases(scene.words(node)):
            if is_clean(node):
                good.add(word)
            elif node.verdict == "invalid" or is_at_fault(node):
                bad[word].append(node)
    for word, nodes in bad.items():
        known = blocking_dead_end(word, scene.board.dead_ends)
        if (
            len(nodes) >= _REJECTIONS
            and word not in good
            and not known
            and may_retire(scene, word.split())
        ):
            worst = max(node.perplexity_ratio or 0.0 for node in nodes)
            reason = (
                f"{len(nodes)} attempts had it, none passed; worst perplexity ratio {worst:.2f}."
            )
            refs = tuple(node.attempt for node in nodes[:_REFS])
            return [verb("record_dead_end", direction=word, reason=reason, refs=refs)]
    return []
