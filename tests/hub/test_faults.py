"""What goes wrong on the way, one thing at a time: nothing is lost, nothing is paid twice."""

import asyncio
import time
from pathlib import Path
from typing import Any

import pytest

from sandbox.errors import ConfigError, HubRefused, PacelineError
from sandbox.fake_hub import FaultKind, Faults
from sandbox.hub import Hub
from tests.hub.stand import FOR_EVER, Stand, make_spec, stand, until_running

SAY = ("sh", "-c", "echo said; exit 3")


async def ran(here: Stand, folder: Path, *kinds: FaultKind) -> Any:
    """Run a job while the next chance of each kind goes wrong."""
    await here.sandbox.check()
    for kind in kinds:
        here.fake.plan.then(kind)
    return await here.run(make_spec(folder, *SAY))


def assert_ran_once(here: Stand, result: Any) -> None:
    assert (result.end, result.exit_code, result.stdout) == ("exited", 3, "said\n")
    assert len([job for job in here.fake.jobs() if job.started]) == 1
    assert all(job.is_over for job in here.fake.jobs())


@pytest.mark.parametrize(
    "kind",
    ["server_error", "dropped_answer", "lost_launch", "unheard_launch", "cut_log", "late_echo"],
)
async def test_a_fault_in_passing_changes_nothing(
    folder: Path, tmp_path: Path, kind: FaultKind
) -> None:
    async with stand(tmp_path) as here:
        result = await ran(here, folder, kind)

        assert_ran_once(here, result)


async def test_too_many_requests_are_repeated_when_the_hub_says(tmp_path: Path) -> None:
    async with stand(tmp_path, faults=Faults(retry_after_seconds=1)) as here:
        here.fake.plan.then("rate_limited")
        began = time.monotonic()
        await here.hub.hardware()

    assert 1 <= time.monotonic() - began < 5


async def test_a_launch_that_comes_too_soon_is_repeated_without_being_paid_twice(
    folder: Path, tmp_path: Path
) -> None:
    async with stand(tmp_path) as here:
        await here.sandbox.check()
        here.fake.plan.then("rate_limited", 2, at="POST /api/jobs/paceline")
        result = await here.run(make_spec(folder, *SAY))

        assert_ran_once(here, result)
        assert here.fake.plan.happened["rate_limited"] == 2


async def test_a_launch_that_is_answered_too_late_is_found_by_its_labels(
    folder: Path, tmp_path: Path
) -> None:
    slow = Faults(slow_seconds=1.0)
    async with stand(tmp_path, faults=slow, hub={"answer_seconds": 0.4}) as here:
        await here.sandbox.check()
        here.fake.plan.then("slow_answer", at="POST /api/jobs/paceline")
        result = await here.run(make_spec(folder, "sh", "-c", "sleep 1.5; echo said; exit 3"))

        assert result.stdout == "said\n"
        assert here.fake.plan.happened["slow_answer"] == 1
        # one was found or, being launched even later than looked for, stopped
        assert [job.stage for job in here.fake.jobs() if job.stage != "CANCELED"] == ["ERROR"]


async def test_a_hub_that_is_silent_for_a_while_loses_no_job(folder: Path, tmp_path: Path) -> None:
    async with stand(tmp_path, hub={"tries": 2}) as here:
        job = await here.sandbox.start(make_spec(folder, "sh", "-c", "sleep 0.3; echo said"))
        await until_running(here.fake)
        here.fake.plan.then("server_error", 12)
        result = await job.result()

        assert result.stdout == "said\n"
        assert len(here.fake.jobs()) == 1


async def test_a_job_that_gets_no_machine_is_cancelled_and_said_so(
    folder: Path, tmp_path: Path
) -> None:
    async with stand(tmp_path, scheduling_seconds=0.3) as here:
        here.fake.plan.then("stuck_scheduling")
        result = await here.run(make_spec(folder, *FOR_EVER))

        assert (result.end, result.code) == ("lost", "scheduling_timeout")
        assert "0 s of waiting" in result.message
        assert here.fake.jobs()[0].stage == "CANCELED"
        assert here.fake.spent_usd() == 0


async def test_waiting_for_a_machine_is_no_part_of_the_jobs_time(
    folder: Path, tmp_path: Path
) -> None:
    async with stand(tmp_path, fake={"scheduling_seconds": 1.2}) as here:
        result = await here.run(make_spec(folder, *SAY, wall_seconds=1))

        assert_ran_once(here, result)


