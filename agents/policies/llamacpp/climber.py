"""Climber: one small step at a time from the fastest clean attempts."""

from collections.abc import Iterable
from random import Random

from agents.policies.llamacpp.levers import format_steps, thread_steps, vocabulary_steps
from agents.policies.llamacpp.physics import shape_of
from agents.policies.scene import Idea, Scene
from bench.configs.llamacpp import as_llamacpp


def ideas(scene: Scene, rng: Random) -> Iterable[Idea]:
    """Yield every neighbour of the parents that should read fewer bytes or use more cores."""
    for parent in scene.parents(rng):
        config = as_llamacpp(parent.config)
        steps = [
            *format_steps(config),
            *vocabulary_steps(config, largest=shape_of(scene.observation.challenge).vocabulary),
            *thread_steps(config, scene.cores),
        ]
        if config.weights.rounding == "nearest" and config.weights.head != "bf16":
            steps.append(({"weights.rounding": "scale_search"}, "least-squares scales"))
        for changes, words in steps:
            yield Idea(parent.attempt, changes, f"one step from {parent.attempt}: {words}")
