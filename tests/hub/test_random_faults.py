"""Many small sessions among random faults: no job orphaned, none paid twice, no budget exceeded.

`pytest -m slow tests/hub/test_random_faults.py` runs the long form.
"""

import asyncio
import random
import time
from collections import Counter
from pathlib import Path
from typing import get_args

import pytest

from sandbox.errors import HubRefused
from sandbox.fake_hub import FakeHub, FaultKind, Faults
from sandbox.hf_jobs_reap import cancel_all, list_orphans
from sandbox.job import JobResult
from tests.hub.stand import Stand, abandoned, make_spec, stand

WALL_SECONDS = 5.0
USD_PER_HOUR = 0.01
TRIES = 2
"""Of a job that is lost, as in `tools.jobs`."""
AT_ONCE = 8
SHORT, LONG = 20, 500
SCRIPTS = (
    "echo out",
    "exit 3",
    "sleep 0.3; echo out",
    "kill -9 $$",
    "sleep 0.1; touch result.json",
)


def faults_of(seed: int) -> Faults:
    """Calls to buckets share the shares, and wait a second for each: so these are small."""
    return Faults(
        seed=seed,
        rate_limited=0.02,
        server_error=0.02,
        dropped_answer=0.02,
        slow_answer=0.05,
        slow_seconds=0.05,
        lost_launch=0.3,
        unheard_launch=0.2,
        cut_log=0.3,
        late_echo=0.3,
        stuck_scheduling=0.1,
        image_pull=0.1,
    )


async def rode(folder: Path, seed: int) -> Counter[str]:
    """Ride one small session and return what went wrong in it."""
    rng = random.Random(seed)
    async with stand(
        folder, faults=faults_of(seed), scheduling_seconds=0.5, fake={"scheduling_seconds": 0.02}
    ) as here:
        await here.sandbox.check()
        results = [await _job(here, folder, f"job-{n}", rng) for n in range(rng.randint(1, 2))]
        orphans = await list_orphans(here.hub, "brave-otter-01", set())
        await cancel_all(here.hub, "brave-otter-01")
        assert_sound(here.fake, results)
        assert orphans.unexpected == ()
    assert all(job.is_over for job in here.fake.jobs())
    return here.fake.plan.happened


async def _job(here: Stand, folder: Path, name: str, rng: random.Random) -> JobResult:
    """Run a job as the lane does: killed now and then, tried again when it is lost."""
    spec = make_spec(
        folder / name, "sh", "-c", rng.choice(SCRIPTS), job=name, wall_seconds=WALL_SECONDS
    )
    sandbox, result = here.sandbox, None
    for _ in range(TRIES):
        try:
            job = await sandbox.start(spec)
        except HubRefused as error:  # no launch of several was answered
            result = JobResult("lost", None, 0.0, None, "", "", error.code)
            continue
        if rng.random() < 0.3:
            await asyncio.sleep(rng.random() * 0.3)
            await abandoned(job)
            sandbox = here.again()
            job = await sandbox.start(spec)
        if rng.random() < 0.1:
            await job.cancel()
        result = await job.result()
        if result.end != "lost":
            return result
    assert result is not None
    return result


def assert_sound(fake: FakeHub, results: list[JobResult]) -> None:
    ran = Counter(job.order.body["labels"]["job"] for job in fake.jobs() if job.started)
    lost = [result for result in results if result.end == "lost"]

    assert all(result.end in {"exited", "cancelled", "lost"} for result in results)
    assert all(
        result.code in {"scheduling_timeout", "image_pull", "hub_unreachable"} for result in lost
    )
    assert all(count == 1 for count in ran.values()), f"paid twice: {ran}"
    assert fake.spent_usd() <= len(results) * WALL_SECONDS * USD_PER_HOUR / 3600


async def ride_all(folder: Path, seeds: range) -> Counter[str]:
    gate = asyncio.Semaphore(AT_ONCE)

    async def one(seed: int) -> Counter[str]:
        async with gate:
            try:
                async with asyncio.timeout(90):
                    return await rode(folder / str(seed), seed)
            except (AssertionError, HubRefused, TimeoutError) as error:
                raise AssertionError(f"seed {seed}: {error!r}") from error

    return sum(await asyncio.gather(*map(one, seeds)), Counter())


async def test_sessions_among_random_faults_are_sound(tmp_path: Path) -> None:
    happened = await ride_all(tmp_path, range(SHORT))

    assert sum(happened.values()) > SHORT


@pytest.mark.slow
@pytest.mark.timeout(1800)
async def test_many_sessions_among_random_faults_are_sound(tmp_path: Path) -> None:
    began = time.monotonic()
    happened = await ride_all(tmp_path, range(1000, 1000 + LONG))
    print(f"{LONG} sessions, {time.monotonic() - began:.0f} s, {dict(happened)}")  # noqa: T201

    assert set(+happened) == set(get_args(FaultKind))
