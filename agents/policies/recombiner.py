"""Recombiner: two attempts that each found something; their child has both."""

from collections.abc import Iterable
from random import Random

from pydantic import JsonValue

from agents.policies.lever_space import LeverSpace
from agents.policies.scene import Idea, Ideas, Scene
from bench.config import Changes, diff
from bench.configs.engine_config import EngineConfig
from tools.record.lineage import Node

_PARTNERS = 8


def or_else(single_steps: Ideas) -> Ideas:
    """Return the search for unions; while there are none, `single_steps`."""

    def ideas(scene: Scene, rng: Random) -> Iterable[Idea]:
        """Yield unions of pairs of clean attempts, the faster one first; else single steps."""
        pool = [node for node in scene.clean if node.parents]
        found = False
        for index, first in enumerate(pool[:_PARTNERS]):
            ancestors = set(scene.lineage.ancestors(first.attempt))
            for second in pool[index + 1 : index + 1 + _PARTNERS]:
                changes = union(first, second, scene.observation.challenge.baseline, scene.space)
                if changes and second.attempt not in ancestors:
                    found = True
                    who = f"{second.attempt} by {second.agent}"
                    why = f"{who} changed what {first.attempt} left alone"
                    yield Idea(first.attempt, changes, why, merges=(second.attempt,))
        if not found:
            yield from single_steps(scene, rng)

    return ideas


def union(
    first: Node, second: Node, baseline: EngineConfig, space: LeverSpace
) -> dict[str, JsonValue]:
    """Return the changes of `second` that `first` does not contradict and does not have."""
    mine = diff(baseline, first.config)
    theirs = diff(baseline, second.config)
    taken = {space.lever_of(path) for path in mine}
    new = {path: value for path, value in theirs.items() if space.lever_of(path) not in taken}
    both = {path: space.joined(path, mine[path], theirs[path]) for path in mine if path in theirs}
    joined = {path: value for path, value in both.items() if value not in (None, mine[path])}
    return _whole(new, second.config, space) | joined


def _whole(changes: Changes, config: EngineConfig, space: LeverSpace) -> dict[str, JsonValue]:
    whole: dict[str, JsonValue] = {}
    data = config.model_dump(mode="json")
    for path in changes:
        lever = space.lever_of(path)
        value = data
        for name in lever.split("."):
            value = value[name]
        whole[lever] = value
    return whole
