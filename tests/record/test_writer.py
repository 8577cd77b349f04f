import asyncio
import threading

import pytest

from sandbox.errors import RecordError
from tests.builders import make_event, make_message
from tools.record.batch import Answer, Ask
from tools.record.events import Event
from tools.record.tail import Tail
from tools.record.writer import Request, Writer


def ignore(_events: list[Event]) -> None:
    """Nobody listens."""


def ask_of(loop: asyncio.AbstractEventLoop) -> Request:
    return Request(Ask([], None), loop.create_future(), ignore)


async def test_calls_that_wait_together_are_committed_together() -> None:
    sizes: list[int] = []
    gate = threading.Event()

    def commit(asks: list[Ask]) -> list[Answer]:
        gate.wait(10)
        sizes.append(len(asks))
        return [[] for _ in asks]

    writer = Writer(commit, close=lambda: None, title="t")
    requests = [ask_of(asyncio.get_running_loop()) for _ in range(10)]
    for request in requests:
        writer.submit(request)
    gate.set()
    await asyncio.gather(*(request.future for request in requests))
    await asyncio.to_thread(writer.stop)

    assert sum(sizes) == 10
    assert len(sizes) <= 2


async def test_a_commit_that_fails_tells_every_caller_and_goes_on() -> None:
    answers: list[list[Answer] | None] = [None, [[]]]

    def commit(asks: list[Ask]) -> list[Answer]:
        if (answer := answers.pop(0)) is None:
            raise RecordError("full", code="disk_full")
        return answer

    writer = Writer(commit, close=lambda: None, title="t")
    first, second = (ask_of(asyncio.get_running_loop()) for _ in range(2))
    writer.submit(first)
    with pytest.raises(RecordError, match="full"):
        await first.future
    writer.submit(second)

    assert await second.future == []
    await asyncio.to_thread(writer.stop)


@pytest.mark.filterwarnings("ignore::pytest.PytestUnhandledThreadExceptionWarning")
async def test_a_writer_that_dies_leaves_nobody_waiting() -> None:
    closed = threading.Event()

    def commit(asks: list[Ask]) -> list[Answer]:
        raise ZeroDivisionError

    writer = Writer(commit, close=closed.set, title="t")
    request = ask_of(asyncio.get_running_loop())
    writer.submit(request)
    with pytest.raises(RecordError, match="ZeroDivisionError"):
        await request.future
    await asyncio.to_thread(writer.stop)

    assert closed.is_set()
    with pytest.raises(RecordError, match="closed"):
        writer.submit(request)


async def test_a_writer_that_died_before_a_call_reached_it_says_so() -> None:
    def commit(asks: list[Ask]) -> list[Answer]:
        return [[] for _ in asks]

    writer = Writer(commit, close=lambda: None, title="t")
    request = ask_of(asyncio.get_running_loop())
    writer.submit(request)
    writer.stop()

    with pytest.raises(RecordError, match="closed"):
        await request.future


async def test_calls_of_one_round_of_the_loop_share_a_commit() -> None:
    sizes: list[int] = []

    def commit(asks: list[Ask]) -> list[Answer]:
        sizes.append(len(asks))
        return [[] for _ in asks]

    writer = Writer(commit, close=lambda: None, title="t")
    loop = asyncio.get_running_loop()

    async def ask() -> None:
        writer.submit(request := ask_of(loop))
        await request.future

    await asyncio.gather(*(ask() for _ in range(10)))
    await asyncio.to_thread(writer.stop)

    assert sum(sizes) == 10
    assert len(sizes) <= 2


def test_an_answer_for_a_loop_that_is_gone_is_dropped() -> None:
    gate = threading.Event()

    def commit(asks: list[Ask]) -> list[Answer]:
        gate.wait(10)
        return [[] for _ in asks]

    loop = asyncio.new_event_loop()
    writer = Writer(commit, close=lambda: None, title="t")
    writer.submit(ask_of(loop))
    writer.flush()
    loop.close()
    gate.set()

    writer.stop()


def events(*seqs: int) -> list[Event]:
    return [make_event(make_message(), seq=seq) for seq in seqs]


def test_a_tail_forgets_the_oldest_and_says_so() -> None:
    tail = Tail(capacity=3)
    tail.extend(events(*range(1, 9)))

    assert tail.end == 8
    assert tail.after(1, 10) is None
    held = tail.after(6, 10)
    assert held is not None
    assert [event.seq for event in held] == [7, 8]


def test_a_tail_is_gapless() -> None:
    tail = Tail()
    tail.extend(events(1, 2))
    tail.extend(events(2, 5, 6))

    assert tail.after(1, 10) is None
    assert tail.after(4, 1) == events(5)
