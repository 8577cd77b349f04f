"""The file under the graph's checkpoints: SQLite, many rows to a commit.

Knows tables, a queue and one writing thread; knows nothing of LangGraph. The stock saver commits
every row alone behind one lock; here all that waits is written in one transaction
(synchronous=FULL), and a caller's put returns when its rows are on disk.
"""

import asyncio
import queue
import sqlite3
import threading
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import Future
from itertools import chain
from pathlib import Path
from typing import Any, NamedTuple

from sandbox.errors import RecordError

PRUNE_EVERY = 8
"""Root checkpoints between two prunings: one DELETE for many rows."""
BUSY_SECONDS = 10.0
MOST_ROWS = 64
"""Per statement; a power of two."""

SCHEMA = """
CREATE TABLE IF NOT EXISTS checkpoints (
    thread TEXT NOT NULL, namespace TEXT NOT NULL, id TEXT NOT NULL, parent TEXT,
    value BLOB NOT NULL, metadata TEXT NOT NULL, PRIMARY KEY (thread, namespace, id)
) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS writes (
    thread TEXT NOT NULL, namespace TEXT NOT NULL, id TEXT NOT NULL, task TEXT NOT NULL,
    position INTEGER NOT NULL, path TEXT NOT NULL, channel TEXT NOT NULL, value BLOB NOT NULL,
    PRIMARY KEY (thread, namespace, id, task, position)
) WITHOUT ROWID;
"""
PUT = "INSERT OR REPLACE INTO checkpoints VALUES"
PUT_WRITE = "INSERT OR IGNORE INTO writes VALUES"
REPLACE_WRITE = "INSERT OR REPLACE INTO writes VALUES"

Operation = Callable[[sqlite3.Connection], None]


class _Pending(NamedTuple):
    statement: str | None
    rows: Sequence[tuple[Any, ...]]
    operation: Operation | None
    done: "asyncio.Future[None] | Future[None]"


class CheckpointFile:
    """One SQLite file, one writing thread, one reading connection."""

    def __init__(self, path: Path, *, keep: int | None) -> None:
        self._keep = keep
        self._unpruned: dict[str, int] = defaultdict(int)
        self._queue: queue.SimpleQueue[_Pending | None] = queue.SimpleQueue()
        try:
            self._writing, self._reading = self._connect(path), self._connect(path)
        except sqlite3.Error as error:
            raise _unreadable(error) from error
        self._read_lock = threading.Lock()  # protects the reading connection
        self._thread = threading.Thread(target=self._write_forever, name="checkpoints", daemon=True)
        self._thread.start()

    async def write(self, statement: str, rows: Sequence[tuple[Any, ...]]) -> None:
        """Return when `rows` are on disk; raise RecordError when they are not."""
        done = asyncio.get_running_loop().create_future()
        self._queue.put(_Pending(statement, rows, None, done))
        await done

    def write_now(self, statement: str, rows: Sequence[tuple[Any, ...]]) -> None:
        """Do the same from a thread without a loop."""
        done: Future[None] = Future()
        self._queue.put(_Pending(statement, rows, None, done))
        done.result()

    async def run(self, operation: Operation) -> None:
        """Run `operation` between the rows put before and after it."""
        done = asyncio.get_running_loop().create_future()
        self._queue.put(_Pending(None, (), operation, done))
        await done

    def run_now(self, operation: Operation) -> None:
        """Do the same from a thread without a loop."""
        done: Future[None] = Future()
        self._queue.put(_Pending(None, (), operation, done))
        done.result()

    def read(self, sql: str, parameters: Sequence[Any]) -> list[tuple[Any, ...]]:
        """Return all rows; short reads, which a WAL never blocks."""
        try:
            with self._read_lock:
                return self._reading.execute(sql, parameters).fetchall()
        except sqlite3.Error as error:
            raise _unreadable(error) from error

    def close(self) -> None:
        """Write what waits, then release the file; safe to call twice."""
        if self._thread.is_alive():
            self._queue.put(None)
            self._thread.join()
            self._reading.close()
            self._writing.close()

    def _connect(self, path: Path) -> sqlite3.Connection:
        connection = sqlite3.connect(
            path, timeout=BUSY_SECONDS, isolation_level=None, check_same_thread=False
        )
        connection.execute("PRAGMA journal_mode=WAL")
        connection.execute("PRAGMA synchronous=FULL")
        connection.executescript(SCHEMA)
        return connection

    def _write_forever(self) -> None:
        while True:
            batch, last = self._next_batch()
            if batch:
                _settle(batch, self._commit(batch))
            if last:
                return

    def _next_batch(self) -> tuple[list[_Pending], bool]:
        item, batch = self._queue.get(), []
        while item is not None:
            batch.append(item)
            try:
                item = self._queue.get_nowait()
            except queue.Empty:
                return batch, False
        return batch, True

    def _commit(self, batch: Sequence[_Pending]) -> RecordError | None:
        try:
            self._writing.execute("BEGIN IMMEDIATE")
            self._apply(batch)
            self._writing.execute("COMMIT")
        except sqlite3.Error as error:
            if self._writing.in_transaction:
                self._writing.execute("ROLLBACK")
            return RecordError(
                f"checkpoints.db cannot be written: {error}",
                code="checkpoint_unwritable",
                hint="free disk space, then resume the session",
            )
        return None

    def _apply(self, batch: Iterable[_Pending]) -> None:
        rows: dict[str, list[tuple[Any, ...]]] = {}
        for item in batch:
            if item.statement is not None:
                rows.setdefault(item.statement, []).extend(item.rows)
            elif item.operation is not None:
                self._insert(rows)
                rows = {}
                item.operation(self._writing)
        self._insert(rows)
        self._prune(rows.get(PUT, ()))

    def _insert(self, rows: dict[str, list[tuple[Any, ...]]]) -> None:
        for statement, values in rows.items():
            for chunk in _chunks(values):
                places = f"({', '.join('?' * len(chunk[0]))})"
                sql = f"{statement} {', '.join([places] * len(chunk))}"
                self._writing.execute(sql, tuple(chain.from_iterable(chunk)))

    def _prune(self, put: Iterable[tuple[Any, ...]]) -> None:
        if self._keep is None:
            return
        for thread in {row[0] for row in put if row[1] == ""}:
            self._unpruned[thread] += 1
            if self._unpruned[thread] >= PRUNE_EVERY:
                self._unpruned[thread] = 0
                prune(self._writing, thread, keep=self._keep)


