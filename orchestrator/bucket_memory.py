"""What a session remembers of the buckets it writes, in its own folder, beside its record.

Losing it loses no post: only verdicts written to an index are then taken for somebody else's.
"""

import json
import secrets
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any

from sandbox.errors import RecordError, SessionBusy

FILE = "buckets.json"
OUTSIDE = "outside"
"""Folder of what came in from scratch buckets, each file by its SHA-256."""


class Memory:
    """The file, and the files of outside agents as they lay there."""

    def __init__(self, folder: Path) -> None:
        """`folder`: of the session."""
        self._file = folder / FILE
        self._outside = folder / OUTSIDE
        self._data = self._load()

    @property
    def writer(self) -> str:
        """Id of this session's folder as a writer of buckets."""
        return str(self._data["writer"])

    def ours(self, bucket: str) -> dict[str, list[str]]:
        """Return what we wrote into the index of `bucket`: result -> states."""
        found: dict[str, list[str]] = self._data["buckets"].get(bucket, {})
        return found

    def remember(self, bucket: str, states: dict[str, list[str]]) -> None:
        """Keep what we wrote there, or are about to."""
        self._data["buckets"][bucket] = states
        self._save()

    def keep(self, digest: str, content: bytes) -> None:
        """Keep a file of an outside agent, before the record says that it came."""
        self._outside.mkdir(exist_ok=True)
        draft = self._outside / f"{digest}.part"
        draft.write_bytes(content)
        draft.replace(self._outside / f"{digest}.md")

    def kept(self, digest: str) -> bytes | None:
        """Return such a file; None when it is lost."""
        try:
            return (self._outside / f"{digest}.md").read_bytes()
        except OSError:
            return None

    def _load(self) -> dict[str, Any]:
        if not self._file.is_file():
            self._data = {"writer": secrets.token_hex(8), "buckets": {}}
            self._save()
            return self._data
        try:
            found = json.loads(self._file.read_text(encoding="utf-8"))
            return {"writer": str(found["writer"]), "buckets": dict(found["buckets"])}
        except (OSError, ValueError, KeyError, TypeError) as error:
            raise RecordError(
                f"{str(self._file)!r} cannot be read: {type(error).__name__}",
                code="session_unreadable",
                hint="remove it: only verdicts in buckets are then taken for somebody else's",
            ) from None

    def _save(self) -> None:
        draft = self._file.with_suffix(".part")
        draft.write_text(json.dumps(self._data, indent=1, sort_keys=True), encoding="utf-8")
        draft.replace(self._file)


def mirroring(folder: Path) -> AbstractContextManager[Any]:
    """Hold the session's side alone, for `with`: one process mirrors a session at a time.

    Raises:
        SessionBusy: (now) another does; the operator sees it.
    """
    from filelock import FileLock, Timeout  # noqa: PLC0415 - not for who only looks

    lock = FileLock(folder / "buckets.lock", thread_local=False)
    try:
        return lock.acquire(timeout=0)
    except Timeout:
        raise SessionBusy(
            f"session {folder.name!r} is being mirrored by another process",
            hint="stop it with Ctrl-C there",
        ) from None
