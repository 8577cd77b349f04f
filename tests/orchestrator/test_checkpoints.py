"""The group-commit saver: LangGraph's own conformance suite, and what it leaves out."""

import asyncio
import dataclasses
import itertools
import resource
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
from langgraph.checkpoint.conformance import checkpointer_test, validate
from langgraph.checkpoint.conformance.test_utils import (
    generate_checkpoint,
    generate_config,
    generate_metadata,
)
from langgraph.types import Send

from orchestrator.checkpoints import GroupCommitSaver, PlainSerializer
from sandbox.errors import RecordError

WAL_BYTES = 100_000


@pytest.fixture
async def saver(tmp_path: Path) -> AsyncIterator[GroupCommitSaver]:
    async with GroupCommitSaver(tmp_path / "checkpoints.db", keep=4) as saver:
        yield saver


async def put(saver: GroupCommitSaver, thread: str, **values: Any) -> Any:
    checkpoint = generate_checkpoint(channel_values=values)
    return await saver.aput(generate_config(thread), checkpoint, generate_metadata(), {})


async def test_the_conformance_suite_passes_with_every_capability(tmp_path: Path) -> None:
    numbers = itertools.count()

    async def fresh() -> AsyncIterator[GroupCommitSaver]:
        async with GroupCommitSaver(tmp_path / f"{next(numbers)}.db") as saver:
            yield saver

    registered = checkpointer_test(name="GroupCommitSaver")(fresh)
    report = await validate(registered)

    assert [result.failures for result in report.results.values()] == [[]] * 8
    assert all(result.passed for result in report.results.values())


async def test_many_puts_at_once_are_all_on_disk(tmp_path: Path) -> None:
    async with GroupCommitSaver(tmp_path / "c.db", keep=None) as saver:
        await asyncio.gather(*(put(saver, f"t{i % 7}", n=i) for i in range(500)))

    async with GroupCommitSaver(tmp_path / "c.db", keep=None) as reopened:
        assert len(list(reopened.list(None))) == 500


async def test_the_sync_methods_work_beside_the_loop(saver: GroupCommitSaver) -> None:
    stored = await asyncio.to_thread(
        saver.put, generate_config("t"), generate_checkpoint(), generate_metadata(), {}
    )
    await asyncio.to_thread(saver.put_writes, stored, [("channel", [1])], "task", "path")
    found = await asyncio.to_thread(saver.get_tuple, generate_config("t"))

    assert found is not None
    assert found.pending_writes == [("task", "channel", [1])]
    await asyncio.to_thread(saver.delete_thread, "t")
    assert saver.get_tuple(generate_config("t")) is None


async def test_only_the_last_root_checkpoints_of_a_thread_stay(saver: GroupCommitSaver) -> None:
    for n in range(40):
        await put(saver, "long", n=n)
    kept = [found.checkpoint["channel_values"]["n"] for found in saver.list(None)]

    assert kept[:4] == [39, 38, 37, 36]
    assert len(kept) < 4 + 8


async def test_tasks_of_forgotten_waves_go_and_those_of_the_last_stay(
    saver: GroupCommitSaver,
) -> None:
    for n in range(24):
        stored = await put(saver, "long", n=n)
        task = generate_config("long", checkpoint_ns=f"agent:{n}")
        await saver.aput(task, generate_checkpoint(), generate_metadata(), {})
        await saver.aput_writes(stored, [("turns", {"ada": n})], f"task{n}")
    spaces = {found.config["configurable"]["checkpoint_ns"] for found in saver.list(None)}

    assert {"agent:23", "agent:21"} <= spaces
    assert "agent:3" not in spaces


@dataclasses.dataclass
class Custom:
    """A type that is not on the list."""

    value: int = 1


@pytest.mark.parametrize(
    "value", [Custom(), {1, 2}, Path("x"), object()], ids=lambda value: type(value).__name__
)
async def test_a_value_of_another_type_is_refused(saver: GroupCommitSaver, value: Any) -> None:
    with pytest.raises(RecordError, match="plain values only") as caught:
        await put(saver, "t", value=value)

    assert caught.value.code == "checkpoint_type"


def test_plain_values_and_sends_come_back() -> None:
    serializer = PlainSerializer()
    value = {"sends": [Send("agent", {"agent": "ada", "turn": 3})], "n": [1, 2.5, None, True, b"x"]}

    assert serializer.loads_typed(serializer.dumps_typed(value)) == value


def test_a_foreign_extension_is_refused_not_executed() -> None:
    import ormsgpack  # noqa: PLC0415 - only here

    evil = ormsgpack.packb(ormsgpack.Ext(3, ormsgpack.packb(["os", "system", "true"])))

    with pytest.raises(RecordError, match="cannot be read"):
        PlainSerializer().loads_typed(("msgpack", evil))


async def test_a_full_disk_reaches_the_caller_and_nothing_is_half_written(tmp_path: Path) -> None:
    """The limit on file size stands in for a full disk; the write fails the same way."""
    async with GroupCommitSaver(tmp_path / "c.db") as saver:
        await put(saver, "t", n=1)
        limits = resource.getrlimit(resource.RLIMIT_FSIZE)
        resource.setrlimit(resource.RLIMIT_FSIZE, (WAL_BYTES, -1))
        try:
            with pytest.raises(RecordError, match="cannot be written") as caught:
                await put(saver, "t", text="x" * 500_000)
        finally:
            resource.setrlimit(resource.RLIMIT_FSIZE, limits)
        await put(saver, "t", n=2)

        assert caught.value.code == "checkpoint_unwritable"
        assert [f.checkpoint["channel_values"] for f in saver.list(None)] == [{"n": 2}, {"n": 1}]


async def test_a_file_that_is_no_database_is_named(tmp_path: Path) -> None:
    (tmp_path / "c.db").write_bytes(b"not a database" * 100)

    with pytest.raises(RecordError, match=r"checkpoints.db cannot be opened"):
        GroupCommitSaver(tmp_path / "c.db")
