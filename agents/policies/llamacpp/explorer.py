"""Explorer: valid changes nobody would plan, more of them at a higher temperature."""

from collections.abc import Iterable
from random import Random

from pydantic import JsonValue

from agents.policies.llamacpp.levers import GROUPS, LADDER, SIZES, kept
from agents.policies.llamacpp.physics import shape_of
from agents.policies.scene import Idea, Scene

_TRIES = 12


def ideas(scene: Scene, rng: Random) -> Iterable[Idea]:
    """Yield random combinations of one to three levers."""
    parents = scene.parents(rng)
    for _ in range(_TRIES if parents else 0):
        parent = rng.choice(parents)
        changes: dict[str, JsonValue] = {}
        for _ in range(1 + int(rng.random() * (1 + scene.keys.temperature))):
            changes |= _random_change(rng, scene)
        words = f"nobody asked what {' and '.join(sorted(changes))} do together"
        if len(changes) == 1:
            words = f"nobody asked what {next(iter(changes))} does here"
        yield Idea(parent.attempt, changes, words)


def _random_change(rng: Random, scene: Scene) -> dict[str, JsonValue]:
    rows = shape_of(scene.observation.challenge).vocabulary
    sizes = [size for size in SIZES if size <= rows]
    choices: list[dict[str, JsonValue]] = [
        {f"weights.{rng.choice(GROUPS)}": rng.choice(LADDER[1:])},
        {f"weights.{rng.choice(GROUPS)}": rng.choice(LADDER[-3:])},
        kept(rng.choice(("ascii", "frequent", "first", "public_text")), rng.choice(sizes)),
        {"weights.rounding": rng.choice(("scale_search", "norm_weighted"))},
        {"threads": rng.randint(1, scene.cores)},
        {"flash_attention": rng.choice(("on", "off"))},
        {"cache_type_v": rng.choice(("q8_0", "q5_1", "q4_0"))},
        {"cache_type_k": rng.choice(("q8_0", "q5_1", "q4_0"))},
        {"memory_map": False},
        {"micro_batch_tokens": rng.choice((64, 128, 256, 1024))},
    ]
    return rng.choice(choices)
