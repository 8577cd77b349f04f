from pathlib import Path

import numpy as np
import pytest

from bench.artefacts.gguf_file import GgufFile, read_gguf
from bench.artefacts.vocabulary import KeptRows, Speller, Vocabulary, keep_ids, pruned_metadata
from bench.configs.llamacpp import KeepStrategy, KeptVocabulary
from sandbox.errors import ConfigError
from tests.bench.tiny_model import (
    FIRST_FOREIGN,
    FIRST_WORD,
    TOKENS,
    UINT32,
    tokens_of,
    write_tiny_model,
)


@pytest.fixture(scope="module")
def model_path(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_tiny_model(tmp_path_factory.mktemp("model") / "tiny.gguf").path


@pytest.fixture(scope="module")
def file(model_path: Path) -> GgufFile:
    return read_gguf(model_path)


def kept(
    file: GgufFile, strategy: KeepStrategy, size: int = 1024, ids: tuple[int, ...] = ()
) -> set[int]:
    wanted = KeptVocabulary(strategy=strategy, size=size)
    return set(keep_ids(Vocabulary(file), wanted, ids).tolist())


@pytest.mark.parametrize("strategy", ["first", "ascii", "frequent", "public_text"])
def test_control_and_byte_tokens_are_always_kept(file: GgufFile, strategy: KeepStrategy) -> None:
    ids = kept(file, strategy, ids=(FIRST_FOREIGN,))

    assert set(range(FIRST_WORD)) <= ids
    assert len(ids) == 1024


def test_ascii_prefers_plain_words_to_others_with_lower_ids(file: GgufFile) -> None:
    assert max(kept(file, "ascii", 1024)) < FIRST_FOREIGN
    assert max(kept(file, "ascii", len(TOKENS))) == len(TOKENS) - 1


def test_public_text_keeps_the_given_ids_first(file: GgufFile) -> None:
    given = (len(TOKENS) - 1, len(TOKENS) - 7)

    assert set(given) <= kept(file, "public_text", ids=given)
    assert not set(given) & kept(file, "ascii")


def test_an_id_that_does_not_exist_is_not_kept(file: GgufFile) -> None:
    assert max(kept(file, "public_text", ids=(10**6, -1))) < len(TOKENS)


@pytest.mark.parametrize("size", [len(TOKENS) + 1, 200_000])
def test_more_rows_than_there_are_is_an_error_with_the_limits(file: GgufFile, size: int) -> None:
    with pytest.raises(ConfigError, match=rf"size = {size}: must lie in 259\.\.{len(TOKENS)}"):
        kept(file, "first", size)


def test_placeholders_are_not_among_the_rows_always_kept(file: GgufFile) -> None:
    vocabulary = Vocabulary(file)
    vocabulary.names = [*vocabulary.names[:-1], b"<unused7>"]
    vocabulary.types = np.array([*vocabulary.types[:-1], 3])

    assert len(TOKENS) - 1 not in vocabulary.always_kept.tolist()


def test_every_list_of_the_tokenizer_is_pruned_alike(file: GgufFile) -> None:
    ids = np.array([*range(FIRST_WORD), FIRST_WORD + 5, len(TOKENS) - 1])
    metadata = pruned_metadata(file, ids)

    assert [TOKENS[i] for i in ids] == metadata["tokenizer.ggml.tokens"].content
    assert len(ids) == len(np.asarray(metadata["tokenizer.ggml.scores"].content))
    assert len(ids) == len(np.asarray(metadata["tokenizer.ggml.token_type"].content))
    assert metadata["llama.vocab_size"].content == len(ids)


def test_special_ids_follow_their_rows(file: GgufFile) -> None:
    changed = file.metadata["tokenizer.ggml.eos_token_id"]._replace(content=FIRST_WORD + 5)
    moved = file._replace(metadata=file.metadata | {"tokenizer.ggml.eos_token_id": changed})
    metadata = pruned_metadata(moved, np.array([*range(FIRST_WORD), FIRST_WORD + 5]))

    assert metadata["tokenizer.ggml.eos_token_id"] == (UINT32, FIRST_WORD, None)


def test_rows_and_ids_are_each_others_way_back(model_path: Path) -> None:
    rows = KeptRows((*range(FIRST_WORD), FIRST_WORD + 9), model_path)

    assert rows.to_rows([1, FIRST_WORD + 9]) == [1, FIRST_WORD]
    assert rows.to_ids([1, FIRST_WORD]) == (1, FIRST_WORD + 9)
    assert rows.row(FIRST_WORD) is None


def test_a_token_outside_the_keep_set_is_spelt_with_kept_ones(model_path: Path) -> None:
    file = read_gguf(model_path)
    rows = KeptRows((*range(FIRST_WORD), FIRST_WORD + 1), model_path)
    spelt = [tokens_of(file)[i] for i in rows.to_ids(rows.to_rows([FIRST_WORD + 12]))]

    assert spelt == ["\u2581w1".encode(), b"<0x32>"]


def test_a_control_token_outside_the_keep_set_has_no_spelling(model_path: Path) -> None:
    assert KeptRows(range(2, 300), model_path).to_rows([1]) == []


def test_the_longest_piece_wins() -> None:
    assert Speller([b"a", b"ab", b"abc", b"c"], range(4)).spell(b"abcabc?ca") == [2, 2, 3, 0]
