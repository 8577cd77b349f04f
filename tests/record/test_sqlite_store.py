"""What only the SQLite file can do wrong."""

import asyncio
import shutil
import sqlite3
from collections.abc import Callable
from pathlib import Path

import pytest

from sandbox.errors import RecordError
from tests.builders import Clock, make_message
from tools.record.events import Draft, Event
from tools.record.invariants import check
from tools.record.sqlite_store import SqliteStore

PAGE_BYTES = 4096


def post(number: int) -> Draft:
    return Draft("ann", make_message(f"post number {number} " * 20), f"ann/{number}")


async def fill(path: Path, count: int) -> list[Event]:
    store = SqliteStore.create(path, session="s", clock=Clock())
    await store.append([post(number) for number in range(count)])
    events = await store.read(limit=count)
    await store.close()
    return events


@pytest.fixture
def record(tmp_path: Path) -> Path:
    """A closed record of 200 posts."""
    path = tmp_path / "record.db"
    asyncio.run(fill(path, 200))
    return path


def test_creating_over_a_record_is_refused(record: Path) -> None:
    with pytest.raises(RecordError, match="exists already") as refusal:
        SqliteStore.create(record, session="s", clock=Clock())
    assert refusal.value.code == "record_exists"


def test_creating_in_a_missing_folder_says_which(tmp_path: Path) -> None:
    with pytest.raises(RecordError, match="nowhere"):
        SqliteStore.create(tmp_path / "nowhere" / "record.db", session="s", clock=Clock())


def test_a_missing_record_is_named(tmp_path: Path) -> None:
    with pytest.raises(RecordError, match=r"no record at .*gone\.db") as refusal:
        SqliteStore.open(tmp_path / "gone.db", clock=Clock())
    assert refusal.value.code == "record_missing"


def test_a_closed_record_is_one_file(record: Path) -> None:
    assert [path.name for path in record.parent.iterdir()] == ["record.db"]


def test_the_session_is_kept_in_the_file(record: Path) -> None:
    store = SqliteStore.open_read_only(record)

    assert store.session == "s"
    assert {event.session for event in store.events()} == {"s"}
    store.close_reader()


def test_events_pass_through_in_pages(tmp_path: Path) -> None:
    written = asyncio.run(fill(tmp_path / "record.db", 1234))
    store = SqliteStore.open_read_only(tmp_path / "record.db")

    assert list(store.events()) == written
    assert [event.seq for event in store.events(after=1230)] == [1231, 1232, 1233, 1234]
    store.close_reader()


async def test_a_read_only_store_refuses_to_append(tmp_path: Path) -> None:
    await fill(tmp_path / "record.db", 1)
    store = SqliteStore.open_read_only(tmp_path / "record.db")

    with pytest.raises(RecordError) as refusal:
        await store.append([post(7)])
    assert refusal.value.code == "read_only"
    await store.close()


async def test_a_view_follows_a_record_that_is_being_written(tmp_path: Path) -> None:
    writer = SqliteStore.create(tmp_path / "record.db", session="s", clock=Clock())
    view = SqliteStore.open_read_only(tmp_path / "record.db")
    await writer.append([post(1)])

    assert [event.seq for event in await view.read()] == [1]
    await writer.append([post(2)])
    assert await view.wait(1, timeout_seconds=10)
    assert [event.seq for event in await view.read(1)] == [2]
    await view.close()
    await writer.close()


def test_a_newer_format_is_refused(record: Path) -> None:
    with sqlite3.connect(record) as connection:
        connection.execute("PRAGMA user_version = 99")
    connection.close()

    for opening in openings(record):
        with pytest.raises(RecordError, match="format 99") as refusal:
            opening()
        assert refusal.value.code == "record_newer_format"


def openings(path: Path) -> list[Callable[[], SqliteStore]]:
    return [
        lambda: SqliteStore.open(path, clock=Clock()),
        lambda: SqliteStore.open_read_only(path),
    ]


