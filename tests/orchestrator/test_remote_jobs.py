"""What a remote job leaves is read as a local one's: typed outcomes, one end, paid once."""

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from bench.challenge_files import load_challenge
from bench.configs.llamacpp import LlamaCppConfig
from sandbox.errors import HubRefused
from sandbox.hf_jobs import HfJobsSandbox
from tests.builders import make_attempt, make_opened
from tests.hub.stand import Stand, stand, until_running
from tests.orchestrator.test_targets import needs_containers
from tests.orchestrator.tiny_race import HERE, tiny_challenge, tiny_job, write_challenge
from tools.job_request import job_request, reserved_seconds
from tools.jobs import Workplace, harness_paths, run_job
from tools.record.events import JobEnded
from tools.record.recorder import Recorder
from tools.record.sqlite_store import SqliteStore

pytestmark = needs_containers


class Remote:
    """A record, and a place where jobs run on a fake Hub."""

    def __init__(self, recorder: Recorder, place: Workplace, hub: Stand) -> None:
        self.recorder, self.place, self.hub = recorder, place, hub

    async def run(self, batch_tokens: int, **rules: Any) -> JobEnded:
        place = self.place._replace(challenge=self.place.challenge.model_copy(update=rules))
        config = LlamaCppConfig(batch_tokens=batch_tokens)
        await self.recorder.append("ann", make_attempt("a0001", config=config), key="a0001")
        node = self.recorder.projection.lineage.nodes["a0001"]
        request = job_request(node, "screen", session="s", challenge=place.challenge)
        await self.recorder.append("ann", request, key="requested")
        return await run_job(self.recorder, place, node, node.runs[-1])


@pytest.fixture
async def remote(tmp_path: Path) -> AsyncIterator[Remote]:
    store = SqliteStore.create(tmp_path / "record.db", session="s", clock=lambda: 1.0)
    recorder = Recorder(store, clock=lambda: 1.0)
    await recorder.append("organiser", make_opened(), key="open")
    file = write_challenge(tmp_path / "challenge")
    async with stand(tmp_path) as hub:
        place = Workplace(
            HfJobsSandbox(hub.hub, hub.sandbox.options),
            tiny_challenge(),
            attempts=tmp_path / "attempts",
            challenge_file=file,
            cache_folder=tmp_path / "cache",
            command=tiny_job,
            readable=(*harness_paths(load_challenge(file).challenge, file), HERE),
        )
        yield Remote(recorder, place, hub)
    await store.close()


@pytest.mark.parametrize(
    ("batch_tokens", "status", "code"),
    [
        (99, "measured", None),
        (101, "crashed", "crashed"),
        (103, "rubbish", "unreadable_result"),
        (104, "rubbish", "unreadable_result"),
        (105, "rubbish", "unreadable_result"),
    ],
    ids=["whole", "crashed", "rubbish", "half", "nan"],
)
async def test_what_is_left_is_typed(
    remote: Remote, batch_tokens: int, status: str, code: str | None
) -> None:
    outcome = (await remote.run(batch_tokens)).outcome

    assert (outcome.status, outcome.code) == (status, code)
    assert len(remote.hub.fake.jobs()) == 1


async def test_a_job_that_hangs_costs_its_limit_at_most(remote: Remote) -> None:
    rules = tiny_challenge()
    screen = rules.protocol.screen.model_copy(update={"wall_seconds": 1.0})
    protocol = rules.protocol.model_copy(update={"screen": screen})
    quotas = rules.quotas.model_copy(update={"build_seconds": 1.0})
    ended = await remote.run(102, protocol=protocol, quotas=quotas)

    assert (ended.outcome.status, ended.outcome.code) == ("timed_out", "wall_clock")
    assert ended.spent_seconds <= 2.0
    assert ended.spent_usd <= 2 * rules.device_usd_per_hour / 3600


async def test_what_was_refused_runs_once_the_operator_has_mended_it(remote: Remote) -> None:
    remote.hub.fake.plan.then("image_pull")
    with pytest.raises(HubRefused, match="cannot be pulled"):
        await remote.run(99)
    node = remote.recorder.projection.lineage.nodes["a0001"]
    ended = await run_job(remote.recorder, remote.place, node, node.runs[-1])

    assert ended.outcome.status == "measured"
    assert [job.stage for job in remote.hub.fake.jobs()] == ["ERROR", "COMPLETED"]


async def test_another_try_gets_the_time_that_is_left_of_what_was_reserved(
    remote: Remote,
) -> None:
    remote.place = remote.place._replace(
        command=lambda request: ("sh", "-c", 'sleep 3; exec "$@"', "sh", *tiny_job(request))
    )
    running = asyncio.create_task(remote.run(99))
    await until_running(remote.hub.fake)
    await asyncio.sleep(1.2)
    (first,) = remote.hub.fake.jobs()
    first.cancel()  # as somebody on the Hub's page does
    ended = await running
    second = remote.hub.fake.jobs()[1]
    whole = reserved_seconds(remote.place.challenge, "screen")

    assert ended.outcome.status == "measured"
    assert first.order.timeout_seconds == whole
    assert second.order.timeout_seconds == whole - round(first.running_seconds())
    assert ended.spent_seconds == pytest.approx(4, abs=1)
