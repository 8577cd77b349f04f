import asyncio
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from sandbox import processes
from sandbox.errors import JobError
from sandbox.job import JobResult, JobSpec
from sandbox.local import LAUNCHER, LocalSandbox

FOR_EVER = "import time; time.sleep(600)"
DAEMON = f"""
import os, subprocess, sys
if os.fork() == 0:
    os.setsid()
    if os.fork() == 0:
        open('daemon.pid', 'w').write(str(os.getpid()))
        {FOR_EVER}
    os._exit(0)
while not os.path.exists('daemon.pid') or not open('daemon.pid').read():
    pass
print('started', flush=True)
"""


def make_spec(folder: Path, code: str, **limits: Any) -> JobSpec:
    return JobSpec(
        job="job-1",
        argv=(sys.executable, "-I", "-S", "-c", code),
        folder=folder,
        **({"wall_seconds": 30} | limits),
    )


async def run(spec: JobSpec) -> JobResult:
    return await (await LocalSandbox().start(spec)).result()


def is_alive(pid: int) -> bool:
    try:
        return "Z" not in Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0]
    except OSError:
        return False


async def until(condition: Callable[[], Any], *, seconds: float = 10) -> bool:
    deadline = time.monotonic() + seconds
    while not condition() and time.monotonic() < deadline:  # noqa: ASYNC110  # other processes' doing
        await asyncio.sleep(0.01)
    return bool(condition())


async def test_what_a_job_prints_comes_back_and_lies_in_its_folder(tmp_path: Path) -> None:
    result = await run(
        make_spec(tmp_path, "import sys; print('out'); print('err', file=sys.stderr)")
    )

    assert (
        result.end,
        result.exit_code,
        result.stdout,
        result.stderr_tail,
    ) == ("exited", 0, "out\n", "err\n")
    assert (tmp_path / "stdout.txt").read_text() == "out\n"


@pytest.mark.parametrize(
    ("code", "expected"),
    [
        ("raise SystemExit(7)", 7),
        ("import os; os.kill(os.getpid(), 9)", -9),
        ("import os; os.abort()", -6),
    ],
)
async def test_an_exit_code_comes_back_as_it_was(tmp_path: Path, code: str, expected: int) -> None:
    result = await run(make_spec(tmp_path, code))

    assert ("exited", expected) == (result.end, result.exit_code)


async def test_a_job_that_takes_too_long_is_ended(tmp_path: Path) -> None:
    result = await run(make_spec(tmp_path, FOR_EVER, wall_seconds=0.3))

    assert (result.end, result.exit_code) == ("timed_out", None)
    assert result.wall_seconds < 2


async def test_a_job_deaf_to_every_signal_is_ended_too(tmp_path: Path) -> None:
    deaf = """
import signal
for number in set(range(1, 32)) - {signal.SIGKILL, signal.SIGSTOP}:
    signal.signal(number, signal.SIG_IGN)
"""
    result = await run(make_spec(tmp_path, deaf + FOR_EVER, wall_seconds=0.5))

    assert result.end == "timed_out"


async def test_memory_of_the_whole_tree_counts(tmp_path: Path) -> None:
    eat = f"import os; os.fork(); x = b'x' * 80_000_000; {FOR_EVER}"
    result = await run(make_spec(tmp_path, eat, memory_bytes=120_000_000))

    assert result.end == "out_of_memory"
    assert (result.peak_memory_bytes or 0) > 120_000_000


async def test_output_beyond_the_cap_is_dropped_and_the_job_goes_on(tmp_path: Path) -> None:
    result = await run(make_spec(tmp_path, "print('x' * 3_000_000)", output_bytes=1000))

    assert (result.end, len(result.stdout)) == ("exited", 1000)
    assert (tmp_path / "stdout.txt").stat().st_size == 1000


