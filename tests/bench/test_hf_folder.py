"""A GGUF file as a folder of safetensors, and which folders are refused."""

import json
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from bench.artefacts.cache import ArtefactCache
from bench.artefacts.gguf_file import STRING, GgufFile, Value, read_gguf, write_gguf
from bench.artefacts.hf_folder import HfFolder, build_hf_folder
from bench.artefacts.model_file import ModelFile
from bench.artefacts.model_folder import (
    checked_folder,
    find_repository,
    folder_sha256,
    is_pinned,
    locate_folder,
)
from bench.artefacts.quantisation import dequantise
from bench.challenge import ModelSource
from sandbox.errors import ConfigError
from tests.bench.tiny_model import HEADS, LAYERS, TOKENS, WIDTH, write_tiny_model

COMMIT = "0123456789abcdef0123456789abcdef01234567"


@pytest.fixture
def model(tmp_path: Path) -> ModelFile:
    return write_tiny_model(tmp_path / "tiny.gguf")


@pytest.fixture
def cache(tmp_path: Path) -> Iterator[ArtefactCache]:
    opened = ArtefactCache(tmp_path / "cache")
    yield opened
    opened.close()


@pytest.fixture
def built(model: ModelFile, cache: ArtefactCache) -> HfFolder:
    return build_hf_folder(model, cache)


def tensors(folder: Path) -> dict[str, np.ndarray]:
    """Read safetensors as its format says, in float32."""
    data = (folder / "model.safetensors").read_bytes()
    size = int.from_bytes(data[:8], "little")
    head = json.loads(data[8 : 8 + size])
    assert head.pop("__metadata__") == {"format": "pt"}
    found = {}
    for name, entry in head.items():
        start, end = (8 + size + at for at in entry["data_offsets"])
        bits = np.frombuffer(data[start:end], np.uint16).astype(np.uint32) << 16
        found[name] = bits.view(np.float32).reshape(entry["shape"])
    return found


def code_of(folder: Path, **facts: object) -> str:
    with pytest.raises(ConfigError) as caught:
        checked_folder(folder, **facts)
    return caught.value.code


def test_every_tensor_has_its_place_and_its_values(model: ModelFile, built: HfFolder) -> None:
    found, published = tensors(built.path), read_gguf(model.path).tensors

    assert len(found) == len(published)
    head = published["token_embd.weight"]
    assert np.allclose(
        found["model.embed_tokens.weight"], dequantise(head.data, head.storage), atol=0.01
    )
    norm = published["blk.1.ffn_norm.weight"]
    assert np.allclose(
        found["model.layers.1.post_attention_layernorm.weight"],
        dequantise(norm.data, norm.storage),
        atol=0.01,
    )


def test_query_rows_are_put_back_in_the_order_they_came_from(
    model: ModelFile, built: HfFolder
) -> None:
    """llama.cpp pairs row 2i with row 2i + 1 of a head; the folder's code row i with the halves."""
    stored = read_gguf(model.path).tensors["blk.0.attn_q.weight"]
    rows = dequantise(stored.data, stored.storage)
    found = tensors(built.path)["model.layers.0.self_attn.q_proj.weight"]

    half = WIDTH // HEADS // 2
    assert np.allclose(found[1], rows[2], atol=0.01)
    assert np.allclose(found[half], rows[1], atol=0.01)
    assert np.allclose(found[2 * half], rows[2 * half], atol=0.01)


def test_a_second_build_is_found(model: ModelFile, built: HfFolder, cache: ArtefactCache) -> None:
    before = (built.path / "model.safetensors").stat().st_ino

    cache.close()
    assert build_hf_folder(model, cache) == built
    assert (built.path / "model.safetensors").stat().st_ino == before


def test_the_config_says_what_the_file_says(built: HfFolder) -> None:
    config = json.loads((built.path / "config.json").read_text())

    assert config["architectures"] == ["LlamaForCausalLM"]
    assert (config["num_hidden_layers"], config["hidden_size"]) == (LAYERS, WIDTH)
    assert config["vocab_size"] == len(TOKENS)
    assert config["tie_word_embeddings"] is True
    assert (config["bos_token_id"], config["eos_token_id"]) == (1, 2)