@pytest.mark.parametrize("content", [b"", b"not a database at all" * 300, b"SQLite format 3\0"])
def test_a_file_that_is_no_record_is_refused(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "record.db"
    path.write_bytes(content)

    for opening in openings(path):
        with pytest.raises(RecordError) as refusal:
            opening()
        assert refusal.value.code == "record_damaged"
    assert path.read_bytes() == content


def test_another_programs_database_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "other.db"
    with sqlite3.connect(path) as connection:
        connection.execute("CREATE TABLE events (seq INTEGER)")
    connection.close()

    with pytest.raises(RecordError, match="no record of a session"):
        SqliteStore.open(path, clock=Clock())


@pytest.mark.parametrize("kept_pages", [1, 2, 5, 20])
def test_a_truncated_record_is_refused(record: Path, kept_pages: int) -> None:
    assert record.stat().st_size > 21 * PAGE_BYTES
    with record.open("r+b") as file:
        file.truncate(kept_pages * PAGE_BYTES)

    for opening in openings(record):
        with pytest.raises(RecordError) as refusal:
            opening()
        assert refusal.value.code == "record_damaged"


def test_damaged_pages_are_found(record: Path) -> None:
    data = bytearray(record.read_bytes())
    for page in range(3, len(data) // PAGE_BYTES):
        data[page * PAGE_BYTES : page * PAGE_BYTES + 64] = b"\xff" * 64
    record.write_bytes(data)

    with pytest.raises(RecordError) as refusal:
        list(SqliteStore.open_read_only(record).events())
    assert refusal.value.code == "record_damaged"


def test_pages_that_are_whole_have_no_problems(record: Path) -> None:
    store = SqliteStore.open_read_only(record)

    assert store.file_problems() == []
    store.close_reader()


@pytest.mark.parametrize(
    "change",
    [
        "UPDATE events SET payload = replace(payload, 'number 7 ', 'number 8 ') WHERE seq = 8",
        "UPDATE events SET actor = 'bob' WHERE seq = 8",
        "UPDATE events SET time = time + 1 WHERE seq = 8",
        "UPDATE events SET hash = previous_hash WHERE seq = 8",
        "DELETE FROM events WHERE seq = 8",
    ],
)
def test_a_changed_row_breaks_the_chain(record: Path, change: str) -> None:
    with sqlite3.connect(record) as connection:
        connection.execute(change)
    connection.close()

    results = {one.name: one for one in check(SqliteStore.open_read_only(record).events())}
    assert not results["chain"].ok
    assert "8" in results["chain"].detail or "9" in results["chain"].detail


def test_a_payload_that_is_no_json_names_its_event(record: Path) -> None:
    with sqlite3.connect(record) as connection:
        connection.execute("UPDATE events SET payload = 'rubbish' WHERE seq = 8")
    connection.close()
    events = list(SqliteStore.open_read_only(record).events())

    with pytest.raises(RecordError, match="event 8: payload") as refusal:
        _ = events[7].payload
    assert refusal.value.code == "record_damaged"


def test_an_unknown_kind_asks_for_a_newer_version(record: Path) -> None:
    with sqlite3.connect(record) as connection:
        connection.execute("UPDATE events SET kind = 'flying_carpet' WHERE seq = 8")
    connection.close()

    with pytest.raises(RecordError, match="flying_carpet") as refusal:
        _ = list(SqliteStore.open_read_only(record).events())[7].payload
    assert refusal.value.code == "record_newer_format"


async def test_a_full_disk_writes_nothing_and_the_store_recovers(tmp_path: Path) -> None:
    store = SqliteStore.create(tmp_path / "record.db", session="s", clock=Clock())
    await store.append([post(1)])
    limit_pages(store, 30)

    with pytest.raises(RecordError, match="full") as refusal:
        await store.append([post(number) for number in range(2, 500)])
    assert refusal.value.code == "disk_full"
    limit_pages(store, 1_000_000)
    assert [event.seq for event in await store.append([post(2)])] == [2]
    await store.close()


def limit_pages(store: SqliteStore, pages: int) -> None:
    """Make SQLite's own `database or disk is full` happen, without filling a disk."""
    assert store._writer is not None
    connection = store._writer._commit.__self__._connection  # type: ignore[attr-defined]
    connection.execute(f"PRAGMA max_page_count = {pages}")


async def test_a_copy_of_an_open_record_can_be_read(tmp_path: Path) -> None:
    store = SqliteStore.create(tmp_path / "record.db", session="s", clock=Clock())
    await store.append([post(1)])
    shutil.copytree(tmp_path, tmp_path / "copy")

    view = SqliteStore.open_read_only(tmp_path / "copy" / "record.db")
    assert [event.seq for event in view.events()] == [1]
    view.close_reader()
    await store.close()


async def test_a_reader_far_behind_reads_from_the_file(tmp_path: Path) -> None:
    written = await fill(tmp_path / "record.db", 300)
    store = SqliteStore.open(tmp_path / "record.db", clock=Clock())
    (newest,) = await store.append([post(300)])

    assert await store.read(0, limit=100) == written[:100]
    assert await store.read(299) == [written[299], newest]
    assert await store.read(300) == [newest]
    await store.close()
