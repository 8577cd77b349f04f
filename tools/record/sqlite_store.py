"""The record in one SQLite file: one writer thread, group commit, readers that wait.

Everything queued while a transaction syncs goes into the next one, so full durability
(synchronous=FULL) costs no throughput. The head is read inside BEGIN IMMEDIATE, so several
processes may append to one file. Reads run on the caller's thread: a page of 50 takes 40 us.
Does not know what events mean.
"""

import asyncio
import json
import os
import sqlite3
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any, Self

from sandbox.errors import RecordError
from tools.record.arrivals import Arrivals
from tools.record.batch import Answer, Ask, Head, Written, chain
from tools.record.canonical import NO_HASH, Canonical, canonical_payload, clean
from tools.record.events import FORMAT_VERSION, Draft, Event
from tools.record.stored import StoredEvent
from tools.record.tail import Tail
from tools.record.writer import Request, Writer

APPLICATION_ID = 0x7061636C
"""`pacl`, in the file's header: tells a record from any other SQLite file."""

CHECKPOINT_PAGES = 50_000
"""200 MB of log, some 150,000 events, before SQLite copies it into the file; closing does it too.
While it copies, appends wait: at its own 1,000 pages, more than one append in a hundred."""

BUSY_SECONDS = 10.0
"""How long to wait for another process's transaction; they last milliseconds."""

PAGE_EVENTS = 500
"""Events per query when a whole record is told."""

_SCHEMA = f"""
BEGIN;
PRAGMA application_id = {APPLICATION_ID};
PRAGMA user_version = {FORMAT_VERSION};
CREATE TABLE session (id TEXT NOT NULL);
CREATE TABLE events (
  seq INTEGER PRIMARY KEY, time REAL NOT NULL, actor TEXT NOT NULL, kind TEXT NOT NULL,
  payload TEXT NOT NULL, key TEXT NOT NULL UNIQUE, previous_hash TEXT NOT NULL, hash TEXT NOT NULL
);
CREATE VIRTUAL TABLE message_text USING fts5(body, content='');
"""

_COLUMNS = "seq, time, actor, kind, payload, key, previous_hash, hash"
_EVENT = "seq, time, (SELECT id FROM session), actor, kind, NULL, key, previous_hash, hash, payload"
"""A `StoredEvent`, field by field: the payload is decoded at first look."""
_AFTER = f"SELECT {_EVENT} FROM events WHERE seq > ? ORDER BY seq LIMIT ?"  # noqa: S608  (constants)
_BY_KEYS = f"SELECT {_EVENT} FROM events WHERE key IN (SELECT value FROM json_each(?))"  # noqa: S608
_HEAD = "SELECT seq, hash FROM events ORDER BY seq DESC LIMIT 1"
_SINCE = (
    "SELECT seq, hash, actor, kind FROM events"
    " WHERE seq >= min(?, (SELECT max(seq) FROM events)) ORDER BY seq"
)
_INSERT = f"INSERT INTO events ({_COLUMNS}) VALUES (?, ?, ?, ?, ?, ?, ?, ?)"  # noqa: S608
_INDEX = "INSERT INTO message_text (rowid, body) VALUES (?, ?)"
_SEARCH = "SELECT rowid FROM message_text WHERE message_text MATCH ? ORDER BY rank LIMIT ?"

_MOST = 2**63 - 1
"""Of SQLite's integers."""

Row = tuple[int, float, str, str, str, str, str, str]


