import asyncio
import os
import subprocess
import sys
from pathlib import Path

import pytest

from sandbox.errors import JobTimeout
from sandbox.lane import device_lane

ROOT = Path(__file__).parents[2]
HOLDER = """
import sys
from pathlib import Path
from sandbox.lane import device_lane
with device_lane("cpu", folder=Path(sys.argv[1])):
    print("held", flush=True)
    sys.stdin.read()
"""


def start_holder(folder: Path) -> subprocess.Popen[str]:
    holder = subprocess.Popen(
        [sys.executable, "-c", HOLDER, str(folder)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        cwd=ROOT,
    )
    assert holder.stdout is not None
    assert holder.stdout.readline() == "held\n"
    return holder


def test_a_lane_held_elsewhere_is_waited_for_and_its_holder_named(tmp_path: Path) -> None:
    told: list[int | None] = []
    with start_holder(tmp_path) as holder:

        def release(pid: int | None) -> None:
            told.append(pid)
            assert holder.stdin is not None
            holder.stdin.close()

        with device_lane("cpu", on_wait=release, timeout_seconds=20, folder=tmp_path) as lane:
            assert lane.holder() == os.getpid()

    assert told == [holder.pid]


async def test_waiting_for_a_lane_leaves_the_loop_free(tmp_path: Path) -> None:
    free = asyncio.Event()

    async def second() -> None:
        async with device_lane(
            "cpu", timeout_seconds=20, on_wait=lambda _: free.set(), folder=tmp_path
        ):
            pass

    async with asyncio.TaskGroup() as group, device_lane("cpu", folder=tmp_path):
        group.create_task(second())
        await asyncio.wait_for(free.wait(), timeout=10)


async def test_a_lane_that_stays_busy_is_a_timeout_that_says_who(tmp_path: Path) -> None:
    lane = device_lane("cpu", timeout_seconds=0, on_wait=lambda _: None, folder=tmp_path)
    holder = device_lane("cpu", folder=tmp_path)
    with holder, pytest.raises(JobTimeout, match=f"pid {os.getpid()}") as caught:
        await lane.__aenter__()
    assert caught.value.code == "lane_busy"


def test_a_dead_holder_frees_the_lane(tmp_path: Path) -> None:
    with start_holder(tmp_path) as holder:
        holder.kill()
        holder.wait()

    with device_lane("cpu", timeout_seconds=0, folder=tmp_path) as lane:
        assert lane.holder() == os.getpid()


def test_two_devices_have_two_lanes(tmp_path: Path) -> None:
    with (
        device_lane("cpu", folder=tmp_path),
        device_lane("gpu", timeout_seconds=0, folder=tmp_path),
    ):
        pass


def test_the_shared_folder_is_open_to_every_user(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    with device_lane("cpu", timeout_seconds=0):
        (folder,) = tmp_path.iterdir()

    assert folder.stat().st_mode & 0o7777 == 0o777
    assert (folder / "cpu.lock").stat().st_mode & 0o666 == 0o666
