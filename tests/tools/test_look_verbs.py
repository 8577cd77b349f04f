"""Looking at attempts."""

import json

from tests.agents.riding import World


async def two_attempts(world: World) -> None:
    for parent, changes in (("a0000", {"threads": 2}), ("a0001", {"poll": 0})):
        proposal = {"parent": parent, "changes": changes, "hypothesis": "faster"}
        answer = await world.call("ann", "propose_config", **proposal)
        await world.call("ann", "launch_benchmark", attempt=answer["attempt"])
        await world.measured(answer["attempt"], speedup=1.4)


async def test_an_attempt_is_shown_with_its_jobs_children_and_changes(world: World) -> None:
    await two_attempts(world)

    shown = await world.call("bob", "show_attempt", attempt="a0001")

    assert shown["children"] == ["a0002"]
    assert shown["changes_from_baseline"] == {"threads": 2}
    assert [(job["job"], job["outcome"]) for job in shown["jobs"]] == [("a0001-1", "measured")]


async def test_the_path_leads_from_the_baseline_to_the_best(world: World) -> None:
    await two_attempts(world)

    shown = await world.call("bob", "show_lineage", view="path", attempt="a0002")

    assert [one["attempt"] for one in shown["attempts"]] == ["a0000", "a0001", "a0002"]


async def test_the_frontier_and_mine_and_recent_are_other_views(world: World) -> None:
    await two_attempts(world)
    views = {}
    for view in ("frontier", "mine", "recent"):
        shown = await world.call("bob", "show_lineage", view=view)
        views[view] = [one["attempt"] for one in shown["attempts"]]

    assert views == {
        "frontier": ["a0000", "a0001"],
        "mine": [],
        "recent": ["a0000", "a0001", "a0002"],
    }


async def test_what_is_unknown_is_null(world: World) -> None:
    proposal = {"parent": "a0000", "changes": {"threads": 2}, "hypothesis": "faster"}
    await world.call("ann", "propose_config", **proposal)

    shown = await world.call("bob", "show_attempt", attempt="a0001")

    assert (shown["speedup"], shown["perplexity"]) == (None, None)
    assert json.dumps(shown)


async def test_an_unknown_path_is_refused(world: World) -> None:
    answer = await world.call("bob", "show_lineage", view="path", attempt="a0042")

    assert answer["code"] == "unknown_attempt"
