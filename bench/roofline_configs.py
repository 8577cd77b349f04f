"""From a config to the roofline: what one step of it reads, adds and keeps in memory.

One way for both engines: vLLM's configs by the formula of `bench.roofline`, llama.cpp's by the
fitted rates of `bench.cost_model`, told in the same terms. Shapes, devices and the first evening
of speculation are data; what was never measured anywhere is left out and so is free on paper.
"""

from collections.abc import Mapping
from typing import NamedTuple

from bench import cost_model
from bench.challenge import Challenge
from bench.configs.engine_config import EngineConfig
from bench.configs.llamacpp import LlamaCppConfig
from bench.configs.vllm import PatchName, VllmConfig
from bench.devices import DEVICES, ZEN4, DeviceFit, device_named
from bench.model_shapes import GEMMA_3_270M, ModelShape, shape_of
from bench.roofline import (
    NOTHING,
    Estimate,
    Extra,
    Guessing,
    Part,
    Work,
    estimate,
    is_plausible,
    most_plausible,
)
from sandbox.errors import ConfigError

BITS: Mapping[str, float] = {
    "int4_g32": 4.5,
    "int4_g128": 4.125,
    "int4_g256": 4.0625,
}
"""Per weight with the 16-bit scale of its group; 16 where nothing else is said."""
QUANTISED_BITS: Mapping[str, float] = {
    "fp8": 8,
    "fp8_per_tensor": 8,
    "fp8_per_channel": 8,
    "fp8_per_block": 8,
    "mxfp8": 8.25,
    "awq": 4.125,
    "awq_marlin": 4.125,
    "gptq": 4.125,
    "gptq_marlin": 4.125,
}
"""Of the body; the head stays as it is. A checkpoint's own format that is not here counts 16; so do
int8_per_channel_weight_only and nvfp4_per_token: vLLM stores only experts so, and these models have
none."""
NAMED_BITS: Mapping[str, float] = {"w4a16": 4.5, "int4": 4.5, "fp8": 8}
"""Of the body, by what a checkpoint's name says of it."""
LOOKUPS = frozenset({"ngram", "ngram_gpu", "suffix"})
"""Kinds of guessing that need no drafter."""
KEPT_ROWS: Mapping[PatchName, int] = {"head_12k": 12_288, "head_16k": 16_384}
REMOVED_LAYERS: Mapping[PatchName, int] = {
    "any_layers_removed": 5,
    "five_layers_removed": 5,
    "three_layers_removed": 3,
}

ACCEPTED = (0.69, 0.53, 0.43, 0.34, 0.27, 0.22, 0.17, 0.135, 0.105, 0.08)
"""Share of steps in which a drafter of the model's family is right at each position and all before:
a team's log of the first seven, beyond them extrapolated."""
DRAFTER_BYTES = 78_000_000 * 2
"""Of the published drafter for Gemma 4 E4B: 4 layers of width 256."""
DRAFT_LAUNCH_MS, VERIFY_MS = 0.03, 0.24
"""Beside its bytes, per drafted token; and what checking one adds to the pass. Fitted, with the
fixed part, on 247, 262, 273 and 275 tokens/s at K = 3, 4, 5, 7."""
DRAFTING_FIXED_MS = 0.77
NGRAM_TOKENS_PER_STEP = 1.35
"""Of an ideal lookup on the challenge's prompts: 1.3 to 1.4."""
NGRAM_FIXED_SHARE = 1.9
"""Host work of a lookup over the device's fixed part: int4 with it 83 to 90 tokens/s, else 95."""
EAGER_LAYER_MS = 1.75
"""Launching a layer kernel by kernel: Gemma 3 270M on an H100, 565 -> 30 tokens/s; on an H200
581 -> 32, beside each other (1.63)."""
UNGRAPHED_LAYER_MS = 0.55
"""The same compiled, but without CUDA graphs: 697 -> 94 tokens/s beside each other on an H200
(0.51), 553 -> 79 in one session (0.60)."""
UNOVERLAPPED_SHARE = 0.19
"""Of a step, where scheduling waits for the device instead of running ahead."""

