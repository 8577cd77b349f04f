"""Where jobs run: on this machine, on a played Hub, on one that is taken for the real one."""

import asyncio
import contextlib
import os
import re
import subprocess
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from bench.challenge import Challenge
from orchestrator.opening import RunOptions
from orchestrator.remote_mark import read_mark
from orchestrator.session import run_session
from orchestrator.session_folder import CHALLENGE, read_toml
from orchestrator.settings import Settings
from orchestrator.stopping import cancel_jobs
from orchestrator.targets import opened_target, price_of
from sandbox import levels
from sandbox.errors import ConfigError, HubRefused
from sandbox.fake_hub import FakeHub
from sandbox.hf_jobs import HfJobsSandbox
from tests.orchestrator.hub_scene import (
    DIGEST,
    IMAGE,
    events_of,
    hub_parts,
    outcomes_of,
    rented,
    resumed,
    ridden,
    tiny_options,
)
from tests.orchestrator.tiny_race import tiny_challenge, tiny_job
from tools.record.invariants import check

needs_containers = pytest.mark.skipif(
    levels.why_not("bubblewrap") is not None, reason="the fake Hub runs jobs in bubblewrap"
)


# --- by name


def test_an_option_that_was_not_typed_is_not_in_the_record() -> None:
    assert "target" not in RunOptions().model_dump(mode="json")
    assert RunOptions(target="fake-hub").model_dump(mode="json")["target"] == "fake-hub"


async def test_a_gpu_is_another_lane_with_an_engine_in_a_python_of_its_own(tmp_path: Path) -> None:
    file = tmp_path / "places.toml"
    (tmp_path / "venv").mkdir()
    (tmp_path / "venv/pyvenv.cfg").write_text(f"home = {tmp_path}/python/bin\nversion = 3.12\n")
    file.write_text(
        f'[vllm]\npython = "{tmp_path}/venv/bin/python"\nsite = "{tmp_path}/site"\n'
        'environment = { CUDA_VISIBLE_DEVICES = "1" }\n'
    )
    settings = Settings(engine_places=file)
    parts = hub_parts(tmp_path)
    async with opened_target("local-gpu", settings) as target:
        found = target.seat(tmp_path, tiny_challenge(), parts)

    assert found.device == "gpu1"
    assert found.places is not None
    assert found.places.vllm is not None
    assert {tmp_path / "venv", tmp_path / "python", tmp_path / "site"} <= set(found.code)


async def test_a_python_of_the_system_does_not_open_the_whole_machine(tmp_path: Path) -> None:
    file = tmp_path / "places.toml"
    file.write_text('[vllm]\npython = "/bin/python3"\n')
    async with opened_target("local-gpu", Settings(engine_places=file)) as target:
        found = target.seat(tmp_path, tiny_challenge(), hub_parts(tmp_path))

    assert Path("/") not in found.code


MISSING = [
    ("local-gpu", {}, "no_engine", "PACELINE_ENGINE_PLACES"),
    ("hf-jobs", {"hub_image": IMAGE}, "no_namespace", "PACELINE_HUB_NAMESPACE"),
    ("hf-jobs", {"hub_namespace": "me"}, "no_image", "PACELINE_HUB_IMAGE"),
    ("hf-jobs", {"hub_namespace": "me", "hub_image": IMAGE}, "no_token", "HF_TOKEN"),
]


@pytest.mark.parametrize(("name", "said", "code", "hint"), MISSING)
async def test_what_a_target_needs_is_said_before_a_session_is_made(
    name: Any, said: dict[str, Any], code: str, hint: str, tmp_path: Path, monkeypatch: Any
) -> None:
    for variable in ("HF_TOKEN", "HF_TOKEN_PATH"):
        monkeypatch.delenv(variable, raising=False)
    monkeypatch.setenv("HF_HOME", str(tmp_path))
    parts = hub_parts(tmp_path)
    parts = parts._replace(settings=Settings(sessions_folder=tmp_path / "sessions", **said))
    with pytest.raises(ConfigError, match=hint) as found:
        await run_session(tiny_options(tmp_path, target=name), parts=parts)

    assert found.value.code == code
    assert not (tmp_path / "session").exists()


# --- the fake


