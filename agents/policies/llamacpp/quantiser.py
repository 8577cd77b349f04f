"""Quantiser: which tensors of which layers bear fewer bits.

Ranks layers by what attempts on the board lost when one of them was squeezed; layers nobody
measured are taken late ones first, since their errors pass through the fewest others.
"""

from collections.abc import Iterable
from math import log
from random import Random
from typing import Any

from pydantic import JsonValue

from agents.policies.llamacpp.physics import ATTENTION, FEED_FORWARD, shape_of
from agents.policies.scene import Idea, Scene
from bench.configs.llamacpp import LayerFormat, TensorGroup, WeightFormat, as_llamacpp
from tools.record.lineage import Lineage, Node

_WHOLE: tuple[tuple[dict[str, Any], str], ...] = (
    (
        {f"weights.{g}": "shipped" for g in ("head", "attention", "feed_forward")},
        "the published bytes everywhere",
    ),
    (
        {f"weights.{g}": "q8_0" for g in ("head", "attention", "feed_forward")},
        "8 bits everywhere",
    ),
    ({"weights.attention": "shipped", "weights.feed_forward": "shipped"}, "the published body"),
    ({"weights.attention": "q8_0", "weights.feed_forward": "q8_0"}, "an 8 bit body"),
    ({"weights.head": "q8_0"}, "an 8 bit head"),
    ({"weights.head": "q5_0"}, "a 5 bit head"),
    ({"weights.head": "q4_0", "weights.rounding": "scale_search"}, "a 4 bit head, scales searched"),
    ({"weights.head": "q4_0"}, "a 4 bit head"),
    ({"weights.feed_forward": "q5_1"}, "a feed-forward of 5 bits with offsets"),
    ({"weights.attention": "q5_1"}, "an attention of 5 bits with offsets"),
    ({"weights.feed_forward": "q4_0", "weights.attention": "q4_0"}, "a 4 bit body"),
    ({"weights.feed_forward": "q4_0"}, "a 4 bit feed-forward"),
)


def ideas(scene: Scene, rng: Random) -> Iterable[Idea]:
    """Yield whole-group formats and, on quantised parents, the next layers to squeeze."""
    costs = layer_costs(scene.lineage, shape_of(scene.observation.challenge).layers)
    for parent in scene.parents(rng):
        for changes, words in _WHOLE:
            yield Idea(parent.attempt, changes, words)
        if as_llamacpp(parent.config).weights.feed_forward != "bf16":
            yield from _squeezes(parent, costs, rng)


def layer_costs(lineage: Lineage, layers: int) -> dict[int, float]:
    """Return the expected rise of ln perplexity per layer squeezed, measured where it was."""
    costs = {layer: 0.02 + 0.1 * (1 - layer / layers) for layer in range(layers)}
    seen: dict[int, list[float]] = {}
    for node in lineage.nodes.values():
        parent = lineage.nodes.get(node.parents[0].attempt) if node.parents else None
        if parent is None or not node.perplexity_ratio or not parent.perplexity_ratio:
            continue
        old = set(as_llamacpp(parent.config).weights.overrides)
        now = as_llamacpp(node.config).weights.overrides
        new = {layer for one in now if one not in old for layer in one.layers}
        rise = log(node.perplexity_ratio / parent.perplexity_ratio)
        for layer in new:
            seen.setdefault(layer, []).append(rise / len(new))
    return costs | {layer: sum(rises) / len(rises) for layer, rises in seen.items()}


def _squeezes(parent: Node, costs: dict[int, float], rng: Random) -> Iterable[Idea]:
    """Yield the cheapest one to three layers not squeezed yet."""
    overrides = as_llamacpp(parent.config).weights.overrides
    done = {layer for override in overrides for layer in override.layers}
    cheapest = sorted((layer for layer in costs if layer not in done), key=costs.__getitem__)
    tensors: tuple[TensorGroup, ...] = rng.choice((FEED_FORWARD, ATTENTION, ("ffn_gate", "ffn_up")))
    format_: WeightFormat = rng.choice(("q4_0", "q4_0", "q5_0"))
    for count in (1, 2, 3):
        layers = tuple(sorted(cheapest[:count]))
        if not layers:
            return
        added = LayerFormat(layers=layers, tensors=tensors, format=format_)
        rows: list[JsonValue] = [
            override.model_dump(mode="json") for override in (*overrides, added)
        ]
        loss = sum(costs[layer] for layer in layers)
        names = ", ".join(map(str, layers))
        words = f"layers {names} look cheapest to squeeze to {format_} (ln perplexity +{loss:.3f})"
        yield Idea(parent.attempt, {"weights.overrides": rows}, words)
