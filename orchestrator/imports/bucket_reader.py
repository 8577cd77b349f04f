"""Where the files of a collaboration are read from: a protocol, and a folder on this disk.

The files are strangers': links are not followed, sizes and counts are capped. Knows no format.
"""

import os
import stat
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple, Protocol

from sandbox.errors import ConfigError

MAX_FILES = 100_000
"""Listed under one folder; the original had some 3,000."""


class Listed(NamedTuple):
    """A file of a bucket."""

    path: str
    """Relative to the bucket, with `/`."""
    size_bytes: int
    problem: str = ""
    """Why it is not to be read: a link, no plain file."""


class BucketReader(Protocol):
    """Files by path. One implementation reads a folder, another the Hub."""

    @property
    def title(self) -> str:
        """What it is called in messages."""

    def folders(self) -> list[str]:
        """Return the names at the top, sorted."""

    def list(self, folder: str) -> Iterator[Listed]:
        """Yield the files under `folder`, those of its folders included, sorted by path.

        A single file at the top is listed under its own name. What is not there yields nothing.

        Raises:
            ConfigError: more than `MAX_FILES`; whoever named the bucket sees it.
        """

    def read(self, path: str, *, limit_bytes: int) -> bytes:
        """Return the beginning of a listed file: up to `limit_bytes`.

        Raises:
            OSError: it cannot be read; the file is reported, the others are read.
        """


class FolderReader:
    """A bucket that lies in a folder."""

    def __init__(self, folder: Path) -> None:
        """`folder`: of the bucket.

        Raises:
            ConfigError: there is no such folder.
        """
        if not folder.is_dir():
            raise ConfigError(f"no folder {str(folder)!r}", code="no_file")
        self._folder = folder

    @property
    def title(self) -> str:
        """The folder's path."""
        return str(self._folder)

    def folders(self) -> list[str]:
        """Return the names at the top, sorted."""
        return sorted(path.name for path in self._folder.iterdir())

    def list(self, folder: str) -> Iterator[Listed]:
        """Yield the files under `folder`, sorted by path; see the protocol."""
        top = self._folder / folder
        if top.is_symlink() or not top.is_dir():
            names = [top] if top.is_symlink() or top.exists() else []
        else:
            names = _walk(top)
        if len(names) > MAX_FILES:
            raise ConfigError(f"more than {MAX_FILES} files in {str(top)!r}", code="too_many_files")
        for path in sorted(names):
            yield _listed(path, self._folder)

    def read(self, path: str, *, limit_bytes: int) -> bytes:
        """Return up to `limit_bytes` of a file; a link at its end is not followed."""
        handle = os.open(self._folder / path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK)
        with os.fdopen(handle, "rb") as file:
            return file.read(limit_bytes)


def _walk(top: Path) -> list[Path]:
    found: list[Path] = []
    for place, folders, files in os.walk(top, followlinks=False):
        links = [name for name in folders if (Path(place) / name).is_symlink()]
        found += [Path(place) / name for name in (*files, *links)]
        if len(found) > MAX_FILES:
            break
    return found


def _listed(path: Path, root: Path) -> Listed:
    name = path.relative_to(root).as_posix()
    try:
        status = path.lstat()
    except OSError as error:
        return Listed(name, 0, f"cannot be looked at: {error.strerror}")
    if stat.S_ISLNK(status.st_mode):
        return Listed(name, 0, "a link; links are not followed")
    if not stat.S_ISREG(status.st_mode):
        return Listed(name, 0, "no plain file")
    return Listed(name, status.st_size)
