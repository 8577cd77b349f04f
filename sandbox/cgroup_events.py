"""What the kernel noted of a group of processes: whether a limit of it was hit.

Loaded by a bare interpreter before every job, hence no imports; the files have these words in both
versions of control groups.
"""

from __future__ import annotations

import os

MEMORY, PROCESSES = b"oom_kill ", b"max "
"""Beginnings of the lines that count processes ended for memory, and forks that were refused."""
OUT_OF_MEMORY, OVER_LIMIT = "out_of_memory", "over_limit"


def limit_hit(memory_events: int, process_events: int) -> str | None:
    """Return how a job ends that hit a limit of its group, by descriptors of its events."""
    if _count(memory_events, MEMORY):
        return OUT_OF_MEMORY
    return OVER_LIMIT if _count(process_events, PROCESSES) else None


def _count(events: int, word: bytes) -> int:
    for line in os.pread(events, 4096, 0).splitlines():
        if line.startswith(word):
            return int(line[len(word) :])
    return 0