def prune(connection: sqlite3.Connection, thread: str, *, keep: int) -> None:
    """Keep the last `keep` root checkpoints of a thread, and the tasks begun since the oldest.

    A namespace with a task id in it (`agent:<uuid>`) belongs to one task of one super-step, so it
    is of no use once that super-step's checkpoint is gone. Ids sort by time.
    """
    roots = connection.execute(
        "SELECT id FROM checkpoints WHERE thread = ? AND namespace = '' ORDER BY id DESC LIMIT ?",
        (thread, keep),
    ).fetchall()
    if len(roots) == keep:
        for table in ("checkpoints", "writes"):
            connection.execute(
                f"DELETE FROM {table} WHERE thread = ? AND id < ?"  # noqa: S608 - two literals
                " AND (namespace = '' OR instr(namespace, ':'))",
                (thread, roots[-1][0]),
            )


def keep_latest(connection: sqlite3.Connection, thread: str) -> None:
    """Keep the newest checkpoint of each namespace of a thread, and its writes."""
    for table in ("checkpoints", "writes"):
        connection.execute(
            f"DELETE FROM {table} WHERE thread = ? AND id < (SELECT max(id) FROM checkpoints AS c"  # noqa: S608
            f" WHERE c.thread = {table}.thread AND c.namespace = {table}.namespace)",
            (thread,),
        )


def _chunks(rows: Sequence[tuple[Any, ...]]) -> Iterator[Sequence[tuple[Any, ...]]]:
    """Yield all rows in chunks of a few sizes only, so that SQLite knows the statements again.

    `executemany` gives the interpreter away once per row, and gets it back from a busy loop only
    after the 5 ms of `sys.getswitchinterval`: a batch of 20 rows took up to 100 ms.
    """
    start = 0
    while left := len(rows) - start:
        size = min(MOST_ROWS, 1 << (left.bit_length() - 1))
        yield rows[start : start + size]
        start += size


def _settle(batch: Iterable[_Pending], error: RecordError | None) -> None:
    loops: dict[asyncio.AbstractEventLoop, list[asyncio.Future[None]]] = defaultdict(list)
    for item in batch:
        if isinstance(item.done, asyncio.Future):
            loops[item.done.get_loop()].append(item.done)
        else:
            _resolve([item.done], error)
    for loop, futures in loops.items():
        if not loop.is_closed():
            loop.call_soon_threadsafe(_resolve, futures, error)


def _resolve(
    futures: "Iterable[asyncio.Future[None] | Future[None]]", error: RecordError | None
) -> None:
    for future in futures:
        if future.done():  # its caller was cancelled; the row is written all the same
            continue
        if error is None:
            future.set_result(None)
        else:
            future.set_exception(RecordError(error.args[0], code=error.code, hint=error.hint))


def _unreadable(error: sqlite3.Error) -> RecordError:
    return RecordError(
        f"checkpoints.db cannot be opened or read: {error}",
        code="checkpoint_unreadable",
        hint="remove checkpoints.db; the record alone is enough to resume",
    )
