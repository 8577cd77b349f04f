import shutil
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from bench.artefacts.artefact import Artefact, build
from bench.artefacts.cache import ArtefactCache
from bench.artefacts.gguf_file import read_gguf, write_gguf
from bench.artefacts.model_file import ModelFile
from bench.artefacts.quantisation import dequantise, quantise
from bench.config import Changes, apply_changes
from bench.configs.llamacpp import LlamaCppConfig
from sandbox.errors import ConfigError
from tests.bench.tiny_model import FIRST_FOREIGN, LAYERS, TOKENS, write_tiny_model

SHIPPED = {f"weights.{part}": "shipped" for part in ("head", "attention", "feed_forward")}
ASCII = {"weights.vocabulary": {"strategy": "ascii", "size": 1100}}


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> ModelFile:
    return write_tiny_model(tmp_path_factory.mktemp("model") / "tiny.gguf")


@pytest.fixture(scope="module")
def cache(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ArtefactCache]:
    opened = ArtefactCache(tmp_path_factory.mktemp("cache"))
    yield opened
    opened.close()


def made(model: ModelFile, cache: ArtefactCache, changes: Changes) -> Artefact:
    return build(apply_changes(LlamaCppConfig(), changes), model, cache)


def storages(artefact: Artefact) -> dict[str, str]:
    return {t.name: t.storage for t in read_gguf(artefact.path).tensors.values()}


def test_a_file_is_read_and_written_byte_for_byte(model: ModelFile, tmp_path: Path) -> None:
    file = read_gguf(model.path)
    with (tmp_path / "copy.gguf").open("wb") as copy:
        write_gguf(copy, file.metadata, file.tensors.values())

    assert model.path.read_bytes() == (tmp_path / "copy.gguf").read_bytes()


def test_the_empty_recipe_is_the_reference_in_bf16(model: ModelFile, cache: ArtefactCache) -> None:
    artefact = made(model, cache, {})
    shipped, built = (read_gguf(path).tensors for path in (model.path, artefact.path))

    assert {"BF16", "F32"} == set(storages(artefact).values())
    for name, tensor in built.items():
        old = dequantise(shipped[name].data, shipped[name].storage)
        np.testing.assert_allclose(dequantise(tensor.data, tensor.storage), old, rtol=2**-8)


def test_as_shipped_is_the_published_file_itself(model: ModelFile, cache: ArtefactCache) -> None:
    assert made(model, cache, SHIPPED).path == model.path


def test_a_recipe_is_followed_tensor_by_tensor(model: ModelFile, cache: ArtefactCache) -> None:
    late = {"layers": [2, 3], "tensors": ["ffn_down", "attn_q"], "format": "f16"}
    changes = {"weights.head": "q8_0", "weights.attention": "q5_1", "weights.overrides": [late]}
    found = storages(made(model, cache, changes))

    assert found["token_embd.weight"] == "Q8_0"
    assert found["blk.1.attn_q.weight"] == "Q5_1"
    assert found["blk.2.attn_q.weight"] == found["blk.3.ffn_down.weight"] == "F16"
    assert found["blk.1.ffn_down.weight"] == "BF16"
    assert found["blk.0.attn_norm.weight"] == "F32"


def test_quantised_weights_come_from_the_reference(model: ModelFile, cache: ArtefactCache) -> None:
    reference = read_gguf(made(model, cache, {}).path).tensors["blk.0.ffn_up.weight"]
    norm = read_gguf(model.path).tensors["blk.0.ffn_norm.weight"].data.view(np.float32).ravel()
    changes = {"weights.feed_forward": "q4_0", "weights.rounding": "norm_weighted"}
    built = read_gguf(made(model, cache, changes).path).tensors["blk.0.ffn_up.weight"]

    weights = dequantise(reference.data, "BF16")
    expected = quantise(weights, "Q4_0", rounding="norm_weighted", importance=norm**2)

    assert (expected == built.data).all()


