"""The kernel holds a job's memory and processes, and nothing of a job outlives its group."""

import asyncio
import contextlib
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest
import structlog

from sandbox import cgroups, levels
from sandbox.cgroup import PREFIX
from sandbox.cgroup_places import Mount, NoPlace, find, mounts_in, place_in
from sandbox.isolation import start_of
from sandbox.local import LocalSandbox
from sandbox.local_files import hand_over
from tests.sandbox.test_local import (
    DAEMON,
    FOR_EVER,
    PARENT,
    all_ended,
    below,
    has_started,
    make_spec,
    run,
    until,
)

MB = 1 << 20
held = pytest.mark.skipif(
    cgroups.in_use() is None, reason=f"no control groups here: {cgroups.why_not()}"
)
FORKS = """
import os, signal
made = 0
try:
    while made < 200:
        if os.fork() == 0:
            signal.pause()
        made += 1
except OSError:
    pass
open("made", "w").write(str(made))
signal.pause()
"""
SWALLOW = "import os; x = bytearray(400_000_000); x[::4096] = b'x' * len(x[::4096]); os._exit(0)"


@pytest.fixture(params=["bubblewrap", "landlock", "none"])
def sandbox(request: pytest.FixtureRequest) -> LocalSandbox:
    """Every level that works here."""
    reason = levels.why_not(request.param)
    if reason is not None:
        pytest.skip(f"{request.param}: {reason}")
    return LocalSandbox(level=request.param)


def groups() -> list[str]:
    """Return the groups there are of ours, other processes' included."""
    found = {one.name for folder in find().folders for one in folder.glob(f"{PREFIX}*")}
    return sorted(found)


def own_groups() -> list[str]:
    return [one for one in groups() if one.startswith(f"{PREFIX}{os.getpid()}-")]


@held
async def test_memory_is_refused_by_the_kernel_before_anybody_looks(
    tmp_path: Path, sandbox: LocalSandbox
) -> None:
    """400 MB are taken and the process is gone within a fifth of a second."""
    result = await run(make_spec(tmp_path, SWALLOW, memory_bytes=100 * MB), sandbox)

    assert (result.end, result.exit_code) == ("out_of_memory", None)
    assert (result.peak_memory_bytes or 0) < 150 * MB  # of pages that are counted twice


@held
async def test_a_child_that_took_the_memory_ends_the_whole_job(
    tmp_path: Path, sandbox: LocalSandbox
) -> None:
    code = f"import os\nif os.fork() == 0: exec({SWALLOW!r})\nos.wait(); {FOR_EVER}"
    result = await run(make_spec(tmp_path, code, memory_bytes=100 * MB), sandbox)

    assert result.end == "out_of_memory"


@held
async def test_files_in_memory_count_as_memory(tmp_path: Path) -> None:
    if levels.why_not("bubblewrap") is not None:
        pytest.skip("only bubblewrap gives a job files in memory")
    code = "open('/dev/shm/x', 'wb').write(bytes(200_000_000))"
    result = await run(make_spec(tmp_path, code, memory_bytes=100 * MB))

    assert result.end == "out_of_memory"


@held
async def test_forks_without_end_are_held_at_the_limit(
    tmp_path: Path, sandbox: LocalSandbox
) -> None:
    result = await run(make_spec(tmp_path, FORKS, processes=20), sandbox)

    assert result.end == "over_limit"
    assert int((tmp_path / "made").read_text() or 0) == 19


@held
async def test_jobs_that_share_a_folder_do_not_share_a_limit(tmp_path: Path) -> None:
    """They are one user, whose processes the kernel's other limit counts together."""
    shared, code = tmp_path / "shared", FORKS.replace("200", "15").removesuffix("signal.pause()\n")
    code += "import time; time.sleep(0.3)"
    specs = [
        make_spec(tmp_path / name, code, processes=20, writable=(shared,)) for name in ("a", "b")
    ]
    results = await asyncio.gather(*map(run, specs))

    assert [result.end for result in results] == ["exited", "exited"]
    assert [(tmp_path / name / "made").read_text() for name in ("a", "b")] == ["15", "15"]