SIXTEEN = 16
RUNTIME_BYTES = 1_000_000_000
"""CUDA context, graphs and work space."""
LOGIT_BYTES = 8
"""Of one scored token's logits, per row of the head: themselves and their logarithms."""

CONTEXT_TOKENS = 2048
"""Room for one request in llama.cpp's cache."""
PROCESS_BYTES = 120 << 20
"""Of a llama.cpp server, beside its weights."""


class Asked(NamedTuple):
    """What an estimate is made for."""

    shape: ModelShape
    device: DeviceFit


def asked_of(challenge: Challenge, device: str | None = None) -> Asked:
    """Return the model of `challenge`, and `device` or the one its name or title mentions.

    Raises:
        ConfigError: a model nobody counted, or a device nobody fitted; whoever asked sees it.
    """
    shape = shape_of(challenge.model.title)
    if device is not None:
        return Asked(shape, device_named(device))
    if isinstance(challenge.baseline, LlamaCppConfig):
        return Asked(shape, ZEN4)
    said = f"{challenge.name} {challenge.title}".lower()
    found = next((one for one in DEVICES.values() if one.name in said), None)
    if found is None:
        raise ConfigError(
            f"challenge {challenge.name!r} does not say on which device it runs",
            code="unknown_device",
            hint=f"name one of: {', '.join(DEVICES)}",
        )
    return Asked(shape, found)


def estimate_config(
    config: EngineConfig, asked: Asked, *, accepted: tuple[float, ...] = ACCEPTED
) -> Estimate:
    """Return what `config` should come to.

    Args:
        config: of either engine.
        asked: model and device.
        accepted: share of steps in which guesses up to each position are right, where measured.

    Raises:
        ConfigError: `no_cost_model`: an engine, or a model on it, that paper knows nothing of.
    """
    if isinstance(config, VllmConfig):
        return estimate(work_of(config, asked, accepted=accepted), asked.device)
    if isinstance(config, LlamaCppConfig) and asked.shape is GEMMA_3_270M:
        return _llamacpp(config, asked)
    raise ConfigError(
        f"no cost model of {config.engine!r} serving {asked.shape.name}", code="no_cost_model"
    )


def gate(
    tokens_per_second: float, config: EngineConfig, challenge: Challenge
) -> dict[str, bool | float] | None:
    """Return what the roofline says of a measured speed, as evidence beside a ruling.

    None where paper knows nothing of the engine, the model or the device. It asks for a second
    look and decides nothing.
    """
    try:
        found = estimate_config(config, asked_of(challenge))
    except ConfigError:
        return None
    return {
        "plausible": is_plausible(tokens_per_second, found),
        "suspect_above_tokens_per_second": most_plausible(found),
    }


# --- vLLM


def work_of(config: VllmConfig, asked: Asked, *, accepted: tuple[float, ...] = ACCEPTED) -> Work:
    """Return what a step of `config` does on paper."""
    shape, device = asked
    guessing, extras = _guessing(config, device, accepted)
    if config.enforce_eager:
        extras += (Extra("eager launches", EAGER_LAYER_MS * shape.layers),)
    elif config.compilation.cudagraph_mode == "NONE":
        extras += (Extra("launches without graphs", UNGRAPHED_LAYER_MS * shape.layers),)
    parts = parts_of(config, shape)
    if config.async_scheduling is False:
        plain_ms = 1e3 * device.seconds(sum(part.bytes for part in parts))
        extras += (Extra("scheduling", UNOVERLAPPED_SHARE * plain_ms),)
    return Work(
        parts=parts,
        guessing=guessing,
        extras=extras,
        memory=_memory(config, shape),
        memory_share=config.gpu_memory_utilization,
    )


def parts_of(config: VllmConfig, shape: ModelShape) -> tuple[Part, ...]:
    """Return the weights a token reads, by part, with their bits."""
    patches = config.patches
    removed = max((REMOVED_LAYERS.get(patch, 0) for patch in patches), default=0)
    rows = min((KEPT_ROWS.get(patch, shape.vocabulary) for patch in patches), default=None)
    body, head = _bits(config)
    parts = []
    for name, weights in shape.parts.items():
        is_head = name == "head"
        share = (rows or shape.vocabulary) / shape.vocabulary if is_head else 1.0
        share *= 1.0 if is_head else 1 - removed / shape.layers
        parts.append(Part(name, share * weights, head if is_head else body))
    return tuple(parts)


