"""A drafter is the model with most layers left out; pure.

Head and vocabulary stay those of the target: llama.cpp silently drops a drafter whose vocabulary
differs. Layers are renumbered, so a model whose layers alternate by number (Gemma 3: every sixth
looks at the whole context) drafts best when each kept layer keeps its place in that pattern.
"""

from collections.abc import Iterable, Mapping, Sequence

import numpy as np

from bench.artefacts.gguf_file import Tensor, Value


def drafter_metadata(metadata: Mapping[str, Value], layers: Sequence[int]) -> dict[str, Value]:
    """Return `metadata` for a model of only `layers`: the count, and every list per layer."""
    prefix = metadata["general.architecture"].content
    assert isinstance(prefix, bytes)
    count_key = f"{prefix.decode()}.block_count"
    count = metadata[count_key].content
    out = dict(metadata)
    out[count_key] = metadata[count_key]._replace(content=len(layers))
    for key, value in metadata.items():
        content = value.content
        if not key.startswith(f"{prefix.decode()}.") or not isinstance(content, np.ndarray):
            continue
        if len(content) == count:
            out[key] = value._replace(content=content[list(layers)])
    return out


def renumbered(tensors: Iterable[Tensor], layers: Sequence[int]) -> list[Tensor]:
    """Return `tensors`, those of `layers` and of no layer, with layers counted from 0."""
    number = {old: new for new, old in enumerate(layers)}
    out = []
    for tensor in tensors:
        layer = layer_of(tensor.name)
        rest = tensor.name.removeprefix(f"blk.{layer}.")
        name = tensor.name if layer is None else f"blk.{number[layer]}.{rest}"
        out.append(tensor._replace(name=name))
    return out


def layer_of(name: str) -> int | None:
    """Return the layer a tensor belongs to; None for the shared ones."""
    block, _, _ = name.removeprefix("blk.").partition(".")
    return int(block) if name.startswith("blk.") else None
