"""The fake Hub, driven by the unmodified client: what it stores, runs, bills and refuses."""

import os
import struct
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import huggingface_hub
import pytest
from huggingface_hub import HfApi, Volume
from huggingface_hub.errors import BucketNotFoundError, HfHubHTTPError, JobNotFoundError

from sandbox.fake_hub import FakeHub
from sandbox.fake_hub.lz4_frames import decode

BUCKET = "paceline/b"
TEXT = "".join(f"line {number} of a text that repeats itself\n" for number in range(9000)).encode()
NUMBERS = b"".join(struct.pack("<f", number * 0.37) for number in range(70_000))


@pytest.fixture
def fake(tmp_path: Path) -> Iterator[FakeHub]:
    huggingface_hub.utils.disable_progress_bars()
    with FakeHub(tmp_path / "hub") as served:
        yield served


@pytest.fixture
def api(fake: FakeHub) -> HfApi:
    made = HfApi(endpoint=fake.endpoint, token=fake.token)
    made.create_bucket(BUCKET, private=True)
    return made


def launch(api: HfApi, *command: str, **options: Any) -> Any:
    plain = {"image": "local", "flavor": "cpu-basic", "timeout": 20, "namespace": "paceline"}
    return api.run_job(command=list(command), **(plain | options))


def ended(api: HfApi, job: Any) -> Any:
    return api.wait_for_job(job.id, namespace="paceline", poll_interval=0.02, timeout=20)


@pytest.mark.parametrize(
    "content",
    [b"x", TEXT, NUMBERS, os.urandom(200_000), b"\0" * 300_000],
    ids=["one byte", "text", "numbers", "noise", "zeros"],
)
def test_what_is_uploaded_comes_back(
    fake: FakeHub, api: HfApi, tmp_path: Path, content: bytes
) -> None:
    """hf_xet packs text and numbers each in its own way; the fake unpacks both."""
    api.batch_bucket_files(BUCKET, add=[(content, "a/b.bin")])
    api.download_bucket_files(BUCKET, [("a/b.bin", tmp_path / "back")])

    assert fake.buckets.read(BUCKET, "a/b.bin") == content
    assert (tmp_path / "back").read_bytes() == content


def test_a_long_listing_comes_in_pages(api: HfApi) -> None:
    api.batch_bucket_files(BUCKET, add=[(b"x", f"many/{number:04}") for number in range(403)])
    listed = [one.path for one in api.list_bucket_tree(BUCKET, "many", recursive=True)]

    assert len(set(listed)) == len(listed) == 403


def test_a_listing_of_one_level_shows_folders(api: HfApi) -> None:
    api.batch_bucket_files(BUCKET, add=[(b"x", "a/b/c"), (b"x", "d")])

    assert [(one.type, one.path) for one in api.list_bucket_tree(BUCKET)] == [
        ("directory", "a"),
        ("file", "d"),
    ]


def test_deleted_files_and_buckets_are_gone(api: HfApi) -> None:
    api.batch_bucket_files(BUCKET, add=[(b"x", "a"), (b"y", "b")])
    api.batch_bucket_files(BUCKET, delete=["a"])
    left = [one.path for one in api.list_bucket_tree(BUCKET)]
    api.delete_bucket(BUCKET)

    assert left == ["b"]
    with pytest.raises(BucketNotFoundError):
        api.bucket_info(BUCKET)


def test_nothing_is_written_outside_of_a_bucket(api: HfApi, fake: FakeHub, tmp_path: Path) -> None:
    (tmp_path / "hub/buckets" / BUCKET / "way").symlink_to(tmp_path)
    for path in ("../x", "way/x", "/x"):
        with pytest.raises(huggingface_hub.errors.HfHubHTTPError, match=r"no path|failed|Failed"):
            api.batch_bucket_files(BUCKET, add=[(b"x", path)])

    assert not (tmp_path / "x").exists()


def test_a_link_that_a_job_left_in_its_volume_leads_nowhere(
    api: HfApi, fake: FakeHub, tmp_path: Path
) -> None:
    (tmp_path / "secret").write_text("secret")
    api.batch_bucket_files(BUCKET, add=[(b"k", "out/.keep")])
    volume = Volume(type="bucket", source=BUCKET, mount_path="/out", path="out")
    command = ("ln", "-s", str(tmp_path / "secret"), "/out/mine")
    ended(api, launch(api, *command, volumes=[volume]))

    assert (tmp_path / "hub/buckets" / BUCKET / "out/mine").is_symlink()
    assert [one.path for one in api.list_bucket_tree(BUCKET, recursive=True)] == ["out/.keep"]


def test_a_job_sees_its_volumes_and_leaves_files_in_the_writable_one(
    api: HfApi, tmp_path: Path
) -> None:
    api.batch_bucket_files(BUCKET, add=[(b"hello", "in/x.txt"), (b"k", "out/.keep")])
    volumes = [
        Volume(type="bucket", source=BUCKET, mount_path="/v/in", path="in", read_only=True),
        Volume(type="bucket", source=BUCKET, mount_path="/v/out", path="out"),
    ]
    script = "cat /v/in/x.txt > /v/out/y.txt; echo no > /v/in/x.txt"
    found = ended(api, launch(api, "sh", "-c", script, volumes=volumes))
    api.download_bucket_files(BUCKET, [("out/y.txt", tmp_path / "y")])

    assert found.status.stage == "ERROR"  # the last command could not write
    assert (tmp_path / "y").read_text() == "hello"


