import json
import stat
from pathlib import Path

import pytest

from bench.challenge import VerificationRule
from bench.challenge_files import Text, load_challenge
from bench.config import Changes, apply_changes
from bench.configs.llamacpp import LlamaCppConfig
from bench.engines.simulated import SimulatedEngine
from bench.perplexity import Passage
from bench.verify.canaries import Canary, choose, compare
from bench.verify.draw import allot, draw, texts_needed
from bench.verify.honest import honest_configs
from bench.verify.memory import ReferenceMemory
from bench.verify.thresholds import load_thresholds, numeric_class
from sandbox.errors import ConfigError
from tests.bench.process_engine import write_challenge

RULE = VerificationRule()
POOL = tuple(Text(id=f"t{i:03}", text=f"text {i}", source="own") for i in range(64))


def test_two_draws_fit_into_the_shipped_pool() -> None:
    """The second, automatic run has to see other texts than the first."""
    for name in ("gemma-270m-cpu", "smollm2-135m-cpu"):
        rule = load_challenge(name).challenge.verification
        assert rule is not None
        assert 2 * texts_needed(rule) <= rule.pool_texts


def test_a_draw_has_no_text_twice_and_none_that_was_excluded() -> None:
    first = draw(POOL, count=30, seed="s", exclude=())
    second = draw(POOL, count=30, seed="s", exclude={text.id for text in first})

    assert len({text.id for text in (*first, *second)}) == 60
    assert first == draw(POOL, count=30, seed="s", exclude=())
    assert first != draw(POOL, count=30, seed="z", exclude=())


def test_an_exhausted_pool_says_so() -> None:
    with pytest.raises(ConfigError, match="31 private texts are needed and 30 of 64") as caught:
        draw(POOL, count=31, seed="s", exclude={text.id for text in POOL[:34]})
    assert caught.value.code == "pool_exhausted"


def test_every_text_has_one_purpose() -> None:
    parts = allot(POOL[: texts_needed(RULE)], RULE)

    used = [text.id for part in parts for text in part]
    assert len(used) == len(set(used)) == texts_needed(RULE)
    assert (len(parts.timed), len(parts.served)) == (RULE.speed_rounds, RULE.served_prompts)


@pytest.mark.parametrize("texts", [POOL[:3], POOL[:1] * 40])
def test_too_few_texts_are_refused(texts: tuple[Text, ...]) -> None:
    with pytest.raises(ConfigError) as caught:
        allot(texts, RULE)
    assert caught.value.code == "too_few_texts"


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({}, "exact"),
        ({"weights.head": "f16", "cache_type_k": "bf16"}, "exact"),
        ({"cache_type_v": "q8_0"}, "quantised"),
        ({"weights.feed_forward": "q8_0"}, "quantised"),
        ({"weights.attention": "shipped"}, "quantised"),
        (
            {"weights.overrides": [{"layers": [1], "tensors": ["attn_q"], "format": "q4_0"}]},
            "quantised",
        ),
    ],
)
def test_the_coarsest_part_names_the_class(changes: Changes, expected: str) -> None:
    assert numeric_class(apply_changes(LlamaCppConfig(), changes)) == expected


def test_honest_configs_belong_to_the_class_they_stand_for() -> None:
    configs = honest_configs(LlamaCppConfig(), layers=18, tokens=262_144)

    for name, several in configs.items():
        assert {numeric_class(one) for one in several} == {name}


def test_shipped_challenges_have_their_limits() -> None:
    for name in ("gemma-270m-cpu", "smollm2-135m-cpu"):
        limits = load_thresholds(load_challenge(name))
        assert set(limits.classes) == {"exact", "quantised"}


def test_fewer_tokens_widen_a_limit_and_more_do_not_narrow_it() -> None:
    limits = load_thresholds(load_challenge("smollm2-135m-cpu"))
    usual = limits.limit("exact", "regret", tokens=limits.served_tokens)

    assert limits.limit("exact", "regret", tokens=limits.served_tokens // 4) == pytest.approx(
        2 * usual, rel=0.02
    )
    assert limits.limit("exact", "regret", tokens=10**6) == usual


def test_without_limits_nothing_is_verified(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"bench\.verify\.calibrate") as caught:
        load_thresholds(load_challenge(write_challenge(tmp_path)))
    assert caught.value.code == "no_thresholds"


def test_limits_that_cannot_be_read_are_an_error(tmp_path: Path) -> None:
    folder = write_challenge(tmp_path)
    (folder / "thresholds.json").write_text("{")

    with pytest.raises(ConfigError, match="thresholds"):
        load_thresholds(load_challenge(folder))


def test_canaries_are_different_tokens_three_times_over() -> None:
    canaries = choose(range(1000), count=5, begin=(2,), seed=1)

    assert len({token for one in canaries for token in one.expected}) == 20
    assert canaries[0].prompt_ids == (2, *canaries[0].expected * 3)


def test_only_what_the_twin_copies_is_asked_of_the_candidate() -> None:
    canaries = [Canary((), (1, 2, 3, 4)), Canary((), (5, 6, 7, 8))]
    found = compare(canaries, [(1, 2, 9, 4), (5, 6, 7, 8)], [(1, 2, 3, 4), (5, 0, 7)])

    assert found == (6, 2)


def test_the_reference_is_asked_once_and_then_comes_from_the_file(tmp_path: Path) -> None:
    file, engine = tmp_path / "reference.json", SimulatedEngine(LlamaCppConfig(), seed=1)
    memory = ReferenceMemory(engine, file, key=("one",))
    said = memory.logprobs(Passage((2,), (300, 301))), memory.greedy((2, 300), tokens=6)
    memory.save()
    spent = engine.clock()
    again = ReferenceMemory(engine, file, key=("one",))

    assert (again.logprobs(Passage((2,), (300, 301))), again.greedy((2, 300), tokens=6)) == said
    assert engine.clock() == spent
    assert stat.S_IMODE(file.stat().st_mode) == 0o600


def test_another_engine_or_text_is_asked_anew(tmp_path: Path) -> None:
    file, engine = tmp_path / "reference.json", SimulatedEngine(LlamaCppConfig(), seed=1)
    first = ReferenceMemory(engine, file, key=("one",))
    first.logprobs(Passage((2,), (300,)))
    first.save()
    spent = engine.clock()
    ReferenceMemory(engine, file, key=("two",)).logprobs(Passage((2,), (300,)))

    assert engine.clock() > spent


def test_a_broken_memory_is_no_memory(tmp_path: Path) -> None:
    file = tmp_path / "reference.json"
    file.write_text(json.dumps([1]))

    memory = ReferenceMemory(SimulatedEngine(LlamaCppConfig(), seed=1), file, key=())
    assert len(memory.logprobs(Passage((2,), (300,)))) == 1
