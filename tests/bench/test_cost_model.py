import math
from typing import Any

import pytest

from bench import cost_model
from bench.configs.llamacpp import (
    KeptVocabulary,
    LayerFormat,
    LlamaCppConfig,
    Speculation,
    WeightFormat,
    WeightRecipe,
)
from bench.engines.simulated import SimulatedEngine, is_kept

EVERYTHING = tuple(cost_model.GROUP_PARAMETERS)


def make_recipe(
    head: WeightFormat = "shipped", body: WeightFormat = "shipped", **more: Any
) -> WeightRecipe:
    return WeightRecipe(head=head, attention=body, feed_forward=body, **more)


def keeping(size: int, strategy: Any = "ascii") -> WeightRecipe:
    return make_recipe(vocabulary=KeptVocabulary(strategy=strategy, size=size))


@pytest.mark.parametrize(
    ("recipe", "threads", "measured"),
    [
        (WeightRecipe(), 2, 51),
        (WeightRecipe(), 1, 37),
        (make_recipe("f16", "f16"), 2, 52),
        (make_recipe(), 2, 73),
        (make_recipe("q8_0", "q8_0"), 2, 71.5),
        (make_recipe("q5_0"), 2, 74),
        (make_recipe("q4_1"), 2, 69),
        (make_recipe("q4_0"), 2, 104),
        (make_recipe("q4_0", "q8_0"), 2, 102),
        (make_recipe("q4_0", "q4_0"), 2, 142),
        (keeping(65_536), 2, 138),
        (keeping(33_000), 2, 165),
        (keeping(16_384), 2, 190),
    ],
)
def test_speed_is_within_a_tenth_of_the_measured(
    recipe: WeightRecipe, threads: int, measured: float
) -> None:
    config = LlamaCppConfig(weights=recipe, threads=threads)

    assert 1 / cost_model.seconds_per_token(config) == pytest.approx(measured, rel=0.1)


def one_layer(layer: int) -> WeightRecipe:
    override = LayerFormat(layers=(layer,), tensors=EVERYTHING, format="q4_0")
    return make_recipe(overrides=(override,))


@pytest.mark.parametrize(
    ("recipe", "measured"),
    [
        (WeightRecipe(), 10.172),
        (make_recipe(), 10.373),
        (make_recipe("q8_0", "q8_0"), 10.356),
        (make_recipe("q5_0"), 10.80),
        (make_recipe("q4_1"), 13.59),
        (make_recipe("q4_0"), 14.84),
        (make_recipe("q4_0", rounding="scale_search"), 14.09),
        (make_recipe("q4_0", "q4_0"), 34.75),
        (make_recipe("q4_0", "q4_0", rounding="scale_search"), 36.9),
        (make_recipe("shipped", "q4_0"), 28.6),
        (one_layer(0), 11.56),
        (one_layer(2), 12.90),
        (one_layer(16), 10.53),
        (keeping(65_536), 10.02),
        (keeping(33_000), 9.84),
    ],
)
def test_perplexity_is_within_a_twentieth_of_the_measured(
    recipe: WeightRecipe, measured: float
) -> None:
    added = cost_model.added_nats(LlamaCppConfig(weights=recipe))

    assert cost_model.REFERENCE_PERPLEXITY * math.exp(added) == pytest.approx(measured, rel=0.05)


def test_the_shipped_file_reads_the_bytes_it_reads() -> None:
    assert cost_model.bytes_per_token(make_recipe()) == pytest.approx(246.6e6, rel=0.005)


def test_two_threads_of_two_are_faster_and_three_are_starved() -> None:
    one, two, three = (cost_model.seconds_per_token(LlamaCppConfig(threads=n)) for n in (1, 2, 3))

    assert two < one < 0.05 * three


def test_a_quarter_drafter_does_not_pay() -> None:
    drafter = Speculation(kind="drafter", drafter_layers=(0, 1, 16, 17), draft_tokens=2)

    plain, drafted = LlamaCppConfig(), LlamaCppConfig(speculation=drafter)
    assert cost_model.seconds_per_token(drafted) > cost_model.seconds_per_token(plain)


@pytest.mark.parametrize("strategy", ["first", "ascii", "frequent", "public_text"])
def test_smaller_keep_sets_are_inside_larger_ones(strategy: Any) -> None:
    small, large = (KeptVocabulary(strategy=strategy, size=n) for n in (8_192, 32_768))
    ids = range(0, 262_144, 97)

    assert all(is_kept(token, large) for token in ids if is_kept(token, small))


@pytest.mark.parametrize(
    ("strategy", "size", "counted"),
    [
        ("first", 16_384, 0.137),
        ("ascii", 65_536, 0.025),
        ("ascii", 200_000, 0.0),
        ("frequent", 33_000, 0.043),
        ("public_text", 16_384, 0.0),
    ],
)
def test_a_keep_set_misses_what_the_real_one_misses(
    strategy: Any, size: int, counted: float
) -> None:
    engine = SimulatedEngine(LlamaCppConfig(), seed=1)
    ids = [engine.tokenize(f"word{i}")[1] for i in range(3000)]
    missed = sum(not is_kept(token, KeptVocabulary(strategy=strategy, size=size)) for token in ids)

    assert missed / len(ids) == pytest.approx(counted, abs=0.015)
