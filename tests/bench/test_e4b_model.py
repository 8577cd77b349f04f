"""The E4B model against the real chronology, and its engine's two levels of noise."""

import math
import statistics
from typing import Any

import pytest

from bench import e4b_model
from bench.configs.vllm import VllmConfig, VllmSpeculation
from bench.engines.simulated_e4b import COLD_START_SECONDS, SimulatedE4b
from sandbox.errors import JobError
from tests.bench.e4b_rows import CHRONOLOGY, OTHERS, Row

TOP = CHRONOLOGY[-1].config


def named(row: Row) -> str:
    return row.name


def patched(config: VllmConfig, *patches: str) -> VllmConfig:
    data = config.model_dump() | {"patches": (*config.patches, *patches)}
    return VllmConfig.model_validate(data)


# --- calibration


@pytest.mark.parametrize("row", [*CHRONOLOGY, *OTHERS], ids=named)
def test_each_real_row_comes_out_within_one_and_a_half_per_cent(row: Row) -> None:
    found = e4b_model.tokens_per_second(row.config)

    assert found == pytest.approx(row.tokens_per_second, rel=0.015)


@pytest.mark.parametrize("row", [*CHRONOLOGY, *OTHERS], ids=named)
def test_each_real_perplexity_comes_out_within_one_per_cent(row: Row) -> None:
    if row.perplexity is None:
        pytest.skip("none was stored for this row")

    assert e4b_model.perplexity(row.config) == pytest.approx(row.perplexity, rel=0.01)


def test_some_rows_were_never_used_to_fit() -> None:
    assert sum(not row.fitted for row in (*CHRONOLOGY, *OTHERS)) >= 5


@pytest.mark.parametrize(
    ("base", "patches", "public", "private"),
    [
        (TOP, (), 504.9, 480.0),  # valid: at most 5 %
        (OTHERS[4].config, (), 387.5, 364.1),
        (CHRONOLOGY[13].config, (), 418.8, 403.1),
        (CHRONOLOGY[16].config, (), 481.5, 460.9),
        (OTHERS[8].config, ("argmax_block_64", "window_256", "precache_public"), 508.0, 471.0),
    ],
)
def test_what_private_prompts_take_back_is_near_the_verdicts(
    base: VllmConfig, patches: Any, public: float, private: float
) -> None:
    drift = e4b_model.drift_of(patched(base, *patches))

    assert drift == pytest.approx(1 - private / public, abs=0.006)


def test_prompt_invariant_levers_reproduce() -> None:
    assert e4b_model.drift_of(VllmConfig(patches=("int4_g128", "head_16k"))) == 0


def test_a_chat_like_proxy_loses_more_than_the_private_prompts() -> None:
    proxy = statistics.fmean(
        e4b_model.private_tokens_per_second(TOP, seed, "proxy") for seed in range(40)
    )
    private = statistics.fmean(e4b_model.private_tokens_per_second(TOP, seed) for seed in range(40))

    assert proxy < 0.93 * private


# --- dead ends


@pytest.mark.parametrize(
    ("config", "words"),
    [
        (VllmConfig(kv_cache_dtype="fp8"), "sm_86"),
        (VllmConfig(kv_cache_dtype="int8_per_token_head"), "no kernel"),
        (VllmConfig(speculation=VllmSpeculation(kind="mtp")), "head counts"),
        (VllmConfig(speculation=VllmSpeculation(kind="eagle")), "nobody published"),
        (VllmConfig(max_num_batched_tokens=16_384, max_model_len=16_384), "out of memory"),
    ],
)
def test_what_never_started_does_not_start_here(config: VllmConfig, words: str) -> None:
    with pytest.raises(JobError, match=words) as caught:
        SimulatedE4b(config, seed=1)

    assert caught.value.code == "engine_died"


