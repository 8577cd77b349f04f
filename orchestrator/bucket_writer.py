"""One writer for one central bucket: a file there says who, and each writer looks before it writes.

Object stores have no locks: two that start within one look may both write once before one of them
finds the other's name and stops. Files there are immutable, so nothing of either is lost.
"""

import json
from typing import Any

from orchestrator.bucket_layout import moment_text
from orchestrator.bucket_place import Bucket
from sandbox.errors import SessionBusy

FILE = ".paceline/writer.json"
"""In a folder of its own, so that looking for it lists nothing else."""
STALE_SECONDS = 600.0
"""A writer that has not said anything for so long is gone."""
_MAX_BYTES = 10_000


class Writer:
    """The right to write a bucket, as long as nobody else takes it."""

    def __init__(self, bucket: Bucket, *, writer: str, session: str) -> None:
        """`writer`: an id that stays the same for a session's folder, so it takes up its own."""
        self._bucket = bucket
        self._writer = writer
        self._session = session

    def claim(self, now: float) -> None:
        """Take the bucket.

        Raises:
            SessionBusy: `two_writers`: another session writes it; the operator sees which.
        """
        self.beat(now)
        self.check(now)  # both of two that looked at once have written by now

    def beat(self, now: float) -> None:
        """Say again that we are there, before anything is written.

        Raises:
            SessionBusy: `two_writers`.
        """
        self.check(now)
        self._say({"writer": self._writer, "session": self._session, "beat": now})

    def check(self, now: float) -> None:
        """Return if nobody else writes here.

        Raises:
            SessionBusy: `two_writers`.
        """
        found = self._read()
        other, beat = found.get("writer"), found.get("beat")
        if other in (None, "", self._writer) or not isinstance(beat, int | float):
            return
        if now - beat < STALE_SECONDS:
            raise SessionBusy(
                f"bucket {self._bucket.title!r} is written by session"
                f" {str(found.get('session'))[:80]!r}, last at {moment_text(beat)}; two"
                " writers would overwrite each other's index",
                code="two_writers",
                hint="stop that one (it lets go within 10 minutes), or name another bucket",
            )

    def release(self) -> None:
        """Let go, if it is ours."""
        if self._read().get("writer") == self._writer:
            self._say({"writer": None, "session": self._session, "beat": None})

    def _read(self) -> dict[str, Any]:
        try:
            found = json.loads(self._bucket.read(FILE, limit_bytes=_MAX_BYTES))
        except (OSError, ValueError, RecursionError):
            return {}
        return found if isinstance(found, dict) else {}

    def _say(self, what: dict[str, Any]) -> None:
        self._bucket.write({FILE: json.dumps(what, sort_keys=True).encode() + b"\n"})
