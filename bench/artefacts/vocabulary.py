"""Which rows of the tied head are kept, and the two ways between full and kept ids.

Knows token strings and ids; knows no weights and no file. Rows that mean something to the engine
(control, byte and user-defined tokens) are always kept, and so are one-byte texts: punctuation has
high ids in Gemma's vocabulary, and without it every strategy misses 14 % of English prose.
Placeholders such as `<unused7>` are ordinary rows, for text never contains them.
"""

import pydoc_data.topics
import re
from collections import Counter
from collections.abc import Iterable, Sequence
from functools import cached_property
from pathlib import Path

import numpy as np
import numpy.typing as npt

from bench.artefacts.gguf_file import GgufFile, Value, read_gguf
from bench.configs.llamacpp import KeepStrategy, KeptVocabulary
from sandbox.errors import ConfigError

Ids = npt.NDArray[np.int64]

NORMAL, UNKNOWN, CONTROL, USER_DEFINED, BYTE = 1, 2, 3, 4, 6
_PLACEHOLDER = re.compile(rb"<unused\d+>|\[unused\d+\]|<\|?reserved\w*\|?>")
_BYTE_TOKEN = re.compile(rb"<0x([0-9A-F]{2})>")
_SPACE = "\u2581".encode()
_TOKENS, _TYPES = "tokenizer.ggml.tokens", "tokenizer.ggml.token_type"
_MERGES = "tokenizer.ggml.merges"


class Vocabulary:
    """The full vocabulary of a model file, as the bytes each token stands for."""

    def __init__(self, file: GgufFile) -> None:
        tokens = file.metadata[_TOKENS].content
        assert isinstance(tokens, list)
        self.names: list[bytes] = tokens
        self.types = np.asarray(file.metadata[_TYPES].content)
        self.special_ids = tuple(
            int(value.content)  # type: ignore[arg-type]
            for key, value in file.metadata.items()
            if key.startswith("tokenizer.ggml.") and key.endswith("_token_id")
        )
        self._is_bpe = file.text("tokenizer.ggml.model") == "gpt2"

    @cached_property
    def pieces(self) -> list[bytes]:
        """The text of each token as bytes; empty for control tokens."""
        spell = _spell_bpe if self._is_bpe else _spell_sentencepiece
        return [
            b"" if kind in (CONTROL, UNKNOWN) else spell(name)
            for name, kind in zip(self.names, self.types.tolist(), strict=True)
        ]

    @cached_property
    def always_kept(self) -> Ids:
        """Ids every keep-set contains, ascending."""
        special = np.isin(self.types, (UNKNOWN, CONTROL, USER_DEFINED, BYTE))
        keep = {i for i in np.flatnonzero(special).tolist() if not _is_placeholder(self.names[i])}
        keep.update(self.special_ids)
        keep.update(i for i, piece in enumerate(self.pieces) if len(piece) == 1)
        return np.array(sorted(keep), np.int64)

    @cached_property
    def ascii_ids(self) -> Ids:
        """Ids of plain ASCII tokens, ascending."""
        plain = (i for i, piece in enumerate(self.pieces) if piece and piece.isascii())
        return np.fromiter(plain, np.int64)


def keep_ids(vocabulary: Vocabulary, kept: KeptVocabulary, public_ids: Sequence[int] = ()) -> Ids:
    """Return the ids to keep, ascending, `kept.size` of them where so many exist.

    Args:
        vocabulary: of the published file.
        kept: strategy and size.
        public_ids: tokens of the public texts, for `public_text` only.

    Raises:
        ConfigError: the size is beyond the vocabulary, or too small for the rows always kept.
    """
    total, always = len(vocabulary.names), vocabulary.always_kept
    if not len(always) <= kept.size <= total:
        raise ConfigError(
            f"weights.vocabulary.size = {kept.size}: must lie in {len(always)}..{total}",
            code="bad_vocabulary",
            hint="Control and byte tokens are always kept",
        )
    order = np.concatenate([always, *_preference(vocabulary, kept.strategy, public_ids)])
    _, first_seen = np.unique(order, return_index=True)
    chosen = order[np.sort(first_seen)][: kept.size]
    return np.sort(chosen)


def _preference(
    vocabulary: Vocabulary, strategy: KeepStrategy, public_ids: Sequence[int]
) -> list[Ids]:
    everything = np.arange(len(vocabulary.names), dtype=np.int64)
    if strategy == "first":
        return [everything]
    if strategy == "ascii":
        return [vocabulary.ascii_ids, everything]
    if strategy == "frequent":
        return [_by_frequency(vocabulary), vocabulary.ascii_ids, everything]
    return [_by_order(public_ids, len(everything)), vocabulary.ascii_ids, everything]


def _by_order(ids: Iterable[int], total: int) -> Ids:
    return np.array([i for i in dict.fromkeys(ids) if 0 <= i < total], np.int64)


def _by_frequency(vocabulary: Vocabulary) -> Ids:
    """Most frequent tokens of the standard library's own help texts first; ties by id."""
    table = Speller(vocabulary.pieces, np.flatnonzero(vocabulary.types == NORMAL))
    counts: Counter[int] = Counter()
    for text in pydoc_data.topics.topics.values():
        counts.update(table.spell(text.encode()))
    ranked = sorted(counts, key=lambda i: (-counts[i], i))
    return np.array(ranked, np.int64)


