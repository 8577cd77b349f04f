"""Who waits for which event, within one event loop."""

import asyncio
from collections.abc import Callable

POLL_SECONDS = 0.05
"""How often to look for what another process appended; one look costs about 5 us."""


class Arrivals:
    """Wakes waiting readers: at once for appends of this process, by polling for others'."""

    def __init__(self, head_seq: Callable[[], int]) -> None:
        self._head_seq = head_seq
        self._waiting: dict[asyncio.Future[None], int] = {}
        self._poll: asyncio.TimerHandle | None = None

    async def wait(self, after: int, *, timeout_seconds: float) -> bool:
        """Return True as soon as an event with seq > `after` exists, False after the time-out."""
        if self._head_seq() > after:
            return True
        loop = asyncio.get_running_loop()
        future: asyncio.Future[None] = loop.create_future()
        self._waiting[future] = after
        if self._poll is None:
            self._poll = loop.call_later(POLL_SECONDS, self._look, loop)
        try:
            async with asyncio.timeout(timeout_seconds):
                await future
        except TimeoutError:
            return self._head_seq() > after
        finally:
            self._waiting.pop(future, None)
        return True

    def announce(self, seq: int) -> None:
        """Wake everybody who waits for `seq` or less. Call on the loop's thread."""
        for future, after in self._waiting.items():
            if after < seq and not future.done():
                future.set_result(None)

    def close(self) -> None:
        """Stop polling; whoever still waits runs into its time-out."""
        if self._poll:
            self._poll.cancel()
            self._poll = None

    def _look(self, loop: asyncio.AbstractEventLoop) -> None:
        self._poll = None
        if not self._waiting:
            return
        self.announce(self._head_seq())
        self._poll = loop.call_later(POLL_SECONDS, self._look, loop)
