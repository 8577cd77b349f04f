"""The graph's checkpoints, behind LangGraph's saver interface.

Knows what a checkpoint looks like; knows nothing of agents, jobs or the record, and leaves disk
and threads to `checkpoint_file`. Only plain values are stored: what a checkpoint can make of itself
when it is read is bounded by `PlainSerializer`, not by what happens to be importable.
"""

import json
from collections.abc import AsyncIterator, Collection, Iterator, Sequence
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import ormsgpack
from langchain_core.runnables import RunnableConfig
from langgraph.checkpoint.base import (
    WRITES_IDX_MAP,
    BaseCheckpointSaver,
    ChannelVersions,
    Checkpoint,
    CheckpointMetadata,
    CheckpointTuple,
    get_checkpoint_id,
    get_checkpoint_metadata,
)
from langgraph.types import Send

from orchestrator.checkpoint_file import (
    PUT,
    PUT_WRITE,
    REPLACE_WRITE,
    CheckpointFile,
    Operation,
    keep_latest,
)
from sandbox.errors import RecordError

KEEP_ROOT_CHECKPOINTS = 16
"""About five waves. LangGraph itself never removes a checkpoint."""
_SEND = 1
_SELECT = "SELECT thread, namespace, id, parent, value, metadata FROM checkpoints"
_WRITES = (
    "SELECT task, channel, value FROM writes WHERE thread = ? AND namespace = ? AND id = ?"
    " ORDER BY path, task, position"
)
Row = tuple[str, str, str, str | None, bytes, str]


class PlainSerializer:
    """MessagePack of None, booleans, numbers, text, bytes, lists and maps, and LangGraph's Send.

    An error that a task left behind is kept as its text. Tuples come back as lists.
    """

    _options = (
        ormsgpack.OPT_NON_STR_KEYS
        | ormsgpack.OPT_PASSTHROUGH_DATACLASS
        | ormsgpack.OPT_PASSTHROUGH_DATETIME
        | ormsgpack.OPT_PASSTHROUGH_ENUM
        | ormsgpack.OPT_PASSTHROUGH_SUBCLASS
        | ormsgpack.OPT_PASSTHROUGH_UUID
    )

    def dumps_typed(self, obj: Any) -> tuple[str, bytes]:
        """Return ("msgpack", bytes).

        Raises:
            RecordError: a value of another type; a programming error in a graph's state.
        """
        try:
            return "msgpack", ormsgpack.packb(obj, default=self._default, option=self._options)
        except ormsgpack.MsgpackEncodeError as error:
            raise RecordError(
                f"a checkpoint holds plain values only: {error}", code="checkpoint_type"
            ) from error

    def loads_typed(self, data: tuple[str, bytes]) -> Any:
        """Return what `dumps_typed` was given.

        Raises:
            RecordError: damaged bytes, or of a type not on the list.
        """
        try:
            return ormsgpack.unpackb(
                data[1], ext_hook=self._extension, option=ormsgpack.OPT_NON_STR_KEYS
            )
        except ValueError as error:
            raise RecordError(
                f"checkpoints.db holds a value that cannot be read: {error}",
                code="checkpoint_unreadable",
                hint="remove checkpoints.db; the record alone is enough to resume",
            ) from error

    def _default(self, value: Any) -> Any:
        if isinstance(value, Send):
            return ormsgpack.Ext(_SEND, self.dumps_typed([value.node, value.arg])[1])
        if isinstance(value, BaseException):
            return repr(value)
        raise TypeError(f"{type(value).__name__} is not one of them")

    def _extension(self, code: int, data: bytes) -> Send:
        if code != _SEND:
            raise ValueError(f"unknown extension {code}")
        node, argument = self.loads_typed(("msgpack", data))
        return Send(node, argument)


