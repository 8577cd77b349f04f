"""Recombiner: two attempts that each found something; their child has both."""

from collections.abc import Iterable
from random import Random

from pydantic import JsonValue

from agents.policies import climber
from agents.policies.scene import Idea, Scene
from bench.config import Changes, EngineConfig, diff
from tools.record.lineage import Node

_PARTNERS = 8


def ideas(scene: Scene, rng: Random) -> Iterable[Idea]:
    """Yield unions of pairs of clean attempts, the faster one first; else single steps."""
    pool = [node for node in scene.clean if node.parents]
    found = False
    for index, first in enumerate(pool[:_PARTNERS]):
        ancestors = set(scene.lineage.ancestors(first.attempt))
        for second in pool[index + 1 : index + 1 + _PARTNERS]:
            changes = union(first, second, scene.observation.challenge.baseline)
            if changes and second.attempt not in ancestors:
                found = True
                why = f"{second.attempt} by {second.agent} changed what {first.attempt} left alone"
                yield Idea(first.attempt, changes, why, merges=(second.attempt,))
    if not found:
        yield from climber.ideas(scene, rng)


def union(first: Node, second: Node, baseline: EngineConfig) -> dict[str, JsonValue]:
    """Return the changes of `second` that `first` does not contradict and does not have."""
    mine = diff(baseline, first.config)
    theirs = diff(baseline, second.config)
    taken = {_lever(path) for path in mine}
    return _whole({p: v for p, v in theirs.items() if _lever(p) not in taken}, second.config)


def _lever(path: str) -> str:
    """A kept vocabulary, a speculation or a list of overrides is taken whole or not at all."""
    for whole in ("weights.vocabulary", "speculation"):
        if path.startswith(whole):
            return whole
    return path


def _whole(changes: Changes, config: EngineConfig) -> dict[str, JsonValue]:
    whole: dict[str, JsonValue] = {}
    data = config.model_dump(mode="json")
    for path in changes:
        lever = _lever(path)
        value = data
        for name in lever.split("."):
            value = value[name]
        whole[lever] = value
    return whole
