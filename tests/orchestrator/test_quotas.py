"""Jobs per agent and per session in any 24 hours; counted by the record, so a resume counts on."""

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from tests.agents.riding import World, a_world
from tools.job_quota import jobs_left
from tools.record.events import JobEnded
from tools.record.recorder import Recorder
from tools.record.sqlite_store import SqliteStore
from tools.toolbox import Toolbox

HOUR = 3600.0


def with_quotas(world: World, **quotas: int) -> World:
    changed = world.challenge.quotas.model_copy(update={"pending_jobs_per_agent": 9, **quotas})
    challenge = world.challenge.model_copy(update={"quotas": changed})
    toolbox = Toolbox(world.recorder, challenge, world.toolbox.limits)
    return world._replace(challenge=challenge, toolbox=toolbox)


@pytest.fixture
async def world(tmp_path: Path) -> AsyncIterator[World]:
    async with a_world(tmp_path) as opened:
        await opened.measured("a0000")
        yield with_quotas(opened, jobs_per_agent_per_day=2, jobs_per_session_per_day=3)


async def launch(world: World, agent: str, *, poll: int) -> Any:
    """Propose and launch, let the job end, and let an hour pass."""
    proposed = await world.call(
        agent, "propose_config", parent="a0000", changes={"poll": poll}, hypothesis="h"
    )
    answer = await world.call(agent, "launch_benchmark", attempt=proposed["attempt"])
    if "job" in answer:
        await world.measured(proposed["attempt"])
    world.clock.now += HOUR
    return answer


async def test_an_agent_over_its_quota_is_told_when_the_next_is_free(world: World) -> None:
    for poll in (1, 2):
        assert "job" in await launch(world, "ann", poll=poll)

    refused = await launch(world, "ann", poll=3)

    assert refused["code"] == "agent_day_quota"
    assert "the next is free in 22 h 0 min, at " in refused["hint"]


async def test_all_agents_together_have_a_quota_too(world: World) -> None:
    for agent, poll in (("ann", 1), ("ann", 2), ("bob", 3)):
        assert "job" in await launch(world, agent, poll=poll)

    refused = await launch(world, "bob", poll=4)

    assert refused["code"] == "session_day_quota"
    assert "the agents of this session have started 3 jobs" in refused["error"]


async def test_a_job_is_free_again_a_day_after_it_was_asked_for(world: World) -> None:
    for poll in (1, 2):
        await launch(world, "ann", poll=poll)
    world.clock.now += 22 * HOUR

    assert "job" in await launch(world, "ann", poll=3)
    world.clock.now -= 60  # a minute before the second one is a day old
    assert (await launch(world, "ann", poll=4))["code"] == "agent_day_quota"


async def test_a_resumed_session_counts_on(world: World, tmp_path: Path) -> None:
    for poll in (1, 2):
        await launch(world, "ann", poll=poll)
    store = SqliteStore.open(tmp_path / "record.db", clock=world.clock)
    again = Recorder(store, clock=world.clock)
    await again.catch_up()
    left = jobs_left(
        again.projection.lineage, world.challenge.quotas, agent="ann", now=world.clock.now
    )
    await store.close()

    assert left == 0


async def test_neither_the_organisers_jobs_nor_those_given_up_count(world: World) -> None:
    proposed = await world.call(
        "ann", "propose_config", parent="a0000", changes={"poll": 1}, hypothesis="h"
    )
    asked = await world.call("ann", "launch_benchmark", attempt=proposed["attempt"])
    ended = JobEnded(
        job=asked["job"],
        attempt=proposed["attempt"],
        outcome={"status": "cancelled", "fault": "budget", "code": "session_over"},
        spent_seconds=0.0,
        spent_usd=0.0,
    )
    await world.recorder.append("lane", ended, key="given-up")
    lineage = world.recorder.projection.lineage  # holds the baseline's job, the organiser's
    left = jobs_left(lineage, world.challenge.quotas, agent="ann", now=world.clock.now)

    assert left == 2


async def test_without_quotas_nobody_counts(world: World) -> None:
    free = with_quotas(world)._replace()
    quotas = free.challenge.quotas.model_copy(
        update={"jobs_per_agent_per_day": None, "jobs_per_session_per_day": None}
    )

    assert jobs_left(world.recorder.projection.lineage, quotas, agent="ann", now=0.0) is None
