"""Writes a session's board, results and verdicts into a bucket, and goes on from what is there.

Idempotent: what lies there already is not written again and never changed; a kill between two
writes costs nothing. Knows layout, index and bucket; what comes in from others is `bucket_intake`.
"""

from collections.abc import Callable, Iterable
from typing import NamedTuple

from orchestrator.bucket_index import (
    UnreadableIndex,
    index_text,
    merged_index,
    parse_index,
)
from orchestrator.bucket_layout import (
    AGENTS,
    INBOX,
    INDEX,
    MESSAGES,
    RESULTS,
    BucketFile,
    Layout,
    document,
)
from orchestrator.bucket_memory import Memory
from orchestrator.bucket_place import Bucket, Place
from orchestrator.bucket_writer import Writer
from orchestrator.imports.front_matter import parse_document
from tools.record.events import Event
from tools.record.lineage import Lineage

FILES_AT_ONCE = 100
"""In one request: a kill in the middle then costs little."""
_MAX_INDEX_BYTES = 16 << 20


class Pushed(NamedTuple):
    """What one round of writing came to."""

    written: int
    there: int
    """Files that were there already."""
    verdicts: str
    """The index: `written`, `unchanged`, or why it was left alone."""
    settled: tuple[str, ...]
    """Results whose verdict somebody else has written: theirs stands."""


class Mirror:
    """A session's side of one bucket. Holds the bucket from `open` to `close`."""

    def __init__(
        self, place: Place, memory: Memory, *, session: str, clock: Callable[[], float]
    ) -> None:
        self.layout = Layout(session=session)
        self._place = place
        self._memory = memory
        self._clock = clock
        self._writer = Writer(place.central, writer=memory.writer, session=session)
        self._there: set[str] = set()
        self._waiting: list[BucketFile] = []

    def open(self) -> None:
        """Take the bucket, and look what is there.

        Raises:
            SessionBusy: `two_writers`.
            ConfigError: the bucket cannot be read or written.
        """
        self._writer.claim(self._clock())
        for folder in (MESSAGES, RESULTS, INBOX, AGENTS):
            self._there |= {listed.path for listed in self._place.central.list(folder)}

    def close(self) -> None:
        """Let the bucket go."""
        self._writer.release()

    def push(self, events: Iterable[Event], lineage: Lineage) -> Pushed:
        """Write what `events`, which come next, stand for; then the index.

        Raises:
            SessionBusy: `two_writers`: somebody else took the bucket; nothing more is written.
            ConfigError: the bucket cannot be written; the next round tries again.
        """
        self._waiting += self.layout.of(events)
        self._writer.beat(self._clock())
        new = [one for one in self._waiting if one.path not in self._there]
        there = len(self._waiting) - len(new)
        for first in range(0, len(new), FILES_AT_ONCE):
            some = new[first : first + FILES_AT_ONCE]
            self._place.central.write({one.path: self._content(one) for one in some})
            self._there |= {one.path for one in some}
        self._waiting.clear()
        index, settled = self._push_index(lineage)
        return Pushed(len(new), there, index, settled)

    def _push_index(self, lineage: Lineage) -> tuple[str, tuple[str, ...]]:
        central, name = self._place.central, self._place.name
        wanted = self.layout.states(lineage)
        ours = self._memory.ours(name)
        try:
            there = parse_index(_read(central, INDEX))
        except UnreadableIndex as error:
            return f"left alone, it cannot be read: {error}", ()
        merged, settled = merged_index(there, wanted, ours)
        if merged == there:
            return "unchanged", tuple(settled)
        changed = {file: merged[file] for file in wanted if merged[file] != there.get(file)}
        # before it is written: after a kill in between, it is still known as ours
        about_to = {file: [*ours.get(file, ())[-1:], state] for file, state in changed.items()}
        self._memory.remember(name, ours | about_to)
        central.write({INDEX: index_text(merged)})
        self._memory.remember(name, ours | {file: [state] for file, state in changed.items()})
        return "written", tuple(settled)

    def _content(self, file: BucketFile) -> bytes:
        """Return what to write: a promoted file keeps its author's keys, the stamped ones win."""
        kept = self._memory.kept(file.key.rsplit("/", 1)[-1]) if file.key else None
        if kept is None:
            return file.content
        theirs, ours = parse_document(kept), parse_document(file.content)
        last = {key: ours.keys[key] for key in ("agent", "timestamp", "via")}
        first = {key: value for key, value in theirs.keys.items() if key not in last}
        return document(first | last, theirs.body)


def _read(bucket: Bucket, path: str) -> bytes | None:
    """Return a file of the bucket; None where there is none."""
    try:
        return bucket.read(path, limit_bytes=_MAX_INDEX_BYTES)
    except FileNotFoundError:
        return None