class GroupCommitSaver(BaseCheckpointSaver[int]):
    """LangGraph's saver over a `CheckpointFile`; passes the conformance suite of 4.3.

    A put returns when it is durable and raises RecordError when it cannot be (disk full). Keeps the
    last `keep` root checkpoints of each thread; None keeps all.
    """

    def __init__(self, path: Path, *, keep: int | None = KEEP_ROOT_CHECKPOINTS) -> None:
        super().__init__(serde=PlainSerializer())
        self._file = CheckpointFile(path, keep=keep)

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.close()

    def close(self) -> None:
        """Write what waits, then release the file; safe to call twice."""
        self._file.close()

    def with_allowlist(
        self,
        extra_allowlist: Collection[tuple[str, ...]],  # noqa: ARG002 - the interface's argument
    ) -> Self:
        """Return the saver itself: no graph adds types to the serializer."""
        return self

    def put(
        self,
        config: RunnableConfig,
        checkpoint: Checkpoint,
        metadata: CheckpointMetadata,
        new_versions: ChannelVersions,  # noqa: ARG002 - the interface's argument
    ) -> RunnableConfig:
        """Store a checkpoint, blocking."""
        self._file.write_now(PUT, [self._row(config, checkpoint, metadata)])
        return _config(*_place(config), checkpoint["id"])

    async def aput(
        self,
        config: RunnableConfig,
        checkpoint: Checkpoint,
        metadata: CheckpointMetadata,
        new_versions: ChannelVersions,  # noqa: ARG002 - the interface's argument
    ) -> RunnableConfig:
        """Store a checkpoint; durable on return."""
        await self._file.write(PUT, [self._row(config, checkpoint, metadata)])
        return _config(*_place(config), checkpoint["id"])

    def put_writes(
        self,
        config: RunnableConfig,
        writes: Sequence[tuple[str, Any]],
        task_id: str,
        task_path: str = "",
    ) -> None:
        """Store what a task wrote, blocking."""
        self._file.write_now(_statement(writes), self._rows(config, writes, task_id, task_path))

    async def aput_writes(
        self,
        config: RunnableConfig,
        writes: Sequence[tuple[str, Any]],
        task_id: str,
        task_path: str = "",
    ) -> None:
        """Store what a task wrote; durable on return."""
        await self._file.write(_statement(writes), self._rows(config, writes, task_id, task_path))

    def get_tuple(self, config: RunnableConfig) -> CheckpointTuple | None:
        """Return the checkpoint asked for, or the last one of the thread and namespace."""
        thread, namespace = _place(config)
        where, parameters = "WHERE thread = ? AND namespace = ?", [thread, namespace]
        if wanted := get_checkpoint_id(config):
            where, parameters = f"{where} AND id = ?", [*parameters, wanted]
        rows = self._file.read(f"{_SELECT} {where} ORDER BY id DESC LIMIT 1", parameters)
        return self._tuple(rows[0]) if rows else None

    async def aget_tuple(self, config: RunnableConfig) -> CheckpointTuple | None:
        """Return the checkpoint asked for; a read of some 30 us, so it stays on the loop."""
        return self.get_tuple(config)

    def list(
        self,
        config: RunnableConfig | None,
        *,
        filter: dict[str, Any] | None = None,  # noqa: A002 - the interface's name
        before: RunnableConfig | None = None,
        limit: int | None = None,
    ) -> Iterator[CheckpointTuple]:
        """Yield matching checkpoints, newest first."""
        where, parameters = _where(config, before)
        found = 0
        for row in self._file.read(f"{_SELECT} {where} ORDER BY id DESC", parameters):
            metadata = json.loads(row[5])
            if any(metadata.get(key) != value for key, value in (filter or {}).items()):
                continue
            if limit is not None and found >= limit:
                return
            found += 1
            yield self._tuple(row)

    async def alist(
        self,
        config: RunnableConfig | None,
        *,
        filter: dict[str, Any] | None = None,  # noqa: A002 - the interface's name
        before: RunnableConfig | None = None,
        limit: int | None = None,
    ) -> AsyncIterator[CheckpointTuple]:
        """Yield matching checkpoints, newest first."""
        for found in self.list(config, filter=filter, before=before, limit=limit):
            yield found

    def delete_thread(self, thread_id: str) -> None:
        """Remove a thread, blocking."""
        self._file.run_now(_deletion("thread = ?", [thread_id]))

    async def adelete_thread(self, thread_id: str) -> None:
        """Remove a thread."""
        await self._file.run(_deletion("thread = ?", [thread_id]))

    def delete_for_runs(self, run_ids: Sequence[str]) -> None:
        """Remove the checkpoints of some runs, blocking."""
        self._file.run_now(_deletion_of_runs(run_ids))

    async def adelete_for_runs(self, run_ids: Sequence[str]) -> None:
        """Remove the checkpoints of some runs."""
        await self._file.run(_deletion_of_runs(run_ids))

    def copy_thread(self, source_thread_id: str, target_thread_id: str) -> None:
        """Copy a thread with all its namespaces, blocking."""
        self._file.run_now(_copy(source_thread_id, target_thread_id))

    async def acopy_thread(self, source_thread_id: str, target_thread_id: str) -> None:
        """Copy a thread with all its namespaces."""
        await self._file.run(_copy(source_thread_id, target_thread_id))

    def prune(self, thread_ids: Sequence[str], *, strategy: str = "keep_latest") -> None:
        """Keep the last checkpoint of each namespace, or none ("delete"), blocking."""
        self._file.run_now(_pruning(thread_ids, strategy))

    async def aprune(self, thread_ids: Sequence[str], *, strategy: str = "keep_latest") -> None:
        """Keep the last checkpoint of each namespace, or none ("delete")."""
        await self._file.run(_pruning(thread_ids, strategy))

    def _row(
        self, config: RunnableConfig, checkpoint: Checkpoint, metadata: CheckpointMetadata
    ) -> Row:
        thread, namespace = _place(config)
        about = json.dumps(get_checkpoint_metadata(config, metadata))
        value = self.serde.dumps_typed(checkpoint)[1]
        return thread, namespace, checkpoint["id"], get_checkpoint_id(config), value, about

    def _rows(
        self, config: RunnableConfig, writes: Sequence[tuple[str, Any]], task: str, path: str
    ) -> Sequence[tuple[Any, ...]]:
        place = (*_place(config), get_checkpoint_id(config), task)
        return [
            (*place, WRITES_IDX_MAP.get(name, index), path, name, self.serde.dumps_typed(value)[1])
            for index, (name, value) in enumerate(writes)
        ]

    def _tuple(self, row: tuple[Any, ...]) -> CheckpointTuple:
        thread, namespace, identity, parent, value, metadata = row
        writes = self._file.read(_WRITES, (thread, namespace, identity))
        return CheckpointTuple(
            _config(thread, namespace, identity),
            self.serde.loads_typed(("msgpack", value)),
            json.loads(metadata),
            _config(thread, namespace, parent) if parent else None,
            [(task, name, self.serde.loads_typed(("msgpack", v))) for task, name, v in writes],
        )


