"""What agents may not propose after a ruling, and what they are told of it."""

from typing import Any

from tests.agents.riding import World
from tests.builders import (
    make_failed,
    make_invalidated,
    make_private,
    make_reinstated,
    make_verification,
)
from tools.record.events import Draft

FITTED = {"weights.vocabulary": {"strategy": "public_text", "size": 9000}}
WORDS = ("weights.vocabulary.strategy=public_text", "weights.vocabulary.size=9000")


async def propose(world: World, agent: str = "ann", **arguments: Any) -> Any:
    defaults = {"parent": "a0000", "changes": {"threads": 2}, "hypothesis": "it is faster"}
    return await world.call(agent, "propose_config", **(defaults | arguments))


async def append(world: World, *drafts: Draft) -> None:
    for draft in drafts:
        await world.recorder.append(draft.actor, draft.payload, key=draft.key)


async def banned(world: World) -> None:
    """a0001 was ruled invalid for its keep-set."""
    await propose(world, changes=FITTED)
    await append(world, make_invalidated("a0001", *WORDS))


async def test_a_banned_ingredient_is_refused_with_the_ruling(world: World) -> None:
    await banned(world)
    answer = await propose(world, "bob", changes={**FITTED, "threads": 2})

    assert answer["code"] == "banned_ingredient"
    assert f"event {world.recorder.projection.lineage.bans['a0001'].seq}" in answer["error"]
    for word in (*WORDS, "a0001", "verifier", "missing_targets"):
        assert word in answer["error"]
    assert "set weights.vocabulary.strategy or weights.vocabulary.size" in answer["hint"]


async def test_what_only_the_merged_config_contains_is_refused_too(world: World) -> None:
    await banned(world)
    await propose(
        world, "bob", changes={"weights.vocabulary": {"strategy": "public_text", "size": 9999}}
    )

    answer = await propose(
        world, "bob", parent="a0002", changes={"weights.vocabulary.size": 9000, "threads": 2}
    )

    assert answer["code"] == "banned_ingredient"


async def test_the_banned_config_itself_is_still_known(world: World) -> None:
    await banned(world)

    assert (await propose(world, "bob", changes=FITTED))["code"] == "known_config"


async def test_a_ban_comes_before_a_dead_end_and_no_reason_helps(world: World) -> None:
    await banned(world)
    dead = {"direction": " ".join(WORDS), "reason": "r", "refs": ["a0001"]}
    await world.call("bob", "record_dead_end", **dead)

    answer = await propose(world, changes={**FITTED, "poll": 1}, retry_reason="I want to")

    assert answer["code"] == "banned_ingredient"


async def test_a_reinstated_ingredient_may_be_proposed_again(world: World) -> None:
    await banned(world)
    await append(world, make_reinstated("a0001"))

    assert (await propose(world, "bob", changes={**FITTED, "threads": 2}))["attempt"] == "a0002"


async def test_looking_shows_bans_and_who_is_suspect(world: World) -> None:
    await propose(world, changes=FITTED)
    await propose(world, "bob", parent="a0001", changes={"threads": 2})
    await append(world, make_invalidated("a0001", *WORDS))

    seen = await world.call("bob", "show_lineage")
    shown = await world.call("bob", "show_attempt", attempt="a0002")

    assert seen["bans"][0]["ingredient"] == list(WORDS)
    assert seen["record"] == "a0000"
    assert (shown["verdict"], shown["suspected_by"]) == ("suspect", ["a0001"])
    assert shown["bans"] == seen["bans"]


async def test_a_flag_is_not_shown_before_a_ruling(world: World) -> None:
    await propose(world)
    await world.call("ann", "launch_benchmark", attempt="a0001")
    await world.measured("a0001")
    before = await world.call("bob", "show_attempt", attempt="a0001")

    await append(world, *make_private(verification=make_verification("regret")))
    after = await world.call("bob", "show_attempt", attempt="a0001")

    assert after | {"jobs": after["jobs"][:1]} == before
    assert after["jobs"][1] == {
        "job": "a0001-2",
        "stage": "private",
        "state": "ended",
        "replicate": False,
        "requested_by": "organiser",
        "outcome": None,
        "message": None,
    }


async def test_agents_ask_for_screens_and_fulls_only(world: World) -> None:
    await propose(world)

    for stage in ("fresh", "private"):
        answer = await world.call("ann", "launch_benchmark", attempt="a0001", stage=stage)
        assert answer["code"] == "bad_field"


async def test_a_result_is_of_a_run_of_riders_and_says_who_rejected(world: World) -> None:
    await propose(world)
    await append(world, *make_private(number=1, verification=make_verification("regret")))
    assert (await world.call("ann", "post_result", attempt="a0001"))["code"] == "no_result"

    await world.call("ann", "launch_benchmark", attempt="a0001")
    await world.measured("a0001")
    await append(world, make_invalidated("a0001"))
    await world.call("ann", "post_result", attempt="a0001")

    body = world.recorder.projection.board.messages[-1].body
    assert body.endswith("rejected by verifier, missing_targets.")


async def test_a_failed_private_job_fails_nobody(world: World) -> None:
    await propose(world)
    request, started, ended = make_private(number=1)
    outcome = make_failed()
    failed = ended._replace(payload=ended.payload.model_copy(update={"outcome": outcome}))
    await append(world, request, started, failed)

    shown = await world.call("bob", "show_attempt", attempt="a0001")

    assert (shown["state"], shown["jobs"][0]["message"]) == ("proposed", None)