class Speller:
    """Writes bytes with a given set of tokens: the longest that fits, again and again."""

    def __init__(self, pieces: Sequence[bytes], ids: Iterable[int]) -> None:
        self._by_piece: dict[bytes, int] = {}
        for i in ids:
            self._by_piece.setdefault(pieces[i], int(i))
        self._by_piece.pop(b"", None)
        self._longest = min(max(map(len, self._by_piece), default=0), 32)

    def spell(self, text: bytes) -> list[int]:
        """Return ids whose pieces join to `text`; a byte that no token covers is dropped."""
        ids, at = [], 0
        while at < len(text):
            for length in range(min(self._longest, len(text) - at), 0, -1):
                found = self._by_piece.get(text[at : at + length])
                if found is not None:
                    ids.append(found)
                    at += length
                    break
            else:
                at += 1
        return ids


def control_ids(model_path: Path) -> tuple[int, ...]:
    """Return the ids that stand for no text, such as end-of-text."""
    types = np.asarray(read_gguf(model_path).metadata[_TYPES].content)
    return tuple(np.flatnonzero(types == CONTROL).tolist())


class KeptRows:
    """A keep-set in use: rows of the served file <-> ids of the full vocabulary."""

    def __init__(self, ids: Sequence[int], model_path: Path) -> None:
        self.ids = tuple(ids)
        self._rows = {i: row for row, i in enumerate(self.ids)}
        self._model_path = model_path

    def row(self, token_id: int) -> int | None:
        """Return the row of a full id, None where it was not kept."""
        return self._rows.get(token_id)

    def to_rows(self, ids: Iterable[int]) -> list[int]:
        """Return row ids; a token outside the keep-set is spelt with kept ones, bytes at worst."""
        rows: list[int] = []
        for i in ids:
            row = self._rows.get(i)
            rows += [row] if row is not None else self._spelt(i)
        return rows

    def to_ids(self, rows: Iterable[int]) -> tuple[int, ...]:
        """Return full ids."""
        return tuple(self.ids[row] for row in rows)

    def _spelt(self, token_id: int) -> list[int]:
        pieces, speller = self._spelling
        return [self._rows[i] for i in speller.spell(pieces[token_id])]

    @cached_property
    def _spelling(self) -> tuple[list[bytes], Speller]:
        """Read only when a prompt needs it: most texts stay inside an honest keep-set."""
        pieces = Vocabulary(read_gguf(self._model_path)).pieces
        return pieces, Speller(pieces, self.ids)


def pruned_metadata(file: GgufFile, ids: Ids) -> dict[str, Value]:
    """Return `file`'s metadata for a vocabulary of only `ids`: every array, id and merge."""
    metadata = dict(file.metadata)
    tokens = metadata[_TOKENS].content
    assert isinstance(tokens, list)
    row_of = {int(full): row for row, full in enumerate(ids)}
    for key, value in file.metadata.items():
        if not key.startswith("tokenizer.ggml."):
            continue
        if key.endswith("_token_id"):
            metadata[key] = value._replace(content=row_of[int(value.content)])  # type: ignore[arg-type]
        elif isinstance(value.content, list | np.ndarray) and len(value.content) == len(tokens):
            metadata[key] = value._replace(content=_take(value.content, ids))
    merges = metadata.get(_MERGES)
    if merges is not None and isinstance(merges.content, list):
        names = {tokens[i] for i in ids.tolist()}
        possible = [merge for merge in merges.content if _is_possible(merge, names)]
        metadata[_MERGES] = merges._replace(content=possible)
    size_key = f"{file.architecture}.vocab_size"
    if size_key in metadata:
        metadata[size_key] = metadata[size_key]._replace(content=len(ids))
    return metadata


def _take(
    content: list[bytes] | npt.NDArray[np.generic], ids: Ids
) -> list[bytes] | npt.NDArray[np.generic]:
    return [content[i] for i in ids.tolist()] if isinstance(content, list) else content[ids]


def _is_possible(merge: bytes, names: set[bytes]) -> bool:
    left, _, right = merge.partition(b" ")
    return left in names and right in names and left + right in names


def _is_placeholder(name: bytes) -> bool:
    return _PLACEHOLDER.fullmatch(name) is not None


def _spell_sentencepiece(name: bytes) -> bytes:
    byte = _BYTE_TOKEN.fullmatch(name)
    return bytes([int(byte[1], 16)]) if byte else name.replace(_SPACE, b" ")


def _byte_alphabet() -> dict[str, int]:
    """GPT-2's printable stand-ins for the 256 bytes (openai/gpt-2:src/encoder.py)."""
    printable = [*range(33, 127), *range(161, 173), *range(174, 256)]
    table = {chr(byte): byte for byte in printable}
    rest = (byte for byte in range(256) if byte not in printable)
    return table | {chr(256 + i): byte for i, byte in enumerate(rest)}


_ALPHABET = _byte_alphabet()


def _spell_bpe(name: bytes) -> bytes:
    text = name.decode("utf-8", "replace")
    if any(char not in _ALPHABET for char in text):
        return name
    return bytes(_ALPHABET[char] for char in text)
