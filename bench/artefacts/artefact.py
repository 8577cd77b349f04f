"""Builds the weight file a config asks for: quantised, pruned, with a drafter beside it.

Knows recipes and tensors; knows no engine and no score. The reference is the published file
dequantised to bfloat16, and every other format is made from the reference; `shipped` copies the
published bytes. Quantised tensors are cached one by one, so that a recipe which changes few of
them builds in about a second.
"""

import hashlib
from collections.abc import Sequence
from functools import cached_property
from pathlib import Path
from typing import IO, NamedTuple

import numpy as np
import rfc8785

from bench.artefacts.cache import ArtefactCache
from bench.artefacts.drafter import drafter_metadata, layer_of, renumbered
from bench.artefacts.gguf_file import (
    Bytes,
    GgufFile,
    Tensor,
    Value,
    read_gguf,
    row_bytes,
    write_gguf,
)
from bench.artefacts.model_file import ModelFile
from bench.artefacts.quantisation import dequantise, requantise
from bench.artefacts.recipe import HEADS, Storage, check_drafter_layers, plan, storage_name
from bench.artefacts.vocabulary import Ids, Vocabulary, keep_ids, pruned_metadata
from bench.configs.llamacpp import KeptVocabulary, LlamaCppConfig, WeightRecipe

BUILDER_VERSION = 2
"""Part of every hash: raise it when the same recipe would give other bytes."""


class Artefact(NamedTuple):
    """A weight file ready to serve."""

    path: Path
    recipe_hash: str
    bytes: int
    """Size of the file and of its drafter."""
    vocabulary: tuple[int, ...] | None
    """Full ids of the kept rows, in row order; None when all rows are kept."""
    drafter_path: Path | None
    model_path: Path
    """The published file, for the strings of its full vocabulary."""


def build(
    config: LlamaCppConfig,
    model: ModelFile,
    cache: ArtefactCache,
    *,
    public_ids: Sequence[int] = (),
) -> Artefact:
    """Return the artefact of `config`, built now or found in `cache` (and held there).

    Args:
        config: only `weights` and the drafter's fields matter here.
        model: from `locate`.
        cache: files handed out stay until it is closed.
        public_ids: tokens of the public texts in order, for the keep-set `public_text`.

    Raises:
        ConfigError: a layer or a vocabulary size the model does not have; the agent sees it.
        JobError: the cache cannot be written.
    """
    try:
        return _Builder(model, cache).build(config, public_ids)
    finally:
        cache.evict()


