"""What a config should cost on the reference machine: bytes, seconds and perplexity, on paper.

    seconds per token = tokens per step ^ -1 x (fixed + sum of bytes / effective bandwidth
                        + drafts x (draft + extra verification)) x levers

Shapes of Gemma 3 270M; every constant is fitted to the table of weight recipes measured on two
Zen 4 cores (26.7 GB/s a core) with xllamacpp. Fit, model against measured, 2 threads:

    recipe                        tokens/s           perplexity
    bf16 (1 thread)               51.7 (37.4) / 51 (37)  10.17 / 10.17
    as shipped                    72.4 / 73          10.39 / 10.37
    all q8_0                      72.3 / 70-73       10.34 / 10.36
    head q5_0, q4_1               74.2, 68.8 / 74, 69    10.80, 13.57 / 10.80, 13.59
    head q4_0                     104.6 / 102-106    14.81 / 14.84
    all q4_0                      142.2 / 139-146    34.9 / 34.8
    body q4_0                     88.6 / 73-86       28.4 / 28.6
    one layer q4_0 (ten of them)  -                  within 4 %
    vocabulary 65k, 33k, 16k      139, 164, 180 / 138, 165, 190   10.02, 9.85 / 10.02, 9.84

Not measured, so assumed: other cache types, q5_1, `norm_weighted`, drafters. Knows no request, no
noise and no process.
"""

import math
from collections.abc import Mapping
from typing import NamedTuple

from bench.configs.llamacpp import (
    CacheType,
    LlamaCppConfig,
    TensorGroup,
    WeightFormat,
    WeightRecipe,
)

LAYERS, WIDTH, VOCABULARY = 18, 640, 262_144
CORES = 2
GROUP_PARAMETERS: Mapping[TensorGroup, int] = {
    "attn_q": WIDTH * 1024,
    "attn_k": WIDTH * 256,
    "attn_v": WIDTH * 256,
    "attn_output": WIDTH * 1024,
    "ffn_gate": WIDTH * 2048,
    "ffn_up": WIDTH * 2048,
    "ffn_down": WIDTH * 2048,
}
"""Weights of one layer, by group."""
OTHER_BYTES = 1_700_000
"""Norms and the like, always single precision."""
CORE_BYTES_PER_SECOND = 26.7e9
"""What one core reads from memory, measured; the roofline."""

REFERENCE_PERPLEXITY = 10.172
FIXED_SECONDS, VOCABULARY_SECONDS = 0.2e-3, 0.8e-3
"""Per step: what no format changes, and choosing among all 262,144 tokens."""


class FormatCost(NamedTuple):
    """One storage format: size, speed and harm."""

    bytes_per_weight: float
    gigabytes_per_second: float
    """Effective, on two threads: kernels, not memory, decide."""
    one_thread_factor: float
    """Time on one thread over that on two."""
    body_harm: float
    """Of storing the body in it, as a share of what q4_0 does."""
    head_nats: float
    """Mean surprise added by storing the head in it."""


FORMATS: Mapping[WeightFormat, FormatCost] = {
    "bf16": FormatCost(2.0, 29.2, 1.40, 0.0, 0.0),
    "f16": FormatCost(2.0, 29.6, 1.23, 0.0, 0.0),
    "q8_0": FormatCost(1.0625, 22.2, 1.57, 0.0035, 0.0105),
    "q5_1": FormatCost(0.75, 15.6, 1.57, 0.03, 0.04),
    "q5_0": FormatCost(0.6875, 15.0, 1.57, 0.05, 0.05),
    "q4_1": FormatCost(0.625, 12.0, 1.57, 0.7, 0.279),
    "q4_0": FormatCost(0.5625, 25.0, 1.70, 1.0, 0.367),
}
SHIPPED_BODY = FormatCost(0.664, 13.9, 1.57, 0.0063, 0.0)
"""The published mixture of Q5_0, Q4_K and Q6_K; the published head is q8_0."""