class SqliteStore:
    """A `Store` in one file. Make one with `create`, `open` or `open_read_only`."""

    def __init__(
        self,
        path: Path,
        reader: sqlite3.Connection,
        *,
        session: str,
        writer: Writer | None = None,
        clock: Callable[[], float] | None = None,
    ) -> None:
        self.path = path
        self.session = session
        self._reader = reader
        self._writer = writer
        self._clock = clock
        self._tail = Tail()
        self._arrivals = Arrivals(lambda: self._head_now().seq)

    @classmethod
    def create(cls, path: Path, *, session: str, clock: Callable[[], float]) -> Self:
        """Make a new, empty record.

        Args:
            path: of the file; its folder exists, the file does not.
            session: id of the session, part of every hash.
            clock: Unix seconds; called on the caller's thread at each append.

        Raises:
            RecordError: the file exists or cannot be made; the operator sees it.
        """
        if path.exists():
            raise RecordError(f"{str(path)!r} exists already", code="record_exists")
        with _explained(path), closing(_connect(path, "rwc")) as connection:
            connection.execute("PRAGMA journal_mode = WAL")
            connection.executescript(_SCHEMA)
            connection.execute("INSERT INTO session VALUES (?)", (session,))
            connection.execute("COMMIT")
        return cls.open(path, clock=clock)

    @classmethod
    def open(cls, path: Path, *, clock: Callable[[], float]) -> Self:
        """Open an existing record for reading and appending.

        Raises:
            RecordError: missing, damaged, of a newer format, or no record at all.
        """
        session = _check_identity(path)
        with _explained(path):
            connection = _connect(path, "rw")
            connection.execute("PRAGMA synchronous = FULL")
            connection.execute(f"PRAGMA wal_autocheckpoint = {CHECKPOINT_PAGES}")
            # Not "ro": whoever closes last folds the write-ahead log into the file.
            reader = _connect(path, "rw")
            reader.execute("PRAGMA query_only = ON")
        transactions = _Transactions(connection, path=path, session=session)
        writer = Writer(transactions.commit, close=connection.close, title=str(path))
        return cls(path, reader, session=session, writer=writer, clock=clock)

    @classmethod
    def open_read_only(cls, path: Path) -> Self:
        """Open an existing record for views; starts no thread and never writes to the record.

        Raises:
            RecordError: missing, damaged, of a newer format, or no record at all.
        """
        session = _check_identity(path)
        with _explained(path):
            return cls(path, _connect(path, _reading_mode(path)), session=session)

    # --- Store

    async def append(
        self,
        drafts: Sequence[Draft],
        *,
        expected_version: int | None = None,
        guarded: frozenset[str] | None = None,
    ) -> list[Event]:
        """Append all drafts or none; return when they are durable (see `Store.append`)."""
        if self._writer is None or self._clock is None:
            raise RecordError(f"{str(self.path)!r} is open for reading only", code="read_only")
        now = float(self._clock())
        ask = Ask([_canonical(draft, now) for draft in drafts], expected_version, guarded)
        future: asyncio.Future[list[Event]] = asyncio.get_running_loop().create_future()
        self._writer.submit(Request(ask, future, self._appended))
        return await future

    async def read(self, after: int = 0, *, limit: int = 1000) -> list[Event]:
        """Return up to `limit` events with seq > `after`, ascending, without gaps."""
        recent = self._tail.after(after, limit)
        if recent is not None and (len(recent) == limit or self._head_now().seq == self._tail.end):
            return recent
        events = self._page(after, limit)
        self._tail.extend(events)
        return events

    async def wait(self, after: int, *, timeout_seconds: float) -> bool:
        """Return True as soon as an event with seq > `after` exists, False after the time-out."""
        return await self._arrivals.wait(after, timeout_seconds=timeout_seconds)

    async def head(self) -> tuple[int, str]:
        """Return (seq, hash) of the last event; (0, 64 zeros) for an empty record."""
        return self._head_now()

    async def search(self, query: str, *, limit: int = 20) -> list[int]:
        """Return seqs of posts whose body has any word of `query`, best first."""
        words = clean(query).replace('"', " ").replace("\0", " ").split()
        if not words:
            return []
        match = " OR ".join(f'"{word}"' for word in words)
        with _explained(self.path):
            return [row[0] for row in self._reader.execute(_SEARCH, (match, limit))]

    async def close(self) -> None:
        """Wait for pending appends, then release the file. Safe to call twice."""
        if self._writer is not None:
            self._writer.flush()
            await asyncio.to_thread(self._writer.stop)
        self.close_reader()

    # --- for views and replay, without an event loop

    def events(self, after: int = 0) -> Iterator[Event]:
        """Yield every event with seq > `after`, in order, a page at a time."""
        while page := self._page(after, PAGE_EVENTS):
            yield from page
            after = page[-1].seq

    def close_reader(self) -> None:
        """Release a store opened read-only."""
        self._arrivals.close()
        self._reader.close()

    def file_problems(self) -> list[str]:
        """Return what SQLite finds wrong with the file's pages; reads all of it."""
        with _explained(self.path):
            rows = self._reader.execute("PRAGMA integrity_check(20)").fetchall()
        return [text for (text,) in rows if text != "ok"]

    def _page(self, after: int, limit: int) -> list[Event]:
        with _explained(self.path):
            rows = self._reader.execute(_AFTER, (after, limit)).fetchall()
        return _events(rows)

    def _appended(self, events: list[Event]) -> None:
        self._tail.extend(events)
        self._arrivals.announce(events[-1].seq)

    def _head_now(self) -> Head:
        with _explained(self.path):
            return _head(self._reader)


