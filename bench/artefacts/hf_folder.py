"""A published GGUF file as the folder that vLLM and transformers read: bf16 safetensors, configs.

Knows the tensor names and conventions of two families, `gemma3` and `llama`; knows no engine and no
score. The weights are the reference's: dequantised, rounded to bfloat16. llama.cpp stores Gemma's
norm weights with one added, and permutes llama's query and key rows; both are undone.
"""

import hashlib
import json
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import IO, Any, NamedTuple

import numpy as np
import rfc8785

from bench.artefacts.cache import ArtefactCache
from bench.artefacts.gguf_file import Bytes, GgufFile, Tensor, read_gguf
from bench.artefacts.hf_tokenizer import TOKENIZER_FILES
from bench.artefacts.model_file import ModelFile
from bench.artefacts.quantisation import Floats, dequantise, quantise
from sandbox.errors import ConfigError

WRITER_VERSION = 1
"""Part of every folder's name: raise it when the same file would give another folder."""
_PIECE_ROWS = 4096
_BF16_BYTES = 2

_OF_A_LAYER = {
    "attn_q": "self_attn.q_proj",
    "attn_k": "self_attn.k_proj",
    "attn_v": "self_attn.v_proj",
    "attn_output": "self_attn.o_proj",
    "attn_q_norm": "self_attn.q_norm",
    "attn_k_norm": "self_attn.k_norm",
    "attn_norm": "input_layernorm",
    "post_attention_norm": "post_attention_layernorm",
    "ffn_gate": "mlp.gate_proj",
    "ffn_up": "mlp.up_proj",
    "ffn_down": "mlp.down_proj",
}
_FFN_NORMS = {
    "gemma3": {
        "ffn_norm": "pre_feedforward_layernorm",
        "post_ffw_norm": "post_feedforward_layernorm",
    },
    "llama": {"ffn_norm": "post_attention_layernorm"},
}
_OUTSIDE = {
    "token_embd.weight": "model.embed_tokens.weight",
    "output_norm.weight": "model.norm.weight",
    "output.weight": "lm_head.weight",
}
_FULL_ATTENTION_EVERY = 6
"""Layers of Gemma 3; the file does not say it."""


class HfFolder(NamedTuple):
    """A folder ready to serve."""

    path: Path
    recipe_hash: str
    bytes: int
    """Of the weights."""


def build_hf_folder(model: ModelFile, cache: ArtefactCache) -> HfFolder:
    """Return the folder of `model`, built now or found in `cache` (and held there).

    Raises:
        ConfigError: `bad_model_file`, a family that is not known here; the agent sees it.
        JobError: the cache cannot be written.
    """
    recipe_hash = _digest(["hf", WRITER_VERSION, model.sha256])
    weights = f"hf/{recipe_hash}/model.safetensors"
    published = None if cache.find(weights) else _known(read_gguf(model.path))
    path = cache.get(weights, lambda out: _write_weights(out, published or read_gguf(model.path)))
    for name, text_of in (_CONFIGS | TOKENIZER_FILES).items():
        _add(cache, path.parent, name, model, text_of)
    cache.evict()
    return HfFolder(path.parent, recipe_hash, path.stat().st_size)


def _add(
    cache: ArtefactCache,
    folder: Path,
    name: str,
    model: ModelFile,
    text_of: Callable[[GgufFile], str],
) -> None:
    def write(out: IO[bytes]) -> None:
        out.write(text_of(read_gguf(model.path)).encode())

    cache.get(f"hf/{folder.name}/{name}", write)


def _known(file: GgufFile) -> GgufFile:
    if file.architecture not in _FFN_NORMS:
        raise ConfigError(
            f"a GGUF file of architecture {file.architecture!r} cannot be made a folder here;"
            f" known are: {', '.join(_FFN_NORMS)}",
            code="bad_model_file",
            hint="Name a folder or a repository as `model.source`",
        )
    return file


def _write_weights(out: IO[bytes], file: GgufFile) -> None:
    """Write safetensors: length of the head, the head as JSON, the bytes of each tensor in order.

    https://github.com/huggingface/safetensors#format
    """
    named = {_name(file, tensor): tensor for tensor in file.tensors.values()}
    head: dict[str, object] = {"__metadata__": {"format": "pt"}}
    at = 0
    for name, tensor in named.items():
        size = int(np.prod(tensor.shape)) * _BF16_BYTES
        head[name] = {
            "dtype": "BF16",
            "shape": list(tensor.shape),
            "data_offsets": [at, at + size],
        }
        at += size
    text = json.dumps(head, separators=(",", ":")).encode()
    text += b" " * (-len(text) % 8)
    out.write(len(text).to_bytes(8, "little") + text)
    for tensor in named.values():
        for piece in _pieces(file, tensor):
            out.write(piece.tobytes())


