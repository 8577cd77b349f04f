"""Jobs as plain processes of this machine, with limits and nobody left behind.

What it does: a process tree of its own that ends with the job, with us and with `kill -9` of us;
wall-clock and resident-memory limits for the whole tree; capped output; exactly the environment
that was asked for; no core dumps; and where the kernel has Landlock, only the files that the spec
names.

What it does NOT protect against: the network, a fork bomb (nothing limits the number of processes),
filling the disk (one file is capped, their number is not), or memory taken faster than five looks a
second can see. A job that is not confined may also read any file we may, and signal our other
processes (kill its own launcher, and so leave the tree). For configs, not for strangers' code.
"""

import asyncio
import contextlib
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import IO, Self

from sandbox import landlock, processes
from sandbox.confined import confined_argv
from sandbox.errors import JobError
from sandbox.job import JobEnd, JobResult, JobSpec

LAUNCHER = Path(__file__).with_name("launcher.py")
FILE_BYTES = 8 << 30
"""Cap of any one file a job writes: a bf16 weight file is 0.5 GB, a runaway log is more."""
WATCH_SECONDS = 0.2
"""Between two looks at the tree's memory; a 512 MB limit was then noticed at 572 MB."""
END_SECONDS = 2.0
"""The launcher needs milliseconds to end a tree; after this it is killed itself."""
STDERR_TAIL_BYTES = 4096


class LocalJob:
    """A running process tree; made by `LocalSandbox.start`."""

    def __init__(self, spec: JobSpec, process: subprocess.Popen[bytes]) -> None:
        self.spec = spec
        self._process = process
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
        exited, folder = asyncio.Event(), self.spec.folder
        with (
            self._process,
            _on_exit(self._process.pid, exited),
            _Capture(self._process.stdout, folder / "stdout.txt", self.spec.output_bytes) as out,
            _Capture(self._process.stderr, folder / "stderr.txt", self.spec.output_bytes) as err,
        ):
            await self._watch(exited)
            wall_seconds = time.monotonic() - self._started
            code = self._process.wait()
        end = self._stopped_by or "exited"
        return JobResult(
            end,
            code if end == "exited" else None,
            wall_seconds,
            self._peak_memory_bytes or None,
            out.kept.decode(errors="replace"),
            err.kept[-STDERR_TAIL_BYTES:].decode(errors="replace"),
        )

    async def _watch(self, exited: asyncio.Event) -> None:
        """Look at the clock and the memory until the launcher is gone; end the tree at a limit."""
        deadline = self._started + self.spec.wall_seconds
        while not exited.is_set():
            used = processes.tree_resident_bytes(self._process.pid)
            self._peak_memory_bytes = max(self._peak_memory_bytes, used)
            if used > self.spec.memory_bytes:
                self._stop("out_of_memory")
            elif time.monotonic() >= deadline:
                self._stop("timed_out")
            if time.monotonic() >= self._kill_at:
                processes.kill_tree(self._process.pid)
            left = deadline - time.monotonic()
            with contextlib.suppress(TimeoutError):
                pause_seconds = min(left, WATCH_SECONDS) if left > 0 else WATCH_SECONDS
                await asyncio.wait_for(exited.wait(), pause_seconds)

    def _stop(self, reason: JobEnd) -> None:
        """End the tree below the launcher, which then leaves; the first reason counts."""
        if self._stopped_by is not None or self._process.poll() is not None:
            return
        self._stopped_by = reason
        self._kill_at = time.monotonic() + END_SECONDS
        assert self._process.stdin is not None
        self._process.stdin.close()
        for one in processes.descendants(self._process.pid):
            processes.send(one, signal.SIGKILL)


class _Capture:
    """Copies a pipe to a file and to `kept`, both up to a cap; what lies beyond is dropped.

    Not asyncio's subprocess streams: their `wait` also waits for the pipes to close (CPython 3.11),
    which a process that escaped the tree can put off for ever.
    """

    def __init__(self, pipe: IO[bytes] | None, path: Path, cap_bytes: int) -> None:
        assert pipe is not None
        self.kept = bytearray()
        self._pipe = pipe
        self._path = path
        self._cap_bytes = cap_bytes

    def __enter__(self) -> Self:
        os.set_blocking(self._pipe.fileno(), False)
        self._file = self._path.open("wb", buffering=0)
        asyncio.get_running_loop().add_reader(self._pipe.fileno(), self._read)
        return self

    def __exit__(self, *_: object) -> None:
        while self._read():
            pass
        asyncio.get_running_loop().remove_reader(self._pipe.fileno())
        self._file.close()

    def _read(self) -> bool:
        """Take what is there; False when that is nothing."""
        try:
            chunk = os.read(self._pipe.fileno(), 1 << 16)
        except BlockingIOError:
            return False
        if not chunk:
            asyncio.get_running_loop().remove_reader(self._pipe.fileno())
            return False
        kept = chunk[: self._cap_bytes - len(self.kept)]
        self.kept += kept
        self._file.write(kept)
        return True


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
    """Runs jobs on this machine, limited but not isolated; see the module's text."""

    name = "local"

    def __init__(self, *, landlock_abi: int | None = None) -> None:
        """Run jobs here; `landlock_abi` None = the kernel's, 0 = as on a kernel without it."""
        self.confines = (landlock.abi() if landlock_abi is None else landlock_abi) > 0

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
            spec.folder.mkdir(parents=True, exist_ok=True)
            process = _spawn(spec, self._argv(spec, command))
        except OSError as error:
            raise JobError(
                f"job {spec.job!r} could not be started: {error}", code="not_started"
            ) from error
        return LocalJob(spec, process)

    def _argv(self, spec: JobSpec, command: str) -> tuple[str, ...]:
        argv = (command, *spec.argv[1:])
        if spec.readable is None or not self.confines:
            return argv
        return confined_argv(argv, read=spec.readable, write=(*spec.writable, spec.folder))


def _spawn(spec: JobSpec, argv: tuple[str, ...]) -> subprocess.Popen[bytes]:
    launcher = (sys.executable, "-I", "-S", str(LAUNCHER), str(FILE_BYTES))
    return subprocess.Popen(
        (*launcher, *argv),
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        cwd=spec.folder,
        env=dict(spec.environment),
        start_new_session=True,
    )
