"""What policies do with what they find: sceptics, librarians, rulings, cheats."""

from pathlib import Path
from random import Random
from typing import Any

import pytest

from agents.policies import librarian, sceptic
from agents.policies.duties import finish, report
from agents.policies.llamacpp import cheat
from agents.policies.llamacpp.keep_sets import KeepSets
from agents.policies.llamacpp.physics import GEMMA
from agents.policies.scene import Scene
from tests.agents.policy_scene import FITTED, introduce_all, measure, scene
from tests.agents.riding import World, end_job
from tests.builders import make_failed
from tools.record.credit import uncited_source
from tools.record.events import AttemptInvalidated, MessagePosted

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
    forecast = here.evidence.forecast(nodes["a0000"], nodes["a0001"].config, ["threads=2"])
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
async def test_a_ruling_is_heeded_by_one_voice(world: World, policy: Any) -> None:
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

    assert said == ["ann"]


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
