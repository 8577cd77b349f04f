"""One job at a time per device, on the whole machine and for all its users.

Two timed jobs side by side measure each other: a second thread that has to wait for a core costs
50 to 200 times. The lock is the kernel's (flock): it is free as soon as its holder is dead.
"""

import asyncio
import contextlib
import os
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from types import TracebackType
from typing import Self

import structlog
from filelock import FileLock, Timeout

from sandbox.errors import JobError, JobTimeout

POLL_SECONDS = 0.2
FOLDER_NAME = "paceline-lanes"

log = structlog.get_logger()

OnWait = Callable[[int | None], None]
"""Called once with the holder's pid (None when unknown) when the lane is not free."""


def device_lane(
    device: str = "cpu",
    *,
    timeout_seconds: float | None = None,
    on_wait: OnWait | None = None,
    folder: Path | None = None,
) -> "DeviceLane":
    """Return the machine-wide lane of `device`, for `with` or `async with`; not reentrant.

    `timeout_seconds` None waits for ever. `folder` defaults to one in the temporary folder.

    Raises:
        JobTimeout: (on entering) still held by another process; the message names its pid.
    """
    return DeviceLane(
        device, timeout_seconds, on_wait or _log_wait(device), folder or _shared_folder()
    )


class DeviceLane:
    """The right to run on one device; made by `device_lane`."""

    def __init__(
        self, device: str, timeout_seconds: float | None, on_wait: OnWait, folder: Path
    ) -> None:
        self.device = device
        self._timeout_seconds = timeout_seconds
        self._on_wait = on_wait
        self._holder_file = folder / f"{device}.holder"
        self._lock = FileLock(folder / f"{device}.lock", mode=0o666, thread_local=False)

    def holder(self) -> int | None:
        """Return the pid written by the last holder; only meaningful while the lane is held."""
        try:
            return int(self._holder_file.read_text())
        except (OSError, ValueError):
            return None

    def __enter__(self) -> Self:
        for pause_seconds in self._attempts():
            time.sleep(pause_seconds)
        return self

    async def __aenter__(self) -> Self:
        for pause_seconds in self._attempts():
            await asyncio.sleep(pause_seconds)
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._lock.release()

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._lock.release()

    def _attempts(self) -> Iterator[float]:
        """Try until the lock is ours; yield how long to pause between tries."""
        started, told = time.monotonic(), False
        while not self._try():
            waited = time.monotonic() - started
            if self._timeout_seconds is not None and waited >= self._timeout_seconds:
                raise JobTimeout(
                    f"lane {self.device!r} is still held by pid {self.holder()} after"
                    f" {waited:.0f} s",
                    code="lane_busy",
                    hint="wait for that session, or stop it",
                )
            if not told:
                self._on_wait(self.holder())
                told = True
            yield POLL_SECONDS

    def _try(self) -> bool:
        try:
            self._lock.acquire(timeout=0)
        except Timeout:
            return False
        self._sign()
        return True

    def _sign(self) -> None:
        """Leave our pid for others to show; replaced, not rewritten: it may be another user's."""
        draft = self._holder_file.with_suffix(f".{os.getpid()}")
        with contextlib.suppress(OSError):
            draft.write_text(str(os.getpid()))
            draft.replace(self._holder_file)


def _shared_folder() -> Path:
    """Return a folder open to all users, made when missing.

    Without the sticky bit on purpose: in a sticky folder the kernel (fs.protected_regular) refuses
    to open another user's lock file for writing, /tmp itself included.
    """
    folder = Path(tempfile.gettempdir()) / FOLDER_NAME
    folder.mkdir(exist_ok=True)
    if folder.is_symlink():
        raise JobError(f"{str(folder)!r} is a symbolic link", code="lane_folder", hint="remove it")
    with contextlib.suppress(PermissionError):
        folder.chmod(0o777)
    return folder


def _log_wait(device: str) -> OnWait:
    return lambda holder: log.info("wait_for_lane", device=device, held_by_pid=holder)
