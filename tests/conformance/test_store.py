"""The contract of `tools.record.store.Store`; every implementation passes all of it.

To add one, write an async context manager that opens it empty twice on the same data
(two processes, as it were) and list it in `STORES`.
"""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from pathlib import Path
from typing import NamedTuple

import pytest

from sandbox.errors import RecordError, VersionConflict
from tests.builders import Clock, make_message, make_request
from tools.record.canonical import rehash
from tools.record.events import Draft
from tools.record.sqlite_store import SqliteStore
from tools.record.store import Store


class Pair(NamedTuple):
    """Two doors to the same record."""

    store: Store
    other: Store


@asynccontextmanager
async def sqlite_pair(folder: Path) -> AsyncIterator[Pair]:
    path = folder / "record.db"
    store = SqliteStore.create(path, session="s", clock=Clock())
    other = SqliteStore.open(path, clock=Clock())
    yield Pair(store, other)
    await store.close()
    await other.close()


STORES: dict[str, Callable[[Path], AbstractAsyncContextManager[Pair]]] = {"sqlite": sqlite_pair}


@pytest.fixture(params=sorted(STORES))
async def pair(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[Pair]:
    async with STORES[request.param](tmp_path) as opened:
        yield opened


@pytest.fixture
def store(pair: Pair) -> Store:
    return pair.store


def post(number: int, *, body: str = "hello", actor: str = "ann") -> Draft:
    return Draft(actor, make_message(f"{body} {number}"), f"{actor}/{number}")


async def test_an_empty_record_has_head_zero(store: Store) -> None:
    assert await store.head() == (0, "0" * 64)
    assert await store.read() == []


async def test_what_was_appended_is_read_back_equal(store: Store) -> None:
    appended = await store.append([post(1), post(2)])

    assert await store.read() == appended
    assert [event.payload for event in appended] == [post(1).payload, post(2).payload]


async def test_an_event_carries_what_the_draft_said(store: Store) -> None:
    (event,) = await store.append([post(1, actor="bob")])

    assert (event.seq, event.session, event.actor, event.key) == (1, "s", "bob", "bob/1")
    assert event.kind == "message_posted"
    assert event.time > 0


async def test_seqs_have_no_gaps(store: Store) -> None:
    await asyncio.gather(*(store.append([post(number)]) for number in range(50)))

    assert [event.seq for event in await store.read()] == list(range(1, 51))


async def test_each_event_is_chained_to_the_one_before(store: Store) -> None:
    await store.append([post(1), post(2), post(3)])
    events = await store.read()

    assert [event.previous_hash for event in events[1:]] == [event.hash for event in events[:-1]]
    assert [rehash(event) for event in events] == [event.hash for event in events]
    assert await store.head() == (3, events[-1].hash)


async def test_a_key_is_written_once_and_returns_its_first_event(store: Store) -> None:
    (first,) = await store.append([post(1)])
    (again,) = await store.append([post(1, body="something else")])

    assert again == first
    assert again.payload == first.payload
    assert (await store.head())[0] == 1


async def test_a_key_sent_twice_at_once_is_written_once(store: Store) -> None:
    answers = await asyncio.gather(*(store.append([post(1), post(2)]) for _ in range(20)))

    assert (await store.head())[0] == 2
    assert all(answer == answers[0] for answer in answers)


async def test_known_and_new_drafts_mix_in_one_append(store: Store) -> None:
    await store.append([post(1)])
    events = await store.append([post(2), post(1), post(3)])

    assert [event.seq for event in events] == [2, 1, 3]


async def test_an_append_at_the_expected_version_passes(store: Store) -> None:
    await store.append([post(1)], expected_version=0)

    assert [event.seq for event in await store.append([post(2)], expected_version=1)] == [2]


async def test_an_append_upon_an_unseen_version_writes_nothing(store: Store) -> None:
    await store.append([post(1)])

    with pytest.raises(VersionConflict, match="at event 1, the caller had seen 0"):
        await store.append([post(2), post(3)], expected_version=0)
    assert (await store.head())[0] == 1


async def test_of_many_appends_upon_one_version_one_passes(store: Store) -> None:
    asks = [store.append([post(number)], expected_version=0) for number in range(10)]
    answers = await asyncio.gather(*asks, return_exceptions=True)

    assert sum(isinstance(answer, list) for answer in answers) == 1
    assert sum(isinstance(answer, VersionConflict) for answer in answers) == 9


async def test_events_of_kinds_that_are_not_guarded_are_no_conflict(store: Store) -> None:
    await store.append([post(1)])
    events = await store.append([post(2)], expected_version=0, guarded=frozenset({"agent_joined"}))

    assert [event.seq for event in events] == [2]


async def test_an_unseen_event_of_a_guarded_kind_is_a_conflict(store: Store) -> None:
    await store.append([post(1), post(2)])

    with pytest.raises(VersionConflict, match=r"appended 'message_posted' \(event 2\) first"):
        await store.append([post(3)], expected_version=1, guarded=frozenset({"message_posted"}))
    assert (await store.head())[0] == 2


async def test_of_many_guarded_appends_upon_one_version_one_passes(store: Store) -> None:
    kinds = frozenset({"message_posted"})
    asks = [store.append([post(n)], expected_version=0, guarded=kinds) for n in range(10)]
    answers = await asyncio.gather(*asks, return_exceptions=True)

    assert sum(isinstance(answer, list) for answer in answers) == 1
    assert sum(isinstance(answer, VersionConflict) for answer in answers) == 9


async def test_resending_what_was_written_is_no_conflict(store: Store) -> None:
    first = await store.append([post(1)], expected_version=0)

    assert await store.append([post(1)], expected_version=0) == first


async def test_reading_goes_on_from_a_cursor_in_pages(store: Store) -> None:
    await store.append([post(number) for number in range(10)])

    assert [event.seq for event in await store.read(3, limit=4)] == [4, 5, 6, 7]
    assert [event.seq for event in await store.read(8, limit=4)] == [9, 10]
    assert await store.read(10) == []


async def test_the_other_door_sees_what_was_appended(pair: Pair) -> None:
    await pair.store.append([post(1)])
    await pair.other.append([post(2)])
    await pair.store.append([post(3)])

    seen = await pair.other.read()
    assert [event.seq for event in seen] == [1, 2, 3]
    assert await pair.store.read() == seen


async def test_two_doors_share_keys_and_versions(pair: Pair) -> None:
    first = await pair.store.append([post(1)])

    assert await pair.other.append([post(1)]) == first
    with pytest.raises(VersionConflict):
        await pair.other.append([post(2)], expected_version=0)


async def test_a_waiting_reader_wakes_at_an_append(store: Store) -> None:
    waiting = asyncio.create_task(store.wait(0, timeout_seconds=30))
    await asyncio.sleep(0)
    await store.append([post(1)])

    assert await waiting is True


async def test_a_waiting_reader_wakes_at_an_append_through_the_other_door(pair: Pair) -> None:
    waiting = asyncio.create_task(pair.store.wait(0, timeout_seconds=30))
    await asyncio.sleep(0)
    await pair.other.append([post(1)])

    assert await waiting is True


async def test_waiting_for_what_is_there_returns_at_once(store: Store) -> None:
    await store.append([post(1)])

    assert await store.wait(0, timeout_seconds=0) is True


async def test_waiting_in_vain_ends_with_the_time_out(store: Store) -> None:
    await store.append([post(1)])

    assert await store.wait(1, timeout_seconds=0.01) is False


async def test_a_cancelled_append_leaves_the_store_usable(store: Store) -> None:
    task = asyncio.create_task(store.append([post(1)]))
    await asyncio.sleep(0)
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)

    assert len(await store.append([post(1), post(2)])) == 2
    assert (await store.head())[0] == 2


