import asyncio
import contextlib
import os
import select
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from sandbox import levels, processes
from sandbox.errors import JobError
from sandbox.isolation import LAUNCHER
from sandbox.job import JobResult, JobSpec
from sandbox.local import LocalSandbox

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


@pytest.fixture(params=["bubblewrap", "landlock", "none"])
def sandbox(request: pytest.FixtureRequest) -> LocalSandbox:
    """Every level that works here."""
    reason = levels.why_not(request.param)
    if reason is not None:
        pytest.skip(f"{request.param}: {reason}")
    return LocalSandbox(level=request.param)


async def run(spec: JobSpec, sandbox: LocalSandbox | None = None) -> JobResult:
    return await (await (sandbox or LocalSandbox()).start(spec)).result()


def below(pid: int | None = None) -> list[int]:
    """Return handles of all processes below; they tell of an end though numbers are reused."""
    handles = []
    for one in processes.descendants(pid or os.getpid()):
        with contextlib.suppress(ProcessLookupError):
            handles.append(os.pidfd_open(one))
    return handles


def all_ended(handles: list[int]) -> bool:
    return len(select.select(handles, [], [], 0)[0]) == len(handles)


async def has_started(folder: Path) -> bool:
    file = folder / "stdout.txt"
    return await until(lambda: file.exists() and file.read_text())


async def until(condition: Callable[[], Any], *, seconds: float = 10) -> bool:
    deadline = time.monotonic() + seconds
    while not condition() and time.monotonic() < deadline:  # noqa: ASYNC110  # other processes' doing
        await asyncio.sleep(0.01)
    return bool(condition())


