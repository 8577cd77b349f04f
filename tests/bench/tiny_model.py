"""A model file of random weights, small enough to be built, pruned and served within a test."""

import hashlib
from pathlib import Path

import numpy as np

from bench.artefacts.gguf_file import ARRAY, STRING, GgufFile, Tensor, Value, write_gguf
from bench.artefacts.model_file import ModelFile
from bench.artefacts.quantisation import quantise

LAYERS, WIDTH, INNER, HEADS, WORDS = 4, 64, 128, 2, 1500
UINT32, INT32, FLOAT32, BOOL = 4, 5, 6, 7
CONTROL, BYTE, NORMAL, UNKNOWN = 3, 6, 1, 2
TOKENS = [
    *(b"<unk>", b"<s>", b"</s>"),
    *(b"<0x%02X>" % byte for byte in range(256)),
    *(f"\u2581w{i}".encode() for i in range(WORDS - 400)),
    *(f"\u2581\u00e9{i}".encode() for i in range(400)),
]
TYPES = [UNKNOWN, CONTROL, CONTROL, *[BYTE] * 256, *[NORMAL] * WORDS]
FIRST_WORD = 259
FIRST_FOREIGN = FIRST_WORD + WORDS - 400


def write_tiny_model(path: Path, *, seed: int = 1) -> ModelFile:
    """Write a `llama` model of 4 layers and 1,759 tokens, matrices in Q8_0."""
    rng = np.random.default_rng(seed)
    with path.open("wb") as file:
        write_gguf(file, _metadata(), _tensors(rng))
    return ModelFile(path, hashlib.sha256(path.read_bytes()).hexdigest())


def _metadata() -> dict[str, Value]:
    numbers = {
        "block_count": LAYERS,
        "context_length": 2048,
        "embedding_length": WIDTH,
        "feed_forward_length": INNER,
        "attention.head_count": HEADS,
        "attention.head_count_kv": HEADS,
        "rope.dimension_count": WIDTH // HEADS,
        "vocab_size": len(TOKENS),
    }
    scores = np.arange(0, -len(TOKENS), -1, dtype=np.float32)
    return {
        "general.architecture": Value(STRING, b"llama"),
        **{f"llama.{name}": Value(UINT32, value) for name, value in numbers.items()},
        "llama.attention.layer_norm_rms_epsilon": Value(FLOAT32, 1e-5),
        "tokenizer.ggml.model": Value(STRING, b"llama"),
        "tokenizer.ggml.tokens": Value(ARRAY, TOKENS, STRING),
        "tokenizer.ggml.scores": Value(ARRAY, scores, FLOAT32),
        "tokenizer.ggml.token_type": Value(ARRAY, np.array(TYPES, np.int32), INT32),
        "tokenizer.ggml.bos_token_id": Value(UINT32, 1),
        "tokenizer.ggml.eos_token_id": Value(UINT32, 2),
        "tokenizer.ggml.add_bos_token": Value(BOOL, True),
    }


def _tensors(rng: np.random.Generator) -> list[Tensor]:
    shapes = {"attn_q": (WIDTH, WIDTH), "attn_k": (WIDTH, WIDTH), "attn_v": (WIDTH, WIDTH)}
    shapes |= {"attn_output": (WIDTH, WIDTH), "ffn_gate": (INNER, WIDTH)}
    shapes |= {"ffn_up": (INNER, WIDTH), "ffn_down": (WIDTH, INNER)}
    tensors = [_matrix("token_embd.weight", (len(TOKENS), WIDTH), rng), _norm("output_norm", rng)]
    for layer in range(LAYERS):
        tensors += [_norm(f"blk.{layer}.{name}", rng) for name in ("attn_norm", "ffn_norm")]
        tensors += [_matrix(f"blk.{layer}.{n}.weight", shape, rng) for n, shape in shapes.items()]
    return tensors


def _matrix(name: str, shape: tuple[int, int], rng: np.random.Generator) -> Tensor:
    weights = rng.normal(0, 0.2, shape).astype(np.float32)
    return Tensor(name, shape, "Q8_0", quantise(weights, "Q8_0"))


def _norm(name: str, rng: np.random.Generator) -> Tensor:
    gain = rng.uniform(0.5, 2, WIDTH).astype(np.float32)
    return Tensor(f"{name}.weight", (WIDTH,), "F32", gain.view(np.uint8).reshape(1, -1))


def tokens_of(file: GgufFile) -> list[bytes]:
    content = file.metadata["tokenizer.ggml.tokens"].content
    assert isinstance(content, list)
    return content
