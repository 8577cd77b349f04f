"""What one transaction writes: many callers' drafts chained behind one head. Pure.

Knows versions, keys and hashes; knows no file and no thread.
"""

from collections.abc import Iterable, Sequence
from typing import NamedTuple

from sandbox.errors import VersionConflict
from tools.record.canonical import Canonical, event_hash
from tools.record.events import Event
from tools.record.stored import StoredEvent


class Head(NamedTuple):
    """The last event of a record."""

    seq: int
    hash: str


class Ask(NamedTuple):
    """One call of `append`."""

    drafts: Sequence[Canonical]
    expected_version: int | None
    guarded: frozenset[str] | None = None
    """Kinds of event that the caller must have seen; None = all."""


class Written(NamedTuple):
    """What is asked of an event that somebody else wrote."""

    seq: int
    actor: str
    kind: str


Answer = list[Event] | VersionConflict


class Batch(NamedTuple):
    """What is to be written, and what each caller is told once it is durable."""

    new_events: list[Event]
    answers: list[Answer]


def chain(
    asks: Iterable[Ask],
    *,
    session: str,
    head: Head,
    known: dict[str, Event],
    written: Sequence[Written] = (),
) -> Batch:
    """Place each ask's new drafts behind `head`, in order; a conflict refuses that ask alone.

    Args:
        asks: in the order they arrived.
        session: id of the session, part of every hash.
        head: last event of the record, read within the transaction.
        known: events already in the record, by idempotency key; not changed.
        written: every event after the least version that is expected.
    """
    known, written = dict(known), list(written)
    batch = Batch([], [])
    for ask in asks:
        if conflict := _conflict(ask, head=head, known=known, written=written):
            batch.answers.append(conflict)
            continue
        for draft in ask.drafts:
            if draft.key not in known:
                event = known[draft.key] = _link(draft, session=session, head=head)
                batch.new_events.append(event)
                written.append(Written(event.seq, event.actor, event.kind))
                head = Head(event.seq, event.hash)
        batch.answers.append([known[draft.key] for draft in ask.drafts])
    return batch


def _conflict(
    ask: Ask, *, head: Head, known: dict[str, Event], written: Iterable[Written]
) -> VersionConflict | None:
    """Return why the ask may not be written upon a version its caller has not seen."""
    version = ask.expected_version
    if version is None or version == head.seq or all(one.key in known for one in ask.drafts):
        return None
    if ask.guarded is None:
        return VersionConflict(
            f"the record is at event {head.seq}, the caller had seen {version}",
            hint="read what is new and retry",
        )
    unseen = (one for one in written if one.seq > version and one.kind in ask.guarded)
    first = next(unseen, None)
    return first and VersionConflict(
        f"{first.actor!r} appended {first.kind!r} (event {first.seq}) first",
        hint="read again and retry",
    )


def _link(draft: Canonical, *, session: str, head: Head) -> Event:
    seq = head.seq + 1
    digest = event_hash(draft, seq=seq, session=session, previous_hash=head.hash)
    event = StoredEvent(
        seq,
        draft.time,
        session,
        draft.actor,
        draft.kind,
        None,
        draft.key,
        head.hash,
        digest,
        draft.payload_json,
    )
    event.payload = draft.payload  # no need to decode what was just encoded
    return event
