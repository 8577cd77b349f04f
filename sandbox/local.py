"""Jobs as processes of this machine: kept in, limited, and nobody left behind.

How strongly they are kept in is `LocalSandbox().level`, found out by trying (`sandbox.isolation`).
An agent's command, in a throw-away copy of its workspace:

    spec = command_spec("ann-0007", ("sh", "-c", "python serve.py --check"), folder)
    result = await (await sandbox.start(spec)).result()
    result.end, result.exit_code, result.stdout, result.stderr_tail
    for entry in list_back(folder, max_files=2000).files:  # sandbox.read_back: what it left
        data = read_back(folder, entry.path, max_bytes=1 << 20)

The same call works at every level; `result` never raises for what the command did. The folder then
holds what the command left, nothing of ours.

What it does NOT protect against: a hole in the kernel, which every job shares; without a control
group, memory taken faster than five looks a second can see; what a job may write to `writable`.
More in docs/sandbox.md.
"""

import asyncio
import contextlib
import os
import shutil
import subprocess
import time
from collections.abc import Iterator
from typing import NamedTuple

import structlog

from sandbox import cgroups, landlock, limits, processes
from sandbox.capture import Capture
from sandbox.cgroup import Group
from sandbox.errors import JobError
from sandbox.isolation import start_of
from sandbox.job import JobEnd, JobResult, JobSpec, Level
from sandbox.launching import NO_GROUP
from sandbox.levels import checked_level
from sandbox.local_files import hand_over, output_files

_LIMITS: dict[str, JobEnd] = {"over_limit": "over_limit", "out_of_memory": "out_of_memory"}
"""What a launcher reports besides an exit code."""
END_SECONDS = 2.0
"""The launcher needs milliseconds to end a tree; after this it is killed itself."""
STDERR_TAIL_BYTES = 4096

log = structlog.get_logger()


class LocalJob:
    """A running process tree; made by `LocalSandbox.start`."""

    def __init__(self, spec: JobSpec, started: "_Started") -> None:
        self.spec = spec
        self._process, self._files, self._status, self._level, self._group = started
        self._started = time.monotonic()
        self._stopped_by: JobEnd | None = None
        self._kill_at = float("inf")
        self._peak_memory_bytes = 0
        self._end = asyncio.create_task(self._run_to_end(), name=f"job {spec.job}")

    async def result(self) -> JobResult:
        """Wait for the end. Never raises for what the job did; cancellation ends the job."""
        try:
            return await asyncio.shield(self._end)
        except asyncio.CancelledError:
            await asyncio.shield(self.cancel())
            raise

    async def cancel(self) -> None:
        """Stop the whole process tree; `result` then reports `cancelled`."""
        self._stop("cancelled")
        await asyncio.wait([self._end], timeout=3 * END_SECONDS)

    async def _run_to_end(self) -> JobResult:
        exited, cap = asyncio.Event(), self.spec.output_bytes
        with (
            self._process,
            _on_exit(self._process.pid, exited),
            Capture(self._process.stdout, self._files[0], cap) as out,
            Capture(self._process.stderr, self._files[1], cap) as err,
        ):
            await self._watch(exited)
            wall_seconds = time.monotonic() - self._started
            code = self._process.wait()
        end, exit_code = self._ended(code)
        await self._leave_group(end)
        return JobResult(
            end,
            exit_code,
            wall_seconds,
            self._peak_memory_bytes or None,
            out.kept.decode(errors="replace"),
            err.kept[-STDERR_TAIL_BYTES:].decode(errors="replace"),
        )

    def _ended(self, code: int) -> tuple[JobEnd, int | None]:
        """Return what the launcher reported; without a report something ended the launcher."""
        reported = os.read(self._status, 64).decode()
        os.close(self._status)
        if reported.startswith(NO_GROUP):
            cgroups.say_job_has_none(self.spec, "it could not enter it")
        hit = self._group and self._group.limit_hit()
        if self._stopped_by is not None or hit:
            return self._stopped_by or hit or "lost", None
        said = reported.removeprefix(NO_GROUP)
        if said in _LIMITS:
            return _LIMITS[said], None
        if said:
            return "exited", int(said)
        return ("exited", code) if self._level == "none" else ("lost", None)

    async def _leave_group(self, end: JobEnd) -> None:
        """End whatever is left of the job, and remove its group."""
        group, self._group = self._group, None
        if group is None:
            return
        if end == "out_of_memory":
            self._peak_memory_bytes = max(self._peak_memory_bytes, group.peak_bytes())
        group.kill()
        if group.remove():
            group.close()
        elif not await asyncio.to_thread(cgroups.end, group):
            log.warning("cgroup_not_removed", job=self.spec.job, next_try="at the next start")

    async def _watch(self, exited: asyncio.Event) -> None:
        """Look at the clock and the tree until the launcher is gone; end the tree at a limit."""
        deadline = self._started + self.spec.wall_seconds
        while not exited.is_set():
            use = limits.use_of(self._process.pid)
            self._peak_memory_bytes = max(self._peak_memory_bytes, use.memory_bytes)
            in_memory = self._level == "bubblewrap"
            passed = self._group and self._group.limit_hit()
            passed = passed or limits.passed(self.spec, use, watches_folder=not in_memory)
            if passed is not None:
                self._stop(passed)
            elif time.monotonic() >= deadline:
                self._stop("timed_out")
            if time.monotonic() >= self._kill_at:
                processes.kill_tree(self._process.pid)
            left = deadline - time.monotonic()
            with contextlib.suppress(TimeoutError):
                pause_seconds = (
                    min(left, limits.WATCH_SECONDS) if left > 0 else limits.WATCH_SECONDS
                )
                await asyncio.wait_for(exited.wait(), pause_seconds)

    def _stop(self, reason: JobEnd) -> None:
        """End the tree below the launcher, which then leaves; the first reason counts."""
        if self._stopped_by is not None or self._process.poll() is not None:
            return
        self._stopped_by = reason
        self._kill_at = time.monotonic() + END_SECONDS
        assert self._process.stdin is not None
        self._process.stdin.close()
        if self._group is not None:
            self._group.kill()