def _name(file: GgufFile, tensor: Tensor) -> str:
    if outside := _OUTSIDE.get(tensor.name):
        return outside
    _, layer, *rest = tensor.name.split(".")
    parts = _OF_A_LAYER | _FFN_NORMS[file.architecture]
    if len(rest) != 2 or rest[0] not in parts or rest[1] != "weight":  # noqa: PLR2004  # NAME.weight
        raise ConfigError(
            f"tensor {tensor.name!r} has no known place in a {file.architecture!r} folder",
            code="bad_model_file",
        )
    return f"model.layers.{layer}.{parts[rest[0]]}.weight"


def _pieces(file: GgufFile, tensor: Tensor) -> Iterator[Bytes]:
    """Yield the tensor's bf16 bytes, some rows at a time: the head alone is 671 MB in float32."""
    if file.architecture == "llama" and tensor.name.endswith(("attn_q.weight", "attn_k.weight")):
        heads = "head_count" if "attn_q" in tensor.name else "head_count_kv"
        rows = dequantise(tensor.data, tensor.storage)
        yield quantise(_unpermuted(rows, file.number(f"llama.attention.{heads}")), "BF16")
        return
    added = 1 if file.architecture == "gemma3" and len(tensor.shape) == 1 else 0
    for start in range(0, len(tensor.data), _PIECE_ROWS):
        rows = dequantise(tensor.data[start : start + _PIECE_ROWS], tensor.storage)
        yield quantise(rows - np.float32(added) if added else rows, "BF16")


def _unpermuted(rows: Floats, heads: int) -> Floats:
    """Undo llama.cpp's order: it pairs neighbouring rows of a head, the folder's code its halves.

    ggml-org/llama.cpp:convert_hf_to_gguf.py, `permute`.
    """
    width = len(rows) // heads // 2
    return rows.reshape(heads, width, 2, -1).swapaxes(1, 2).reshape(rows.shape)


def _config(file: GgufFile) -> dict[str, object]:
    family = file.architecture

    def get(name: str, default: int = 0) -> int:
        return file.number(f"{family}.{name}", default)

    heads = get("attention.head_count")
    common: dict[str, object] = {
        "dtype": "bfloat16",
        "torch_dtype": "bfloat16",  # readers before transformers 5 know it so
        "vocab_size": file.tensors["token_embd.weight"].shape[0],
        "hidden_size": get("embedding_length"),
        "intermediate_size": get("feed_forward_length"),
        "num_hidden_layers": get("block_count"),
        "num_attention_heads": heads,
        "num_key_value_heads": get("attention.head_count_kv", heads),
        "head_dim": get("attention.key_length", get("embedding_length") // heads),
        "max_position_embeddings": get("context_length"),
        "rms_norm_eps": _number(file, f"{family}.attention.layer_norm_rms_epsilon", 1e-5),
        "rope_theta": _number(file, f"{family}.rope.freq_base", 10000.0),
        "tie_word_embeddings": "output.weight" not in file.tensors,
        **_special(file),
    }
    return {**common, **(_gemma3(file) if family == "gemma3" else _llama())}


def _gemma3(file: GgufFile) -> dict[str, object]:
    layers = file.block_count
    return {
        "architectures": ["Gemma3ForCausalLM"],
        "model_type": "gemma3_text",
        "hidden_activation": "gelu_pytorch_tanh",
        "query_pre_attn_scalar": file.number("gemma3.attention.key_length"),
        "sliding_window": file.number("gemma3.attention.sliding_window"),
        "rope_local_base_freq": 10000.0,
        "layer_types": [
            "sliding_attention" if (layer + 1) % _FULL_ATTENTION_EVERY else "full_attention"
            for layer in range(layers)
        ],
    }


def _llama() -> dict[str, object]:
    return {
        "architectures": ["LlamaForCausalLM"],
        "model_type": "llama",
        "hidden_act": "silu",
        "attention_bias": False,
        "mlp_bias": False,
    }


def _special(file: GgufFile) -> dict[str, object]:
    kinds = {"bos": "bos", "eos": "eos", "padding": "pad"}
    names = {f"{kind}_token_id": f"tokenizer.ggml.{said}_token_id" for said, kind in kinds.items()}
    return {name: file.number(key) for name, key in names.items() if key in file.metadata}


def _number(file: GgufFile, key: str, default: float) -> float:
    value = file.metadata.get(key)
    if value is None or not isinstance(value.content, int | float):
        return default
    return float(f"{value.content:.7g}")  # stored in single precision


def _json(content: Mapping[str, Any]) -> str:
    return json.dumps(content, indent=1)


_CONFIGS: dict[str, Callable[[GgufFile], str]] = {
    "config.json": lambda file: _json(_config(file)),
    "generation_config.json": lambda file: _json(_special(file)),
}


def _digest(facts: object) -> str:
    return hashlib.sha256(rfc8785.dumps(facts)).hexdigest()[:16]  # type: ignore[arg-type]
