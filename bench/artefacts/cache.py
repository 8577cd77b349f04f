"""A shared folder of files that can be built again: size-capped, atomic, safe across processes.

Knows names and bytes; knows no model and no recipe. A file appears whole or not at all
(temporary name, fsync, rename), one builder at a time. Least recently used files go first; a file
some process holds open through this cache is never removed.
"""

import contextlib
import errno
import fcntl
import os
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import IO

from filelock import FileLock, Timeout

from sandbox.errors import JobError

DEFAULT_MAX_BYTES = 8 << 30
_SUFFIX = ".partial"


class ArtefactCache:
    """Files by name under one folder, e.g. `files/1f3a.gguf`; holds what it handed out."""

    def __init__(
        self, folder: Path, *, max_bytes: int = DEFAULT_MAX_BYTES, lock_seconds: float = 120
    ) -> None:
        self.folder, self.max_bytes, self.lock_seconds = folder, max_bytes, lock_seconds
        self._held: dict[Path, IO[bytes]] = {}

    def find(self, name: str) -> Path | None:
        """Return the path of `name` and hold it until `close`; None where it is absent."""
        path = self.folder / name
        if path in self._held:
            return path
        try:
            file = path.open("rb")
        except (FileNotFoundError, NotADirectoryError):
            return None
        fcntl.flock(file, fcntl.LOCK_SH)
        if os.fstat(file.fileno()).st_nlink == 0:  # evicted between open and lock
            file.close()
            return None
        with contextlib.suppress(OSError):
            os.utime(path)
        self._held[path] = file
        return path

    def get(self, name: str, write: Callable[[IO[bytes]], None]) -> Path:
        """Return `name`, written by `write` first where it is absent; held until `close`.

        Raises:
            JobError: the disk is full or the folder is not writable (`cache_unwritable`), or
                another process has been building the same file for too long (`cache_busy`).
        """
        found = self.find(name)
        if found is not None:
            return found
        with _explained(self.folder), self._building(name):
            found = self.find(name)
            if found is None:
                self._store(name, write)
                found = self.find(name)
        if found is None:
            raise JobError(f"{name!r} left the cache as it was made", code="cache_busy")
        return found

    def evict(self) -> None:
        """Remove the least recently used files until the cap holds; held files stay."""
        files = sorted(self._files(), key=lambda entry: entry[1].st_mtime_ns)
        total = sum(stat.st_size for _, stat in files)
        for path, stat in files:
            if total <= self.max_bytes:
                return
            if _remove_unless_held(path):
                total -= stat.st_size

    def release(self, path: Path) -> None:
        """Let go of one file handed out."""
        self._held.pop(path).close()

    def close(self) -> None:
        """Let go of everything handed out."""
        while self._held:
            self._held.popitem()[1].close()

    @contextlib.contextmanager
    def _building(self, name: str) -> Iterator[None]:
        locks = self.folder / "locks"
        locks.mkdir(parents=True, exist_ok=True)
        lock = FileLock(locks / (name.replace("/", "-") + ".lock"), timeout=self.lock_seconds)
        try:
            with lock:
                yield
        except Timeout:
            raise JobError(
                f"another process has been building {name!r} for over {self.lock_seconds:.0f} s",
                code="cache_busy",
                hint=f"Wait for it, or remove {lock.lock_file!r} once nothing builds",
            ) from None

    def _store(self, name: str, write: Callable[[IO[bytes]], None]) -> None:
        target = self.folder / name
        target.parent.mkdir(parents=True, exist_ok=True)
        handle, temporary = tempfile.mkstemp(suffix=_SUFFIX, dir=target.parent)
        try:
            with os.fdopen(handle, "wb") as file:
                write(file)
                file.flush()
                os.fsync(file.fileno())
            Path(temporary).rename(target)
        except BaseException:
            Path(temporary).unlink(missing_ok=True)
            raise

    def _files(self) -> Iterator[tuple[Path, os.stat_result]]:
        for path in self.folder.rglob("*"):
            with contextlib.suppress(FileNotFoundError):
                if path.is_file() and path.suffix not in (_SUFFIX, ".lock"):
                    yield path, path.stat()


@contextlib.contextmanager
def _explained(folder: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        full = error.errno in (errno.ENOSPC, errno.EDQUOT)
        raise JobError(
            f"cannot write to the artefact cache {str(folder)!r}: {error.strerror or error}",
            code="cache_unwritable",
            hint="Free some disk space" if full else "Choose a writable cache folder",
        ) from error


def _remove_unless_held(path: Path) -> bool:
    with contextlib.suppress(OSError), path.open("rb") as file:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        path.unlink()
        return True
    return False
