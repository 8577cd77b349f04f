"""One control group: limits the kernel holds, what it noted of them, and an end for all within.

Works alike on version 1 (two trees, a folder in each) and version 2 (one). Knows no jobs and no
levels. Whoever made a group holds a lock on its folder in the tree of memory, which the kernel
frees when its maker is gone. The other tree tells nothing: there, groups of processes that have
another place for memory may lie side by side with ours.
"""

import contextlib
import errno
import fcntl
import os
import signal
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple, cast

from sandbox import processes
from sandbox.cgroup_events import limit_hit
from sandbox.cgroup_places import Place
from sandbox.job import JobEnd

PREFIX = "paceline-"


class _Files(NamedTuple):
    memory: str
    swap: str
    peak: str
    memory_events: str
    door: str


_FILES = {
    1: _Files(
        "memory.limit_in_bytes",
        "memory.memsw.limit_in_bytes",  # of memory and swap together
        "memory.max_usage_in_bytes",
        "memory.oom_control",
        "tasks",  # of one thread, which is in at once; all of a process: 12 ms (see docs)
    ),
    2: _Files("memory.max", "memory.swap.max", "memory.peak", "memory.events", "cgroup.procs"),
}


class Entry(NamedTuple):
    """Descriptors by which a process of one thread gets into a group, and sees its limits hit."""

    group: int | None
    """Where a process can be started in it (clone3); else, or if that is refused, by `doors`."""
    doors: tuple[int, ...]
    """Who writes `0` to all of them is in."""
    events: tuple[int, int]
    """For `limit_hit`."""

    @property
    def descriptors(self) -> tuple[int, ...]:
        """All of them."""
        own = () if self.group is None else (self.group,)
        return (*own, *self.doors, *self.events)


class Group:
    """A group of processes that is ours as long as we live, or until `close`."""

    def __init__(self, place: Place, name: str, *, is_left: bool = False) -> None:
        """Make it, without limits; or take one that its maker left.

        Raises:
            OSError: it cannot be made; or its maker lives.
        """
        self._version, self._files = place.version, _FILES[place.version]
        self._memory, self._pids = place.memory / name, place.pids / name
        self._folders = tuple(folder / name for folder in place.folders)
        with contextlib.ExitStack() as held:
            if not is_left:
                self._memory.mkdir()
                held.callback(_remove, self._memory)
            self._lock = _locked(self._memory)
            held.callback(os.close, self._lock)
            for folder in self._folders[1:]:
                folder.mkdir(exist_ok=is_left)
                held.callback(_remove, folder)
            memory_events = os.open(self._memory / self._files.memory_events, os.O_RDONLY)
            held.callback(os.close, memory_events)
            self.events = (memory_events, os.open(self._pids / "pids.events", os.O_RDONLY))
            held.pop_all()

    def limit(self, *, memory_bytes: int, process_count: int) -> None:
        """Set the limits of the whole group, memory in whole pages; no swap beside it."""
        (self._memory / self._files.memory).write_text(str(memory_bytes))
        (self._pids / "pids.max").write_text(str(process_count))
        swap = self._memory / self._files.swap
        if swap.exists():
            swap.write_text(str(memory_bytes) if self._version == 1 else "0")
        if self._version != 1:
            (self._memory / "memory.oom.group").write_text("1")

    @contextlib.contextmanager
    def entry(self) -> Iterator[Entry]:
        """Yield what another process needs to get in."""
        with contextlib.ExitStack() as ours:
            doors = [os.open(one / self._files.door, os.O_WRONLY) for one in self._folders]
            for door in doors:
                ours.callback(os.close, door)
            yield Entry(None if self._version == 1 else self._lock, tuple(doors), self.events)

    def limit_hit(self) -> JobEnd | None:
        """Return how a job ends that hit a limit, as the kernel noted it; None = it did not."""
        return cast("JobEnd | None", limit_hit(*self.events))

    def peak_bytes(self) -> int:
        """Return the most memory it took, files in memory included; 0 = unknown."""
        try:
            return int((self._memory / self._files.peak).read_text())
        except OSError:
            return 0

    def kill(self) -> None:
        """End all of it: at once where the kernel can, else with no way left to start more."""
        try:
            # not `write_text`, which would make the file
            door = os.open(self._memory / "cgroup.kill", os.O_WRONLY)
        except OSError:
            with contextlib.suppress(OSError):
                (self._pids / "pids.max").write_text("0")
                _kill_members(self._memory / "cgroup.procs")
            return
        with contextlib.suppress(OSError):
            os.write(door, b"1")
        os.close(door)

    def remove(self) -> bool:
        """Remove it, what is locked last; False while something in it still ends."""
        return all(_remove(folder) for folder in reversed(self._folders))

    def close(self) -> None:
        """Let go of it: what is still there is for the next start to remove."""
        for descriptor in (self._lock, *self.events):
            os.close(descriptor)


def _locked(folder: Path) -> int:
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        os.close(descriptor)
        raise
    return descriptor


def _kill_members(members: Path) -> None:
    """Kill who is in the group; a number that meanwhile went to somebody else stays unharmed."""
    handles = {}
    for pid in _numbers(members):
        with contextlib.suppress(ProcessLookupError):
            handles[pid] = os.pidfd_open(pid)
    still = set(_numbers(members))
    for pid, handle in handles.items():
        if pid in still:
            with contextlib.suppress(ProcessLookupError):
                signal.pidfd_send_signal(handle, processes.SIGKILL)
        os.close(handle)


def _numbers(members: Path) -> list[int]:
    """Return the processes listed; those of a namespace we do not see are listed as 0."""
    return [int(one) for one in members.read_text().split() if one != "0"]


def _remove(folder: Path) -> bool:
    try:
        folder.rmdir()
    except OSError as error:
        return error.errno == errno.ENOENT
    return True