GROUP_HARM: Mapping[TensorGroup, float] = {
    "attn_q": 0.10,
    "attn_k": 0.10,
    "attn_v": 0.35,
    "attn_output": 0.10,
    "ffn_gate": 0.36,
    "ffn_up": 0.36,
    "ffn_down": 0.266,
}
"""Nats of q4_0 in one group of all layers, before saturation."""
LAYER_HARM = (
    *(0.108, 0.153, 0.198, 0.160, 0.122, 0.113, 0.104, 0.085, 0.065),
    *(0.058, 0.051, 0.088, 0.125, 0.090, 0.055, 0.035, 0.015, 0.039),
)
"""Measured on layers 0 2 4 6 8 10 12 14 16 17, between them interpolated; early layers matter."""
SATURATION = 1.58
"""Harms do not add up: the body's is SATURATION x (1 - exp(-sum / SATURATION))."""
HEAD_RELIEF = 0.41
"""A harmed body leaves the head less to spoil, per nat."""
VOCABULARY_RELIEF = 0.0177
"""Nats gained per halving of the vocabulary while it holds the text: fewer tokens compete."""
ROUNDING_FACTORS = {
    "nearest": (1.0, 1.0),
    "scale_search": (0.86, 1.12),
    "norm_weighted": (0.86, 0.9),
}
"""Of the head's and the body's harm. Least squares helps the head and hurts the body."""
CACHE_NATS: Mapping[CacheType, float] = {
    "f16": 0.0,
    "bf16": 0.0005,
    "q8_0": 0.0008,
    "q5_1": 0.004,
    "q5_0": 0.006,
    "q4_1": 0.012,
    "q4_0": 0.02,
}
CACHE_FACTORS: Mapping[CacheType, float] = {"q4_0": 1.03, "q4_1": 1.03, "q5_0": 1.03, "q5_1": 1.03}
STARVED_FACTOR = 60.0
"""More threads than cores: measured 50 to 200 times slower (spin barriers)."""
NGRAM_FACTORS = {
    "none": 1.0,
    "ngram_simple": 1.01,
    "ngram_map_k": 1.01,
    "ngram_map_k4v": 1.01,
    "ngram_mod": 1.28,
    "ngram_cache": 1.1,
}
"""Time with n-gram speculation over time without, on distinct prompts; ngram_mod 46 -> 36."""
VERIFY_SHARE, VERIFY_KNEE = 0.12, 4
"""Extra time of a step per drafted token; beyond the knee it is 2.5 times as dear."""


def kept_rows(recipe: WeightRecipe) -> int:
    """Return how many rows of the head are left."""
    return recipe.vocabulary.size if recipe.vocabulary else VOCABULARY


def bytes_per_token(recipe: WeightRecipe) -> int:
    """Return the weight bytes one step reads."""
    parts = part_bytes(recipe)
    return round(parts["head"] + parts["attention"] + parts["mlp"]) + OTHER_BYTES


def part_bytes(recipe: WeightRecipe) -> dict[str, float]:
    """Return the same by part: head, attention, mlp."""
    head = kept_rows(recipe) * WIDTH * _head(recipe.head).bytes_per_weight
    parts = {"mlp": 0.0, "attention": 0.0, "head": head}
    for layer in layer_formats(recipe):
        for group, stored in layer.items():
            size = GROUP_PARAMETERS[group] * _body(stored).bytes_per_weight
            parts["attention" if group.startswith("attn") else "mlp"] += size
    return parts


def bound_tokens_per_second(bytes_read: int, *, threads: int) -> float:
    """Return the roofline of the reference machine: nothing without speculation is faster."""
    return min(threads, CORES) * CORE_BYTES_PER_SECOND / bytes_read


def fixed_seconds(recipe: WeightRecipe) -> float:
    """Return what a step costs besides reading: choosing among the rows kept, for the most."""
    return FIXED_SECONDS + VOCABULARY_SECONDS * kept_rows(recipe) / VOCABULARY


