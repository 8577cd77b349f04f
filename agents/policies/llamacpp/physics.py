"""What a rider can work out on paper: bytes read per token, and what they should cost.

A rough guide, not the truth: `agents/policies/evidence.py` corrects it by what was measured. Rates
come from runs of Gemma 3 270M on 2 Zen 4 cores (bf16 37 tokens/s on one thread, 51 on two; the
published file 46 and 73; everything in q4_0 about 145 on two).
"""

import math
from typing import NamedTuple

from bench.challenge import Challenge
from bench.configs.llamacpp import LlamaCppConfig, TensorGroup, WeightFormat, WeightRecipe


class Shape(NamedTuple):
    """Parameter counts of a model."""

    layers: int
    vocabulary: int
    width: int
    tensors: dict[TensorGroup, int]
    """Parameters of one layer's tensor."""


GEMMA = Shape(
    18,
    262_144,
    640,
    {
        "attn_q": 640 * 1024,
        "attn_k": 640 * 256,
        "attn_v": 640 * 256,
        "attn_output": 640 * 1024,
        "ffn_gate": 640 * 2048,
        "ffn_up": 640 * 2048,
        "ffn_down": 640 * 2048,
    },
)
SMOLLM = Shape(
    30,
    49_152,
    576,
    {
        "attn_q": 576 * 576,
        "attn_k": 576 * 192,
        "attn_v": 576 * 192,
        "attn_output": 576 * 576,
        "ffn_gate": 576 * 1536,
        "ffn_up": 576 * 1536,
        "ffn_down": 576 * 1536,
    },
)

ATTENTION: tuple[TensorGroup, ...] = ("attn_q", "attn_k", "attn_v", "attn_output")
FEED_FORWARD: tuple[TensorGroup, ...] = ("ffn_gate", "ffn_up", "ffn_down")

BITS: dict[WeightFormat, float] = {
    "bf16": 16,
    "f16": 16,
    "q8_0": 8.5,
    "q5_1": 6,
    "q5_0": 5.5,
    "shipped": 5.3,
    "q4_1": 5,
    "q4_0": 4.5,
}
"""Bits per weight; `shipped` is the body's mix of K-quants, the shipped head is q8_0."""

GIGABYTES_PER_SECOND: dict[WeightFormat, float] = {
    "bf16": 22,
    "f16": 25,
    "q8_0": 14,
    "shipped": 11,
    "q5_1": 9,
    "q5_0": 9,
    "q4_1": 9,
    "q4_0": 17,
}
"""One thread: few bits are cheap to read and dear to unpack; q4_0 has repacked kernels."""

DOUBT: dict[WeightFormat, float] = {
    "bf16": 0.0,
    "f16": 0.0,
    "q8_0": 0.003,
    "shipped": 0.015,
    "q5_1": 0.03,
    "q5_0": 0.04,
    "q4_1": 0.1,
    "q4_0": 0.12,
}
"""Guess at the rise of ln perplexity when a whole group takes the format; low for 4 bits on
purpose, so that somebody tries and everybody learns."""

_STEP_MS = 1.5
_GROUP_SHARE = {"head": 1.0, "attention": 0.35, "feed_forward": 0.65}


def shape_of(challenge: Challenge) -> Shape:
    """Return the shape of the challenge's model."""
    return SMOLLM if "smollm" in challenge.model.title.lower() else GEMMA


def kept_rows(weights: WeightRecipe, shape: Shape) -> int:
    """Return how many rows of the head are read per token."""
    kept = weights.vocabulary
    return min(kept.size, shape.vocabulary) if kept else shape.vocabulary


def megabytes_per_token(config: LlamaCppConfig, shape: Shape) -> float:
    """Return how many megabytes of weights one token reads."""
    return sum(size for _, size in _parts(config.weights, shape)) / 1e6


def head_share(config: LlamaCppConfig, shape: Shape) -> float:
    """Return which part of those bytes is the head's."""
    parts = _parts(config.weights, shape)
    return parts[0][1] / sum(size for _, size in parts)


def milliseconds_per_token(config: LlamaCppConfig, shape: Shape) -> float:
    """Return what bytes and rates say one token takes."""
    parts = _parts(config.weights, shape)
    reading_ms = sum(size / 1e6 / GIGABYTES_PER_SECOND[format_] for format_, size in parts)
    return _STEP_MS + reading_ms / math.sqrt(config.threads)


def doubt(config: LlamaCppConfig, shape: Shape) -> float:
    """Return the guessed rise of ln perplexity over the baseline's, all rows kept."""
    weights = config.weights
    groups = {"head": weights.head, "attention": weights.attention}
    groups["feed_forward"] = weights.feed_forward
    rise = sum(_GROUP_SHARE[group] * DOUBT[kind] for group, kind in groups.items())
    body = sum(shape.tensors.values()) * shape.layers
    for override in weights.overrides:
        share = sum(shape.tensors[t] for t in override.tensors) * len(override.layers) / body
        rise += share * DOUBT[override.format]
    return rise


def _parts(weights: WeightRecipe, shape: Shape) -> list[tuple[WeightFormat, float]]:
    head: WeightFormat = "q8_0" if weights.head == "shipped" else weights.head
    parts = [(head, kept_rows(weights, shape) * shape.width * BITS[head] / 8)]
    for tensor, parameters in shape.tensors.items():
        group = weights.attention if tensor in ATTENTION else weights.feed_forward
        formats = dict.fromkeys(range(shape.layers), group)
        for override in weights.overrides:
            if tensor in override.tensors:
                formats.update(dict.fromkeys(override.layers, override.format))
        parts += [(f, parameters * BITS[f] / 8) for f in formats.values()]
    return parts