def _config(thread: str, namespace: str, identity: str) -> RunnableConfig:
    place = {"thread_id": thread, "checkpoint_ns": namespace, "checkpoint_id": identity}
    return {"configurable": place}


def _place(config: RunnableConfig) -> tuple[str, str]:
    place = config["configurable"]
    return str(place["thread_id"]), place.get("checkpoint_ns", "")


def _statement(writes: Sequence[tuple[str, Any]]) -> str:
    """Errors and interrupts replace what was there; a task's results stand as first written."""
    return REPLACE_WRITE if all(name in WRITES_IDX_MAP for name, _ in writes) else PUT_WRITE


def _where(
    config: RunnableConfig | None, before: RunnableConfig | None
) -> tuple[str, Sequence[str]]:
    wanted: dict[str, str | None] = {}
    if config is not None:
        place = config["configurable"]
        wanted = {
            "thread = ?": place.get("thread_id"),
            "namespace = ?": place.get("checkpoint_ns"),
            "id = ?": get_checkpoint_id(config),
        }
    if before is not None:
        wanted["id < ?"] = get_checkpoint_id(before)
    clauses = {clause: value for clause, value in wanted.items() if value is not None}
    return (f"WHERE {' AND '.join(clauses)}" if clauses else ""), list(clauses.values())


def _deletion(where: str, parameters: Sequence[str]) -> Operation:
    def delete(connection: Any) -> None:
        for table in ("checkpoints", "writes"):
            connection.execute(f"DELETE FROM {table} WHERE {where}", parameters)  # noqa: S608

    return delete


def _deletion_of_runs(run_ids: Sequence[str]) -> Operation:
    def delete(connection: Any) -> None:
        for run in run_ids:
            rows = connection.execute(
                "SELECT thread, namespace, id FROM checkpoints"
                " WHERE json_extract(metadata, '$.run_id') = ?",
                (run,),
            ).fetchall()
            for row in rows:
                _deletion("thread = ? AND namespace = ? AND id = ?", row)(connection)

    return delete


def _copy(source: str, target: str) -> Operation:
    def copy(connection: Any) -> None:
        for table, columns in (
            ("checkpoints", "namespace, id, parent, value, metadata"),
            ("writes", "namespace, id, task, position, path, channel, value"),
        ):
            connection.execute(
                f"INSERT OR REPLACE INTO {table} SELECT ?, {columns} FROM {table} WHERE thread = ?",  # noqa: S608
                (target, source),
            )

    return copy


def _pruning(threads: Sequence[str], strategy: str) -> Operation:
    def trim(connection: Any) -> None:
        for thread in threads:
            if strategy == "delete":
                _deletion("thread = ?", [thread])(connection)
            else:
                keep_latest(connection, thread)

    return trim