async def test_an_image_that_cannot_be_pulled_says_so(folder: Path, tmp_path: Path) -> None:
    async with stand(tmp_path) as here:
        result = await ran(here, folder, "image_pull")

    assert (result.end, result.code) == ("lost", "image_pull")
    assert "'local' cannot be pulled" in result.message
    assert "digest" in result.message


async def test_a_job_that_is_deaf_to_its_limit_is_ended_by_us(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Should the platform forget the limit it was given."""
    monkeypatch.setattr("sandbox.hf_job.RUN_GRACE_SECONDS", 0.0)
    async with stand(tmp_path) as here:
        job = await here.sandbox.start(make_spec(folder, *FOR_EVER, wall_seconds=1))
        here.fake.jobs()[0].order = here.fake.jobs()[0].order._replace(timeout_seconds=60)
        result = await job.result()

        assert result.end == "timed_out"
        assert here.fake.jobs()[0].is_over


async def test_without_credit_nothing_starts(folder: Path, tmp_path: Path) -> None:
    async with stand(tmp_path, fake={"credit_usd": 0.0}) as here:
        error = await refused(here, folder)

        assert error.code == "no_credit"
        assert "billing" in error.hint
        assert here.fake.jobs() == []


async def test_credit_that_runs_out_stops_the_next_launch(folder: Path, tmp_path: Path) -> None:
    async with stand(tmp_path, fake={"credit_usd": 1e-9}) as here:
        first = await here.run(make_spec(folder, *SAY))
        error = await refused(here, folder)

    assert (first.exit_code, error.code) == (3, "no_credit")


async def refused(here: Stand, folder: Path) -> PacelineError:
    with pytest.raises(PacelineError) as caught:
        await here.sandbox.start(make_spec(folder, *SAY))
    return caught.value


@pytest.mark.parametrize(
    ("scope", "doing"),
    [("job.write", "start a job"), ("job.read", "list jobs"), ("repo.write", "write")],
)
async def test_a_scope_that_the_token_lacks_is_named(
    folder: Path, tmp_path: Path, scope: str, doing: str
) -> None:
    async with stand(tmp_path) as here:
        await here.sandbox.check()
        here.fake.scopes -= {scope}
        error = await refused(here, folder)

        assert error.code == "missing_scope"
        assert scope in str(error)
        assert "settings/tokens" in error.hint
        assert doing in str(error) or scope == "repo.write"
        assert not [job for job in here.fake.jobs() if job.started]


async def test_another_namespace_than_the_tokens_is_refused(folder: Path, tmp_path: Path) -> None:
    async with stand(tmp_path) as here:
        stranger = Hub(here.fake.token, "other", endpoint=here.fake.endpoint, tries=1)
        with pytest.raises(HubRefused, match="'other'") as caught:
            await stranger.jobs({})
    assert caught.value.code == "missing_scope"


async def test_a_wrong_token_is_told_from_none(tmp_path: Path) -> None:
    async with stand(tmp_path) as here:
        wrong = Hub("hf_wrong", "paceline", endpoint=here.fake.endpoint)
        with pytest.raises(HubRefused) as caught:
            await wrong.whoami()
    with pytest.raises(ConfigError, match="HF_TOKEN") as none:
        Hub(None, "paceline")
    assert (caught.value.code, none.value.code) == ("bad_token", "no_token")


async def test_an_exhausted_quota_is_not_asked_again_and_again(
    folder: Path, tmp_path: Path
) -> None:
    async with stand(tmp_path) as here:
        here.fake.queue.quota = 0
        began = time.monotonic()
        error = await refused(here, folder)

    assert error.code == "quota_exhausted"
    assert time.monotonic() - began < 10


async def test_nobody_at_the_address_is_said_in_one_sentence() -> None:
    hub = Hub("hf_x", "paceline", endpoint="http://127.0.0.1:9", tries=2, first_wait_seconds=0.01)
    with pytest.raises(HubRefused, match="gave no answer") as caught:
        await hub.hardware()
    assert caught.value.code == "hub_unreachable"


async def test_a_result_asked_for_twice_is_the_same(folder: Path, tmp_path: Path) -> None:
    async with stand(tmp_path) as here:
        job = await here.sandbox.start(make_spec(folder, *SAY))
        results = await asyncio.gather(job.result(), job.result())
        await job.cancel()

        assert results[0] == results[1] == await job.result()
        assert here.fake.jobs()[0].stage == "ERROR"
