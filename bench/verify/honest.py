"""Honest configs of every numeric class: what calibration runs, and what no test may condemn."""

from collections.abc import Mapping

from pydantic import JsonValue

from bench.config import Changes, apply_changes
from bench.configs.engine_config import EngineConfig
from bench.verify.thresholds import NumericClass

DRAFTER_STEP = 2
"""The drafter is every second layer."""
KEPT_SHARE = 0.95
"""Of the vocabulary, plain ASCII first: smaller sets lack words of SmolLM2's 49,152."""


def honest_configs(
    baseline: EngineConfig, *, layers: int, tokens: int
) -> Mapping[NumericClass, tuple[EngineConfig, ...]]:
    """Return honest configs by numeric class, for a model of so many layers and tokens."""
    look_up: Changes = {"speculation": {"kind": "ngram_simple", "match_tokens": 3}}
    drafter: Changes = {
        "speculation": {
            "kind": "drafter",
            "drafter_layers": list(range(0, layers, DRAFTER_STEP)),
            "draft_tokens": 2,
        }
    }
    kept: dict[str, JsonValue] = {"strategy": "ascii", "size": int(KEPT_SHARE * tokens)}
    fewer: Changes = {"weights.vocabulary": kept}
    cache: Changes = {"cache_type_k": "q8_0", "cache_type_v": "q8_0"}
    eight, shipped = _weights("q8_0"), _weights("shipped")
    changes: dict[NumericClass, tuple[Changes, ...]] = {
        "exact": ({}, look_up, fewer, _weights("f16")),
        "quantised": (
            shipped,
            {**eight, **cache},
            {**shipped, **fewer, **look_up},
            {**shipped, "weights.head": "q5_1"},
            cache,
            {**shipped, **drafter},
        ),
    }
    return {
        name: tuple(apply_changes(baseline, one) for one in several)
        for name, several in changes.items()
    }


def honest_on_device(
    baseline: EngineConfig,
) -> Mapping[NumericClass, tuple[EngineConfig, ...]]:
    """Return honest configs of the `vllm` engine, whose levers need no look at the model."""
    look_up: Changes = {"speculation": {"kind": "ngram", "draft_tokens": 4}}
    changes: dict[NumericClass, tuple[Changes, ...]] = {
        "exact": ({}, look_up, {"enforce_eager": True}),
        "quantised": ({"quantization": "fp8"}, {"quantization": "fp8", **look_up}),
    }
    return {
        name: tuple(apply_changes(baseline, one) for one in several)
        for name, several in changes.items()
    }


def _weights(name: str) -> Changes:
    return {f"weights.{group}": name for group in ("head", "attention", "feed_forward")}
