"""A published GGUF file's tokenizer as `tokenizer.json`, for servers that want one.

Knows the two kinds that the models served here have: byte-pair merges with scores (SentencePiece,
as Gemma's) and byte-level merges (GPT-2's, as SmolLM2's). Knows no weights. Text becomes tokens
elsewhere: what comes out is compared with llama.cpp's own in the tests.
"""

import json
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np

from bench.artefacts.gguf_file import GgufFile
from bench.artefacts.vocabulary import BYTE, CONTROL, UNKNOWN, USER_DEFINED

_SPACE = "\u2581"
_TOKENS = "tokenizer.ggml.tokens"


def _tokenizer_config(file: GgufFile) -> str:
    names = _names(file)
    special = {"bos": "bos", "eos": "eos", "unknown": "unk", "padding": "pad"}
    said = {
        f"{short}_token": names[file.number(f"tokenizer.ggml.{long}_token_id")]
        for long, short in special.items()
        if f"tokenizer.ggml.{long}_token_id" in file.metadata
    }
    plain = {
        "tokenizer_class": "PreTrainedTokenizerFast",
        "clean_up_tokenization_spaces": False,
        "add_bos_token": _adds_bos(file),
        **said,
    }
    return json.dumps(plain, ensure_ascii=False, indent=1)


def _tokenizer(file: GgufFile) -> str:
    is_bpe = file.text("tokenizer.ggml.model") == "gpt2"
    whole = {
        "version": "1.0",
        "truncation": None,
        "padding": None,
        "added_tokens": _added(file),
        **(_byte_level(file) if is_bpe else _sentencepiece(file)),
        "post_processor": _begin_of_text(file),
    }
    return json.dumps(whole, ensure_ascii=False, separators=(",", ":"))


def _sentencepiece(file: GgufFile) -> dict[str, Any]:
    names = _names(file)
    return {
        "normalizer": {"type": "Replace", "pattern": {"String": " "}, "content": _SPACE},
        "pre_tokenizer": None,
        "decoder": {
            "type": "Sequence",
            "decoders": [
                {"type": "Replace", "pattern": {"String": _SPACE}, "content": " "},
                {"type": "ByteFallback"},
                {"type": "Fuse"},
            ],
        },
        "model": {
            "type": "BPE",
            "dropout": None,
            "unk_token": names[file.number("tokenizer.ggml.unknown_token_id")],
            "continuing_subword_prefix": None,
            "end_of_word_suffix": None,
            "fuse_unk": True,
            "byte_fallback": True,
            "ignore_merges": False,
            "vocab": {name: i for i, name in enumerate(names)},
            "merges": list(_merges_by_score(file)),
        },
    }


def _merges_by_score(file: GgufFile) -> Iterator[list[str]]:
    """Yield all ways to make a token of two, best token first, as SentencePiece would merge them.

    huggingface/transformers:src/transformers/convert_slow_tokenizer.py, `generate_merges`.
    """
    names, types = _names(file), np.asarray(file.metadata["tokenizer.ggml.token_type"].content)
    scores = np.asarray(file.metadata["tokenizer.ggml.scores"].content)
    plain = ~np.isin(types, (CONTROL, UNKNOWN, BYTE))
    ids = {name: i for i, name in enumerate(names) if plain[i]}
    made = sorted(ids.values(), key=lambda i: (-float(scores[i]), i))
    for i in made:
        name = names[i]
        halves = [(name[:at], name[at:]) for at in range(1, len(name))]
        known = [pair for pair in halves if pair[0] in ids and pair[1] in ids]
        yield from map(list, sorted(known, key=lambda pair: (ids[pair[0]], ids[pair[1]])))


def _byte_level(file: GgufFile) -> dict[str, Any]:
    merges = file.metadata["tokenizer.ggml.merges"].content
    assert isinstance(merges, list)
    names = _names(file)
    return {
        "normalizer": None,
        "pre_tokenizer": {
            "type": "Sequence",
            "pretokenizers": [
                {"type": "Digits", "individual_digits": True},
                {
                    "type": "ByteLevel",
                    "add_prefix_space": False,
                    "trim_offsets": True,
                    "use_regex": True,
                },
            ],
        },
        "decoder": {
            "type": "ByteLevel",
            "add_prefix_space": True,
            "trim_offsets": True,
            "use_regex": True,
        },
        "model": {
            "type": "BPE",
            "dropout": None,
            "unk_token": None,
            "continuing_subword_prefix": None,
            "end_of_word_suffix": None,
            "fuse_unk": False,
            "byte_fallback": False,
            "ignore_merges": False,
            "vocab": {name: i for i, name in enumerate(names)},
            "merges": [merge.decode().split(" ") for merge in merges],
        },
    }


def _added(file: GgufFile) -> list[dict[str, Any]]:
    """Return the tokens found in text before all others are: control tokens and user-defined."""
    types = np.asarray(file.metadata["tokenizer.ggml.token_type"].content).tolist()
    return [
        {
            "id": i,
            "content": name,
            "single_word": False,
            "lstrip": False,
            "rstrip": False,
            "normalized": False,
            "special": types[i] != USER_DEFINED,
        }
        for i, name in enumerate(_names(file))
        if types[i] in (CONTROL, UNKNOWN, USER_DEFINED)
    ]


def _begin_of_text(file: GgufFile) -> dict[str, Any] | None:
    if not _adds_bos(file):
        return None
    number = file.number("tokenizer.ggml.bos_token_id")
    name = _names(file)[number]
    text, bos = (
        {"Sequence": {"id": "A", "type_id": 0}},
        {"SpecialToken": {"id": name, "type_id": 0}},
    )
    other = {"Sequence": {"id": "B", "type_id": 1}}
    return {
        "type": "TemplateProcessing",
        "single": [bos, text],
        "pair": [bos, text, other],
        "special_tokens": {name: {"id": name, "ids": [number], "tokens": [name]}},
    }


def _adds_bos(file: GgufFile) -> bool:
    value = file.metadata.get("tokenizer.ggml.add_bos_token")
    return bool(value and value.content)


def _names(file: GgufFile) -> list[str]:
    tokens = file.metadata[_TOKENS].content
    assert isinstance(tokens, list)
    return [token.decode("utf-8", "replace") for token in tokens]


TOKENIZER_FILES: dict[str, Callable[[GgufFile], str]] = {
    "tokenizer.json": _tokenizer,
    "tokenizer_config.json": _tokenizer_config,
}
"""By file name, what writes its text."""
