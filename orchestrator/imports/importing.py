"""Writes a collaboration into a session, or into one it was written into before.

Each event has the time it had over there and a key made of its file's name, so the same files
import once, however often, and new ones are added behind what is there.
"""

import asyncio
import time
from collections import Counter
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import NamedTuple

from bench.challenge import Challenge
from bench.frozen import parse
from orchestrator.imports.collaboration import Collaboration, Problem, Result
from orchestrator.imports.merging import Merged, merge
from orchestrator.imports.reported_challenge import reported_challenge
from orchestrator.imports.timeline import (
    ENGINE_VERSION,
    KEY,
    Entry,
    Names,
    baseline_of,
    entries_of,
    wanted_parents,
)
from orchestrator.imports.unreadable import keep
from orchestrator.known_secrets import machine_redactor
from orchestrator.session_folder import (
    CHALLENGE,
    RECORD,
    claim_folder,
    locked,
    make_folder,
    toml_text,
)
from orchestrator.settings import Settings
from sandbox.errors import ConfigError
from tools.record.events import FORMAT_VERSION, Draft, Event, SessionOpened
from tools.record.projection import Projection
from tools.record.sqlite_store import SqliteStore
from tools.redaction import Redactor

AT_ONCE = 500
"""Events handed to the writer together; each has a time of its own."""
OPEN = "open"
SAME_FIGURE = 0.011


class Imported(NamedTuple):
    """What an import came to."""

    folder: Path
    events: dict[str, int]
    """New ones, by kind."""
    known: int
    """Events that were there already."""
    edges: dict[str, int]
    """Of the new attempts, by where they are from: `stated`, `text high`, ..."""
    problems: tuple[Problem, ...]
    kept: int
    """Files newly kept in the session's folder of unreadable ones."""
    not_read: dict[str, int]

    @property
    def lost(self) -> int:
        """How many files or lines could not be imported."""
        return sum(one.raw is not None for one in self.problems)


class _Clock:
    """Says the time that an event had over there."""

    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now


def import_into(found: Collaboration, session: Path | None, *, settings: Settings) -> Imported:
    """Write what was found into a session folder, and keep what could not be read beside it.

    Args:
        found: what was read.
        session: an empty or new folder, or one imported into before; None = a new session.
        settings: where sessions lie, and what no stored byte may hold.

    Raises:
        ConfigError: nothing to import, or a folder that holds something else.
        RecordError: the record cannot be written; the operator sees it.
    """
    merged = merge(found)
    if not (found.agents or found.posts or merged.results):
        first = next((f": {one.file}: {one.reason}" for one in found.problems), "")
        raise ConfigError(f"nothing could be imported{first}", code="nothing_to_import")
    challenge = reported_challenge()
    folder = _folder(session, settings, challenge)
    redact = machine_redactor(settings)
    name = folder.resolve().name
    with locked(folder):
        done = asyncio.run(_write(folder, found, merged, challenge, redact, name=name))
        return done._replace(kept=keep(folder, done.problems, redact))


def _folder(session: Path | None, settings: Settings, challenge: Challenge) -> Path:
    if session is None:
        return make_folder(settings.sessions_folder, challenge=challenge.name, now=time.time())
    if not (session / RECORD).is_file() and not claim_folder(session):
        raise ConfigError(
            f"folder {str(session)!r} exists and holds no session",
            code="session_exists",
            hint="name another folder with --session",
        )
    return session


async def _write(
    folder: Path,
    found: Collaboration,
    merged: Merged,
    challenge: Challenge,
    redact: Redactor,
    *,
    name: str,
) -> Imported:
    clock, path = _Clock(), folder / RECORD
    is_new = not path.is_file()
    if is_new:
        (folder / CHALLENGE).write_text(toml_text(challenge.model_dump(mode="json")), "utf-8")
        store = SqliteStore.create(path, session=name, clock=clock)
    else:
        store = SqliteStore.open(path, clock=clock)
    try:
        return await _Importing(store, clock, redact, folder).run(found, merged, challenge)
    finally:
        await store.close()