@contextlib.contextmanager
def _on_exit(pid: int, exited: asyncio.Event) -> Iterator[None]:
    """Set `exited` when `pid` ends; a pidfd cannot be confused by a reused pid."""
    loop, handle = asyncio.get_running_loop(), os.pidfd_open(pid)
    loop.add_reader(handle, exited.set)
    try:
        yield
    finally:
        loop.remove_reader(handle)
        os.close(handle)


class LocalSandbox:
    """Runs jobs on this machine; see the module's text."""

    name = "local"

    def __init__(self, *, level: Level | None = None) -> None:
        """Run jobs here.

        Args:
            level: None = the strongest that works here; a named one is that or an error. `none`
                says so in the log: jobs run as us, and nothing of theirs can be verified.

        Raises:
            SandboxUnavailable: this machine cannot isolate as asked; the operator sees it.
        """
        self.level: Level = checked_level(level)
        # an engine is kept from its harness by Landlock, whatever keeps the harness in
        self.confines = self.level != "none" and landlock.abi() > 0
        cgroups.reap()

    async def start(self, spec: JobSpec) -> LocalJob:
        """Start `spec` once, in `spec.folder`, which is made when it is missing.

        Raises:
            JobError: no such command, or the folder or process could not be made; recorded as an
                infrastructure fault.
        """
        command = shutil.which(spec.argv[0], path=spec.environment.get("PATH", os.defpath))
        if command is None:
            raise JobError(
                f"command {spec.argv[0]!r} is not on the job's PATH",
                code="command_not_found",
                hint="give an absolute path",
            )
        try:
            return LocalJob(spec, await _started(spec, command, self.level))
        except OSError as error:
            raise JobError(
                f"job {spec.job!r} could not be started: {error}", code="not_started"
            ) from error


class _Started(NamedTuple):
    process: subprocess.Popen[bytes]
    files: tuple[int | None, int | None]
    """Descriptors of stdout.txt and stderr.txt."""
    status: int
    """Where the launcher says how the job ended."""
    level: Level
    """At which it really runs."""
    group: Group | None
    """None: it is only looked at."""


async def _started(spec: JobSpec, command: str, level: Level) -> _Started:
    spec.folder.mkdir(parents=True, exist_ok=True)
    level = "none" if spec.readable is None else level
    copies = level == "bubblewrap" and spec.folder_bytes is not None
    with contextlib.ExitStack() as ours, contextlib.ExitStack() as undone:
        copy = (
            _closing(ours, os.open(spec.folder, os.O_RDONLY | os.O_DIRECTORY)) if copies else None
        )
        status, told = os.pipe()
        _closing(ours, told)
        group = cgroups.group_for(spec)
        entry = None
        if group is not None:
            undone.callback(cgroups.end, group)
            entry = ours.enter_context(group.entry())
        start = start_of(spec, command, level=level, status=told, copy=copy, entry=entry)
        await asyncio.to_thread(hand_over, spec, start.user, copies=copies)
        files = output_files(spec)
        process = subprocess.Popen(  # noqa: ASYNC220  # its pipes are ours to read
            start.argv,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            cwd=spec.folder,
            env=start.environment,
            start_new_session=True,
            pass_fds=(
                told,
                *(() if copy is None else (copy,)),
                *(entry.descriptors if entry else ()),
            ),
        )
        undone.pop_all()
    return _Started(process, files, status, level, group)


def _given(*descriptors: int | None) -> list[int]:
    return [one for one in descriptors if one is not None]


def _closing(ours: contextlib.ExitStack, descriptor: int) -> int:
    ours.callback(os.close, descriptor)
    return descriptor
