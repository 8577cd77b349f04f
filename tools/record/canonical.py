"""The one way an event becomes bytes: RFC 8785 JSON, and the hash that chains it.

The payload's bytes are stored as hashed, so a chain holds even when a later version of the
payload's class has learnt new fields.
"""

import hashlib
import json
import re
from typing import Any, NamedTuple

import rfc8785

from bench.frozen import Frozen
from sandbox.errors import RecordError
from tools.record.events import Event

NO_HASH = "0" * 64
"""What the first event follows."""

_quote = json.JSONEncoder(ensure_ascii=False).encode

_LONE_SURROGATES = re.compile("[\ud800-\udfff]")


class Canonical(NamedTuple):
    """A draft ready to be chained: all that is hashed but its place."""

    actor: str
    kind: str
    payload: Any
    payload_json: str
    key: str
    time: float


def clean(value: Any) -> Any:
    """Return JSON-able `value` with every lone surrogate, which UTF-8 cannot hold, as U+FFFD."""
    if isinstance(value, str):
        return _LONE_SURROGATES.sub("\ufffd", value)
    if isinstance(value, dict):
        return {clean(name): clean(inner) for name, inner in value.items()}
    if isinstance(value, list | tuple):
        return [clean(inner) for inner in value]
    return value


def canonical_payload(payload: Frozen) -> tuple[Frozen, str]:
    """Return `payload`, cleaned where it must be, and its canonical JSON.

    Raises:
        RecordError: a number JSON cannot hold (NaN, infinity, an integer beyond 2^53).
    """
    data = payload.model_dump(mode="json")
    try:
        return payload, rfc8785.dumps(data).decode()
    except rfc8785.CanonicalizationError as error:
        cleaned = clean(data)
        if cleaned != data:
            return canonical_payload(type(payload).model_validate(cleaned))
        raise RecordError(
            f"event {data.get('kind')!r} cannot be written: {error}",
            code="bad_event",
            hint="keep numbers finite and integers below 2^53",
        ) from None


def event_hash(draft: Canonical, *, seq: int, session: str, previous_hash: str) -> str:
    """Return the SHA-256 over the RFC 8785 form of the whole event.

    Members are sorted by name and strings escaped as Python's json does without `ensure_ascii`, so
    the stored payload text goes in as it is; the library on the whole event costs five times more.
    """
    time = rfc8785.dumps(draft.time).decode()
    text = (
        f'{{"actor":{_quote(draft.actor)},"key":{_quote(draft.key)},"kind":{_quote(draft.kind)},'
        f'"payload":{draft.payload_json},"previous_hash":{_quote(previous_hash)},'
        f'"seq":{seq},"session":{_quote(session)},"time":{time}}}'
    )
    return hashlib.sha256(text.encode()).hexdigest()


def rehash(event: Event) -> str:
    """Return the hash `event` ought to carry."""
    text = event.payload_json or canonical_payload(event.payload)[1]
    draft = Canonical(event.actor, event.kind, None, text, event.key, event.time)
    return event_hash(
        draft, seq=event.seq, session=event.session, previous_hash=event.previous_hash
    )
