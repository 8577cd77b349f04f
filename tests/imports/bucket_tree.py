"""Writes small collaborations in the original's layout; every value is invented."""

import json
from pathlib import Path
from typing import Any

import yaml

from orchestrator.imports.bucket import read_bucket
from orchestrator.imports.bucket_reader import FolderReader
from orchestrator.imports.collaboration import Collaboration
from orchestrator.imports.importing import Imported, import_into
from orchestrator.settings import Settings
from tools.record.projection import Projection
from tools.record.sqlite_store import SqliteStore

BASE = "20260608-164000-000_zoe.md"
INT4 = "20260608-142100-500_ada.md"
HEAD = "20260608-170700-000_bo.md"
DEAD = "20260608-180000-000_cy.md"
DRIFTED = "20260609-090000-000_bo.md"
BEST = "20260610-120000-000_cy.md"


def write(folder: Path, path: str, keys: dict[str, Any] | None = None, body: str = "") -> Path:
    file = folder / path
    file.parent.mkdir(parents=True, exist_ok=True)
    head = "" if keys is None else f"---\n{yaml.safe_dump(keys, sort_keys=False)}---\n"
    file.write_text(f"{head}\n{body}\n" if body else head)
    return file


def result(folder: Path, file: str, **keys: Any) -> Path:
    agent = file.rsplit("_", 1)[1].removesuffix(".md")
    stamp = f"{file[:4]}-{file[4:6]}-{file[6:8]} {file[9:11]}:{file[11:13]} UTC"
    whole = {"method": "plain", "status": "agent-run", "description": "one line", **keys}
    stamped = {"agent": agent, "timestamp": stamp, "via": "bucket"}
    return write(folder, f"results/{file}", {**whole, **stamped})


def post(folder: Path, file: str, body: str, *, place: str = "message_board", **keys: Any) -> Path:
    agent = file.rsplit("_", 1)[1].removesuffix(".md")
    return write(folder, f"{place}/{file}", {"type": "agent", **keys, "agent": agent}, body)


def small_bucket(folder: Path) -> Path:
    """A baseline, an honest line of two, a dead end, a drifted claim, a verified best."""
    for agent in ("ada", "bo", "cy", "zoe", "judge"):
        keys = {"agent_name": agent, "agent_model": "m-1", "joined": "2026-06-08 12:00 UTC"}
        write(folder, f"agents/{agent}.md", keys, f"I am {agent}.")
    result(folder, INT4, tps=95.4, ppl=2.006, method="int4")
    result(folder, BASE, tps=43.9, ppl=2.302, method="stock")
    result(folder, HEAD, tps=118.3, ppl=2.007, method="int4-head", parents=INT4)
    result(folder, DEAD, status="negative", method="ngram", tps=82.8)
    result(folder, DRIFTED, tps=260.0, ppl=2.02, method="drafter", parents=[HEAD, INT4])
    result(folder, BEST, tps=250.0, ppl=2.03, method="mtp", parents=f"results/{HEAD}")
    post(folder, "20260608-150000-000_bo.md", "@ada trying your head", refs=INT4)
    post(folder, "20260608-151000-000_ada.md", "go on", refs="20260608-150000-000_bo.md")
    verdict(folder, "20260609-100000-000_judge.md", DRIFTED, 260.0, 230.0, "INVALID")
    verdict(folder, "20260610-130000-000_judge.md", BEST, 250.0, 245.0, "VERIFIED VALID")
    states = {BASE: "pending", INT4: "pending", DRIFTED: "invalid", BEST: "valid"}
    index(folder, states)
    return folder


def verdict(
    folder: Path, file: str, about: str, claimed: float, private: float, outcome: str
) -> Path:
    lines = (
        f"verdict for `{about}`: **{outcome}**.\n",
        "| metric | value | check |",
        "| --- | --- | --- |",
        f"| reported TPS | {claimed} | - |",
        f"| re-run TPS (private set) | {private} (x %) | - |",
        "| re-run PPL | 2.03 | <= 2.42 |",
        "| completed requests | 128 | - |",
    )
    return post(folder, file, "\n".join(lines), type="verification", refs=about, via="server")


def index(folder: Path, states: dict[str, str]) -> None:
    (folder / "results").mkdir(parents=True, exist_ok=True)
    (folder / "results/verification_status.json").write_text(json.dumps(states))


def read(folder: Path) -> Collaboration:
    return read_bucket(FolderReader(folder))


def bring_in(found: Collaboration, session: Path) -> Imported:
    return import_into(found, session, settings=Settings(sessions_folder=session.parent))


def folded(session: Path) -> Projection:
    store = SqliteStore.open_read_only(session / "record.db")
    try:
        return Projection.of(store.events())
    finally:
        store.close_reader()
