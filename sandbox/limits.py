"""What a job's tree uses, looked at from outside, against what its spec allows.

The second line beside a control group (`sandbox.cgroups`), and the first where there is none: for
resident memory, for processes where the job is the user we are, and for its folder where that is
not in memory. Looks come five a second, so what is faster gets further: a 512 MB limit was noticed
at 572 MB.
"""

import os
from pathlib import Path
from typing import NamedTuple

from sandbox import processes
from sandbox.job import JobEnd, JobSpec

WATCH_SECONDS = 0.2


class Use(NamedTuple):
    """Of a tree of processes, at one moment."""

    memory_bytes: int
    processes: int


def use_of(pid: int) -> Use:
    """Return what `pid` and its descendants use; shared pages count in each."""
    tree = [pid, *processes.descendants(pid)]
    return Use(sum(map(processes.resident_bytes, tree)), len(tree))


def passed(spec: JobSpec, use: Use, *, watches_folder: bool) -> JobEnd | None:
    """Return the limit that is passed, or None."""
    if use.memory_bytes > spec.memory_bytes:
        return "out_of_memory"
    if use.processes > spec.processes + _OURS:
        return "over_limit"
    if watches_folder and is_over(spec.folder, spec.folder_bytes, spec.folder_files):
        return "over_limit"
    return None


_OURS = 3
"""Bubblewrap, its process 1 and the launcher."""


def is_over(folder: Path, max_bytes: int | None, max_files: int) -> bool:
    """Return whether a folder takes more room or has more files; None = neither is limited."""
    if max_bytes is None:
        return False
    taken, files, waiting = 0, 0, [os.fspath(folder)]
    while waiting and taken <= max_bytes and files <= max_files:
        try:
            entries = list(os.scandir(waiting.pop()))
        except OSError:
            continue
        for entry in entries:
            files += 1
            try:
                taken += entry.stat(follow_symlinks=False).st_blocks * 512
                if entry.is_dir(follow_symlinks=False):
                    waiting.append(entry.path)
            except OSError:
                continue  # it is gone
    return taken > max_bytes or files > max_files