def test_a_pruned_head_has_the_kept_rows_of_the_whole_one(
    model: ModelFile, cache: ArtefactCache
) -> None:
    head = {"weights.head": "q5_0"}
    whole, pruned = (made(model, cache, head | extra) for extra in ({}, ASCII))
    rows, kept = (read_gguf(a.path).tensors["token_embd.weight"] for a in (whole, pruned))

    assert kept.shape[0] == 1100 == len(pruned.vocabulary or ())
    assert (rows.data[list(pruned.vocabulary or ())] == kept.data).all()


def test_equal_recipes_are_built_once_and_others_apart(
    model: ModelFile, cache: ArtefactCache
) -> None:
    first, again = made(model, cache, ASCII), made(model, cache, ASCII | {"threads": 2})
    other = made(model, cache, {"weights.vocabulary": {"strategy": "ascii", "size": 1101}})

    assert first == again
    assert first.recipe_hash != other.recipe_hash


def test_another_keep_set_of_the_same_size_has_another_hash(
    model: ModelFile, cache: ArtefactCache
) -> None:
    fitted = LlamaCppConfig.model_validate(
        {"weights": {"vocabulary": {"strategy": "public_text", "size": 1100}}}
    )
    one, other = (build(fitted, model, cache, public_ids=[i]) for i in (1700, FIRST_FOREIGN))

    assert one.recipe_hash != other.recipe_hash
    assert 1700 in (one.vocabulary or ())


def test_a_drafter_has_fewer_layers_and_the_targets_vocabulary(
    model: ModelFile, cache: ArtefactCache
) -> None:
    speculation = {"kind": "drafter", "drafter_layers": [0, 3], "drafter_format": "q4_0"}
    artefact = made(model, cache, ASCII | {"speculation": speculation})
    assert artefact.drafter_path is not None
    target, drafter = read_gguf(artefact.path), read_gguf(artefact.drafter_path)

    assert drafter.block_count == 2
    assert {name.split(".")[1] for name in drafter.tensors if name.startswith("blk")} == {"0", "1"}
    assert drafter.tensors["blk.1.ffn_up.weight"].storage == "Q4_0"
    assert drafter.metadata["tokenizer.ggml.tokens"] == target.metadata["tokenizer.ggml.tokens"]
    heads = (file.tensors["token_embd.weight"].data for file in (target, drafter))
    assert np.array_equal(*heads)


@pytest.mark.parametrize(
    "changes",
    [
        {"speculation": {"kind": "drafter", "drafter_layers": [0, LAYERS]}},
        {"weights.overrides": [{"layers": [LAYERS], "tensors": ["attn_q"], "format": "q4_0"}]},
    ],
)
def test_a_layer_the_model_does_not_have_is_an_error(
    model: ModelFile, cache: ArtefactCache, changes: Changes
) -> None:
    with pytest.raises(ConfigError, match=r"layer 4 must lie in 0\.\.3"):
        made(model, cache, changes)


def test_a_truncated_model_file_is_an_error_with_the_next_step(
    model: ModelFile, cache: ArtefactCache, tmp_path: Path
) -> None:
    shutil.copy(model.path, tmp_path / "cut.gguf")
    with (tmp_path / "cut.gguf").open("r+b") as file:
        file.truncate(200_000)

    with pytest.raises(ConfigError, match="fetch the model again"):
        made(ModelFile(tmp_path / "cut.gguf", model.sha256), cache, {})


def test_a_changed_recipe_requantises_only_what_changed(
    model: ModelFile, cache: ArtefactCache
) -> None:
    made(model, cache, {"weights.attention": "q4_1"})
    before = set((cache.folder / "tensors").iterdir())
    override = {"layers": [1], "tensors": ["attn_q"], "format": "q8_0"}
    made(model, cache, {"weights.attention": "q4_1", "weights.overrides": [override]})

    assert len(set((cache.folder / "tensors").iterdir()) - before) == 1


def test_the_whole_vocabulary_is_no_keep_set(model: ModelFile, cache: ArtefactCache) -> None:
    everything = {"weights.vocabulary": {"strategy": "first", "size": len(TOKENS)}}

    assert made(model, cache, {}).vocabulary is None
    assert made(model, cache, everything).vocabulary == tuple(range(len(TOKENS)))
