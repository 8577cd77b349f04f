"""A session and its bucket, once or for as long as it rides: out, then in, then out again.

Reads the record without its lock; what comes in is appended as a person's post from the command
line is, beside whoever rides. Knows who does which part; the parts are the `bucket_*` modules.
"""

import asyncio
import time
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

from bench.challenge import Challenge
from bench.frozen import parse
from orchestrator.bucket_intake import Intake
from orchestrator.bucket_memory import Memory, mirroring
from orchestrator.bucket_mirror import Mirror, Pushed
from orchestrator.bucket_place import Place
from orchestrator.known_secrets import machine_redactor
from orchestrator.session_folder import RECORD
from orchestrator.settings import Settings
from sandbox.errors import RecordError
from tools.limits import Limits
from tools.record.events import Event
from tools.record.recorder import Recorder
from tools.record.sqlite_store import SqliteStore
from tools.verb import Desk

LOOK_SECONDS = 30.0
"""Between two rounds, each of which takes about ten calls and two more for each outside agent; a
free account has 1,000 calls in 5 minutes."""

Tell = Callable[[str], None]


class Mirrored(NamedTuple):
    """What came of it, all rounds together."""

    bucket: str
    written: int
    there: int
    verdicts: str
    """The index, in the last round; see `Pushed`."""
    settled: tuple[str, ...]
    taken_in: int
    refused: tuple[tuple[str, str], ...]
    """File of an outside agent -> why it was not taken in."""


async def mirror(  # noqa: PLR0913  (what, where to, and how often: each is one thing)
    folder: Path,
    place: Place,
    *,
    settings: Settings,
    follow: bool = False,
    takes_in: bool = False,
    tell: Tell = lambda _line: None,
    look_seconds: float = LOOK_SECONDS,
) -> Mirrored:
    """Write the session in `folder` into a bucket.

    Args:
        folder: of the session.
        place: the bucket.
        settings: of this machine; its secrets are kept out.
        follow: go on until the session stops.
        takes_in: post what outside agents left in their scratch buckets, too.
        tell: takes a line of progress after each round that did something.
        look_seconds: between two rounds.

    Raises:
        SessionBusy: `two_writers`, or another process mirrors this session.
        ConfigError: the bucket cannot be read or written.
        RecordError: the session cannot be read.
    """
    store = SqliteStore.open(folder / RECORD, clock=time.time)
    try:
        with mirroring(folder):
            recorder = Recorder(store, clock=time.time, redact=machine_redactor(settings))
            one = _Rounds(recorder, place, Memory(folder), tell)
            await one.open()
            try:
                while await one.round(takes_in=takes_in) and follow:  # noqa: ASYNC110  (others' writes)
                    await asyncio.sleep(look_seconds)
                return one.result()
            finally:
                await one.close()
    finally:
        await store.close()


class _Rounds:
    """One mirroring."""

    def __init__(self, recorder: Recorder, place: Place, memory: Memory, tell: Tell) -> None:
        self._recorder = recorder
        self._place = place
        self._memory = memory
        self._tell = tell
        self._mirror = Mirror(place, memory, session=recorder.store.session, clock=recorder.clock)
        self._told_to = 0
        self._written = self._there = self._taken_in = 0
        self._refused: list[tuple[str, str]] = []
        self._last = Pushed(0, 0, "unchanged", ())
        self._intake: Intake | None = None

    async def open(self) -> None:
        await self._recorder.catch_up()
        rules = self._recorder.projection.opened
        if rules is None:
            raise RecordError("the record has no session_opened event", code="not_opened")
        challenge = parse(Challenge, rules.challenge, what="challenge of the record")
        desk = Desk(self._recorder, challenge, Limits())
        self._intake = Intake(desk, self._memory, self._mirror.layout.ids)
        await asyncio.to_thread(self._mirror.open)

    async def close(self) -> None:
        await asyncio.to_thread(self._mirror.close)

    async def round(self, *, takes_in: bool) -> bool:
        """Write what is new, take in what is new, write that; return whether the session rides."""
        await self._push()
        assert self._intake is not None
        if takes_in:
            scratches = await asyncio.to_thread(self._place.central.beside)
            found = await self._intake.take(scratches)
            self._taken_in += len(found.messages)
            self._refused += found.refused
            for file, why in found.refused:
                self._tell(f"not taken in: {file}: {why}")
            if found.messages:
                self._tell(f"taken in: {len(found.messages)} from scratch buckets")
                await self._push()
        return self._recorder.projection.stopped is None

    async def _push(self) -> None:
        events: list[Event] = []
        while some := await self._recorder.store.read(self._told_to):
            events += some
            self._told_to = some[-1].seq
        await self._recorder.catch_up()
        lineage = self._recorder.projection.lineage
        pushed = await asyncio.to_thread(self._mirror.push, events, lineage)
        self._written += pushed.written
        self._there += pushed.there
        self._last = pushed
        if pushed.written:
            self._tell(f"{pushed.written} files written, index {pushed.verdicts}")

    def result(self) -> Mirrored:
        return Mirrored(
            self._place.name,
            self._written,
            self._there,
            self._last.verdicts,
            self._last.settled,
            self._taken_in,
            tuple(self._refused),
        )