async def test_what_a_job_prints_comes_back_and_lies_in_its_folder(
    tmp_path: Path, sandbox: LocalSandbox
) -> None:
    result = await run(
        make_spec(tmp_path, "import sys; print('out'); print('err', file=sys.stderr)"), sandbox
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
async def test_an_exit_code_comes_back_as_it_was(
    tmp_path: Path, sandbox: LocalSandbox, code: str, expected: int
) -> None:
    result = await run(make_spec(tmp_path, code), sandbox)

    assert ("exited", expected) == (result.end, result.exit_code)


async def test_a_job_that_takes_too_long_is_ended(tmp_path: Path, sandbox: LocalSandbox) -> None:
    result = await run(make_spec(tmp_path, FOR_EVER, wall_seconds=0.3), sandbox)

    assert (result.end, result.exit_code) == ("timed_out", None)
    assert result.wall_seconds < 2


async def test_a_job_deaf_to_every_signal_is_ended_too(
    tmp_path: Path, sandbox: LocalSandbox
) -> None:
    deaf = """
import signal
for number in set(range(1, 32)) - {signal.SIGKILL, signal.SIGSTOP}:
    signal.signal(number, signal.SIG_IGN)
"""
    result = await run(make_spec(tmp_path, deaf + FOR_EVER, wall_seconds=0.5), sandbox)

    assert result.end == "timed_out"


async def test_memory_of_the_whole_tree_counts(tmp_path: Path, sandbox: LocalSandbox) -> None:
    eat = f"import os; os.fork(); x = b'x' * 80_000_000; {FOR_EVER}"
    result = await run(make_spec(tmp_path, eat, memory_bytes=120_000_000), sandbox)

    assert result.end == "out_of_memory"
    assert (result.peak_memory_bytes or 0) > 119_000_000  # of a control group: whole pages


async def test_output_beyond_the_cap_is_dropped_and_the_job_goes_on(
    tmp_path: Path, sandbox: LocalSandbox
) -> None:
    result = await run(make_spec(tmp_path, "print('x' * 3_000_000)", output_bytes=1000), sandbox)

    assert (result.end, len(result.stdout)) == ("exited", 1000)
    assert (tmp_path / "stdout.txt").stat().st_size == 1000


async def test_the_environment_is_exactly_what_was_asked_for(
    tmp_path: Path, sandbox: LocalSandbox, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Also that of the process that starts it: with `bwrap --clearenv` it kept ours."""
    monkeypatch.setenv("HF_TOKEN", "hf_secret")
    show = """
import os
print(open("/proc/self/environ").read())
try:
    print(open(f"/proc/{os.getppid()}/environ").read())
except PermissionError:
    print("refused")
"""
    result = await run(make_spec(tmp_path, show, environment={"ONLY": "this"}), sandbox)
    launcher = "ONLY=this\0" if sandbox.level == "none" and os.geteuid() == 0 else "refused"

    assert result.stdout == f"ONLY=this\0\n{launcher}\n"


async def test_what_the_loader_obeys_reaches_the_job_only(
    tmp_path: Path, sandbox: LocalSandbox
) -> None:
    code = "import os; print(os.environ['LD_LIBRARY_PATH'], os.environ['A'])"
    environment = {"LD_LIBRARY_PATH": "/tmp/a=b", "A": "1"}
    result = await run(make_spec(tmp_path, code, environment=environment), sandbox)

    assert result.stdout == "/tmp/a=b 1\n"


async def test_a_job_inherits_no_files_and_writes_no_core(
    tmp_path: Path, sandbox: LocalSandbox
) -> None:
    show = "import os, resource; print(len(os.listdir('/proc/self/fd')), resource.getrlimit(4))"
    with (tmp_path / "open").open("w") as file:
        os.set_inheritable(file.fileno(), True)
        result = await run(make_spec(tmp_path, show), sandbox)

    assert result.stdout == "4 (0, 0)\n"  # 0, 1, 2 and the listing itself


async def test_a_daemon_ends_with_the_job_that_left_it(
    tmp_path: Path, sandbox: LocalSandbox
) -> None:
    """The job waits for a file, so that the daemon is seen while it lives."""
    wait = "\nwhile not os.path.exists('go'): pass"
    job = await sandbox.start(make_spec(tmp_path, DAEMON + wait))
    assert await has_started(tmp_path)
    tree = below()
    (tmp_path / "go").touch()
    result = await job.result()

    assert (result.end, result.stdout) == ("exited", "started\n")
    assert len(tree) >= 3
    assert all_ended(tree)


async def test_cancel_ends_the_tree_and_says_so(tmp_path: Path, sandbox: LocalSandbox) -> None:
    job = await sandbox.start(make_spec(tmp_path, DAEMON + FOR_EVER))
    assert await has_started(tmp_path)
    tree = below()
    await job.cancel()

    assert (await job.result()).end == "cancelled"
    assert all_ended(tree)


async def test_cancelling_the_waiter_ends_the_job_and_is_passed_on(
    tmp_path: Path, sandbox: LocalSandbox
) -> None:
    job = await sandbox.start(make_spec(tmp_path, f"print('here', flush=True); {FOR_EVER}"))
    assert await has_started(tmp_path)
    tree = below()
    waiter = asyncio.create_task(job.result())
    await asyncio.sleep(0)
    waiter.cancel()

    with pytest.raises(asyncio.CancelledError):
        await waiter
    assert all_ended(tree)


async def test_a_job_that_is_not_kept_in_cannot_hold_the_result_back(tmp_path: Path) -> None:
    """It can kill its launcher, and so leave the tree; the result must come anyway."""
    escape = DAEMON + f"os.kill(os.getppid(), 9); {FOR_EVER}"
    result = await run(make_spec(tmp_path, escape, readable=None))
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
    await (await LocalSandbox(level=sys.argv[3]).start(spec)).result()

asyncio.run(main())
"""


async def test_kill_minus_nine_of_the_parent_leaves_nobody(
    tmp_path: Path, sandbox: LocalSandbox
) -> None:
    for number in range(3):
        folder = tmp_path / str(number)
        argv = (sys.executable, "-c", PARENT, DAEMON + FOR_EVER, str(folder), sandbox.level)
        parent = await asyncio.create_subprocess_exec(*argv, cwd=Path(__file__).parents[2])
        assert await has_started(folder)
        tree = below(parent.pid)
        parent.kill()
        await parent.wait()

        assert len(tree) >= 3
        assert await until(lambda: all_ended(tree))  # noqa: B023 - awaited here


def test_a_job_outlives_the_thread_that_started_it(tmp_path: Path) -> None:
    """PR_SET_PDEATHSIG fires when the spawning thread ends; a lifeline does not."""
    go = tmp_path / "go"
    os.mkfifo(go)
    launcher = (sys.executable, "-I", "-S", LAUNCHER, "--")
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
