"""Parameter counts of the models that are raced: what a token reads, what only lies in memory.

Counted from the published shapes. Knows no format, no device and no engine.
"""

from collections.abc import Mapping
from typing import NamedTuple

from bench.frozen import nearest_name
from sandbox.errors import ConfigError


class CacheLayers(NamedTuple):
    """Layers that keep keys and values of their own, and for how long."""

    layers: int
    numbers_per_token: int
    """Keys and values of one layer."""
    window: int | None
    """Tokens kept; None = all."""


class ModelShape(NamedTuple):
    """What one model is made of."""

    name: str
    mark: str
    """Lower-case word by which a model's title is recognised."""
    layers: int
    width: int
    vocabulary: int
    parts: Mapping[str, int]
    """Weights that every token reads, by part; `head` is the output head, tied to the embedding."""
    gathered: int
    """Weights of tables of which a token reads a few rows; beside the tied embedding."""
    other_bytes: int
    """Of encoders for pictures and sound, which no text token reads; an estimate."""
    cache: tuple[CacheLayers, ...]

    def cache_numbers(self, tokens: int) -> int:
        """Return how many numbers the KV cache of one request of `tokens` holds."""
        return sum(
            one.layers * one.numbers_per_token * min(tokens, one.window or tokens)
            for one in self.cache
        )


GEMMA_4_E4B = ModelShape(
    name="gemma-4-e4b",
    mark="e4b",
    layers=42,
    width=2560,
    vocabulary=262_144,
    parts={
        "mlp": 42 * 3 * 2560 * 10_240,
        # Every sixth layer is global: 8 heads of 512 instead of 256; the last 18 share their KV.
        "attention": (
            20 * 2560 * (2 * 2048 + 2 * 512)
            + 4 * 2560 * (2 * 4096 + 2 * 1024)
            + 15 * 2560 * 2 * 2048
            + 3 * 2560 * 2 * 4096
        ),
        "gates": 42 * 2 * 2560 * 256 + 2560 * 42 * 256,
        "head": 262_144 * 2560,
    },
    gathered=262_144 * 42 * 256,
    other_bytes=1_000_000_000,
    cache=(CacheLayers(20, 2 * 512, 512), CacheLayers(4, 2 * 1024, None)),
)
"""Gemma 4 E4B: 4.64 B weights a token, and a per-layer embedding of 2.82 B that is gathered."""

GEMMA_3_270M = ModelShape(
    name="gemma-3-270m",
    mark="270m",
    layers=18,
    width=640,
    vocabulary=262_144,
    parts={
        "mlp": 18 * 3 * 640 * 2048,
        "attention": 18 * 640 * (2 * 1024 + 2 * 256),
        "head": 262_144 * 640,
    },
    gathered=0,
    other_bytes=0,
    cache=(CacheLayers(15, 2 * 256, 512), CacheLayers(3, 2 * 256, None)),
)

SMOLLM2_135M = ModelShape(
    name="smollm2-135m",
    mark="smollm",
    layers=30,
    width=576,
    vocabulary=49_152,
    parts={
        "mlp": 30 * 3 * 576 * 1536,
        "attention": 30 * 576 * (2 * 576 + 2 * 192),
        "head": 49_152 * 576,
    },
    gathered=0,
    other_bytes=0,
    cache=(CacheLayers(30, 2 * 192, None),),
)

SHAPES = (GEMMA_4_E4B, GEMMA_3_270M, SMOLLM2_135M)


def shape_of(title: str) -> ModelShape:
    """Return the shape of the model that `title` names.

    Raises:
        ConfigError: nobody counted that model; whoever asked for an estimate sees it.
    """
    found = next((shape for shape in SHAPES if shape.mark in title.lower()), None)
    if found is None:
        raise ConfigError(
            f"no parameter counts of {title!r};"
            f" {nearest_name(title, [shape.name for shape in SHAPES])}",
            code="unknown_shape",
            hint="bench/model_shapes.py holds them",
        )
    return found
