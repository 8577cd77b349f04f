"""The thread that writes: takes all calls that are queued, commits them as one, tells each caller.

Knows event loops and futures; does not know what a commit is.
"""

import asyncio
import queue
import threading
from collections.abc import Callable
from typing import NamedTuple

from sandbox.errors import RecordError
from tools.record.batch import Answer, Ask
from tools.record.events import Event

MAX_BATCH = 1000
"""Calls per commit; bounds how long the first of them waits."""


class Request(NamedTuple):
    """One call of `append`, and where its answer goes."""

    ask: Ask
    future: asyncio.Future[list[Event]]
    announce: Callable[[list[Event]], None]
    """Told on the future's loop what has become durable."""


Outcome = Answer | RecordError


class Writer:
    """A thread around `commit`, which is called on it alone."""

    def __init__(
        self,
        commit: Callable[[list[Ask]], list[Answer]],
        *,
        close: Callable[[], None],
        title: str,
    ) -> None:
        self._commit = commit
        self._close = close
        self._title = title
        self._queue: queue.SimpleQueue[Request | None] = queue.SimpleQueue()
        self._waiting: list[Request] = []
        self._is_open = True
        self._thread = threading.Thread(target=self._run, name="record-writer", daemon=True)
        self._thread.start()

    def submit(self, request: Request) -> None:
        """Queue one call with all others of this round of its loop; the future is resolved there.

        Who writes alone takes a transaction alone, and that is most of what an append costs.

        Raises:
            RecordError: the writer was stopped.
        """
        if not self._is_open:
            raise self._closed()
        self._waiting.append(request)
        if len(self._waiting) == 1:
            request.future.get_loop().call_soon(self.flush)

    def flush(self) -> None:
        """Hand the thread what is waiting. Call on the loop's thread."""
        waiting, self._waiting = self._waiting, []
        if not self._is_open:  # it died meanwhile
            _tell(waiting, [self._closed()] * len(waiting))
            return
        for request in waiting:
            self._queue.put(request)

    def stop(self) -> None:
        """Write what is queued, then end the thread. Safe to call twice."""
        self._is_open = False
        self._queue.put(None)
        self._thread.join()

    def _closed(self) -> RecordError:
        return RecordError(f"{self._title!r} is closed", code="record_closed")

    def _run(self) -> None:
        try:
            while requests := self._next_requests():
                _tell(requests, self._outcomes(requests))
        finally:
            self._is_open = False
            self._close()

    def _next_requests(self) -> list[Request]:
        """Wait for one call, then take all that are there; empty when stopped."""
        request = self._queue.get()
        requests: list[Request] = []
        while request is not None:
            requests.append(request)
            if len(requests) == MAX_BATCH or self._queue.empty():
                return requests
            request = self._queue.get()
        if requests:
            self._queue.put(None)  # the stop comes again after this last batch
        return requests

    def _outcomes(self, requests: list[Request]) -> list[Outcome]:
        try:
            return list(self._commit([request.ask for request in requests]))
        except RecordError as error:
            return [error] * len(requests)
        except BaseException as error:
            # The thread dies of it; nobody may wait for an answer that never comes.
            _tell(requests, [RecordError(f"{self._title!r}: {error!r}")] * len(requests))
            raise


def _tell(requests: list[Request], outcomes: list[Outcome]) -> None:
    """Resolve all futures with one wake-up per event loop: waking costs more than writing."""
    by_loop: dict[asyncio.AbstractEventLoop, list[tuple[Request, Outcome]]] = {}
    for request, outcome in zip(requests, outcomes, strict=True):
        by_loop.setdefault(request.future.get_loop(), []).append((request, outcome))
    for loop, told in by_loop.items():
        if not loop.is_closed():
            loop.call_soon_threadsafe(_resolve, told)


def _resolve(told: list[tuple[Request, Outcome]]) -> None:
    for request, outcome in told:
        if isinstance(outcome, list):
            request.announce(outcome)
        if request.future.done():  # the caller was cancelled meanwhile
            continue
        if isinstance(outcome, RecordError):
            request.future.set_exception(outcome)
        else:
            request.future.set_result(outcome)