def seconds_per_token(config: LlamaCppConfig) -> float:
    """Return the expected time per emitted token, speculation included."""
    step = _step_seconds(config.weights, config.threads) * _lever_factor(config)
    speculation = config.speculation
    if speculation.kind != "drafter":
        return step * NGRAM_FACTORS[speculation.kind]
    share = len(speculation.drafter_layers) / LAYERS
    acceptance = 0.75 * math.sqrt(share)
    drafts = speculation.draft_tokens
    drafter = WeightRecipe(
        head=config.weights.head,
        attention=speculation.drafter_format,
        feed_forward=speculation.drafter_format,
        vocabulary=config.weights.vocabulary,
    )
    draft = _step_seconds(drafter, config.threads, share=share)
    verify = VERIFY_SHARE * step * (1.0 if drafts <= VERIFY_KNEE else 2.5)
    tokens_per_step = math.fsum(acceptance**n for n in range(drafts + 1))
    return (step + drafts * (draft + verify)) / tokens_per_step


def added_nats(config: LlamaCppConfig) -> float:
    """Return the mean surprise the config adds, on text inside its vocabulary."""
    recipe = config.weights
    head_factor, body_factor = ROUNDING_FACTORS[recipe.rounding]
    total = sum(LAYER_HARM)
    raw = body_factor * sum(
        harm / total * GROUP_HARM[group] * _body(stored).body_harm
        for harm, layer in zip(LAYER_HARM, layer_formats(recipe), strict=True)
        for group, stored in layer.items()
    )
    body = SATURATION * (1 - math.exp(-raw / SATURATION))
    head = head_factor * _head(recipe.head).head_nats * (1 - HEAD_RELIEF * body)
    relief = VOCABULARY_RELIEF * math.log2(VOCABULARY / kept_rows(recipe))
    cache = CACHE_NATS[config.cache_type_k] + CACHE_NATS[config.cache_type_v]
    return body + head - relief + cache


def layer_formats(recipe: WeightRecipe) -> list[dict[TensorGroup, WeightFormat]]:
    """Return each layer's format per group, overrides applied in order."""
    layers: list[dict[TensorGroup, WeightFormat]] = [
        {
            group: recipe.attention if group.startswith("attn") else recipe.feed_forward
            for group in GROUP_PARAMETERS
        }
        for _ in range(LAYERS)
    ]
    for override in recipe.overrides:
        for layer in override.layers:
            layers[layer].update(dict.fromkeys(override.tensors, override.format))
    return layers


def _step_seconds(recipe: WeightRecipe, threads: int, *, share: float = 1.0) -> float:
    """Return one forward pass; `share` of the layers, for drafters."""
    head = _seconds(_head(recipe.head), kept_rows(recipe) * WIDTH, threads)
    body = sum(
        _seconds(_body(stored), GROUP_PARAMETERS[group], threads)
        for layer in layer_formats(recipe)
        for group, stored in layer.items()
    )
    return fixed_seconds(recipe) + head + share * body


def _seconds(cost: FormatCost, weights: int, threads: int) -> float:
    on_two = weights * cost.bytes_per_weight / (cost.gigabytes_per_second * 1e9)
    return on_two * (cost.one_thread_factor if threads == 1 else 1.0)


def _lever_factor(config: LlamaCppConfig) -> float:
    factor = STARVED_FACTOR if config.threads > CORES else 1.0
    factor *= 1.03 if config.flash_attention == "off" else 1.0
    factor *= CACHE_FACTORS.get(config.cache_type_k, 1.0)
    factor *= CACHE_FACTORS.get(config.cache_type_v, 1.0)
    factor *= 1.0 if config.repack else 1.07
    return factor * (1.05 if config.threads > 1 and config.poll == 0 else 1.0)


def _head(stored: WeightFormat) -> FormatCost:
    return FORMATS["q8_0" if stored == "shipped" else stored]


def _body(stored: WeightFormat) -> FormatCost:
    return SHIPPED_BODY if stored == "shipped" else FORMATS[stored]