@held
def test_on_version_2_a_job_begins_in_its_group_and_need_not_enter_it(
    tmp_path: Path, sandbox: LocalSandbox
) -> None:
    """To enter takes a dozen milliseconds there; here there are no doors to enter by."""
    spec = make_spec(tmp_path, "print(open('/proc/self/cgroup').read())")
    group = cgroups.group_for(spec)
    assert group is not None
    with group.entry() as entry:
        if entry.group is None:
            cgroups.end(group)
            pytest.skip("these are control groups of version 1")
        alone = entry._replace(doors=())
        start = start_of(spec, spec.argv[0], level=sandbox.level, entry=alone)
        hand_over(spec, start.user)
        pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE}
        with subprocess.Popen(
            start.argv, env={}, cwd=tmp_path, pass_fds=alone.descriptors, **pipes
        ) as process:
            process.wait(20)  # `communicate` would close the input, and with it end the launcher
            assert process.stdout is not None
            said = process.stdout.read().decode()
    cgroups.end(group)

    assert PREFIX in said


@held
async def test_a_group_is_removed_with_its_job(tmp_path: Path, sandbox: LocalSandbox) -> None:
    job = await sandbox.start(make_spec(tmp_path, f"print(1, flush=True); {FOR_EVER}"))
    assert await has_started(tmp_path)
    during = own_groups()
    await job.cancel()

    assert len(during) == 1
    assert own_groups() == []


@held
async def test_who_killed_its_launcher_is_ended_by_its_group(tmp_path: Path) -> None:
    wait = "\nwhile not os.path.exists('go'): pass\n"
    job = await LocalSandbox(level="none").start(
        make_spec(tmp_path, f"{DAEMON}{wait}os.kill(os.getppid(), 9); {FOR_EVER}")
    )
    assert await has_started(tmp_path)
    daemon = os.pidfd_open(int((tmp_path / "daemon.pid").read_text()))
    (tmp_path / "go").touch()
    await job.result()

    assert all_ended([daemon])
    assert own_groups() == []


@held
async def test_what_killed_processes_leave_is_ended_at_the_next_start(tmp_path: Path) -> None:
    """The parent cannot act while its launcher is killed, and is killed then."""
    argv = (sys.executable, "-c", PARENT, DAEMON + FOR_EVER, str(tmp_path), "none")
    parent = await asyncio.create_subprocess_exec(*argv, cwd=Path(__file__).parents[2])
    assert await has_started(tmp_path)
    survivor = os.pidfd_open(int((tmp_path / "daemon.pid").read_text()))
    [group] = [one for one in groups() if one.startswith(f"{PREFIX}{parent.pid}-")]
    os.kill(parent.pid, signal.SIGSTOP)
    for launcher in below(parent.pid)[:1]:
        signal.pidfd_send_signal(launcher, signal.SIGKILL)
    parent.kill()
    await parent.wait()
    was_left = not all_ended([survivor])
    LocalSandbox()

    assert was_left
    assert await until(lambda: all_ended([survivor]))
    assert group not in groups()


@held
async def test_a_group_whose_maker_lives_is_left_alone(tmp_path: Path) -> None:
    argv = (sys.executable, "-c", PARENT, f"print(1, flush=True); {FOR_EVER}", str(tmp_path))
    parent = await asyncio.create_subprocess_exec(*argv, "none", cwd=Path(__file__).parents[2])
    assert await has_started(tmp_path)
    tree = below(parent.pid)
    LocalSandbox()
    has_ended = all_ended(tree)
    parent.kill()
    await parent.wait()

    assert not has_ended
    assert await until(lambda: all_ended(tree))
    await asyncio.to_thread(cgroups.reap)


