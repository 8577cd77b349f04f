"""What single policies look for, and when they ask for a job."""

from random import Random
from typing import Any

import pytest

from agents.policies import recombiner
from agents.policies.duties import answer, introduce, report
from agents.policies.evidence import Evidence
from agents.policies.llamacpp import pruner, quantiser, tuner
from agents.policies.llamacpp.physics import GEMMA, SMOLLM, megabytes_per_token, shape_of
from agents.policies.llamacpp.space import LlamaCppSpace
from agents.policies.pacing import has_time, is_my_turn, promising
from bench.config import apply_changes
from bench.configs.llamacpp import LlamaCppConfig
from tests.agents.policy_scene import ASCII, FITTED, introduce_all, measure, scene
from tests.agents.riding import World

# --- paper


@pytest.mark.parametrize(
    ("changes", "megabytes"),
    [
        ({}, 536),
        ({"weights.head": "shipped", "weights.attention": "shipped"}, 337),
        (ASCII, 284),
    ],
)
def test_megabytes_per_token_follow_bits_and_rows(changes: Any, megabytes: int) -> None:
    config = apply_changes(LlamaCppConfig(), changes)

    assert megabytes_per_token(config, GEMMA) == pytest.approx(megabytes, abs=10)


def test_the_shape_goes_with_the_challenges_model(world: World) -> None:
    model = world.challenge.model.model_copy(update={"title": "SmolLM2 135M"})

    assert shape_of(world.challenge) is GEMMA
    assert shape_of(world.challenge.model_copy(update={"model": model})) is SMOLLM


async def test_evidence_corrects_paper_by_what_was_measured(world: World) -> None:
    changes = {"weights.head": "q4_0"}
    config = apply_changes(LlamaCppConfig(), changes)
    baseline = world.recorder.projection.lineage.nodes["a0000"]
    space = LlamaCppSpace(world.challenge)
    before = Evidence(world.recorder.projection.lineage, space)
    await measure(world, changes, speedup=1.2, perplexity=14.6)
    after = Evidence(world.recorder.projection.lineage, space)

    words = ["weights.head=q4_0"]
    assert before.forecast(baseline, config, words).perplexity_ratio < 1.2
    assert after.forecast(baseline, config, words).perplexity_ratio > 1.25


# --- search


async def test_a_recombination_takes_what_the_other_changed_and_this_one_did_not(
    world: World,
) -> None:
    first = await measure(world, {**ASCII, "threads": 2})
    second = await measure(world, {**FITTED, "poll": 0, "threads": 1}, agent="bob")
    nodes = world.recorder.projection.lineage.nodes
    space = LlamaCppSpace(world.challenge)

    assert recombiner.union(nodes[first], nodes[second], LlamaCppConfig(), space) == {"poll": 0}
    assert recombiner.union(nodes[second], nodes[first], LlamaCppConfig(), space) == {"threads": 2}


async def test_a_recombination_carries_a_keep_set_whole(world: World) -> None:
    first = await measure(world, {"threads": 2})
    second = await measure(world, ASCII, agent="bob")
    nodes = world.recorder.projection.lineage.nodes
    space = LlamaCppSpace(world.challenge)

    assert recombiner.union(nodes[first], nodes[second], LlamaCppConfig(), space) == ASCII


async def test_layers_are_ranked_by_measured_perplexity_and_late_ones_come_first(
    world: World,
) -> None:
    rows = [{"layers": [17], "tensors": ["ffn_up"], "format": "q4_0"}]
    parent = await measure(world, {"weights.feed_forward": "shipped"})
    await measure(world, {"weights.overrides": rows}, parent=parent, perplexity=12.0)

    costs = quantiser.layer_costs(world.recorder.projection.lineage, 18)

    assert min(costs, key=costs.__getitem__) == 16
    assert costs[17] == pytest.approx(0.18, abs=0.01)


async def test_the_pruner_looks_between_what_passed_and_what_failed(world: World) -> None:
    passing = {"weights.vocabulary": {"strategy": "ascii", "size": 40_960}}
    failing = {"weights.vocabulary": {"strategy": "ascii", "size": 32_768}}
    await measure(world, passing)
    await measure(world, failing, agent="bob", missing_targets=9)

    ideas = pruner.ideas(scene(world), Random(1))
    sizes = {
        kept["size"]
        for idea in ideas
        if isinstance(kept := idea.changes["weights.vocabulary"], dict)
        and kept["strategy"] == "ascii"
    }
    assert sizes == {36_864}


def test_the_tuner_never_asks_for_more_threads_than_cores(world: World) -> None:
    threads = {idea.changes.get("threads") for idea in tuner.ideas(scene(world), Random(1))}

    assert threads - {None} == {2, 3, 4}


async def test_ideas_that_are_known_claimed_or_dead_are_passed_over(world: World) -> None:
    await measure(world, {"threads": 2})
    await world.call("bob", "claim", direction="threads=3")
    refs = ["a0000"]
    await world.call("bob", "record_dead_end", direction="threads=4", reason="r", refs=refs)
    here = scene(world)

    ideas = [one for one in tuner.ideas(here, Random(1)) if one.parent == "a0000"]
    directions = {chosen.direction for idea in ideas if (chosen := here.choose([idea], Random(1)))}
    assert "poll=0" in directions
    assert directions.isdisjoint({"threads=2", "threads=3", "threads=4"})


