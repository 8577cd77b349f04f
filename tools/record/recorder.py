"""One session's record with its folds beside it, kept up to date by every append.

Knows how to append safely; does not know what may be appended: rules belong to the tools.
"""

import asyncio
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager
from contextvars import ContextVar
from typing import Any

from tools.record.blobs import FILE, Blobs
from tools.record.events import Draft, Event
from tools.record.projection import Projection
from tools.record.store import Store
from tools.redaction import Redactor

PAGE_EVENTS = 1000

GUARDED_KINDS = frozenset(
    {
        "session_stopped",
        "claim_made",
        "attempt_proposed",
        "job_requested",
        "model_asked",
        "attempt_invalidated",
        "attempt_reinstated",
    }
)
"""Kinds that can make a check out of date. Others (posts, outcomes, verdicts) leave it standing:
an outcome frees budget and slots, it never takes them."""


class Reading:
    """How far somebody had seen the record when it last looked, to decide or to answer."""

    __slots__ = ("seen",)

    def __init__(self, seen: int) -> None:
        self.seen = seen


_reading: ContextVar[Reading | None] = ContextVar("reading", default=None)


class Recorder:
    """Appends to a store and folds what comes back. Bound to one event loop."""

    def __init__(
        self,
        store: Store,
        *,
        clock: Callable[[], float],
        blobs: Blobs | None = None,
        redact: Redactor | None = None,
    ) -> None:
        """Keep blobs beside the record, unless they are given.

        Nothing is written that `redact` would replace; without one it knows no values, only shapes.
        """
        self.store = store
        self.clock = clock
        self.redact = redact or Redactor()
        self.blobs = blobs or Blobs(store.path.with_name(FILE), redact=self.redact)
        self.projection = Projection()
        self._exclusive = asyncio.Lock()  # protects every check that an append depends on
        self._holder: asyncio.Task[Any] | None = None

    async def catch_up(self) -> int:
        """Fold everything that is in the store; return the seq reached."""
        while events := await self.store.read(self.projection.seq, limit=PAGE_EVENTS):
            self._fold(events)
        return self.projection.seq

    async def append(self, actor: str, payload: Any, *, key: str) -> Event:
        """Append one event; the projection contains it on return.

        Within `exclusive` the append is refused when somebody else's event could have changed
        the answer of the caller's checks.

        Args:
            actor: identity of the caller, never taken from a message body.
            payload: one of the kinds in `events`.
            key: idempotency key; a key already in the record returns its first event.

        Raises:
            VersionConflict: within `exclusive`, another process acted; leave, and check again.
            RecordError: nothing was written; the operator sees it.
        """
        events = await self.append_all([Draft(actor, payload, key)])
        return events[0]

    async def append_all(self, drafts: list[Draft]) -> list[Event]:
        """Append all drafts or none, like `append`."""
        drafts = [one._replace(payload=self.redact.record(one.payload)) for one in drafts]
        held = self._holder is not None and self._holder is asyncio.current_task()
        events = await self.store.append(
            drafts,
            expected_version=self.projection.seq if held else None,
            guarded=GUARDED_KINDS if held else None,
        )
        self._fold(events)
        if self.projection.seq < events[-1].seq:
            await self.catch_up()
        return events

    @asynccontextmanager
    async def exclusive(self) -> AsyncIterator["Recorder"]:
        """Check the projection, then append: nobody else decides in between.

        Other tasks wait here; plain appends of posts and outcomes go on. May be entered again
        by the task that holds it.
        """
        if self._holder is not None and self._holder is asyncio.current_task():
            yield self
            return
        async with self._exclusive:
            self._holder = asyncio.current_task()
            try:
                seen = await self.catch_up()
                if reading := _reading.get():
                    reading.seen = seen
                yield self
            finally:
                self._holder = None

    @contextmanager
    def reading(self) -> Iterator[Reading]:
        """Note how far whoever acts within had seen the record when it made up its mind.

        That is now; or, where it takes its turn in `exclusive`, then.
        """
        reading = Reading(self.projection.seq)
        token = _reading.set(reading)
        try:
            yield reading
        finally:
            _reading.reset(token)

    def _fold(self, events: list[Event]) -> None:
        for event in events:
            if event.seq == self.projection.seq + 1:
                self.projection.apply(event)
