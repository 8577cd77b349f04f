"""Which cores the engine gets and which the harness keeps to: neither may take the other's.

Knows core numbers; knows no engine and no request.
"""

import contextlib
import os
from collections.abc import Iterator


def engine_cores(threads: int) -> tuple[int, ...]:
    """Return the cores for an engine of `threads` threads: the last ones, or all when it has to.

    Both sides of a launch get the same cores, since only one is timed at a time. With as many
    threads as cores nothing is pinned down: a pinned spinning thread could not step aside.
    """
    cores = available_cores()
    return cores[-threads:] if threads < len(cores) else cores


@contextlib.contextmanager
def harness_aside(threads: int) -> Iterator[None]:
    """Keep this process off the cores of an engine of `threads` threads, where others are free."""
    before = os.sched_getaffinity(0)
    free = before - set(engine_cores(threads))
    if not free:
        yield
        return
    os.sched_setaffinity(0, free)
    try:
        yield
    finally:
        os.sched_setaffinity(0, before)


def available_cores() -> tuple[int, ...]:
    """Return the cores this process may use, ascending."""
    return tuple(sorted(os.sched_getaffinity(0)))