def test_the_tokenizer_has_every_token_under_its_id(built: HfFolder) -> None:
    tokenizer = json.loads((built.path / "tokenizer.json").read_text())

    names = [token.decode() for token in TOKENS]
    assert tokenizer["model"]["vocab"] == {name: i for i, name in enumerate(names)}
    assert {one["content"] for one in tokenizer["added_tokens"]} == {"<unk>", "<s>", "</s>"}
    assert tokenizer["post_processor"]["special_tokens"]["<s>"]["ids"] == [1]


def test_norms_of_gemma_lose_the_one_that_llama_cpp_added(
    model: ModelFile, tmp_path: Path, cache: ArtefactCache
) -> None:
    file = read_gguf(model.path)
    changed = _as_gemma(file)
    with (tmp_path / "gemma.gguf").open("wb") as out:
        write_gguf(out, changed.metadata, changed.tensors.values())
    built = build_hf_folder(ModelFile(tmp_path / "gemma.gguf", "f" * 64), cache)

    norm = file.tensors["output_norm.weight"]
    found = tensors(built.path)["model.norm.weight"]
    assert np.allclose(found, dequantise(norm.data, norm.storage).ravel() - 1, atol=0.01)
    config = json.loads((built.path / "config.json").read_text())
    assert config["layer_types"].count("sliding_attention") == LAYERS


def _as_gemma(file: GgufFile) -> GgufFile:
    renamed = {key.replace("llama.", "gemma3."): value for key, value in file.metadata.items()}
    renamed["general.architecture"] = Value(STRING, b"gemma3")
    return GgufFile(renamed, file.tensors)


def test_a_family_that_is_not_known_is_refused(
    model: ModelFile, tmp_path: Path, cache: ArtefactCache
) -> None:
    file = read_gguf(model.path)
    file.metadata["general.architecture"] = Value(STRING, b"mamba")
    with (tmp_path / "mamba.gguf").open("wb") as out:
        write_gguf(out, file.metadata, file.tensors.values())

    with pytest.raises(ConfigError, match="mamba"):
        build_hf_folder(ModelFile(tmp_path / "mamba.gguf", "e" * 64), cache)


def test_a_folder_is_pinned_by_the_hash_of_its_files(built: HfFolder) -> None:
    digest = folder_sha256(built.path)

    assert checked_folder(built.path, sha256=digest).bytes == built.bytes
    assert code_of(built.path, sha256="0" * 64) == "model_corrupted"


def test_a_folder_that_brings_code_is_refused(built: HfFolder) -> None:
    config = built.path / "tokenizer_config.json"
    config.write_text(json.dumps({"inner": [{"auto_map": {"AutoTokenizer": "x.Y"}}]}))
    assert code_of(built.path) == "loads_code"

    config.unlink()
    (built.path / "modeling_x.py").touch()
    assert code_of(built.path) == "loads_code"


def test_pickled_weights_are_refused(built: HfFolder) -> None:
    (built.path / "model.safetensors").unlink()
    assert code_of(built.path) == "model_missing"
    assert checked_folder(built.path, needs_weights=False).bytes == 0

    (built.path / "pytorch_model.bin").touch()
    assert code_of(built.path) == "unsafe_weights"


def test_a_folder_without_config_is_no_model(tmp_path: Path) -> None:
    assert code_of(tmp_path) == "model_missing"


def test_a_repository_is_found_in_a_cache_of_the_hub(
    built: HfFolder, tmp_path: Path, cache: ArtefactCache
) -> None:
    repository = tmp_path / "cache" / "hub" / "models--org--name"
    (repository / "snapshots").mkdir(parents=True)
    (repository / "snapshots" / COMMIT).symlink_to(built.path)
    (repository / "refs").mkdir()
    (repository / "refs" / "main").write_text(COMMIT)
    source = ModelSource(source=f"hub-repo:org/name@{COMMIT}", title="", licence="")

    found = locate_folder(source, cache)

    assert found.bytes == built.bytes
    assert find_repository("org/name", tmp_path / "cache").path == found.path


def test_a_repository_that_is_missing_is_named_with_the_command(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=f"hf download org/name --revision {COMMIT}"):
        find_repository(f"org/name@{COMMIT}", tmp_path)
    with pytest.raises(ConfigError, match="must be ORG/NAME@REVISION"):
        find_repository("no-slash", tmp_path)


def test_only_a_commit_pins() -> None:
    assert is_pinned(f"org/name@{COMMIT}")
    assert not is_pinned("org/name@main")
