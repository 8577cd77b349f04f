"""Where on this machine a control group for jobs can be made, by version 1 or 2 of them.

Always within the group we are in, or within one above that no limit of memory keeps us below: a
job never gets out of a limit that somebody set on us. Knows no jobs. See cgroups(7) and, for "No
Internal Process Constraint", https://docs.kernel.org/admin-guide/cgroup-v2.html.
"""

import os
from pathlib import Path
from typing import Literal, NamedTuple

NEEDED = ("memory", "pids")


class Place(NamedTuple):
    """Folders in which groups are made: two trees in version 1, one in version 2."""

    version: Literal[1, 2]
    memory: Path
    pids: Path

    @property
    def folders(self) -> tuple[Path, ...]:
        """Each once."""
        return tuple(dict.fromkeys((self.memory, self.pids)))


class NoPlace(OSError):
    """No group can be made here; says why in a few words."""


class Mount(NamedTuple):
    """A tree of control groups, or a part of it, that is mounted here."""

    kind: str
    """`cgroup` or `cgroup2`."""
    options: frozenset[str]
    """The controllers of version 1 among them."""
    root: str
    """Which group of the tree it shows."""
    point: Path


def find() -> Place:
    """Return where groups of jobs can be made; on version 2 the controllers are handed on there.

    Raises:
        NoPlace: nowhere.
    """
    mounts = mounts_in(Path("/proc/self/mountinfo").read_text())
    return place_in(mounts, Path("/proc/self/cgroup").read_text())


def mounts_in(mountinfo: str) -> list[Mount]:
    """Return the mounts of control groups; see proc_pid_mountinfo(5)."""
    found = []
    for line in mountinfo.splitlines():
        general, _, special = line.partition(" - ")
        kind, _, options = special.split(" ", 2)
        if kind in {"cgroup", "cgroup2"}:
            root, point = general.split(" ")[3:5]
            found.append(Mount(kind, frozenset(options.split(",")), root, Path(point)))
    return found


def place_in(mounts: list[Mount], own: str) -> Place:
    """Return where groups can be made, with what /proc/self/cgroup says of us.

    Raises:
        NoPlace: nowhere.
    """
    groups = dict(map(_group, own.splitlines()))
    named = {name: path for names, path in groups.items() for name in names.split(",")}
    first = [_below(mounts, "cgroup", name, named.get(name)) for name in NEEDED]
    if first[0] is not None and first[1] is not None:
        return _first_version(first[0], first[1])
    second = _below(mounts, "cgroup2", None, named.get(""))
    if second is None:
        raise NoPlace("no control groups are mounted")
    return _second_version(*second)


class _Own(NamedTuple):
    point: Path
    """Of the mount."""
    folder: Path
    """Of the group we are in."""


def _group(line: str) -> tuple[str, str]:
    _, names, path = line.split(":", 2)
    return names, path


def _below(mounts: list[Mount], kind: str, controller: str | None, path: str | None) -> _Own | None:
    """Return our group below a mount of that kind; None when none shows it."""
    for mount in reversed(mounts):
        is_it = mount.kind == kind and (controller is None or controller in mount.options)
        root = mount.root.rstrip("/")
        if is_it and path is not None and f"{path}/".startswith(f"{root}/") and ".." not in path:
            return _Own(mount.point, mount.point / path[len(root) :].strip("/"))
    return None


def _first_version(memory: _Own, pids: _Own) -> Place:
    for one in (memory, pids):
        if not os.access(one.folder, os.W_OK):
            raise NoPlace(f"{one.folder} is not ours to change")
    return Place(1, memory.folder, pids.folder)


def _second_version(point: Path, folder: Path) -> Place:
    why = ""
    while True:
        reason = _why_not_within(folder)
        if reason is None:
            return Place(2, folder, folder)
        why = why or reason
        if folder == point or _is_limited(folder):
            raise NoPlace(why)
        folder = folder.parent


def _why_not_within(folder: Path) -> str | None:
    """Hand the controllers on to groups within `folder`; return why that cannot be."""
    try:
        handed_on = (folder / "cgroup.subtree_control").read_text().split()
        missing = [name for name in NEEDED if name not in handed_on]
        if not all(os.access(one, os.W_OK) for one in (folder, folder / "cgroup.procs")):
            return f"{folder} is not ours to change"
        if missing:
            # one that has processes of its own, and is not the root, refuses
            (folder / "cgroup.subtree_control").write_text(" ".join(f"+{one}" for one in missing))
    except OSError as error:
        return f"{folder} hands on no {' and '.join(NEEDED)}: {error.strerror}"
    return None


def _is_limited(folder: Path) -> bool:
    """Return whether memory is limited there; a group without the controller limits nothing."""
    for name in ("memory.max", "memory.high"):
        file = folder / name
        if file.exists() and file.read_text().strip() != "max":
            return True
    return False
