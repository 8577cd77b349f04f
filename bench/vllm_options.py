"""What each lever of the `vllm` engine becomes on the command line, and what does not go together.

Knows names of flags, the versions that have them, and facts about devices as data; imports no vllm
and starts nothing. Names and rules were read in the sources of 0.26.0 (`vllm/engine/arg_utils.py`,
`vllm/config/*.py`) and tried with its parser and that of 0.32.0. No other argument is ever passed.
"""

import json
import re
from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

from bench.configs.vllm import VllmConfig, VllmSpeculation
from sandbox.errors import ConfigError

Version = tuple[int, int]
OLDEST: Version = (0, 22)
"""Before it some names are others'."""
_SPECULATORS = {"draft_model", "eagle", "eagle3", "medusa", "mlp_speculator", "dflash"}
_BY_LOOKUP = {"ngram", "ngram_gpu"}
_ASYNC_WITH = {"mtp", "draft_model", "eagle", "eagle3", "dflash", "ngram_gpu"}
"""vllm-project/vllm:vllm/config/vllm.py: the others end the start where it is asked for."""
_FP8_CACHE_SINCE = (8, 9)
_E5M2 = "and vLLM rejects e5m2"
_FP4_SINCE = (10, 0)


class Device(NamedTuple):
    """A GPU, as far as it decides what runs on it."""

    name: str
    capability: tuple[int, int]
    """CUDA compute capability."""
    memory_bytes: int


A10G = Device("NVIDIA A10G", (8, 6), 24 << 30)


class Flag(NamedTuple):
    """An option of `vllm serve`, and which versions have it."""

    name: str
    value: Callable[[VllmConfig], object]
    """None: the flag is left out. True and False: the flag, or its `--no-` form."""
    since: Version = OLDEST


def _compilation(config: VllmConfig) -> str | None:
    compilation = config.compilation
    said = {
        "mode": compilation.mode,
        "cudagraph_mode": compilation.cudagraph_mode,
        "cudagraph_capture_sizes": list(compilation.cudagraph_capture_sizes) or None,
        "max_cudagraph_capture_size": compilation.max_cudagraph_capture_size,
        "compile_sizes": list(compilation.compile_sizes) or None,
    }
    kept = {name: value for name, value in said.items() if value is not None}
    return _json(kept) if kept else None


def _unless(value: str, default: str) -> str | None:
    return None if value == default else value


def _json(content: dict[str, Any]) -> str:
    return json.dumps(content, separators=(",", ":"))


FLAGS: tuple[Flag, ...] = (
    Flag("dtype", lambda c: c.dtype),
    Flag("quantization", lambda c: c.quantization),
    Flag("kv-cache-dtype", lambda c: c.kv_cache_dtype),
    Flag("max-model-len", lambda c: c.max_model_len),
    Flag("max-num-batched-tokens", lambda c: c.max_num_batched_tokens),
    Flag("max-num-seqs", lambda c: c.max_num_seqs),
    Flag("attention-backend", lambda c: _unless(c.attention_backend, "auto")),
    Flag("block-size", lambda c: c.block_size),
    Flag("enforce-eager", lambda c: c.enforce_eager or None),
    Flag("compilation-config", _compilation),
    Flag("optimization-level", lambda c: c.optimization_level),
    Flag("performance-mode", lambda c: _unless(c.performance_mode, "balanced"), (0, 24)),
    Flag("async-scheduling", lambda c: c.async_scheduling),
    Flag("enable-prefix-caching", lambda c: c.enable_prefix_caching),
    Flag("enable-chunked-prefill", lambda c: c.enable_chunked_prefill),
)
"""In the order they are passed. Memory share, tokenizer and speculation depend on the place too."""


def arguments(config: VllmConfig, version: str) -> tuple[str, ...]:
    """Return the flags of `config` for `vllm serve`, those that name folders aside.

    Raises:
        ConfigError: `option_unavailable`, this version does not have it; the agent sees it.
    """
    return tuple(word for flag in FLAGS for word in _said(flag, config, parsed(version)))


def speculative_config(speculation: VllmSpeculation, model: str | None) -> str | None:
    """Return vLLM's `--speculative-config`; `model` is the drafter's folder, where there is one."""
    if speculation.kind == "none":
        return None
    said: dict[str, object] = {
        "method": speculation.kind,
        "num_speculative_tokens": speculation.draft_tokens,
        "prompt_lookup_min": speculation.prompt_lookup_min,
        "prompt_lookup_max": speculation.prompt_lookup_max,
        "model": model,
        "quantization": speculation.quantization,
        "parallel_drafting": speculation.parallel_drafting or None,
    }
    if speculation.kind == "suffix":
        said["suffix_decoding_max_cached_requests"] = 0  # what it served before is not for reuse
    return _json({name: value for name, value in said.items() if value is not None})


