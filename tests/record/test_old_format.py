"""A record of format 1, written before promotions and verification, is read and told as it was."""

import asyncio
import json
import sqlite3
from pathlib import Path

from orchestrator.replay import inspect_record
from tests.builders import Clock, make_run, make_session
from tools.record.canonical import NO_HASH, Canonical, event_hash
from tools.record.projection import Projection
from tools.record.sqlite_store import SqliteStore

NEWER = {"job_requested": ("incumbent", "purpose"), "outcome": ("fresh", "verification")}


def of_format_1(path: Path) -> Path:
    """Write a record, then put it back to what the first version would have written."""
    store = SqliteStore.create(path, session="old", clock=Clock())
    drafts = make_session(make_run("a0000"), make_run("a0001", parents=["a0000"], speedup=1.5))
    asyncio.run(_write(store, drafts))
    with sqlite3.connect(path) as file:
        rows = file.execute("SELECT seq, time, actor, kind, payload, key FROM events ORDER BY seq")
        previous = NO_HASH
        for seq, time, actor, kind, payload, key in rows.fetchall():
            old = _older(kind, json.loads(payload))
            draft = Canonical(actor, kind, None, old, key, time)
            digest = event_hash(draft, seq=seq, session="old", previous_hash=previous)
            file.execute(
                "UPDATE events SET payload = ?, previous_hash = ?, hash = ? WHERE seq = ?",
                (old, previous, digest, seq),
            )
            previous = digest
        file.execute("PRAGMA user_version = 1")
    file.close()
    return path


async def _write(store: SqliteStore, drafts: list) -> None:  # type: ignore[type-arg]
    await store.append(drafts)
    await store.close()


def _older(kind: str, payload: dict) -> str:  # type: ignore[type-arg]
    for name in NEWER.get(kind, ()):
        del payload[name]
    for name in NEWER["outcome"] if kind == "job_ended" else ():
        del payload["outcome"][name]
    if kind == "session_opened":
        payload["format_version"] = 1
    return json.dumps(payload, sort_keys=True, separators=(",", ":"), ensure_ascii=False)


def test_a_record_of_format_1_is_folded(tmp_path: Path) -> None:
    store = SqliteStore.open_read_only(of_format_1(tmp_path / "record.db"))
    lineage = Projection.of(store.events()).lineage
    store.close_reader()

    assert [node.state for node in lineage.nodes.values()] == ["measured"] * 2
    assert lineage.nodes["a0001"].estimate == 1.5


def test_a_record_of_format_1_keeps_all_invariants(tmp_path: Path) -> None:
    of_format_1(tmp_path / "record.db")
    report = inspect_record(tmp_path)

    assert [one for one in report.invariants if not one.ok] == []