def _bits(config: VllmConfig) -> tuple[float, float]:
    """Return bits per weight of the body and of the head."""
    named = (bits for mark, bits in NAMED_BITS.items() if mark in config.checkpoint.lower())
    head = float(SIXTEEN)
    body = QUANTISED_BITS.get(config.quantization or "", next(named, head))
    for patch in ("int4_g32", "int4_g128", "int4_g256"):
        if patch in config.patches:
            body = BITS[patch]
    if "int4_head" in config.patches:
        head = BITS["int4_g32"]
    if "int4_g128" in config.patches or "int4_g256" in config.patches:
        head = BITS["int4_g128"]
    return body, head


def _guessing(
    config: VllmConfig, device: DeviceFit, accepted: tuple[float, ...]
) -> tuple[Guessing, tuple[Extra, ...]]:
    kind, drafts = config.speculation.kind, config.speculation.draft_tokens
    if kind == "none":
        return NOTHING, ()
    if kind in LOOKUPS:
        lookup = Extra("lookup", NGRAM_FIXED_SHARE * device.fixed_ms)
        return Guessing(drafts, (NGRAM_TOKENS_PER_STEP - 1,)), (lookup,)
    read_ms = DRAFTER_BYTES / device.effective_gb_s / 1e6
    guessing = Guessing(drafts, accepted, read_ms + DRAFT_LAUNCH_MS, VERIFY_MS)
    return guessing, (Extra("drafting, fixed", DRAFTING_FIXED_MS),)


def _memory(config: VllmConfig, shape: ModelShape) -> tuple[Extra, ...]:
    parts = parts_of(config, shape)
    is_untied = parts[-1].bits < SIXTEEN or parts[-1].weights < shape.parts["head"]
    embedding = 2 * shape.parts["head"] if is_untied else 0
    cached = 2 if config.kv_cache_dtype in ("auto", "bfloat16", "float16") else 1
    drafter = DRAFTER_BYTES if config.speculates else 0
    scored = min(config.max_num_batched_tokens, config.max_model_len)
    return (
        Extra("weights", sum(part.bytes for part in parts) + drafter),
        Extra("embedding tables", 2 * shape.gathered + embedding),
        Extra("encoders", shape.other_bytes),
        Extra("KV cache", cached * shape.cache_numbers(config.max_model_len)),
        Extra("logits of scored tokens", LOGIT_BYTES * shape.vocabulary * scored),
        Extra("runtime", RUNTIME_BYTES),
    )


# --- llama.cpp


def _llamacpp(config: LlamaCppConfig, asked: Asked) -> Estimate:
    recipe = config.weights
    sizes = cost_model.part_bytes(recipe) | {"norms": float(cost_model.OTHER_BYTES)}
    step_ms = 1e3 * cost_model.seconds_per_token(config)
    fixed_ms = 1e3 * cost_model.fixed_seconds(recipe)
    read = cost_model.bytes_per_token(recipe)
    rest = max(step_ms - fixed_ms, 0.0) / sum(sizes.values())
    cache = 2 * 2 * asked.shape.cache_numbers(CONTEXT_TOKENS)
    return Estimate(
        device=asked.device.name,
        tokens_per_second=1e3 / step_ms,
        tokens_per_step=1.0,
        terms=(
            *(Extra(name, size * rest) for name, size in sizes.items()),
            Extra("fixed", fixed_ms),
        ),
        bytes_per_token=read,
        bound=cost_model.bound_tokens_per_second(read, threads=config.threads),
        longest_step_tokens=config.longest_step_tokens,
        memory=(
            Extra("weights", read),
            Extra("KV cache", cache),
            Extra("process", PROCESS_BYTES),
        ),
        memory_limit=asked.device.memory_bytes,
    )
