"""The index of verdicts of a bucket: which state stands for which result. Pure.

People write it too: a state is ours to change only where there is none yet, where it is pending, or
where it is what we wrote last. An index that cannot be read is left alone.
"""

import json
from collections.abc import Mapping

OPEN_STATE = "pending"


class UnreadableIndex(ValueError):
    """What lies there is no mapping of names to states; says why."""


def parse_index(raw: bytes | None) -> dict[str, str]:
    """Return the index; empty where there is none.

    Raises:
        UnreadableIndex: it must not be overwritten.
    """
    if raw is None:
        return {}
    try:
        found = json.loads(raw)
    except (ValueError, RecursionError) as error:
        raise UnreadableIndex(f"no JSON: {type(error).__name__}") from None
    if not isinstance(found, dict):
        raise UnreadableIndex("no mapping")
    strange = [name for name, state in found.items() if not isinstance(state, str)]
    if strange:
        raise UnreadableIndex(f"the state of {strange[0][:80]!r} is no text")
    return found


def index_text(index: Mapping[str, str]) -> bytes:
    """Return the index as it is written: sorted keys, two spaces."""
    return (json.dumps(index, indent=2, sort_keys=True, ensure_ascii=False) + "\n").encode()


def merged_index(
    there: Mapping[str, str], wanted: Mapping[str, str], ours: Mapping[str, list[str]]
) -> tuple[dict[str, str], list[str]]:
    """Return the index to write, and the results whose state somebody else has settled otherwise.

    Args:
        there: what the bucket says.
        wanted: what the session says, of its results.
        ours: what we wrote last, or were about to when we were stopped.
    """
    merged, settled = dict(there), []
    for name, state in wanted.items():
        found = there.get(name, OPEN_STATE)
        if found == OPEN_STATE or found in ours.get(name, ()):
            merged[name] = state
        elif found != state:
            settled.append(name)
    return merged, settled
