"""The record that a re-run fills: each append waits for its place and is compared with it.

Knows the recorded events and gates; knows not who writes what.
"""

from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path

from orchestrator.rerun_gates import LATEST, CutShort, Gates
from orchestrator.rerun_miss import Difference, check_drafts, miss, unrecorded
from tools.record.blobs import FILE, Blobs
from tools.record.events import Draft, Event
from tools.record.recorder import Recorder
from tools.record.sqlite_store import SqliteStore


class RerunClock:
    """Says the recorded time of the event that is being written."""

    def __init__(self) -> None:
        self.time = 0.0

    def __call__(self) -> float:
        """Return it, Unix seconds."""
        return self.time


class ScheduledStore:
    """A `Store` whose appends come in the order of a record."""

    def __init__(
        self, inner: SqliteStore, recorded: Sequence[Event], gates: Gates, clock: RerunClock
    ) -> None:
        self._inner = inner
        self._recorded = recorded
        self._gates = gates
        self._clock = clock
        self.session = inner.session
        self.path: Path = inner.path

    async def append(
        self,
        drafts: Sequence[Draft],
        *,
        expected_version: int | None = None,
        guarded: frozenset[str] | None = None,
    ) -> list[Event]:
        """Write drafts in their place; what has been written comes back as it was.

        Raises:
            ReplayMiss: the record has something else there, or nothing.
            CutShort: the call that writes was cut short before this.
        """
        del expected_version, guarded  # who came first is in the record
        new = [draft for draft in drafts if not self._is_written(draft.key)]
        if new:
            await self._wait_for(new[0])
            place = self._recorded[self._gates.at : self._gates.at + len(new)]
            check_drafts(new, place, session=self.session)
            self._clock.time = place[0].time
        events = await self._inner.append(drafts)
        for event in events[-len(new) :] if new else ():
            self._check_hash(event)
            self._gates.at = event.seq
        return events

    async def read(self, after: int = 0, *, limit: int = 1000) -> list[Event]:
        """Return events that were written again."""
        return await self._inner.read(after, limit=limit)

    async def wait(self, after: int, *, timeout_seconds: float) -> bool:
        """Return at once: time does not pass here."""
        del timeout_seconds
        return self._gates.at > after

    async def head(self) -> tuple[int, str]:
        """Return what was written last."""
        return await self._inner.head()

    async def search(self, query: str, *, limit: int = 20) -> list[int]:
        """Search the posts that were written again."""
        return await self._inner.search(query, limit=limit)

    async def close(self) -> None:
        """Release the file."""
        await self._inner.close()

    def _is_written(self, key: str) -> bool:
        place = self._gates.places.get(key)
        return place is not None and place <= self._gates.at

    async def _wait_for(self, draft: Draft) -> None:
        place, latest = self._gates.places.get(draft.key), LATEST.get()
        if latest is not None and (place is None or place > latest):
            raise CutShort
        if place is None:
            raise unrecorded(draft, self._gates.at)
        await self._gates.place(draft.key)

    def _check_hash(self, event: Event) -> None:
        recorded = self._recorded[event.seq - 1]
        if event.hash != recorded.hash:
            raise miss(recorded, Difference("hash", recorded.hash, event.hash))


class RerunRecorder(Recorder):
    """Folds what is written again. Nobody waits for anybody but at the gates."""

    def __init__(self, store: ScheduledStore, clock: RerunClock) -> None:
        super().__init__(store, clock=clock, blobs=Blobs(store.path.with_name(FILE)))

    @asynccontextmanager
    async def exclusive(self) -> AsyncIterator[Recorder]:
        """Look and write; that nobody came in between is in the record."""
        yield self