@held
async def test_who_has_another_place_for_memory_leaves_our_groups_alone(tmp_path: Path) -> None:
    """In version 1 two sessions may share the tree of processes, and not that of memory."""
    place = find()
    if place.version != 1:
        pytest.skip("version 2 has one tree")
    elsewhere = place.memory / f"elsewhere-{os.getpid()}"
    elsewhere.mkdir()
    job = await LocalSandbox().start(make_spec(tmp_path, f"print(1, flush=True); {FOR_EVER}"))
    assert await has_started(tmp_path)
    cgroups.reap(place._replace(memory=elsewhere))
    [group] = own_groups()
    limit = (place.pids / group / "pids.max").read_text()
    left = list(elsewhere.glob(f"{PREFIX}*"))
    elsewhere.rmdir()
    await job.cancel()

    assert (limit, left) == ("1024\n", [])


@held
async def test_a_job_that_can_have_no_group_is_looked_at_and_the_log_says_so(
    tmp_path: Path,
) -> None:
    """More processes than a kernel can have are no limit that it takes."""
    eat = f"x = b'x' * 300_000_000; {FOR_EVER}"
    structlog.reset_defaults()  # a ride in this process may have left a level that hides warnings
    with structlog.testing.capture_logs() as logs:
        spec = make_spec(tmp_path, eat, memory_bytes=100 * MB, processes=1 << 40)
        result = await run(spec, LocalSandbox(level="none"))

    assert result.end == "out_of_memory"
    assert [one["job"] for one in logs if one["event"] == "job_without_cgroup"] == ["job-1"]
    assert own_groups() == []


def test_it_is_said_whether_groups_are_in_use_and_else_why_not() -> None:
    assert (cgroups.in_use() is None) != (cgroups.why_not() is None)


VERSION_1 = """\
22 20 0:19 / /sys rw - sysfs sysfs rw
31 22 0:26 /docker/abc /sys/fs/cgroup/memory ro,nosuid - cgroup cgroup rw,memory
32 22 0:27 /docker/abc {pids} rw - cgroup cgroup rw,pids
"""


def test_mounts_are_read_as_the_kernel_writes_them() -> None:
    mounts = mounts_in(VERSION_1.format(pids="/sys/fs/cgroup/pids"))

    assert [one.point.name for one in mounts] == ["memory", "pids"]
    assert mounts[1] == Mount(
        "cgroup", frozenset({"rw", "pids"}), "/docker/abc", Path("/sys/fs/cgroup/pids")
    )


def test_a_group_outside_what_is_mounted_is_no_place() -> None:
    mounts = mounts_in(VERSION_1.format(pids="/sys/fs/cgroup/pids"))

    with pytest.raises(NoPlace):
        place_in(mounts, "4:memory:/elsewhere\n3:pids:/docker/abc\n0::/\n")


def tree(root: Path, *, handed_on: str = "memory pids", limit: str = "max") -> list[Mount]:
    """Lay out version 2 as files: `slice/scope`, of which only `slice` hands something on."""
    for folder, controllers in ((root / "slice", handed_on), (root / "slice" / "scope", "")):
        folder.mkdir(parents=True)
        for name in ("cgroup.subtree_control", "cgroup.procs"):
            (folder / name).write_text("")
        (folder / "cgroup.subtree_control").write_text(controllers)
    (root / "slice" / "scope" / "memory.max").write_text(limit)
    with contextlib.suppress(PermissionError):
        (root / "slice" / "scope" / "cgroup.subtree_control").unlink()
    return [Mount("cgroup2", frozenset({"rw"}), "/", root)]


def test_a_group_that_hands_nothing_on_leaves_it_to_the_one_above(tmp_path: Path) -> None:
    place = place_in(tree(tmp_path), "0::/slice/scope\n")

    assert (place.version, place.memory) == (2, tmp_path / "slice")


def test_no_job_gets_out_of_a_limit_that_somebody_set_on_us(tmp_path: Path) -> None:
    with pytest.raises(NoPlace, match="scope hands on no memory and pids"):
        place_in(tree(tmp_path, limit="1000000"), "0::/slice/scope\n")
