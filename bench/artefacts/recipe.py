"""What a weight recipe means for the tensors of one model; pure."""

import re
from collections.abc import Iterable
from typing import NamedTuple

from bench.artefacts.gguf_file import BLOCKS, Tensor
from bench.configs.llamacpp import Rounding, WeightFormat, WeightRecipe
from sandbox.errors import ConfigError

HEADS = ("token_embd.weight", "output.weight")
_ATTENTION = ("attn_q", "attn_k", "attn_v", "attn_output")
_FEED_FORWARD = ("ffn_gate", "ffn_up", "ffn_down")
_LAYER_TENSOR = re.compile(r"blk\.(\d+)\.(\w+)\.weight")
_NORM_BEFORE = {
    "attn_q": "attn_norm", "attn_k": "attn_norm", "attn_v": "attn_norm",
    "ffn_gate": "ffn_norm", "ffn_up": "ffn_norm",
}  # fmt: skip
_NEEDS_ROUNDING = ("q8_0", "q5_1", "q5_0", "q4_1", "q4_0")


class Storage(NamedTuple):
    """How one tensor is written."""

    format: WeightFormat
    rounding: Rounding
    norm: str | None
    """Tensor whose squared gain weights the columns; for `norm_weighted` only."""


def plan(recipe: WeightRecipe, tensors: Iterable[Tensor]) -> dict[str, Storage]:
    """Return the storage of every weight matrix; vectors (norms) stay as they are.

    Raises:
        ConfigError: an override names a layer the model does not have.
    """
    matrices = [tensor.name for tensor in tensors if len(tensor.shape) > 1]
    layers = 1 + max((place[0] for name in matrices if (place := place_of(name))), default=-1)
    for override in recipe.overrides:
        _check_layers("weights.overrides", override.layers, layers)
    return {name: _storage(recipe, name) for name in matrices}


def check_drafter_layers(wanted: Iterable[int], layers: int) -> None:
    """Raise ConfigError unless the model has all of the `wanted` layers."""
    _check_layers("speculation.drafter_layers", wanted, layers)


def place_of(name: str) -> tuple[int, str] | None:
    """Return (layer, tensor group) of a layer's tensor; None for the others."""
    match = _LAYER_TENSOR.fullmatch(name)
    return (int(match[1]), match[2]) if match else None


def storage_name(format_: WeightFormat, shipped: Tensor) -> str:
    """Return the file's name of a format, e.g. `Q4_0`."""
    name = shipped.storage if format_ == "shipped" else format_.upper()
    assert name in BLOCKS
    return name


def _storage(recipe: WeightRecipe, name: str) -> Storage:
    format_ = _format(recipe, name)
    if format_ not in _NEEDS_ROUNDING:
        return Storage(format_, "nearest", None)
    if recipe.rounding != "norm_weighted":
        return Storage(format_, recipe.rounding, None)
    norm = _norm_before(name)  # without a norm before it all columns weigh the same
    return Storage(format_, "norm_weighted" if norm else "scale_search", norm)


def _format(recipe: WeightRecipe, name: str) -> WeightFormat:
    if name in HEADS:
        return recipe.head
    place = place_of(name)
    if place is None:
        return "bf16"
    layer, group = place
    chosen = _base_format(recipe, group)
    for override in recipe.overrides:
        if layer in override.layers and group in override.tensors:
            chosen = override.format
    return chosen


def _base_format(recipe: WeightRecipe, group: str) -> WeightFormat:
    if group in _ATTENTION:
        return recipe.attention
    return recipe.feed_forward if group in _FEED_FORWARD else "bf16"


def _norm_before(name: str) -> str | None:
    if name in HEADS:
        return "output_norm.weight"
    place = place_of(name)
    norm = _NORM_BEFORE.get(place[1]) if place else None
    return f"blk.{place[0]}.{norm}.weight" if place and norm else None


def _check_layers(what: str, wanted: Iterable[int], layers: int) -> None:
    for layer in wanted:
        if not 0 <= layer < layers:
            raise ConfigError(
                f"{what}: layer {layer} must lie in 0..{layers - 1}", code="bad_layer"
            )