def test_an_empty_prefix_does_not_mount(api: HfApi) -> None:
    volume = Volume(type="bucket", source=BUCKET, mount_path="/v", path="nothing")
    found = ended(api, launch(api, "true", volumes=[volume]))

    assert found.status.stage == "ERROR"
    assert "mount" in found.status.message


def test_a_model_is_mounted_to_be_read(tmp_path: Path) -> None:
    (tmp_path / "weights").mkdir()
    (tmp_path / "weights/config.json").write_text("{}")
    with FakeHub(tmp_path / "hub", models={"org/m": tmp_path / "weights"}) as fake:
        api = HfApi(endpoint=fake.endpoint, token=fake.token)
        volume = Volume(type="model", source="org/m", mount_path="/m")
        found = ended(api, launch(api, "sh", "-c", "test -f /m/config.json", volumes=[volume]))

    assert found.status.stage == "COMPLETED"


def test_what_a_job_prints_is_streamed(api: HfApi) -> None:
    job = launch(api, "sh", "-c", "echo one; echo two >&2; exit 3")
    found = ended(api, job)
    lines = list(api.fetch_job_logs(job_id=job.id, namespace="paceline"))

    assert lines == ["one", "two"]
    assert found.status.message == "Job failed with exit code: 3. Reason: Error"


def test_what_a_job_uses_is_streamed(api: HfApi, fake: FakeHub) -> None:
    job = launch(api, "sleep", "60")
    while fake.jobs()[0].stage != "RUNNING":
        time.sleep(0.01)
    sample = next(iter(api.fetch_job_metrics(job_id=job.id, namespace="paceline")))

    assert 0 < sample["memory_used_bytes"] < sample["memory_total_bytes"]


def test_the_environment_of_a_job_is_what_was_given(api: HfApi, fake: FakeHub) -> None:
    job = launch(api, "/usr/bin/env", env={"A": "1"})
    ended(api, job)
    lines = list(api.fetch_job_logs(job_id=job.id, namespace="paceline"))

    assert sorted(lines) == ["A=1", "PWD=/tmp"]


def test_a_job_ends_at_its_time_limit_and_costs_its_seconds(api: HfApi, fake: FakeHub) -> None:
    found = ended(api, launch(api, "sleep", "60", timeout=1, flavor="a10g-small"))

    assert (found.status.stage, found.status.message) == ("ERROR", "Job timeout")
    assert 1 / 3600 <= fake.spent_usd() < 1.5 / 3600


def test_a_cancelled_job_ends_with_all_it_started(api: HfApi, fake: FakeHub) -> None:
    job = launch(api, "sh", "-c", "(sleep 600 & sleep 600) & echo up; sleep 600")
    while not any("up" in line for _, line in fake.jobs()[0].logs):
        time.sleep(0.01)
    pid = fake.jobs()[0].pid
    api.cancel_job(job_id=job.id, namespace="paceline")

    assert ended(api, job).status.stage == "CANCELED"
    assert not Path(f"/proc/{pid}").exists()


def test_closing_it_ends_every_job(tmp_path: Path) -> None:
    with FakeHub(tmp_path) as fake:
        api = HfApi(endpoint=fake.endpoint, token=fake.token)
        for _ in range(3):
            launch(api, "sleep", "600")
        while any(job.stage != "RUNNING" for job in fake.jobs()):
            time.sleep(0.01)
        pids = [job.pid for job in fake.jobs()]

    assert not any(Path(f"/proc/{pid}").exists() for pid in pids)
    assert {job.stage for job in fake.jobs()} == {"CANCELED"}


def test_jobs_are_found_by_label_and_stage_over_several_pages(api: HfApi) -> None:
    for number in range(44):
        launch(api, "true", labels={"group": str(number % 2)})
    found = list(api.list_jobs(namespace="paceline", labels={"group": "1"}))

    assert len(found) == 22
    assert list(api.list_jobs(namespace="paceline", labels={"group": "9"})) == []
    assert len(list(api.list_jobs(namespace="paceline"))) == 44


def test_an_unknown_job_is_not_found(api: HfApi) -> None:
    with pytest.raises(JobNotFoundError):
        api.inspect_job(job_id="0" * 24, namespace="paceline")


def test_another_token_is_refused(fake: FakeHub) -> None:
    with pytest.raises(HfHubHTTPError) as caught:
        list(HfApi(endpoint=fake.endpoint, token="hf_wrong").list_jobs(namespace="paceline"))
    assert caught.value.response.status_code == 401


def test_secrets_of_a_launch_are_kept_nowhere(api: HfApi, fake: FakeHub) -> None:
    launch(api, "true", secrets={"KEY": "sesame"})

    assert "sesame" not in str(fake.jobs()[0].order)


def test_lz4_blocks_are_decoded_as_the_format_says() -> None:
    """Literals, then a match of 8 that overlaps itself, then the last literals."""
    block = bytes([0x24]) + b"ab" + b"\x02\x00" + bytes([0x10]) + b"!"
    frame = b"\x04\x22\x4d\x18\x60\x40\x82" + len(block).to_bytes(4, "little") + block + b"\0" * 4

    assert decode(frame) == b"abababababab"[:10] + b"!"
    for damaged in (b"none", frame[:12]):
        with pytest.raises(ValueError, match="LZ4"):
            decode(damaged)
