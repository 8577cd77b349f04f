"""What single policies do with what they find."""

from pathlib import Path
from random import Random
from typing import Any

import pytest

from agents.model import Observation
from agents.persona import PacelineKeys, Persona
from agents.policies import cheat, librarian, pruner, quantiser, recombiner, sceptic, tuner
from agents.policies.duties import answer, finish, introduce, report
from agents.policies.evidence import Evidence
from agents.policies.keep_sets import KeepSets
from agents.policies.pacing import has_time, promising
from agents.policies.physics import GEMMA, SMOLLM, megabytes_per_token, shape_of
from agents.policies.scene import Scene
from agents.policies.survey import Survey
from bench.config import EngineConfig, apply_changes
from tests.agents.riding import World, end_job
from tests.builders import make_failed
from tools.record.credit import uncited_source
from tools.record.events import AttemptInvalidated, MessagePosted

ASCII = {"weights.vocabulary": {"strategy": "ascii", "size": 65_536}}
FITTED = {"weights.vocabulary": {"strategy": "public_text", "size": 16_384}}


def scene(world: World, agent: str = "ann", **fields: Any) -> Scene:
    known = world.recorder.projection
    keys = PacelineKeys(**fields.pop("keys", {"temperature": 0.0}))
    observation = Observation(
        agent=agent,
        persona=Persona(name=agent, description="rides", **{"x-paceline": keys}),
        turn=1,
        cursor=known.seq,
        seen=fields.pop("seen", 0),
        now=world.clock.now,
        seed=1,
        challenge=world.challenge,
        board=known.board,
        lineage=known.lineage,
        free_job_slots=4,
        attempts_left=None,
        seconds_left=fields.pop("seconds_left", None),
    )
    survey = Survey(known.board, known.lineage)
    survey.update()
    return Scene(observation, survey, cores=4)


async def measure(
    world: World,
    changes: dict[str, Any],
    *,
    agent: str = "ann",
    parent: str = "a0000",
    stage: str = "screen",
    **measured: Any,
) -> str:
    proposal = {"parent": parent, "changes": changes, "hypothesis": "h"}
    answer = await world.call(agent, "propose_config", **proposal)
    attempt = str(answer["attempt"])
    await world.call(agent, "launch_benchmark", attempt=attempt, stage=stage)
    await world.measured(attempt, **measured)
    return attempt


async def introduce_all(world: World) -> None:
    for agent in ("ann", "bob"):
        await world.call(agent, "post_message", type="introduction", body=f"I am {agent}")


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
    config = apply_changes(EngineConfig(), changes)

    assert megabytes_per_token(config, GEMMA) == pytest.approx(megabytes, abs=10)


def test_the_shape_goes_with_the_challenges_model(world: World) -> None:
    model = world.challenge.model.model_copy(update={"title": "SmolLM2 135M"})

    assert shape_of(world.challenge) is GEMMA
    assert shape_of(world.challenge.model_copy(update={"model": model})) is SMOLLM


async def test_evidence_corrects_paper_by_what_was_measured(world: World) -> None:
    changes = {"weights.head": "q4_0"}
    config = apply_changes(EngineConfig(), changes)
    baseline = world.recorder.projection.lineage.nodes["a0000"]
    before = Evidence(world.recorder.projection.lineage, GEMMA)
    await measure(world, changes, speedup=1.2, perplexity=14.6)
    after = Evidence(world.recorder.projection.lineage, GEMMA)

    direction = "weights.head=q4_0"
    assert before.forecast(baseline, config, direction).perplexity_ratio < 1.2
    assert after.forecast(baseline, config, direction).perplexity_ratio > 1.25


# --- search


async def test_a_recombination_takes_what_the_other_changed_and_this_one_did_not(
    world: World,
) -> None:
    first = await measure(world, {**ASCII, "threads": 2})
    second = await measure(world, {**FITTED, "poll": 0, "threads": 1}, agent="bob")
    nodes = world.recorder.projection.lineage.nodes

    assert recombiner.union(nodes[first], nodes[second], EngineConfig()) == {"poll": 0}
    assert recombiner.union(nodes[second], nodes[first], EngineConfig()) == {"threads": 2}


