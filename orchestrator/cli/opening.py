"""Opens a session for looking: nothing is locked, nothing is written."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

from bench.frozen import nearest_name
from orchestrator.session_folder import RECORD, find_session
from sandbox.errors import ConfigError
from tools.record.leaderboard import Leaderboard, leaderboard
from tools.record.lineage import Node
from tools.record.projection import Projection
from tools.record.sqlite_store import SqliteStore


class Looked(NamedTuple):
    """A session as its record tells it up to now."""

    folder: Path
    store: SqliteStore
    projection: Projection

    @property
    def challenge(self) -> str:
        """Name of the challenge it rides for."""
        opened = self.projection.opened
        return str(opened.challenge.get("name", "unknown")) if opened else "unknown"

    @property
    def opened_at(self) -> float:
        """Unix seconds of the first event."""
        return self.projection.opened_at or 0.0

    def leaderboard(self) -> Leaderboard:
        """Rank what was measured."""
        return leaderboard(
            self.projection.lineage,
            session=self.store.session,
            challenge=self.challenge,
            rule=self.projection.promotion_rule,
        )

    def node(self, attempt: str) -> Node:
        """Return an attempt.

        Raises:
            ConfigError: there is none of that id; whoever typed it sees the nearest.
        """
        nodes = self.projection.lineage.nodes
        if attempt in nodes:
            return nodes[attempt]
        hint = nearest_name(attempt, nodes) if nodes else "nothing was proposed yet"
        raise ConfigError(
            f"unknown attempt {attempt!r} in session {self.store.session!r}",
            code="unknown_attempt",
            hint=hint,
        )


@contextmanager
def look(session: str) -> Iterator[Looked]:
    """Open `session` (a folder, an id or `latest`), fold its record, and close it afterwards."""
    folder = find_session(session)
    store = SqliteStore.open_read_only(folder / RECORD)
    try:
        yield Looked(folder, store, Projection.of(store.events()))
    finally:
        store.close_reader()