class _Builder:
    """One model and one cache."""

    def __init__(self, model: ModelFile, cache: ArtefactCache) -> None:
        self.model, self.cache = model, cache
        self.published = read_gguf(model.path)

    def build(self, config: LlamaCppConfig, public_ids: Sequence[int]) -> Artefact:
        recipe = config.weights
        kept = self._keep_ids(recipe.vocabulary, public_ids) if recipe.vocabulary else None
        storages = plan(recipe, self.published.tensors.values())
        recipe_hash = self._hash(storages, kept)
        path = self._target(storages, kept, recipe_hash)
        drafter = self._drafter(config, kept)
        size = path.stat().st_size + (drafter.stat().st_size if drafter else 0)
        ids = None if kept is None else tuple(kept.tolist())
        return Artefact(path, recipe_hash, size, ids, drafter, self.model.path)

    def _target(self, storages: dict[str, Storage], kept: Ids | None, recipe_hash: str) -> Path:
        if kept is None and all(storage.format == "shipped" for storage in storages.values()):
            return self.model.path
        if kept is None and all(storage.format == "bf16" for storage in storages.values()):
            return self._reference_path

        def write(file: IO[bytes]) -> None:
            write_gguf(file, self._metadata(kept), self._tensors(storages, kept))

        return self.cache.get(f"files/{recipe_hash}.gguf", write)

    def _drafter(self, config: LlamaCppConfig, kept: Ids | None) -> Path | None:
        speculation = config.speculation
        if speculation.kind != "drafter":
            return None
        layers, format_ = speculation.drafter_layers, speculation.drafter_format
        check_drafter_layers(layers, self.published.block_count)
        recipe = WeightRecipe(
            head=config.weights.head, attention=format_, feed_forward=format_, rounding="nearest"
        )
        storages = plan(recipe, self.published.tensors.values())

        def write(file: IO[bytes]) -> None:
            metadata = drafter_metadata(self._metadata(kept), layers)
            write_gguf(file, metadata, renumbered(self._tensors(storages, kept, layers), layers))

        return self.cache.get(f"files/{self._hash(storages, kept, layers)}.gguf", write)

    def _metadata(self, kept: Ids | None) -> dict[str, Value]:
        return self.published.metadata if kept is None else pruned_metadata(self.published, kept)

    def _tensors(
        self,
        storages: dict[str, Storage],
        kept: Ids | None,
        layers: Sequence[int] | None = None,
    ) -> list[Tensor]:
        return [
            _rows(self._tensor(tensor, storages.get(tensor.name)), kept)
            for tensor in self.published.tensors.values()
            if layers is None or layer_of(tensor.name) in (None, *layers)
        ]

    def _tensor(self, shipped: Tensor, storage: Storage | None) -> Tensor:
        if storage is None or storage.format == "shipped":
            return shipped
        if storage.format == "bf16":
            return self._reference.tensors[shipped.name]
        name = storage_name(storage.format, shipped)
        return shipped._replace(storage=name, data=self._quantised(shipped, storage))

    def _quantised(self, shipped: Tensor, storage: Storage) -> Bytes:
        width = row_bytes(storage_name(storage.format, shipped), shipped.shape[-1])
        norm = self.published.tensors[storage.norm] if storage.norm else None
        gain = dequantise(norm.data, norm.storage).ravel() ** 2 if norm else None

        def write(file: IO[bytes]) -> None:
            old, new = self._reference.tensors[shipped.name], storage_name(storage.format, shipped)
            how = storage.rounding
            blob = requantise(old.data, old.storage, new, rounding=how, importance=gain)
            file.write(blob.data)

        key = _digest([BUILDER_VERSION, self.model.sha256, shipped.name, list(storage)])
        path = self.cache.get(f"tensors/{key}.bin", write)
        blob = np.fromfile(path, np.uint8).reshape(-1, width)
        self.cache.release(path)  # a model has hundreds: holding all would run out of files
        return blob

    @cached_property
    def _reference(self) -> GgufFile:
        return read_gguf(self._reference_path)

    @cached_property
    def _reference_path(self) -> Path:
        """The published file in bfloat16, made once."""
        storages = plan(WeightRecipe(), self.published.tensors.values())

        def write(file: IO[bytes]) -> None:
            tensors = self.published.tensors.values()
            write_gguf(file, self.published.metadata, map(_as_bf16, tensors))

        return self.cache.get(f"files/{self._hash(storages, None)}.gguf", write)

    def _keep_ids(self, kept: KeptVocabulary, public_ids: Sequence[int]) -> Ids:
        facts = [BUILDER_VERSION, self.model.sha256, kept.model_dump(mode="json")]
        if kept.strategy == "public_text":
            facts.append(list(public_ids))

        def write(file: IO[bytes]) -> None:
            ids = keep_ids(Vocabulary(self.published), kept, public_ids)
            file.write(ids.astype("<i8").tobytes())

        path = self.cache.get(f"keep-sets/{_digest(facts)}.bin", write)
        return np.fromfile(path, "<i8")

    def _hash(
        self, storages: dict[str, Storage], kept: Ids | None, layers: Sequence[int] = ()
    ) -> str:
        keep = None if kept is None else hashlib.sha256(kept.tobytes()).hexdigest()
        plain = {name: list(storage) for name, storage in storages.items()}
        return _digest([BUILDER_VERSION, self.model.sha256, plain, keep, list(layers)])


def _as_bf16(tensor: Tensor) -> Tensor:
    if len(tensor.shape) == 1:
        return tensor
    data = requantise(tensor.data, tensor.storage, "BF16")
    return tensor._replace(storage="BF16", data=data)


def _rows(tensor: Tensor, kept: Ids | None) -> Tensor:
    if kept is None or tensor.name not in HEADS:
        return tensor
    return tensor._replace(shape=(len(kept), *tensor.shape[1:]), data=tensor.data[kept])


def _digest(facts: object) -> str:
    return hashlib.sha256(rfc8785.dumps(facts)).hexdigest()[:16]  # type: ignore[arg-type]
