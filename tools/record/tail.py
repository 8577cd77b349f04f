"""The latest events in memory, so that many readers of news decode nothing."""

from collections.abc import Sequence

from tools.record.events import Event

CAPACITY = 8192
"""Events kept; about 10 MB. Who lags further behind reads from the file."""


class Tail:
    """A gapless run of events that ends at the newest one seen here."""

    def __init__(self, capacity: int = CAPACITY) -> None:
        self._capacity = capacity
        self._events: list[Event] = []

    @property
    def end(self) -> int:
        """Seq of the newest event held, 0 when empty."""
        return self._events[-1].seq if self._events else 0

    def after(self, seq: int, limit: int) -> list[Event] | None:
        """Return up to `limit` events with seq > `seq`; None when they begin before the tail."""
        start = seq + 1 - self._events[0].seq if self._events else -1
        return self._events[start : start + limit] if start >= 0 else None

    def extend(self, events: Sequence[Event]) -> None:
        """Take in events of which some are new; after a gap only the new ones are held."""
        for event in events:
            if event.seq == self.end + 1:
                self._events.append(event)
            elif event.seq > self.end:
                self._events = [event]
        if len(self._events) > 2 * self._capacity:
            del self._events[: -self._capacity]
