"""A folder for as long as this process lives; what processes that are gone left is cleared away."""

import contextlib
import os
import shutil
from collections.abc import Iterator
from pathlib import Path

from filelock import FileLock, Timeout


@contextlib.contextmanager
def own_folder(place: Path) -> Iterator[Path]:
    """Make a folder of our own in `place`, and remove it at the end."""
    place.mkdir(parents=True, exist_ok=True)
    for left in place.glob("*.lock"):
        _clear(left)
    number = 0
    while True:
        lock = FileLock(place / f"{os.getpid()}-{number}.lock", thread_local=False)
        with contextlib.suppress(Timeout):
            lock.acquire(timeout=0)
            break
        number += 1
    folder = Path(lock.lock_file).with_suffix("")
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir()
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)
        Path(lock.lock_file).unlink(missing_ok=True)
        lock.release()


def _clear(left: Path) -> None:
    """Remove what belongs to a lock that nobody holds: the kernel freed it with its holder."""
    lock = FileLock(left, thread_local=False)
    try:
        lock.acquire(timeout=0)
    except (Timeout, OSError):
        return
    shutil.rmtree(left.with_suffix(""), ignore_errors=True)
    left.unlink(missing_ok=True)
    lock.release()
