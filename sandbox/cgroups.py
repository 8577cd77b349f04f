"""Whether jobs of this machine get control groups, one for each, and what is left of earlier ones.

Found out by trying, once in a process. Where no group can be made, or not for one job, that job is
only looked at from outside (`sandbox.limits`), which goes on beside a group too. Knows no levels.
"""

import functools
import os
import secrets
import subprocess
import sys
import time
from typing import NamedTuple

import structlog

from sandbox import cgroup_places
from sandbox.cgroup import PREFIX, Group
from sandbox.cgroup_places import NoPlace, Place
from sandbox.job import JobSpec

_TRIAL_SECONDS = 10
_TRIAL = "import os, sys; [os.write(int(one), b'0') for one in sys.argv[1:]]"
_MAKE_TRIES = 2
"""Between its making and its lock another process may take a group for one that was left."""
REMOVAL_PAUSES_SECONDS = (0.0, 0.002, 0.01, 0.05, 0.2)
"""Between tries to remove a group whose processes were just killed."""

log = structlog.get_logger()


def group_for(spec: JobSpec) -> Group | None:
    """Return a new group with the limits of `spec`; None where there are none, or not this time."""
    place = _found().place
    if place is None:
        return None
    for tries_left in reversed(range(_MAKE_TRIES)):
        try:
            return _limited(place, _new_name(), spec.memory_bytes, spec.processes)
        except OSError as error:
            if not tries_left:
                say_job_has_none(spec, str(error))
    return None


def say_job_has_none(spec: JobSpec, reason: str) -> None:
    """Log that a job goes on without a group, on a machine where others have one."""
    log.warning("job_without_cgroup", job=spec.job, reason=reason, instead="looked at")


def in_use() -> str | None:
    """Return what holds jobs here, in words; None = nothing does."""
    place = _found().place
    return None if place is None else f"control groups (version {place.version})"


def why_not() -> str | None:
    """Return why no groups can be made here, in a few words; None = they can."""
    return _found().reason


def reap(place: Place | None = None) -> None:
    """End and remove the groups whose makers are gone; None = where groups are made here."""
    place = place or _found().place
    if place is None:
        return
    for folder in sorted(place.memory.glob(f"{PREFIX}*")):
        _reap(place, folder.name)


def end(group: Group) -> bool:
    """End all of a group, remove it and let go of it; return whether it is gone."""
    try:
        for pause_seconds in REMOVAL_PAUSES_SECONDS:
            time.sleep(pause_seconds)
            group.kill()
            if group.remove():
                return True
        return False
    finally:
        group.close()


class _Found(NamedTuple):
    place: Place | None
    reason: str | None


@functools.cache
def _found() -> _Found:
    try:
        place = cgroup_places.find()
        _try(place)
    except NoPlace as error:
        return _Found(None, str(error))
    except (OSError, subprocess.SubprocessError) as error:
        return _Found(None, f"tried in vain: {error}")
    return _Found(place, None)


def _try(place: Place) -> None:
    """Make a group, let a process enter it, and remove it."""
    group = _limited(place, _new_name(), memory_bytes=1 << 30, process_count=8)
    try:
        with group.entry() as entry:
            argv = (sys.executable, "-I", "-S", "-c", _TRIAL, *map(str, entry.doors))
            subprocess.run(
                argv, check=True, capture_output=True, pass_fds=entry.doors, timeout=_TRIAL_SECONDS
            )
        group.limit_hit()
    finally:
        end(group)


def _limited(place: Place, name: str, memory_bytes: int, process_count: int) -> Group:
    group = Group(place, name)
    try:
        group.limit(memory_bytes=memory_bytes, process_count=process_count)
    except OSError:
        end(group)
        raise
    return group


def _reap(place: Place, name: str) -> None:
    try:
        group = Group(place, name, is_left=True)
    except OSError:
        return  # its maker lives, or has just removed it
    end(group)


def _new_name() -> str:
    return f"{PREFIX}{os.getpid()}-{secrets.token_hex(6)}"
