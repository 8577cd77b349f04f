"""The fake Hub's buckets: folders on disk, which jobs mount as they are.

A job may write to what it mounts, links included, so every file is read by `sandbox.read_back`, and
nothing is written through a link. The name of a content is its SHA-256 where the client gave none.
Knows no HTTP.
"""

import hashlib
import os
import shutil
import threading
from pathlib import Path
from typing import NamedTuple

from sandbox.errors import JobError
from sandbox.fake_hub import xet
from sandbox.read_back import list_back, read_back

MOST_FILES = 100_000
MOST_BYTES = 4 << 30


class BucketEntry(NamedTuple):
    """A file in a bucket."""

    path: str
    size: int
    hash: str
    mtime: float


class BucketStore:
    """All buckets of one fake Hub; may be used from any thread."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._lock = threading.Lock()
        self.xorbs: dict[str, bytes] = {}
        self._terms: dict[str, tuple[xet.Term, ...]] = {}
        self._hashes: dict[tuple[str, int, int, int], str] = {}
        """Bucket and path, size, mtime, inode -> hash."""
        self._places: dict[str, tuple[str, str]] = {}
        """Hash -> a bucket and path where that content lies, or lay."""

    def exists(self, bucket: str) -> bool:
        """Return whether there is such a bucket."""
        return (self._folder / bucket).is_dir()

    def names(self, namespace: str) -> list[str]:
        """Return the buckets of a namespace, as NAMESPACE/NAME."""
        found = self._folder / namespace
        here = sorted(found.iterdir()) if found.is_dir() else []
        return [f"{namespace}/{one.name}" for one in here if one.is_dir()]

    def create(self, bucket: str) -> bool:
        """Make the bucket; return whether it is new."""
        is_new = not self.exists(bucket)
        (self._folder / bucket).mkdir(parents=True, exist_ok=True)
        return is_new

    def drop(self, bucket: str) -> None:
        """Remove the bucket with all it holds."""
        shutil.rmtree(self._folder / bucket, ignore_errors=True)

    def add_shard(self, shard: bytes) -> None:
        """Learn of which chunks the uploaded files are made."""
        with self._lock:
            self._terms |= xet.files_of(shard)

    def put(self, bucket: str, path: str, name: str) -> None:
        """Write the uploaded content `name` to `path`.

        Raises:
            JobError: `bad_path`, or `no_content` when nothing of that name was uploaded.
        """
        file = self._file(bucket, path)
        terms = self._terms.get(name)
        if terms is not None:
            data = xet.content(terms, self.xorbs)
        elif name in self._places:
            data = self.read(*self._places[name])
        else:
            raise JobError(f"nothing was uploaded as {name!r}", code="no_content")
        file.parent.mkdir(parents=True, exist_ok=True)
        draft = file.with_name(f".{file.name}.part")
        draft.write_bytes(data)
        draft.replace(file)
        with self._lock:
            self._remember(bucket, path, file, name)

    def delete(self, bucket: str, path: str) -> None:
        """Remove `path`, if it is there."""
        self._file(bucket, path).unlink(missing_ok=True)

    def read(self, bucket: str, path: str) -> bytes:
        """Return the content of `path`.

        Raises:
            JobError: it is not there, or is no ordinary file.
        """
        return read_back(self._folder / bucket, path, max_bytes=MOST_BYTES)

    def content(self, name: str) -> bytes:
        """Return the content `name`, which was listed or uploaded before."""
        if name in self._places:
            return self.read(*self._places[name])
        return xet.content(self._terms[name], self.xorbs)

    def entries(self, bucket: str, prefix: str = "") -> list[BucketEntry]:
        """Return the files whose path begins with `prefix`, in order."""
        root = self._folder / bucket
        if not root.is_dir():
            return []
        found = list_back(root, max_files=MOST_FILES).files
        return [self._entry(bucket, one.path) for one in found if one.path.startswith(prefix)]

    def mounted(self, bucket: str, prefix: str) -> Path:
        """Return the folder that is mounted for `prefix`; whether it is there is for you to see."""
        return self._file(bucket, prefix) if prefix else self._folder / bucket

    def _entry(self, bucket: str, path: str) -> BucketEntry:
        file = self._folder / bucket / path
        found = file.lstat()
        key = (f"{bucket}/{path}", found.st_size, found.st_mtime_ns, found.st_ino)
        with self._lock:
            name = self._hashes.get(key)
        if name is None:
            name = hashlib.sha256(self.read(bucket, path)).hexdigest()
            with self._lock:
                self._remember(bucket, path, file, name)
        return BucketEntry(path, found.st_size, name, found.st_mtime)

    def _remember(self, bucket: str, path: str, file: Path, name: str) -> None:
        found = file.lstat()
        self._hashes[f"{bucket}/{path}", found.st_size, found.st_mtime_ns, found.st_ino] = name
        self._places[name] = (bucket, path)

    def _file(self, bucket: str, path: str) -> Path:
        """Return where `path` lies, refusing what would lead out of the bucket."""
        root = self._folder / bucket
        file = root / path
        is_plain = path and not any(part in {"", ".", ".."} for part in path.split("/"))
        inside = os.path.realpath(file.parent).startswith(os.path.realpath(root))
        if not is_plain or not inside or "\0" in path:
            raise JobError(f"{path!r} is no path in a bucket", code="bad_path")
        return file
