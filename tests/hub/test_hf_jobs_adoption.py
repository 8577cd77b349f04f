"""Jobs on HF Jobs, run by the fake Hub: what is adopted, and what nobody waits for."""

import asyncio
import os
import signal
import sys
from pathlib import Path

import pytest

from sandbox.hf_jobs_reap import cancel_all, list_live, list_orphans
from tests.hub.stand import (
    FOR_EVER,
    abandoned,
    make_spec,
    remote,
    stand,
    until_running,
)

ROOT = Path(__file__).parents[2]


async def test_what_is_asked_again_after_its_result_runs_again(
    folder: Path, tmp_path: Path
) -> None:
    async with stand(tmp_path) as here:
        await here.run(make_spec(folder))
        await here.run(make_spec(folder))

        assert [job.order.body["labels"]["try"] for job in here.fake.jobs()] == ["1", "2"]


async def test_after_a_restart_a_running_job_is_adopted(folder: Path, tmp_path: Path) -> None:
    spec = make_spec(folder, "sh", "-c", "sleep 0.5; echo done")
    async with stand(tmp_path) as here:
        await abandoned(await here.sandbox.start(spec))
        result = await (await here.again().start(spec)).result()

        assert result.stdout == "done\n"
        assert len(here.fake.jobs()) == 1
    assert remote(folder)["adopted"]


async def test_a_job_that_outlives_its_session_is_left_to_the_next(
    folder: Path, tmp_path: Path
) -> None:
    spec = make_spec(folder, "sh", "-c", "sleep 0.5; echo done")
    async with stand(tmp_path, outlives=True) as here:
        job = await here.sandbox.start(spec)
        waiter = asyncio.create_task(job.result())
        await until_running(here.fake)
        waiter.cancel()
        with pytest.raises(asyncio.CancelledError):
            await waiter
        result = await (await here.again().start(spec)).result()

        assert result.stdout == "done\n"
        assert len(here.fake.jobs()) == 1


async def test_after_a_restart_an_ended_job_is_adopted(folder: Path, tmp_path: Path) -> None:
    spec = make_spec(folder, "sh", "-c", "echo paid; exit 3")
    async with stand(tmp_path) as here:
        await abandoned(await here.sandbox.start(spec))
        here.fake.jobs()[0].join()
        result = await (await here.again().start(spec)).result()

        assert (result.exit_code, result.stdout) == (3, "paid\n")
        assert len(here.fake.jobs()) == 1


async def test_a_job_that_ran_out_of_time_unseen_is_not_paid_again(
    folder: Path, tmp_path: Path
) -> None:
    spec = make_spec(folder, *FOR_EVER, wall_seconds=0.5)
    async with stand(tmp_path) as here:
        await abandoned(await here.sandbox.start(spec))
        here.fake.jobs()[0].join()
        result = await (await here.again().start(spec)).result()

        assert result.end == "timed_out"
        assert len(here.fake.jobs()) == 1


async def test_a_job_cancelled_on_the_hub_is_lost_and_runs_again_when_asked(
    folder: Path, tmp_path: Path
) -> None:
    async with stand(tmp_path) as here:
        job = await here.sandbox.start(make_spec(folder, *FOR_EVER))
        await until_running(here.fake)
        here.fake.jobs()[0].cancel()
        result = await job.result()
        again = await (await here.again().start(make_spec(folder, "echo", "2"))).result()

    assert (result.end, result.code) == ("lost", "cancelled_remotely")
    assert again.stdout == "2\n"


async def test_of_two_live_jobs_the_first_is_adopted_and_the_other_stopped(
    folder: Path, tmp_path: Path
) -> None:
    spec = make_spec(folder, "sh", "-c", "sleep 0.6; echo ok")
    async with stand(tmp_path) as here:
        await abandoned(await here.sandbox.start(spec))
        first = here.fake.jobs()[0]
        here.fake.queue.launch("paceline", first.order.body)
        result = await (await here.again().start(spec)).result()

        assert result.stdout == "ok\n"
        assert [job.stage for job in here.fake.jobs()] == ["COMPLETED", "CANCELED"]


RIDER = """
import asyncio, sys
from pathlib import Path
from sandbox.hf_jobs import HfJobsSandbox
from sandbox.hub import Hub
from tests.hub.stand import make_options, make_spec

async def main(endpoint, token, folder):
    hub = Hub(token, "paceline", endpoint=endpoint)
    spec = make_spec(Path(folder), "sh", "-c", "sleep 1; echo survived")
    job = await HfJobsSandbox(hub, make_options()).start(spec)
    print("started", flush=True)
    await job.result()

asyncio.run(main(*sys.argv[1:]))
"""


async def test_a_job_outlives_kill_minus_nine_of_its_rider(folder: Path, tmp_path: Path) -> None:
    async with stand(tmp_path) as here:
        argv = (sys.executable, "-c", RIDER, here.fake.endpoint, here.fake.token, str(folder))
        rider = await asyncio.create_subprocess_exec(
            *argv, cwd=ROOT, stdout=asyncio.subprocess.PIPE, env={**os.environ}
        )
        assert rider.stdout is not None
        assert b"started" in await rider.stdout.readline()
        rider.send_signal(signal.SIGKILL)
        await rider.wait()
        spec = make_spec(folder, "sh", "-c", "sleep 1; echo survived")
        result = await (await here.again().start(spec)).result()

        assert result.stdout == "survived\n"
        assert len(here.fake.jobs()) == 1


async def test_orphans_are_told_from_jobs_in_progress_and_cancelled(
    folder: Path, tmp_path: Path
) -> None:
    async with stand(tmp_path) as here:
        for job in ("wanted", "forgotten"):
            spec = make_spec(folder, *FOR_EVER, job=job)
            await abandoned(await here.sandbox.start(spec))
        orphans = await list_orphans(here.hub, "brave-otter-01", {"wanted"})
        only = {one.id for one in orphans.unexpected}
        cancelled = await cancel_all(here.hub, "brave-otter-01", only=only)
        left = await list_live(here.hub, "brave-otter-01")
        foreign = await list_live(here.hub, "another-session")

        assert [one.labels["job"] for one in orphans.expected] == ["wanted"]
        assert [one.labels["job"] for one in cancelled] == ["forgotten"]
        assert [one.labels["job"] for one in left] == ["wanted"]
        assert foreign == ()
