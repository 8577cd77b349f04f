"""Every lever of a config in one wording, and the quick test for some of the words."""

from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bench.config import apply_changes, carries, diff, word, words
from bench.configs.llamacpp import LlamaCppConfig

CONFIGS = [
    LlamaCppConfig(),
    apply_changes(LlamaCppConfig(), {"weights.vocabulary": {"strategy": "ascii", "size": 9000}}),
    apply_changes(LlamaCppConfig(), {"speculation": {"kind": "drafter", "drafter_layers": [0, 4]}}),
    apply_changes(
        LlamaCppConfig(),
        {"weights.overrides": [{"layers": [3], "tensors": ["attn_q"], "format": "q4_0"}]},
    ),
]


def test_a_config_says_all_its_leaves() -> None:
    said = words(CONFIGS[1])

    assert {"threads=1", "memory_map=true", "weights.vocabulary.size=9000"} <= said
    assert not any(one.startswith("weights.vocabulary=") for one in said)
    assert "weights.vocabulary=null" in words(CONFIGS[0])


@pytest.mark.parametrize("config", CONFIGS)
def test_words_are_those_of_directions(config: LlamaCppConfig) -> None:
    changes = diff(LlamaCppConfig(), config)

    assert {word(path, value) for path, value in changes.items()} <= words(config)


@given(st.sampled_from(CONFIGS), st.sampled_from(CONFIGS), st.randoms())
def test_carrying_is_having_all_the_words(
    one: LlamaCppConfig, other: LlamaCppConfig, rng: Random
) -> None:
    ingredient = rng.sample(sorted(words(other)), 2)

    assert carries(ingredient)(one) == words(one).issuperset(ingredient)


@pytest.mark.parametrize("rubbish", ["weights=x", "model_dump=1", "threads", "=2", "nothing=1"])
def test_what_is_no_word_is_carried_by_nobody(rubbish: str) -> None:
    assert not carries([rubbish])(LlamaCppConfig())