async def test_cool_heads_keep_off_fitted_keep_sets_once_they_are_questioned(
    world: World,
) -> None:
    fitted = await measure(world, FITTED, speedup=3.0)
    before = scene(world).parents(Random(1))
    await world.call("bob", "post_message", body="what is it worth?", refs=[fitted])
    after = scene(world).parents(Random(1))

    assert fitted in [node.attempt for node in before]
    assert fitted not in [node.attempt for node in after]


# --- pacing


async def test_a_leading_screen_deserves_a_full(world: World) -> None:
    slow = await measure(world, {"poll": 0}, speedup=1.1)
    fast = await measure(world, {"threads": 2}, speedup=1.4)

    node = promising(scene(world))
    assert (slow, fast) == ("a0001", node.attempt if node else None)


async def test_a_screen_below_the_best_full_does_not(world: World) -> None:
    await measure(world, {"threads": 2}, agent="bob", stage="full", speedup=1.4)
    await measure(world, {"poll": 0}, speedup=1.1)

    assert promising(scene(world)) is None


async def test_a_rejected_screen_does_not(world: World) -> None:
    await measure(world, {"threads": 2}, speedup=1.4, perplexity=20.0)

    assert promising(scene(world)) is None


async def test_an_honest_leader_deserves_a_full_beside_a_faster_fitted_one(world: World) -> None:
    await measure(world, FITTED, agent="bob", stage="full", speedup=3.0)
    honest = await measure(world, ASCII, speedup=2.0)

    node = promising(scene(world))
    assert node is not None
    assert node.attempt == honest


async def test_who_only_talks_has_no_share_of_the_front(world: World) -> None:
    await introduce_all(world)
    for threads in (2, 3, 4):
        await measure(world, {"threads": threads})
    await measure(world, {"poll": 0})

    assert is_my_turn(scene(world), Random(1))


async def test_who_rides_has_a_fair_share_of_the_front(world: World) -> None:
    await introduce_all(world)
    await measure(world, {"poll": 0}, agent="bob")
    for batch in (64, 128, 256, 1024):
        await measure(world, {"batch_tokens": batch})
    await measure(world, {"poll": 1})

    assert not is_my_turn(scene(world), Random(1))
    assert is_my_turn(scene(world, agent="bob"), Random(1))


@pytest.mark.parametrize(("seconds_left", "expected"), [(None, True), (60.0, True), (20.0, False)])
def test_nothing_is_begun_that_cannot_end(
    world: World, seconds_left: float | None, expected: bool
) -> None:
    assert has_time(scene(world, seconds_left=seconds_left), "screen") is expected


# --- duties


async def test_a_rider_introduces_itself_once_and_names_its_role(world: World) -> None:
    keys = {"policy": "tuner", "role": "tuner of threads"}
    calls = introduce(scene(world, keys=keys))
    await introduce_all(world)

    assert "tuner of threads" in str(calls[0].arguments["body"])
    assert introduce(scene(world, keys=keys)) == []


async def test_every_outcome_is_reported_once(world: World) -> None:
    attempt = await measure(world, {"threads": 2}, speedup=1.4)
    calls = report(scene(world))
    await world.call("ann", "post_result", attempt=attempt)

    assert [call.name for call in calls] == ["post_result"]
    assert report(scene(world)) == []


async def test_a_clearly_broken_attempt_is_recorded_as_a_dead_end(world: World) -> None:
    await measure(world, {"weights.head": "q4_0"}, perplexity=14.8)

    calls = {call.name: call for call in report(scene(world))}

    assert calls["record_dead_end"].arguments["direction"] == "weights.head=q4_0"


async def test_what_a_broken_parent_brought_along_is_no_dead_end(world: World) -> None:
    parent = await measure(world, {"weights.head": "q4_0"}, agent="bob", perplexity=14.8)
    await measure(world, {"threads": 2}, parent=parent, perplexity=14.9)

    assert "record_dead_end" not in [call.name for call in report(scene(world))]


async def test_a_size_alone_is_no_dead_end(world: World) -> None:
    parent = await measure(world, ASCII)
    smaller = {"weights.vocabulary.size": 1024}
    await measure(world, smaller, parent=parent, perplexity=50.0)

    assert "record_dead_end" not in [call.name for call in report(scene(world))]


async def test_a_question_about_an_own_attempt_is_answered_with_refs(world: World) -> None:
    await introduce_all(world)
    attempt = await measure(world, FITTED)
    asked = {"body": "@ann what is it worth?", "refs": [attempt]}
    question = await world.call("bob", "post_message", **asked)

    call = answer(scene(world), Random(1))[0]

    assert call.arguments["refs"] == [question["message"], attempt]
    assert call.arguments["mentions"] == ["bob"]


async def test_an_answer_is_never_answered(world: World) -> None:
    await introduce_all(world)
    attempt = await measure(world, FITTED)
    asked = {"body": "@ann what is it worth?", "refs": [attempt]}
    question = await world.call("bob", "post_message", **asked)
    refs = [question["message"], attempt]
    mine = await world.call("ann", "post_message", type="reply", body="it is fitted", refs=refs)
    thanks = {"type": "reply", "body": "thanks", "refs": [mine["message"], attempt]}
    await world.call("bob", "post_message", **thanks)

    assert [answer(scene(world), Random(seed)) for seed in range(20)] == [[]] * 20