def check(config: VllmConfig, *, version: str, device: Device | None = None) -> None:
    """Refuse what is known not to run, before minutes are spent on starting it.

    Args:
        config: as proposed.
        version: of vLLM, `0.26.0`.
        device: the GPU; None = not known, or no GPU.

    Raises:
        ConfigError: with a code of its own for each reason; the agent sees it.
    """
    if config.patches:
        raise ConfigError(
            f"patches {', '.join(config.patches)}: this is code, and no option makes it",
            code="patch_needs_files",
            hint="Submit it as files",
        )
    for code, problem in (*_of_version(version), *_of_config(config), *_of_device(config, device)):
        raise ConfigError(problem, code=code)
    arguments(config, version)


def parsed(version: str) -> Version:
    """Return the first two numbers; a version that says none counts as the newest."""
    found = re.match(r"(\d+)\.(\d+)", version)
    return (int(found[1]), int(found[2])) if found else (99, 0)


Problems = Iterator[tuple[str, str]]


def _of_version(version: str) -> Problems:
    if parsed(version) < OLDEST:
        oldest = ".".join(map(str, OLDEST))
        yield "engine_too_old", f"vLLM {version}: {oldest} or newer is needed"


def _of_config(config: VllmConfig) -> Problems:
    speculation = config.speculation
    kind, is_looking_up = speculation.kind, speculation.kind in _BY_LOOKUP
    low, high = speculation.prompt_lookup_min, speculation.prompt_lookup_max
    if is_looking_up and high is None:
        yield "lookup_needs_max", f"speculation {kind!r} needs prompt_lookup_max"
    if not is_looking_up and (low or high):
        yield "lookup_only_ngram", f"prompt_lookup_min and _max go with ngram, not {kind!r}"
    if low and high and low > high:
        yield "lookup_min_over_max", f"prompt_lookup_min {low} is over prompt_lookup_max {high}"
    if kind == "mtp" and not speculation.model:
        yield "mtp_needs_assistant", "speculation 'mtp' needs `model`, the family's assistant"
    if kind in _SPECULATORS and not speculation.model:
        yield "speculation_needs_model", f"speculation {kind!r} needs `model`"
    if speculation.model and kind not in _SPECULATORS | {"mtp"}:
        yield "speculation_needs_no_model", f"speculation {kind!r} has no `model`"
    if config.async_scheduling and kind != "none" and kind not in _ASYNC_WITH:
        yield "async_with_lookup", f"async_scheduling does not go with speculation {kind!r}"
    yield from _of_sizes(config)


def _of_sizes(config: VllmConfig) -> Problems:
    compilation, batch = config.compilation, config.max_num_batched_tokens
    if config.enforce_eager and compilation != type(compilation)():
        yield "eager_has_no_graphs", "enforce_eager goes without any compilation setting"
    if config.enable_chunked_prefill is False and batch < config.max_model_len:
        yield (
            "prompt_over_batch",
            f"max_num_batched_tokens {batch} under max_model_len needs enable_chunked_prefill",
        )
    if batch < config.max_num_seqs:
        yield "seqs_over_batch", f"max_num_seqs {config.max_num_seqs} is over the {batch} batched"


def _of_device(config: VllmConfig, device: Device | None) -> Problems:
    if device is None:
        return
    cache, weights = config.kv_cache_dtype, config.quantization or ""
    who = f"{device.name} (compute capability {'.'.join(map(str, device.capability))})"
    if cache.startswith("fp8") and device.capability < _FP8_CACHE_SINCE:
        yield "kv_cache_unsupported", f"kv_cache_dtype {cache!r}: {who} has no e4m3 ({_E5M2})"
    if weights.startswith(("nvfp4", "mxfp8")) and device.capability < _FP4_SINCE:
        yield "weights_unsupported", f"quantization {weights!r}: {who} has no kernel for it"


def _said(flag: Flag, config: VllmConfig, version: Version) -> tuple[str, ...]:
    value = flag.value(config)
    if value is None:
        return ()
    if version < flag.since:
        since = ".".join(map(str, flag.since))
        raise ConfigError(f"--{flag.name}: vLLM has it since {since}", code="option_unavailable")
    if isinstance(value, bool):
        return (f"--{flag.name}" if value else f"--no-{flag.name}",)
    return (f"--{flag.name}", str(value))
