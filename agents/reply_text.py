"""A model's reply made fit for the record: bounded, and nothing in it JSON cannot carry."""

import rfc8785

from agents.model import Reply
from sandbox.errors import ModelError
from tools.plain_text import plain
from tools.record.canonical import canonical, clean

MAX_CALLS = 16
"""Per step; a reply with more is a runaway loop, not a plan."""
MAX_TEXT_CHARACTERS = 20_000


def storable(reply: Reply) -> Reply:
    """Return `reply` with its text made plain and cut.

    Raises:
        ModelError: too many calls, or arguments that canonical JSON cannot carry.
    """
    if len(reply.calls) > MAX_CALLS:
        raise _unusable(
            f"the reply has {len(reply.calls)} calls, the limit is {MAX_CALLS}", "too_many_calls"
        )
    for call in reply.calls:
        try:
            canonical(clean([call.name, dict(call.arguments)]))
        except rfc8785.CanonicalizationError as error:
            raise _unusable(
                f"the arguments of {call.name!r} are not valid JSON: {error}", "bad_arguments"
            ) from None
    return reply if not reply.text else reply._replace(text=plain(reply.text)[:MAX_TEXT_CHARACTERS])


def _unusable(message: str, code: str) -> ModelError:
    error = ModelError(message, code=code)
    error.was_billed = None  # a reply came, so it was
    return error