async def test_search_finds_posts_by_any_word_best_first(store: Store) -> None:
    bodies = ["threads and caches", "the head in q4_0", "q4_0 head, q4_0 body"]
    drafts = [Draft("ann", make_message(body), body) for body in bodies]
    await store.append(drafts)

    assert await store.search("q4_0") == [3, 2]
    assert set(await store.search("threads head")) == {1, 2, 3}
    assert await store.search("q4_0", limit=1) == [3]


@pytest.mark.parametrize("query", ["", '"', "* OR (", "head AND NOT", "\ud800", "a\0b", "body:"])
async def test_search_takes_any_text_for_words(store: Store, query: str) -> None:
    await store.append([post(1)])

    assert await store.search(query) == []


async def test_lone_surrogates_become_replacement_characters(store: Store) -> None:
    (event,) = await store.append([Draft("an\udc80n", make_message("a\ud800b"), "k\udfff")])

    assert (event.actor, event.payload.body, event.key) == ("an\ufffdn", "a\ufffdb", "k\ufffd")
    assert [one.payload for one in await store.read()] == [event.payload]


async def test_every_unicode_text_comes_back_as_it_was(store: Store) -> None:
    body = "\0\x1f\x7f\u2028 'quotes' \"double\" \\ é 漢 🚴 \U0010ffff"
    (event,) = await store.append([Draft("ann", make_message(body), "k")])

    assert [one.payload.body for one in await store.read()] == [body]
    assert rehash(event) == event.hash


async def test_a_number_that_json_cannot_hold_is_refused_whole(store: Store) -> None:
    beyond = make_request(seed=2**60)

    with pytest.raises(RecordError, match="integers below") as refusal:
        await store.append([post(1), Draft("ann", beyond, "k")])
    assert refusal.value.code == "bad_event"
    assert (await store.head())[0] == 0


async def test_closing_writes_what_is_pending(pair: Pair) -> None:
    pending = [asyncio.create_task(pair.store.append([post(number)])) for number in range(20)]
    await asyncio.sleep(0)
    await pair.store.close()
    await pair.store.close()

    assert len(await asyncio.gather(*pending)) == 20
    assert (await pair.other.head())[0] == 20


async def test_a_closed_store_refuses_to_append(pair: Pair) -> None:
    await pair.store.close()

    with pytest.raises(RecordError, match="closed"):
        await pair.store.append([post(1)])
