"""A server that is kept: nothing of it outlives whoever started it, however that one ended."""

import os
import select
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from bench.confinement import ROOT, Reach
from bench.engines.kept_process import KeptProcess, new_folder
from sandbox import landlock
from sandbox.errors import JobError
from sandbox.landlock import runtime_paths

SERVER = """
import os, signal
signal.signal(signal.SIGTERM, signal.SIG_IGN)
os.setsid()
print(os.getpid(), flush=True)
while True:
    signal.pause()
"""
HARNESS = f"""
import sys
from bench.engines.kept_process import KeptProcess, new_folder
kept = KeptProcess((sys.executable, "-c", {SERVER!r}), folder=new_folder(), environment={{}},
                   reach=None)
while not kept.log.read_text().strip():
    kept.wait(0.02)
print(kept.log.read_text().strip(), kept.log.parent, flush=True)
kept.wait(60)
"""


def has_ended(pid: int, seconds: float) -> bool:
    try:
        handle = os.pidfd_open(pid)
    except ProcessLookupError:
        return True
    try:
        return bool(select.select([handle], [], [], seconds)[0])
    finally:
        os.close(handle)


def test_a_harness_killed_outright_leaves_no_server() -> None:
    with subprocess.Popen(
        (sys.executable, "-c", HARNESS),
        env={"PYTHONPATH": str(ROOT)},
        stdout=subprocess.PIPE,
        text=True,
    ) as harness:
        assert harness.stdout is not None
        pid, folder = harness.stdout.readline().split()
        assert not has_ended(int(pid), 0)

        harness.send_signal(signal.SIGKILL)

        assert has_ended(int(pid), 20)
    assert Path(folder).name.startswith("paceline-")


def test_its_end_and_its_words_are_told() -> None:
    code = "raise SystemExit('ValueError: head size 7 is not supported')"
    kept = KeptProcess(
        (sys.executable, "-c", code), folder=new_folder(), environment={}, reach=None
    )
    try:
        with pytest.raises(JobError, match=r"exit status 1\b.*head size 7") as caught:
            kept.wait_until_healthy(kept.log.parent / "s.sock", limit=20)
        assert caught.value.code == "engine_died"
    finally:
        kept.close()
    assert not kept.log.exists()


def test_the_first_of_a_chain_of_errors_is_told() -> None:
    """The engine's process dies of the cause; the server's own last words only point there."""
    lines = ["torch.OutOfMemoryError: CUDA out of memory", *["  frame"] * 200, "RuntimeError: see"]
    code = f"import sys; sys.exit({chr(10).join(lines)!r})"
    kept = KeptProcess(
        (sys.executable, "-c", code), folder=new_folder(), environment={}, reach=None
    )
    kept.wait(20)

    assert "CUDA out of memory" in kept.last_words()
    kept.close()


def test_a_command_that_is_not_there_is_told(tmp_path: Path) -> None:
    kept = KeptProcess((str(tmp_path / "none"),), folder=new_folder(), environment={}, reach=None)
    kept.wait(20)

    assert "cannot be started" in kept.last_words()
    kept.close()


@pytest.mark.skipif(landlock.abi() == 0, reason="this kernel offers no Landlock")
def test_a_confined_server_reads_nothing_it_was_not_given(tmp_path: Path) -> None:
    (tmp_path / "secret").write_text("canary")
    folder = new_folder()
    kept = KeptProcess(
        (sys.executable, "-c", f"print(open({str(tmp_path / 'secret')!r}).read())"),
        folder=folder,
        environment={},
        reach=Reach(runtime_paths(), (folder,)),
    )
    kept.wait(20)

    assert "PermissionError" in kept.last_words()
    assert "canary" not in kept.last_words()
    kept.close()
