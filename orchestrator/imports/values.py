"""Strangers' values, one at a time: a number, a moment, a name, a text.

Whatever is not one of those is a `ValueError` that says what was there; nothing else is raised.
Knows no file and no key.
"""

import math
import re
from datetime import UTC, date, datetime
from typing import Any

from agents.persona import RESERVED_NAMES
from tools.plain_text import plain
from tools.record.board import PERSON
from tools.redaction import find_secret

AGENT = r"[a-z0-9](?:[a-z0-9-]{0,38}[a-z0-9])?"
_AGENT = re.compile(AGENT)
_FILE = re.compile(rf"(\d{{8}}-\d{{6}}(?:-\d{{3}})?)_({AGENT})\.md")
"""`{YYYYMMDD-HHmmss-mmm}_{agent_id}.md`."""
LARGEST = 1e9
_EARLIEST, _LATEST = 946_684_800.0, 4_102_444_800.0
"""The years 2000 to 2100."""


def number_of(value: Any, name: str) -> float:
    """Return a number above 0; a text, a boolean or what is not finite is none."""
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise ValueError(f"{name} is {_kind(value)}, not a number")  # noqa: TRY004
    if isinstance(value, float) and not math.isfinite(value):
        raise ValueError(f"{name} is not finite")
    if not 0 < value <= LARGEST:
        raise ValueError(f"{name} is not between 0 and {LARGEST:g}")
    return float(value)


def number_or_none(value: Any, name: str) -> float | None:
    """Return a number above 0, or None where there is nothing."""
    return None if value is None else number_of(value, name)


def text_of(value: Any, name: str, *, limit: int) -> str:
    """Return a text made plain and cut; figures become text, containers are refused."""
    if value is None:
        return ""
    if isinstance(value, bool) or not isinstance(value, str | int | float | date):
        raise ValueError(f"{name} is {_kind(value)}, not a text")  # noqa: TRY004
    return plain(str(value))[:limit]


def list_of(value: Any, name: str, *, most: int) -> tuple[str, ...]:
    """Return the texts of a list, or of one text separated by commas or spaces."""
    if value is None:
        return ()
    if isinstance(value, str):
        value = value.replace(",", " ").split()
    if not isinstance(value, list):
        raise ValueError(f"{name} is {_kind(value)}, not a list")  # noqa: TRY004
    if len(value) > most:
        raise ValueError(f"{name} names {len(value)}, the limit is {most}")
    return tuple(dict.fromkeys(text_of(one, name, limit=200) for one in value))


def agent_of(value: Any, name: str = "agent") -> str:
    """Return an agent's name, or that of a person: `human-NAME`."""
    if not isinstance(value, str):
        raise ValueError(f"{name} is {_kind(value)}, not a name")  # noqa: TRY004
    if not _AGENT.fullmatch(value):
        raise ValueError(f"{name} {plain(value)[:60]!r} is no agent's name")
    if value in RESERVED_NAMES and value != PERSON:
        raise ValueError(f"{name} {value!r} is a name of the session's own")
    if find_secret(value):
        raise ValueError(f"{name} looks like a secret")
    return value


def moment_of(value: Any, name: str) -> float:
    """Return Unix seconds of `2026-06-12 10:15 UTC`, or of ISO 8601."""
    if isinstance(value, datetime):
        moment = value
    elif isinstance(value, str):
        text = value.strip().removesuffix("UTC").removesuffix("Z").strip()
        try:
            moment = datetime.fromisoformat(text)
        except ValueError:
            raise ValueError(f"{name} {plain(value)[:40]!r} is no moment") from None
    else:
        raise ValueError(f"{name} is {_kind(value)}, not a moment")  # noqa: TRY004
    if moment.tzinfo is None:
        moment = moment.replace(tzinfo=UTC)
    try:
        return in_range(moment.timestamp(), name)
    except OverflowError:
        raise ValueError(f"{name} is outside the years 2000 to 2100") from None


def in_range(seconds: float, name: str) -> float:
    """Return Unix seconds between the years 2000 and 2100."""
    if not _EARLIEST <= seconds <= _LATEST:
        raise ValueError(f"{name} is outside the years 2000 to 2100")
    return seconds


def stamp_of(file: str) -> tuple[float, str]:
    """Return the moment and the agent in a file's name."""
    found = _FILE.fullmatch(file)
    if found is None:
        raise ValueError("the name is not {YYYYMMDD-HHmmss-mmm}_{agent}.md")
    stamp, agent = found.groups()
    digits = stamp.replace("-", "")
    try:
        moment = datetime.strptime(digits[:14], "%Y%m%d%H%M%S").replace(tzinfo=UTC)
    except ValueError:
        raise ValueError(f"{stamp!r} is no moment") from None
    seconds = in_range(moment.timestamp() + int(digits[14:] or 0) / 1000, "the name's stamp")
    return seconds, agent_of(agent, "the name's agent")


def is_file_name(text: str) -> bool:
    """Return whether `text` has the form of a message's or a result's file name."""
    return _FILE.fullmatch(text) is not None


def _kind(value: Any) -> str:
    names = {"NoneType": "absent", "str": "a text", "bool": "a boolean", "dict": "a mapping"}
    return names.get(type(value).__name__, f"a {type(value).__name__}")