async def test_a_recombination_carries_a_keep_set_whole(world: World) -> None:
    first = await measure(world, {"threads": 2})
    second = await measure(world, ASCII, agent="bob")
    nodes = world.recorder.projection.lineage.nodes

    assert recombiner.union(nodes[first], nodes[second], EngineConfig()) == ASCII


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


# --- who judges, who keeps


def some(extra: Any, here: Scene) -> list[Any]:
    """Return what an extra does when it does not wait."""
    return next((calls for seed in range(20) if (calls := extra(here, Random(seed)))), [])


async def test_the_sceptic_asks_what_a_fitted_keep_set_is_worth_once(world: World) -> None:
    await introduce_all(world)
    attempt = await measure(world, FITTED, speedup=3.0)

    (call,) = some(sceptic.extra, scene(world, "bob"))
    await world.call("bob", call.name, **call.arguments)

    assert call.arguments["refs"] == [attempt]
    assert some(sceptic.extra, scene(world, "bob")) == []


async def check_of(world: World, *, second: float) -> str:
    await introduce_all(world)
    attempt = await measure(world, {"threads": 2}, stage="full", speedup=1.4)
    await world.call("ann", "post_result", attempt=attempt)
    replicate = {"attempt": attempt, "stage": "full", "replicate": True}
    await world.call("bob", "launch_benchmark", **replicate)
    plan = sceptic.announce(scene(world, "bob"), attempt)
    await world.call("bob", plan.name, **plan.arguments)
    await world.measured(attempt, speedup=second)
    (call,) = sceptic.extra(scene(world, "bob"), Random(1))
    return str(call.arguments["body"])


@pytest.mark.parametrize(("second", "word"), [(1.41, "Confirmed"), (1.1, "Refuted")])
async def test_the_sceptic_says_what_its_launch_found(
    world: World, second: float, word: str
) -> None:
    assert (await check_of(world, second=second)).startswith(f"{word}: a0001 was 1.40x")


async def test_the_librarian_digests_when_enough_has_happened(world: World) -> None:
    for number in range(6):
        attempt = await measure(world, {"poll": number}, speedup=1.0 + number / 10)
        await world.call("ann", "post_result", attempt=attempt)

    (call,) = some(librarian.extra, scene(world, "bob"))

    assert call.arguments["type"] == "digest"
    assert "6 attempts by 1 riders" in str(call.arguments["body"])
    assert len(call.arguments["refs"]) == 7


@pytest.mark.parametrize(
    "measured", [{"perplexity": 10.9}, {"speedup": 0.9}], ids=["rejected", "slower"]
)
async def test_the_librarian_retires_what_failed_twice(
    world: World, measured: dict[str, float]
) -> None:
    parent = await measure(world, {"threads": 2}, speedup=1.0)
    for base in ("a0000", parent):
        await measure(world, {"flash_attention": "off"}, parent=base, **measured)

    (call,) = some(librarian.extra, scene(world, "bob"))

    assert call.name == "record_dead_end"
    assert call.arguments["direction"] == "flash_attention=off"


def test_policies_are_plain_functions_that_wait_for_nothing() -> None:
    folder = Path(librarian.__file__).parent

    assert all("async def" not in path.read_text() for path in folder.glob("*.py"))


# --- keep-sets, bad luck


async def test_two_measured_sizes_bound_all_between_them(world: World) -> None:
    for agent, size, missing in (("ann", 32_768, 26), ("bob", 131_072, 0)):
        kept = {"weights.vocabulary": {"strategy": "ascii", "size": size}}
        await measure(world, kept, agent=agent, missing_targets=missing)
    keep_sets = KeepSets(world.recorder.projection.lineage, GEMMA)

    known = {size: keep_sets.missed_share("ascii", size) for size in (32_768, 65_536, 131_072)}
    assert known[32_768] == pytest.approx(26 / 256)
    assert known[65_536] == pytest.approx(13 / 256)
    assert known[131_072] == 0
    assert keep_sets.missed_share("ascii", 8192) > known[32_768]
    assert keep_sets.missed_share("ascii", 200_000) == 0


def test_a_strategy_nobody_measured_misses_more_the_fewer_rows_it_keeps(world: World) -> None:
    keep_sets = KeepSets(world.recorder.projection.lineage, GEMMA)

    assert keep_sets.missed_share("ascii", 8192) > keep_sets.missed_share("ascii", 65_536) > 0
    assert keep_sets.missed_share("public_text", 8192) == 0


