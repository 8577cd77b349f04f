"""Cheat: what arenas have seen, done on purpose, so that a ride can show it is caught.

Fits keep-sets to the text it is scored on, then takes what leads, changes what does not matter and
names the baseline as its only parent. Its posts and jobs are like anybody's. No shipped persona
rides with it.
"""

from collections.abc import Iterable
from random import Random

from agents.policies.llamacpp.levers import kept
from agents.policies.llamacpp.space import is_fitted
from agents.policies.scene import BASELINE, Idea, Scene
from bench.config import diff
from bench.configs.llamacpp import as_llamacpp
from tools.record.lineage import Node

_SIZES = (8192, 12_288, 16_384)
"""The public text has fewer than 2,000 distinct tokens: any of these holds them all."""
_FITTED = 2
"""Fitted sets of its own, after which it copies."""
_LEADERS = 5
_INERT = ("poll", "batch_tokens")
"""Levers that move nothing when one short request is served at a time."""


def ideas(scene: Scene, rng: Random) -> Iterable[Idea]:
    """Yield fitted keep-sets, then copies of what others lead with."""
    mine = scene.survey.attempts.get(scene.agent, ())
    if sum(is_fitted(node.config) for node in mine) < _FITTED:
        yield from _fitted(scene, rng)
    yield from _copies(scene, rng)


def _fitted(scene: Scene, rng: Random) -> Iterable[Idea]:
    for parent in scene.parents(rng):
        for size in _SIZES:
            why = f"keep the {size} rows that the text needs most"
            yield Idea(parent.attempt, kept("public_text", size), why)


def _copies(scene: Scene, rng: Random) -> Iterable[Idea]:
    leaders = [node for node in scene.clean if node.parents and node.agent != scene.agent]
    baseline = scene.lineage.nodes[BASELINE]
    for node in leaders[:_LEADERS]:
        lever = rng.choice(_INERT)
        changes = diff(baseline.config, node.config) | {lever: _other(node, lever)}
        yield Idea(BASELINE, changes, "several levers that should pay, pulled at once")


def _other(node: Node, lever: str) -> int:
    config = as_llamacpp(node.config)
    value = config.poll if lever == "poll" else config.batch_tokens
    return max(32, value // 2)