async def test_the_environment_is_exactly_what_was_asked_for(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HF_TOKEN", "hf_secret")
    show = """
import os
for pid in ("self", os.getppid()):
    print(open(f"/proc/{pid}/environ").read())
"""
    result = await run(make_spec(tmp_path, show, environment={"ONLY": "this"}))

    assert result.stdout == "ONLY=this\0\nONLY=this\0\n"


async def test_a_job_inherits_no_files_and_writes_no_core(tmp_path: Path) -> None:
    show = "import os, resource; print(len(os.listdir('/proc/self/fd')), resource.getrlimit(4))"
    with (tmp_path / "open").open("w") as file:
        os.set_inheritable(file.fileno(), True)
        result = await run(make_spec(tmp_path, show))

    assert result.stdout == "4 (0, 0)\n"  # 0, 1, 2 and the listing itself


async def test_a_daemon_ends_with_the_job_that_left_it(tmp_path: Path) -> None:
    result = await run(make_spec(tmp_path, DAEMON))

    assert (result.end, result.stdout) == ("exited", "started\n")
    assert not is_alive(int((tmp_path / "daemon.pid").read_text()))


async def test_cancel_ends_the_tree_and_says_so(tmp_path: Path) -> None:
    job = await LocalSandbox().start(make_spec(tmp_path, DAEMON + FOR_EVER))
    await until(
        lambda: (tmp_path / "stdout.txt").exists() and (tmp_path / "stdout.txt").read_text()
    )
    await job.cancel()

    assert (await job.result()).end == "cancelled"
    assert not is_alive(int((tmp_path / "daemon.pid").read_text()))


async def test_cancelling_the_waiter_ends_the_job_and_is_passed_on(tmp_path: Path) -> None:
    code = f"open('pid', 'w').write(str(__import__('os').getpid())); {FOR_EVER}"
    job = await LocalSandbox().start(make_spec(tmp_path, code))
    await until(lambda: (tmp_path / "pid").exists() and (tmp_path / "pid").read_text())
    waiter = asyncio.create_task(job.result())
    await asyncio.sleep(0)
    waiter.cancel()

    with pytest.raises(asyncio.CancelledError):
        await waiter
    assert not is_alive(int((tmp_path / "pid").read_text()))


async def test_an_escaped_process_cannot_hold_the_result_back(tmp_path: Path) -> None:
    """Nothing here isolates a job, so it can kill its launcher; the result must come anyway."""
    escape = DAEMON + f"os.kill(os.getppid(), 9); {FOR_EVER}"
    result = await run(make_spec(tmp_path, escape))
    processes.send(int((tmp_path / "daemon.pid").read_text()), signal.SIGKILL)

    assert (result.end, result.exit_code) == ("exited", -9)


async def test_a_command_that_does_not_exist_is_an_error_at_the_start(tmp_path: Path) -> None:
    spec = JobSpec(job="j", argv=("no-such-command",), folder=tmp_path, wall_seconds=1)

    with pytest.raises(JobError, match="'no-such-command'") as caught:
        await LocalSandbox().start(spec)
    assert caught.value.code == "command_not_found"


PARENT = """
import asyncio, sys, threading
from pathlib import Path
from sandbox.job import JobSpec
from sandbox.local import LocalSandbox

async def main():
    spec = JobSpec(job="j", argv=(sys.executable, "-I", "-S", "-c", sys.argv[1]),
                   folder=Path(sys.argv[2]), wall_seconds=600)
    await (await LocalSandbox().start(spec)).result()

asyncio.run(main())
"""


async def test_kill_minus_nine_of_the_parent_leaves_nobody(tmp_path: Path) -> None:
    parent = await asyncio.create_subprocess_exec(
        *(sys.executable, "-c", PARENT, DAEMON + FOR_EVER, str(tmp_path)),
        cwd=Path(__file__).parents[2],
    )
    assert await until(
        lambda: (tmp_path / "stdout.txt").exists() and (tmp_path / "stdout.txt").read_text()
    )
    below = processes.descendants(parent.pid)
    parent.kill()
    await parent.wait()

    assert len(below) >= 3
    assert await until(lambda: not any(map(is_alive, below)))


def test_a_job_outlives_the_thread_that_started_it(tmp_path: Path) -> None:
    """PR_SET_PDEATHSIG fires when the spawning thread ends; a lifeline does not."""
    go = tmp_path / "go"
    os.mkfifo(go)
    launcher = (sys.executable, "-I", "-S", LAUNCHER, "1000000")
    with ThreadPoolExecutor(1) as thread:
        job = thread.submit(
            subprocess.Popen,
            (*launcher, "/bin/sh", "-c", f"read line < {go}; echo $line"),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
        ).result()
    go.write_text("alive\n")
    with job:
        assert job.stdout is not None
        assert job.stdout.read() == b"alive\n"
