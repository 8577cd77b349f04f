"""Claims and dead ends."""

from tests.agents.riding import World


async def test_a_claimed_direction_is_refused_with_holder_and_time_left(world: World) -> None:
    await world.call("ann", "claim", direction="weights.head=q8_0 threads=2")
    world.clock.now += 30

    answer = await world.call("bob", "claim", direction="threads=2  weights.head=q8_0")

    assert answer["code"] == "claimed"
    assert "ann" in answer["error"]
    assert "150 s" in answer["error"]


async def test_a_claim_can_be_renewed_by_its_holder(world: World) -> None:
    first = await world.call("ann", "claim", direction="threads=2")
    world.clock.now += 30
    again = await world.call("ann", "claim", direction="threads=2")

    assert again["expires_at"] - first["expires_at"] == 30


async def test_a_claim_that_ran_out_is_free(world: World) -> None:
    await world.call("ann", "claim", direction="threads=2")
    world.clock.now += 181

    answer = await world.call("bob", "claim", direction="threads=2")

    assert "code" not in answer


async def test_a_released_direction_is_free(world: World) -> None:
    await world.call("ann", "claim", direction="threads=2")
    await world.call("ann", "release_claim", direction="threads=2")

    assert "code" not in await world.call("bob", "claim", direction="threads=2")


async def test_only_the_holder_releases(world: World) -> None:
    await world.call("ann", "claim", direction="threads=2")

    answer = await world.call("bob", "release_claim", direction="threads=2")

    assert answer["released"] is False
    assert (await world.call("bob", "claim", direction="threads=2"))["code"] == "claimed"


async def test_a_dead_end_is_told_on_the_board(world: World) -> None:
    await world.call("ann", "record_dead_end", direction="poll=0", reason="slow", refs=["a0000"])

    message = world.recorder.projection.board.messages[-1]
    assert (message.type, message.refs) == ("dead-end", ("a0000",))


async def test_a_dead_end_needs_an_attempt_that_shows_it(world: World) -> None:
    post = await world.call("bob", "post_message", body="I feel it is slow")
    refs = [post["message"]]

    answer = await world.call("ann", "record_dead_end", direction="poll=0", reason="r", refs=refs)

    assert answer["code"] == "no_evidence"


async def test_a_dead_end_is_recorded_once(world: World) -> None:
    dead_end = {"direction": "poll=0", "reason": "slow", "refs": ["a0000"]}
    await world.call("ann", "record_dead_end", **dead_end)

    assert (await world.call("bob", "record_dead_end", **dead_end))["code"] == "known_dead_end"


async def test_recording_a_dead_end_again_with_its_key_answers_alike(world: World) -> None:
    dead_end = {"direction": "poll=0", "reason": "slow", "refs": ["a0000"]}
    first = await world.call("ann", "record_dead_end", key="k", **dead_end)

    assert first == await world.call("ann", "record_dead_end", key="k", **dead_end)
    assert len(world.recorder.projection.board.messages) == 1