def test_longer_guesses_than_seven_are_slower() -> None:
    at = {k: TOP.model_copy(update={"speculation": VllmSpeculation(kind="mtp", draft_tokens=k)})
          for k in (5, 7, 9)}  # fmt: skip
    early = {k: CHRONOLOGY[5].config.model_copy(update={"speculation": one.speculation})
             for k, one in at.items()}  # fmt: skip

    assert e4b_model.tokens_per_second(early[9]) < e4b_model.tokens_per_second(early[7])


def test_layers_chosen_blindly_break_the_text() -> None:
    assert e4b_model.perplexity(VllmConfig(patches=("int4_g128", "any_layers_removed"))) > 25


def test_a_skip_while_decoding_harms_what_is_served_and_not_what_is_scored() -> None:
    config = CHRONOLOGY[15].config
    engine = SimulatedE4b(config, seed=1)
    served = engine.generate([1, 2, 3], max_tokens=512, with_logprobs=True).logprobs
    assert served is not None
    scored = engine.logprobs([1, 2, 3], range(512))

    assert math.exp(-statistics.fmean(served)) == pytest.approx(2.545, rel=0.005)
    assert math.exp(-statistics.fmean(one or 0 for one in scored)) == pytest.approx(
        2.378, rel=0.005
    )


def test_a_patch_that_another_takes_over_does_nothing_beside_it() -> None:
    with_both = patched(CHRONOLOGY[-1].config, "window_256", "head_16k")

    assert e4b_model.tokens_per_second(with_both) == pytest.approx(e4b_model.tokens_per_second(TOP))


# --- noise


def launched(config: VllmConfig, seed: int) -> float:
    engine = SimulatedE4b(config, seed=seed)
    begun = engine.clock()
    for prompt in range(32):
        engine.generate([prompt], max_tokens=512)
    return 32 * 512 / (engine.clock() - begun)


def test_launches_spread_by_one_per_cent_and_by_a_tenth_of_it_within_a_class() -> None:
    speeds = {seed: launched(TOP, seed) for seed in range(60)}
    classes: dict[int, list[float]] = {}
    for seed, speed in speeds.items():
        classes.setdefault(e4b_model.numeric_class(seed), []).append(speed)
    within = [statistics.stdev(same) for same in classes.values() if len(same) > 2]

    assert statistics.stdev(speeds.values()) == pytest.approx(5.2, rel=0.4)
    assert statistics.fmean(within) == pytest.approx(0.61, rel=0.4)


def test_seventeen_launches_fall_into_about_nine_classes() -> None:
    counts = [
        len({e4b_model.numeric_class(seed) for seed in range(17 * n, 17 * n + 17)})
        for n in range(50)
    ]

    assert statistics.fmean(counts) == pytest.approx(9.3, abs=0.6)


def test_a_class_emits_the_same_tokens_and_two_classes_agree_on_few_prompts() -> None:
    by_class: dict[int, list[SimulatedE4b]] = {}
    for seed in range(40):
        engine = SimulatedE4b(TOP, seed=seed)
        by_class.setdefault(e4b_model.numeric_class(seed), []).append(engine)
    (first, again, *_), (other, *_) = sorted(by_class.values(), key=len, reverse=True)[:2]
    prompts = [[prompt, 7] for prompt in range(128)]
    texts = [
        [engine.generate(prompt, max_tokens=512).token_ids for prompt in prompts]
        for engine in (first, again, other)
    ]
    same = sum(one == two for one, two in zip(texts[0], texts[2], strict=True))

    assert texts[0] == texts[1]
    assert same == pytest.approx(8, abs=7)


def test_the_same_config_and_seed_answer_alike() -> None:
    one, two = (SimulatedE4b(TOP, seed="3 candidate") for _ in range(2))

    assert one.generate([5], max_tokens=64) == two.generate([5], max_tokens=64)
    assert one.clock() == two.clock() > COLD_START_SECONDS


def test_without_guessing_classes_hardly_move_the_speed() -> None:
    speeds = [launched(VllmConfig(patches=("int4_g128",)), seed) for seed in range(30)]

    assert statistics.stdev(speeds) / 126.8 < 0.004