async def failed(world: World, *, fault: str) -> Scene:
    proposal = {"parent": "a0000", "changes": {"threads": 2}, "hypothesis": "h"}
    await world.call("ann", "propose_config", **proposal)
    await world.call("ann", "launch_benchmark", attempt="a0001")
    node = world.recorder.projection.lineage.nodes["a0001"]
    await end_job(world, node, node.runs[0], make_failed(fault=fault))
    return scene(world)


async def test_a_screen_lost_to_a_busy_machine_is_asked_for_once_more(world: World) -> None:
    here = await failed(world, fault="infrastructure")

    assert [call.arguments["attempt"] for call in finish(here)] == ["a0001"]
    assert "not quiet" in str(report(here)[0].arguments["comment"])


async def test_a_config_that_crashes_is_not_tried_again_and_teaches(world: World) -> None:
    here = await failed(world, fault="agent")
    nodes = here.lineage.nodes

    assert finish(here) == []
    assert "record_dead_end" in [call.name for call in report(here)]
    forecast = here.evidence.forecast(nodes["a0000"], nodes["a0001"].config, "threads=2")
    assert forecast.speedup < 1.2


# --- rulings, cheats


FITTED_WORD = "weights.vocabulary.strategy=public_text"


async def rule_out(world: World, attempt: str) -> None:
    ruling = AttemptInvalidated(
        attempt=attempt, reason="missing_targets", ingredient=(FITTED_WORD,), by="verifier"
    )
    await world.recorder.append("organiser", ruling, key=f"invalidated/{attempt}/1")
    notice = MessagePosted(type="notice", body=f"{attempt} is ruled invalid", refs=(attempt,))
    await world.recorder.append("organiser", notice, key=f"invalidated/{attempt}/1/notice")


async def test_nobody_builds_on_what_was_ruled_out_nor_on_its_heirs(world: World) -> None:
    fitted = await measure(world, FITTED, speedup=3.0)
    heir = await measure(world, {"threads": 2}, parent=fitted, speedup=3.5)
    plain = await measure(world, {"poll": 0}, agent="bob", speedup=1.1)
    await rule_out(world, fitted)
    parents = {node.attempt for seed in range(9) for node in scene(world).parents(Random(seed))}

    assert parents.isdisjoint({fitted, heir})
    assert plain in parents


async def test_no_idea_carries_a_banned_ingredient(world: World) -> None:
    fitted = await measure(world, FITTED, speedup=3.0)
    hot = {"temperature": 2.0, "policy": "cheat"}
    before = scene(world, keys=hot)
    assert before.choose(cheat._fitted(before, Random(1)), Random(1)) is not None
    await rule_out(world, fitted)
    after = scene(world, keys=hot)

    assert after.choose(cheat._fitted(after, Random(1)), Random(1)) is None


@pytest.mark.parametrize("policy", [sceptic, librarian])
async def test_a_ruling_is_heeded_once_by_each_and_by_two_at_most(
    world: World, policy: Any
) -> None:
    fitted = await measure(world, FITTED, speedup=3.0)
    await rule_out(world, fitted)
    said = []
    for agent in ("ann", "ann", "bob", "cid"):
        calls = [
            call for call in some(policy.extra, scene(world, agent)) if call.name == "post_message"
        ]
        said += [agent] * len(calls)
        for call in calls:
            await world.call(agent, call.name, **call.arguments)

    assert said == ["ann", "bob"]


async def test_the_cheat_fits_first_and_then_copies_without_naming(world: World) -> None:
    await measure(world, {"threads": 2, "weights.head": "q8_0"}, agent="bob", speedup=1.4)
    keys = {"policy": "cheat", "temperature": 0.9}
    first = next(iter(cheat.ideas(scene(world, keys=keys), Random(1))))
    for size in (8192, 12_288):
        await measure(world, {"weights.vocabulary": {"strategy": "public_text", "size": size}})
    copy = next(iter(cheat.ideas(scene(world, keys=keys), Random(1))))
    attempt = await measure(world, dict(copy.changes))
    lineage = world.recorder.projection.lineage

    assert first.changes["weights.vocabulary"]["strategy"] == "public_text"  # type: ignore[index]
    assert copy.parent == "a0000"
    assert uncited_source(lineage, lineage.nodes[attempt]) == "a0001"
