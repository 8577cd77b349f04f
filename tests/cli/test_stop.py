"""`stop`: asks whoever rides; says so when nobody does."""

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.cli.conftest import ROOT, Paceline

PATIENCE_SECONDS = 60.0


@pytest.fixture
def ride(tmp_path: Path) -> Iterator["subprocess.Popen[str]"]:
    """A session that rides, in a process of its own."""

    words = "run --agents 2 --minutes 5 --engine simulated --session here"
    process = subprocess.Popen(
        [sys.executable, "-m", "orchestrator", *words.split()],
        cwd=tmp_path,
        env={"PYTHONPATH": str(ROOT), "PATH": os.defpath, "HOME": str(tmp_path)},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    until = time.monotonic() + PATIENCE_SECONDS
    while not (tmp_path / "here" / "checkpoints.db").is_file():
        assert time.monotonic() < until, "it does not begin to ride"
        assert process.poll() is None, process.communicate()[0]
        time.sleep(0.05)
    yield process
    if process.poll() is None:
        process.send_signal(signal.SIGKILL)
    process.communicate()


def test_a_riding_session_ends_as_after_ctrl_c(
    ride: "subprocess.Popen[str]", tmp_path: Path, paceline: Paceline
) -> None:
    result = paceline("stop", "here", "--format", "json", folder=tmp_path)
    said, _ = ride.communicate(timeout=PATIENCE_SECONDS)

    assert json.loads(result.stdout)["asked_pid"] == ride.pid
    assert ride.returncode == 130, said
    assert "session stopped: asked" in said


def test_a_session_that_nobody_rides_is_said(races: Path, paceline: Paceline) -> None:
    result = paceline("stop", "20270101-race", "--cancel-jobs", folder=races)

    assert result.returncode == 0
    assert "nobody rides session 20270101-race" in result.stdout
    assert "no remote job of it waits or runs" in result.stdout


def test_a_pid_that_a_kill_left_behind_is_nobody(
    races: Path, tmp_path: Path, paceline: Paceline
) -> None:
    """Its lock is free, so the number may be anybody's by now."""
    folder = tmp_path / "killed"
    folder.mkdir()
    (folder / "record.db").write_bytes((races / "sessions/20270101-race/record.db").read_bytes())
    (folder / "session.pid").write_text(str(os.getpid()))
    result = paceline("stop", "killed", folder=tmp_path)

    assert "nobody rides" in result.stdout
