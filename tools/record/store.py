"""The protocol of the record's storage; `tests/conformance/test_store.py` is its contract."""

from collections.abc import Sequence
from pathlib import Path
from typing import Protocol

from tools.record.events import Draft, Event


class Store(Protocol):
    """An append-only, hash-chained log."""

    session: str
    path: Path
    """Where it lies; what belongs to it lies beside."""

    async def append(
        self,
        drafts: Sequence[Draft],
        *,
        expected_version: int | None = None,
        guarded: frozenset[str] | None = None,
    ) -> list[Event]:
        """Append all drafts or none; return when they are durable.

        A draft whose key is already in the record is not written again: the first event with that
        key comes back in its place, whatever the draft says.

        Args:
            drafts: at least one.
            expected_version: seq of the last event the caller has seen; None skips the check.
            guarded: kinds of event that the caller must have seen; of other kinds there may be
                newer ones. None = it must have seen all.

        Raises:
            VersionConflict: the caller has not seen what it must; it reads and retries.
            RecordError: disk full or damaged; the operator sees it. Nothing was written.
        """

    async def read(self, after: int = 0, *, limit: int = 1000) -> list[Event]:
        """Return up to `limit` events with seq > `after`, ascending, without gaps."""

    async def wait(self, after: int, *, timeout_seconds: float) -> bool:
        """Return True as soon as an event with seq > `after` exists, False after the time-out."""

    async def head(self) -> tuple[int, str]:
        """Return (seq, hash) of the last event; (0, 64 zeros) for an empty record."""

    async def search(self, query: str, *, limit: int = 20) -> list[int]:
        """Return seqs of message_posted events whose body matches, best first."""

    async def close(self) -> None:
        """Wait for pending appends, then release the file."""