class _Importing:
    """One import into one record."""

    def __init__(self, store: SqliteStore, clock: _Clock, redact: Redactor, folder: Path) -> None:
        self._store = store
        self._clock = clock
        self._redact = redact
        self._folder = folder
        self._known: dict[str, Event] = {event.key: event for event in store.events()}
        self._projection = Projection.of(self._known.values())
        self._names = Names(_names_in(self._known.values()))
        self._problems: list[Problem] = []
        self._new: list[tuple[float, Draft]] = []

    async def run(self, found: Collaboration, merged: Merged, challenge: Challenge) -> Imported:
        opened = self._projection.opened
        if self._known and (opened is None or opened.challenge.get("engine") != "reported"):
            raise ConfigError(
                f"session {str(self._folder)!r} was ridden here; what others measured stays apart",
                code="not_imported",
                hint="name another folder with --session",
            )
        if opened is not None:
            challenge = parse(Challenge, opened.challenge, what="challenge of the record")
        entries = self._entries(found, merged, challenge)
        if not self._known:
            self._open(entries, challenge)
        self._tell_changes(merged)
        known = 0
        for entry in entries:
            known += not self._add(entry)
        await self._append()
        return self._imported(found, merged, known)

    def _entries(self, found: Collaboration, merged: Merged, challenge: Challenge) -> list[Entry]:
        stated = challenge.stated
        baseline = None
        if stated is not None:
            baseline = baseline_of(
                merged.results, speed=stated.tokens_per_second, perplexity=stated.perplexity
            )
        return entries_of(
            found,
            merged,
            model_sha256=challenge.model.sha256,
            baseline=baseline,
            agents=self._projection.agents,
            problems=self._problems,
        )

    def _open(self, entries: Sequence[Entry], challenge: Challenge) -> None:
        opened = SessionOpened(
            format_version=FORMAT_VERSION,
            challenge=challenge.model_dump(mode="json"),
            settings={"imported": True},
            model_sha256=challenge.model.sha256,
            engine_version=ENGINE_VERSION,
        )
        start = entries[0].time if entries else time.time()
        self._new.append((start, Draft("organiser", opened, OPEN)))

    def _add(self, entry: Entry) -> bool:
        """Take in an event to come; False: it is in the record."""
        key = self._redact(entry.key)
        if key.startswith(f"{KEY}verdict/"):
            key = self._verdict_key(key, entry)
        if not key or key in self._known:
            return False
        payload = self._redact.record(entry.make(self._names))
        self._new.append((entry.time, Draft(entry.actor, payload, key)))
        if entry.posts:
            self._names.new_message(entry.posts, self._projection.seq + len(self._new))
        return True

    def _verdict_key(self, key: str, entry: Entry) -> str:
        """Return the key of a ruling; nothing where it stands already, so a changed one is new."""
        attempt = self._names.get(key.removeprefix(f"{KEY}verdict/"))
        node = self._projection.lineage.nodes.get(attempt or "")
        if node is None:
            return f"{key}/0"
        verdict = entry.make(self._names)
        same_judge = [one.state for one in node.rulings if one.by == verdict.by]
        if same_judge and same_judge[-1] == verdict.verdict:
            return ""  # whatever a person here has ruled since
        return f"{key}/{sum(one.startswith(f'{key}/') for one in self._known)}"

    async def _append(self) -> None:
        """Append in order, each at its own time; nobody else may write in between."""
        seq = self._projection.seq
        for start in range(0, len(self._new), AT_ONCE):
            chunk = self._new[start : start + AT_ONCE]
            await asyncio.gather(
                *(
                    self._append_one(moment, draft, seq + start + number)
                    for number, (moment, draft) in enumerate(chunk)
                )
            )

    async def _append_one(self, moment: float, draft: Draft, version: int) -> None:
        self._clock.now = moment  # read by `append` before anything else gets its turn
        await self._store.append([draft], expected_version=version)

    def _tell_changes(self, merged: Merged) -> None:
        """Tell what differs from what was imported before: posted results never change."""
        for result in merged.results:
            attempt = self._names.get(result.file)
            node = self._projection.lineage.nodes.get(attempt or "")
            if node is None or node.reported is None:
                continue
            if _differs(node.reported.tokens_per_second, result):
                reason = "differs from what was imported before; that stays"
                self._problems.append(Problem(result.source, reason))
            there = {parent.attempt for parent in node.parents}
            wanted = {self._names.get(file) or file for file in wanted_parents(result, merged)}
            for missing in sorted(wanted - there):
                reason = f"its edge to {missing[:80]} is not there: it was imported without it"
                self._problems.append(Problem(result.source, reason))

    def _imported(self, found: Collaboration, merged: Merged, known: int) -> Imported:
        edges: Counter[str] = Counter()
        for _, draft in self._new:
            if draft.payload.kind == "attempt_proposed":
                for parent in draft.payload.parents:
                    why = parent.inferred
                    edges["stated" if why is None else f"{why.evidence} {why.confidence}"] += 1
        return Imported(
            folder=self._folder,
            events=dict(Counter(draft.payload.kind for _, draft in self._new)),
            known=known,
            edges=dict(sorted(edges.items())),
            problems=(*found.problems, *merged.problems, *self._problems),
            kept=0,
            not_read=found.not_read,
        )


def _names_in(events: Iterable[Event]) -> list[tuple[str, str]]:
    names = []
    for event in events:
        if event.key.startswith(f"{KEY}propose/"):
            names.append((event.key.removeprefix(f"{KEY}propose/"), event.payload.attempt))
        elif event.key.startswith(f"{KEY}post/"):
            names.append((event.key.removeprefix(f"{KEY}post/"), f"m{event.seq}"))
    return names


def _differs(before: float | None, result: Result) -> bool:
    now = result.tokens_per_second
    if before is None or now is None:
        return before is not now
    return abs(before - now) > SAME_FIGURE
