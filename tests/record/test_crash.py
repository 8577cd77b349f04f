"""Real processes, killed or at odds with each other."""

import asyncio
import random
import subprocess
import sys
from pathlib import Path

import pytest

from tests.builders import Clock
from tools.record.invariants import check
from tools.record.sqlite_store import SqliteStore

ROOT = Path(__file__).parents[2]


def start(record: Path, name: str, *, count: int, width: int = 1) -> subprocess.Popen[str]:
    argv = [sys.executable, "-m", "tests.record.appender", str(record), name]
    argv += [str(count), str(width)]
    return subprocess.Popen(argv, cwd=ROOT, stdout=subprocess.PIPE, text=True)


@pytest.fixture
def record(tmp_path: Path) -> Path:
    path = tmp_path / "record.db"
    asyncio.run(SqliteStore.create(path, session="s", clock=Clock()).close())
    return path


def acknowledged_until_killed(process: subprocess.Popen[str], *, after: int) -> list[str]:
    """Kill the process once it has acknowledged `after` appends; return all it had said."""
    assert process.stdout is not None
    said = [process.stdout.readline().strip() for _ in range(after)]
    process.kill()
    said += process.stdout.read().split()
    process.wait()
    process.stdout.close()
    return [line for line in said if line]


def keys_in(record: Path) -> list[str]:
    store = SqliteStore.open_read_only(record)
    keys = [event.key for event in store.events()]
    store.close_reader()
    return keys


def broken(record: Path) -> list[str]:
    store = SqliteStore.open_read_only(record)
    wrong = [one.name for one in check(store.events()) if not one.ok]
    problems = store.file_problems()
    store.close_reader()
    return [name for name in wrong if name in {"chain", "gapless", "keys_once"}] + problems


@pytest.mark.parametrize("seed", range(4))
def test_what_was_acknowledged_survives_kill_9(record: Path, seed: int) -> None:
    width = 1 + 20 * (seed % 2)
    process = start(record, "ann", count=100_000, width=width)
    said = acknowledged_until_killed(process, after=random.Random(seed).randrange(1, 400))

    assert {f"ann/{number}" for number in said} <= set(keys_in(record))
    assert broken(record) == []


def test_resending_after_kills_loses_and_doubles_nothing(record: Path) -> None:
    rng = random.Random(7)
    for _ in range(3):
        process = start(record, "ann", count=100_000, width=10)
        acknowledged_until_killed(process, after=rng.randrange(1, 200))
    start_and_finish(record, "ann", count=600, width=10)

    keys = keys_in(record)
    assert len(keys) == len(set(keys))
    assert {f"ann/{number}" for number in range(600)} <= set(keys)
    assert broken(record) == []


def start_and_finish(record: Path, name: str, *, count: int, width: int) -> None:
    process = start(record, name, count=count, width=width)
    process.communicate(timeout=60)
    assert process.returncode == 0


def test_two_processes_append_to_one_record_at_once(record: Path) -> None:
    writers = [start(record, name, count=300, width=5) for name in ("ann", "bob")]
    for writer in writers:
        writer.communicate(timeout=60)

    names = ("ann", "bob")
    assert [writer.returncode for writer in writers] == [0, 0]
    assert sorted(keys_in(record)) == sorted(f"{n}/{i}" for n in names for i in range(300))
    assert broken(record) == []