@pytest.fixture(scope="module")
def fake_ride(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a ride on the fake; tests only look at it."""
    folder = tmp_path_factory.mktemp("fake")
    asyncio.run(ridden(folder, target="fake-hub"))
    return folder


@needs_containers
def test_a_ride_on_the_fake_measures_in_jobs_that_really_ran(fake_ride: Path) -> None:
    events = events_of(fake_ride)
    measured = [one.measurement for one in outcomes_of(fake_ride) if one.measurement]
    nodes = {one.payload.attempt for one in events if one.kind == "attempt_proposed"}

    assert events[-1].payload.reason == "attempts"
    assert len(nodes) == 3
    assert {one.stamp.isolation for one in measured} == {"container"}
    assert [one.name for one in check(events) if not one.ok] == []


@needs_containers
def test_the_price_is_read_when_the_session_opens(fake_ride: Path) -> None:
    rules = Challenge.model_validate(read_toml(fake_ride / "session" / CHALLENGE))
    spent = [one.payload for one in events_of(fake_ride) if one.kind == "job_ended"]

    assert rules.device_usd_per_hour == 1.0  # the challenge's own file says 3.6
    assert all(one.spent_usd <= one.spent_seconds / 3600 for one in spent)


@needs_containers
def test_without_a_word_about_money_a_rented_device_has_a_cap(fake_ride: Path) -> None:
    assert events_of(fake_ride)[0].payload.settings["budget_usd"] == 5.0


@needs_containers
def test_nothing_of_the_fake_survives_its_session(fake_ride: Path) -> None:
    assert list((fake_ride / "cache-fake-hub").iterdir()) == []
    assert "bwrap" not in children()


@needs_containers
async def test_a_resumed_session_rides_where_it_rode(tmp_path: Path) -> None:
    await ridden(tmp_path, target="fake-hub")
    summary = await resumed(tmp_path, attempts=3)
    measured = [one.measurement for one in outcomes_of(tmp_path) if one.measurement]

    assert summary.measured == 4
    assert {one.stamp.isolation for one in measured} == {"container"}


@needs_containers
async def test_records_are_verified_on_this_machine(tmp_path: Path) -> None:
    parts = hub_parts(tmp_path)
    await run_session(
        tiny_options(tmp_path, target="fake-hub", is_real=True, attempts=4), parts=parts
    )
    kinds = [one.kind for one in events_of(tmp_path)]

    assert "pool_committed" in kinds
    assert "verification_refused" not in kinds
    assert not [
        path
        for path in (tmp_path / "session").rglob("request.json")
        if b"secret" in path.read_bytes()
    ]


@needs_containers
async def test_the_price_alone_leaves_nothing_behind(tmp_path: Path) -> None:
    settings = Settings(cache_folder=tmp_path / "cache")

    assert await price_of("fake-hub", settings) == 1.0
    assert await price_of(None, settings) is None
    assert list((tmp_path / "cache-fake-hub").iterdir()) == []


# --- one that is taken for the real one


async def ride_rented(folder: Path, patch: pytest.MonkeyPatch, **options: Any) -> FakeHub:
    with rented(folder, patch, **options.pop("fake", {})) as served:
        await ridden(folder, options.pop("parts", None), target="hf-jobs", **options)
    return served


class Rented(NamedTuple):
    folder: Path
    served: FakeHub


@pytest.fixture(scope="module")
def rented_ride(tmp_path_factory: pytest.TempPathFactory) -> Rented:
    """A ride of a challenge that is to be verified, on machines that pass for rented."""
    folder = tmp_path_factory.mktemp("rented")
    with pytest.MonkeyPatch.context() as patch:
        return Rented(folder, asyncio.run(ride_rented(folder, patch, is_real=True)))


@needs_containers
def test_rented_jobs_carry_the_sessions_label_and_their_image(rented_ride: Rented) -> None:
    mark, jobs = read_mark(rented_ride.folder / "session"), rented_ride.served.jobs()

    assert mark is not None
    assert mark.is_rented
    assert {job.order.body["labels"]["session"] for job in jobs} == {mark.label}
    assert {job.order.body["dockerImage"] for job in jobs} == {IMAGE}


@needs_containers
def test_what_is_billed_is_what_is_told(rented_ride: Rented) -> None:
    ended = [one.payload for one in events_of(rented_ride.folder) if one.kind == "job_ended"]
    # the API tells whole seconds
    billed = sum(round(job.running_seconds()) for job in rented_ride.served.jobs())

    assert sum(one.spent_seconds for one in ended) == billed


@needs_containers
def test_private_texts_never_travel(rented_ride: Rented) -> None:
    events = events_of(rented_ride.folder)
    refused = [one.payload for one in events if one.kind == "verification_refused"]
    travelled = files_below(rented_ride.folder / "served")

    assert [one.code for one in refused] == ["remote_verification"]
    assert not [path for path in travelled if re.search(rb"secret \d", path.read_bytes())]


@needs_containers
def test_the_token_is_nowhere(rented_ride: Rented) -> None:
    token = rented_ride.served.token.encode()

    assert not [one for one in files_below(rented_ride.folder) if token in one.read_bytes()]


@needs_containers
async def test_an_unknown_flavor_is_refused_with_those_there_are(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    parts = hub_parts(tmp_path, hub_flavor="h9000")
    with (
        rented(tmp_path, monkeypatch),
        pytest.raises(ConfigError, match=r"a10g-small \(\$1.00/h\)"),
    ):
        await ridden(tmp_path, parts, target="hf-jobs")
    assert not (tmp_path / "session").exists()


@needs_containers
async def test_a_token_without_the_scope_is_told_which(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with rented(tmp_path, monkeypatch) as served:
        served.scopes = served.scopes - {"job.read"}
        with pytest.raises(HubRefused, match=r"the scope 'job.read' is missing"):
            await ridden(tmp_path, target="hf-jobs")
    assert not (tmp_path / "session").exists()


@needs_containers
async def test_an_image_that_cannot_be_pulled_ends_the_ride_and_costs_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    parts = hub_parts(tmp_path, hub_image=f"no-such-image{DIGEST}")
    served = await ride_rented(tmp_path, monkeypatch, parts=parts)
    stopped = events_of(tmp_path)[-1].payload

    assert stopped.reason == "failed"
    assert "cannot be pulled" in stopped.detail
    assert "check its name and digest" in stopped.detail
    assert served.spent_usd() == 0


@needs_containers
async def test_without_credit_nothing_is_lost_and_a_resume_goes_on(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with rented(tmp_path, monkeypatch, credit_usd=0.0) as served:
        first = await ridden(tmp_path, target="hf-jobs")
        stopped = events_of(tmp_path)[-1].payload
        served.queue.credit_usd = None
        second = await resumed(tmp_path)

    assert (first.reason, first.measured) == ("failed", 0)
    assert "has no credit left" in stopped.detail
    assert "Add credit at" in stopped.detail
    assert second.measured == 3


@needs_containers
async def test_a_budget_is_never_passed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    whole = tiny_challenge()
    reserve = (whole.protocol.full.wall_seconds + whole.quotas.build_seconds) / 3600
    served = await ride_rented(tmp_path, monkeypatch, budget_usd=round(reserve + 0.001, 4))

    assert served.spent_usd() <= reserve + 0.001


def slow_job(request: Path) -> tuple[str, ...]:
    """Return the argv of a job that somebody can leave."""
    return ("sh", "-c", 'sleep 2; exec "$@"', "sh", *tiny_job(request))


@needs_containers
async def test_a_job_that_was_left_goes_on_and_is_taken_over(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    parts = hub_parts(tmp_path)._replace(command=slow_job)
    with rented(tmp_path, monkeypatch) as served:
        riding = asyncio.create_task(ridden(tmp_path, parts, target="hf-jobs", attempts=1))
        async with asyncio.timeout(60):
            while not any(job.stage == "RUNNING" for job in served.jobs()):  # noqa: ASYNC110
                await asyncio.sleep(0.05)
        riding.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await riding
        left = [job.order.id for job in served.jobs() if not job.is_over]
        summary = await resumed(tmp_path, parts)
        jobs = served.jobs(job="a0000-1")

    assert [job.order.id for job in jobs] == left
    assert summary.measured == 2


@needs_containers
async def test_cancelling_finds_the_jobs_of_the_session_alone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with rented(tmp_path, monkeypatch) as served:
        await ridden(tmp_path, target="hf-jobs")
        mark = read_mark(tmp_path / "session")
        assert mark is not None
        mine = launched(served, mark.label)
        other = launched(served, "somebody-else")
        cancelled = await cancel_jobs(tmp_path / "session")

    assert cancelled == (mine,)
    assert served.queue.get(other).stage == "CANCELED"  # at the very end, with the fake itself


def launched(served: FakeHub, label: str, *, job: str = "a0009-1") -> str:
    """Start a job that nobody waits for."""
    labels = {"paceline": "1", "session": label, "job": job, "try": "1"}
    body = {"flavor": "cpu-basic", "command": ["sleep", "600"], "labels": labels}
    return str(served.queue.launch("paceline", body).order.id)


def children() -> str:
    """Return the command lines of our children."""
    ps = ("ps", "-o", "args=", "--ppid", str(os.getpid()))
    return subprocess.run(ps, capture_output=True, text=True, check=False).stdout


def files_below(folder: Path) -> list[Path]:
    return [path for path in folder.rglob("*") if path.is_file()]


@needs_containers
async def test_a_repository_is_mounted_at_its_commit_and_a_branch_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    commit = "a" * 40
    pinned, loose = (with_model(f"hub-repo:acme/nano@{name}") for name in (commit, "main"))
    with rented(tmp_path, monkeypatch):
        parts = hub_parts(tmp_path)
        async with opened_target("hf-jobs", parts.settings) as target:
            target.refuse(pinned)
            with pytest.raises(ConfigError, match="names no commit"):
                target.refuse(loose)
            jobs = target.seat(tmp_path, pinned, parts).jobs

    assert isinstance(jobs, HfJobsSandbox)
    (volume,) = jobs.options.models
    assert (volume.repository, volume.revision) == ("acme/nano", commit)
    assert volume.mount_path.endswith(f"/hub/models--acme--nano/snapshots/{commit}")


def with_model(source: str) -> Challenge:
    rules = tiny_challenge().model_dump(mode="json")
    return Challenge.model_validate(
        rules | {"model": {"source": source, "title": "t", "licence": "l"}}
    )