class _Transactions:
    """Commits batches on the writer's thread."""

    def __init__(self, connection: sqlite3.Connection, *, path: Path, session: str) -> None:
        self._connection = connection
        self._path = path
        self._session = session

    def commit(self, asks: list[Ask]) -> list[Answer]:
        """Write all asks in one transaction; after an error nothing of it is written."""
        try:
            with _explained(self._path):
                return self._write(asks)
        finally:
            if self._connection.in_transaction:
                self._connection.execute("ROLLBACK")

    def _write(self, asks: list[Ask]) -> list[Answer]:
        connection = self._connection
        connection.execute("BEGIN IMMEDIATE")
        keys = json.dumps([draft.key for ask in asks for draft in ask.drafts])
        found = _events(connection.execute(_BY_KEYS, (keys,)))
        known = {event.key: event for event in found}
        head, written = self._since(asks)
        batch = chain(asks, session=self._session, head=head, known=known, written=written)
        connection.executemany(_INSERT, map(_row, batch.new_events))
        if texts := _texts(batch.new_events):
            connection.executemany(_INDEX, texts)
        connection.execute("COMMIT")
        return batch.answers

    def _since(self, asks: list[Ask]) -> tuple[Head, list[Written]]:
        """Return the head, and what was written since the least version that is expected."""
        versions = (ask.expected_version for ask in asks)
        oldest = min((one for one in versions if one is not None), default=_MOST)
        rows = self._connection.execute(_SINCE, (oldest,)).fetchall()
        head = Head(*rows[-1][:2]) if rows else Head(0, NO_HASH)
        return head, [Written(seq, actor, kind) for seq, _, actor, kind in rows]


def _canonical(draft: Draft, now: float) -> Canonical:
    payload, text = canonical_payload(draft.payload)
    return Canonical(clean(draft.actor), draft.payload.kind, payload, text, clean(draft.key), now)


def _events(rows: Iterable[tuple[Any, ...]]) -> list[Event]:
    return list(map(StoredEvent._make, rows))


def _row(event: Event) -> Row:
    return (
        event.seq,
        event.time,
        event.actor,
        event.kind,
        event.payload_json,
        event.key,
        event.previous_hash,
        event.hash,
    )


def _texts(events: list[Event]) -> list[tuple[int, str]]:
    return [
        (event.seq, event.payload.body.replace("\0", " "))
        for event in events
        if event.kind == "message_posted"
    ]


def _head(connection: sqlite3.Connection) -> Head:
    row = connection.execute(_HEAD).fetchone()
    return Head(*row) if row else Head(0, NO_HASH)


def _connect(path: Path, mode: str) -> sqlite3.Connection:
    # The writing connection is opened where its errors are seen, and used on its own thread.
    return sqlite3.connect(
        f"{path.absolute().as_uri()}?mode={mode}",
        uri=True,
        timeout=BUSY_SECONDS,
        isolation_level=None,
        check_same_thread=False,
    )


def _reading_mode(path: Path) -> str:
    """On a read-only disk the log's side files cannot be made, and need not be when closed."""
    is_still = not os.access(path.parent, os.W_OK) and not Path(f"{path}-wal").exists()
    return "ro&immutable=1" if is_still else "ro"


def _check_identity(path: Path) -> str:
    """Return the session's id after looking at the file's header and format."""
    if not path.is_file():
        raise RecordError(
            f"no record at {str(path)!r}", code="record_missing", hint="give a session's folder"
        )
    with _explained(path), closing(_connect(path, _reading_mode(path))) as connection:
        ((application,),) = connection.execute("PRAGMA application_id")
        ((version,),) = connection.execute("PRAGMA user_version")
        if application != APPLICATION_ID:
            raise RecordError(
                f"{str(path)!r} is no record of a session, or was cut to nothing",
                code="record_damaged",
                hint="restore it from a copy",
            )
        if version > FORMAT_VERSION:
            raise RecordError(
                f"{str(path)!r} has record format {version}, this version reads up to "
                f"{FORMAT_VERSION}",
                code="record_newer_format",
                hint="use the version of paceline that wrote it",
            )
        connection.execute(_AFTER, (0, 1)).fetchone()
        return str(connection.execute("SELECT id FROM session").fetchone()[0])


@contextmanager
def _explained(path: Path) -> Iterator[None]:
    """Turn SQLite's errors into ours, with the file and what to do."""
    try:
        yield
    except sqlite3.Error as error:
        raise _explain(path, error) from error


def _explain(path: Path, error: sqlite3.Error) -> RecordError:
    name = getattr(error, "sqlite_errorname", "") or ""
    if name.startswith("SQLITE_FULL"):
        code, hint = "disk_full", "free some space and resume"
    elif name.startswith(("SQLITE_BUSY", "SQLITE_LOCKED")):
        code, hint = "record_busy", "another process holds the record; try again"
    elif name.startswith(("SQLITE_CORRUPT", "SQLITE_NOTADB")) or "no such table" in str(error):
        code, hint = "record_damaged", "restore it from a copy"
    else:
        code, hint = "record_unreadable", "check the disk and the folder's permissions"
    return RecordError(f"record {str(path)!r}: {error}", code=code, hint=hint)
