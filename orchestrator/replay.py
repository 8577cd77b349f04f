"""A session told again from its record, and the checks that the record still tells the truth.

Reads events and folds only: nothing is run, no file of the session is changed.
"""

from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any, NamedTuple

from orchestrator.session_folder import RECORD
from orchestrator.views import figures
from orchestrator.views.story import Sentence, tell
from tools.record.canonical import NO_HASH
from tools.record.events import Event
from tools.record.invariants import InvariantResult, check
from tools.record.sqlite_store import SqliteStore

LONGEST_PAUSE_SECONDS = 5.0
"""A gap in the record (a night between two rides) is not waited out."""

CHAIN = ("gapless", "chain")
FOLDS = ("folds_agree",)


class Told(NamedTuple):
    """One sentence of the story and when it happened, seconds after the first event."""

    seq: int
    seconds: float
    sentence: Sentence


class CheckReport(NamedTuple):
    """What `replay --check` found."""

    events: int
    head_hash: str
    chain_ok: bool
    folds_ok: bool
    invariants: list[InvariantResult]

    @property
    def is_sound(self) -> bool:
        """Whether chain, folds and every invariant hold."""
        return self.chain_ok and self.folds_ok and all(one.ok for one in self.invariants)

    def as_json(self) -> dict[str, Any]:
        """Return the documented shape."""
        return self._asdict() | {"invariants": [one._asdict() for one in self.invariants]}


def tell_session(
    events: Iterable[Event],
    *,
    say: Callable[[Told], None],
    sleep: Callable[[float], None],
    speed: float = 0.0,
    until: int | None = None,
) -> int:
    """Tell a session in the order it happened; return the seq of the last event told of.

    Args:
        events: a whole record, or its beginning.
        say: called with every sentence.
        sleep: waits that many seconds; called between events when `speed` is above 0.
        speed: record seconds per second of telling; 0 = do not wait.
        until: seq of the last event to tell; None = all.
    """
    start: float | None = None
    before, last = 0.0, 0
    for event in events:
        if until is not None and event.seq > until:
            break
        start = event.time if start is None else start
        seconds, last = event.time - start, event.seq
        if speed > 0 and seconds > before:
            sleep(min(LONGEST_PAUSE_SECONDS, (seconds - before) / speed))
        before = seconds
        sentence = tell(event, body_limit=None)
        if sentence is not None:
            say(Told(event.seq, seconds, sentence))
    return last


def check_record(events: Iterable[Event]) -> CheckReport:
    """Check every invariant of a record; chain and folds are two of them, named apart."""
    known = list(events)
    results = check(known)
    return CheckReport(
        events=len(known),
        head_hash=known[-1].hash if known else NO_HASH,
        chain_ok=all(one.ok for one in results if one.name in CHAIN),
        folds_ok=all(one.ok for one in results if one.name in FOLDS),
        invariants=results,
    )


def inspect_record(folder: Path) -> CheckReport:
    """Check the record of a session folder, its file included.

    Raises:
        RecordError: the record cannot be opened or read at all.
    """
    store = SqliteStore.open_read_only(folder / RECORD)
    try:
        report = check_record(store.events())
        problems = store.file_problems()
    finally:
        store.close_reader()
    file_result = InvariantResult("file_intact", not problems, "; ".join(problems))
    return report._replace(invariants=[file_result, *report.invariants])


def told_line(told: Told) -> str:
    """Return a sentence with its place in the record and its moment."""
    return f"{told.seq:>6} {figures.clock(told.seconds):>7}  {told.sentence.text}"
