import os
import subprocess
import sys
import time
from collections.abc import Iterator

import pytest

from sandbox import processes


@pytest.fixture
def sleeper() -> Iterator[subprocess.Popen[bytes]]:
    with subprocess.Popen(
        [sys.executable, "-I", "-S", "-c", "import sys; sys.stdin.read()"], stdin=subprocess.PIPE
    ) as process:
        yield process
        process.kill()


def test_cpu_seconds_are_those_of_the_process() -> None:
    before = processes.cpu_seconds(os.getpid())
    end = time.process_time() + 0.02
    while time.process_time() < end:
        pass

    assert before is not None
    assert (processes.cpu_seconds(os.getpid()) or 0) - before == pytest.approx(0.02, abs=0.02)


def test_memory_is_read_in_bytes() -> None:
    resident = processes.resident_bytes(os.getpid())

    assert 5_000_000 < resident <= (processes.peak_memory_bytes(os.getpid()) or 0) + 1_000_000
    assert processes.tree_resident_bytes(os.getpid()) >= 0.9 * resident


def test_children_are_found_and_killed_with_their_tree(sleeper: subprocess.Popen[bytes]) -> None:
    assert sleeper.pid in processes.children(os.getpid())
    assert sleeper.pid in processes.descendants(os.getpid())
    processes.kill_tree(sleeper.pid)

    assert sleeper.wait() == -9


def test_a_process_can_be_kept_to_a_core(sleeper: subprocess.Popen[bytes]) -> None:
    core = min(os.sched_getaffinity(0))
    processes.pin(sleeper.pid, [core])

    assert os.sched_getaffinity(sleeper.pid) == {core}


def test_a_process_that_is_gone_is_nothing_special(sleeper: subprocess.Popen[bytes]) -> None:
    sleeper.kill()
    sleeper.wait()
    pid = sleeper.pid
    processes.send(pid, 9)
    processes.pin(pid, [0])

    assert processes.cpu_seconds(pid) is None
    assert processes.peak_memory_bytes(pid) is None
    assert processes.resident_bytes(pid) == 0
    assert processes.children(pid) == []
