"""An event as it comes from a store: its payload is decoded when somebody looks at it.

Most of a record is never looked at again (old replies, old jobs), and decoding is two thirds of
the cost of telling it.
"""

from collections.abc import Callable
from typing import Any

from pydantic import ValidationError

from bench.frozen import Frozen
from sandbox.errors import RecordError
from tools.record.events import PAYLOAD_KINDS, Event

_VALIDATE: dict[str, Callable[[str], Frozen]] = {
    # The class's own validator: `model_validate_json` around it costs as much again.
    kind: model.__pydantic_validator__.validate_json
    for kind, model in PAYLOAD_KINDS.items()
}


class _Decoded:
    """Decodes at first look and leaves the payload in the event's own dictionary.

    `functools.cached_property` does the same under a lock, which costs as much as the decoding.
    """

    def __get__(self, event: "StoredEvent", owner: type | None = None) -> Any:
        try:
            payload = decode_payload(event.kind, event.payload_json)
        except RecordError as error:
            raise RecordError(f"event {event.seq}: {error}", code=error.code) from error
        event.__dict__["payload"] = payload
        return payload


class StoredEvent(Event):
    """An event whose `payload` is decoded from `payload_json` at first look.

    As a tuple it holds None in the payload's place, so that two are equal when their bytes are.
    Looking may raise a RecordError: an unknown kind, or text that does not fit it.
    """

    payload: Any = _Decoded()


def decode_payload(kind: str, payload_json: str) -> Frozen:
    """Return the payload as its class.

    Raises:
        RecordError: an unknown kind, or text that does not fit it.
    """
    try:
        return _VALIDATE[kind](payload_json)
    except KeyError:
        raise RecordError(
            f"unknown kind of event {kind!r}",
            code="record_newer_format",
            hint="use the version of paceline that wrote it",
        ) from None
    except ValidationError as error:
        raise RecordError(
            f"payload of kind {kind!r} is damaged: {error.errors(include_url=False)[0]['msg']}",
            code="record_damaged",
            hint="restore the session from a copy",
        ) from None
