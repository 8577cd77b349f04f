"""Time as the Hub writes it."""

from datetime import UTC, datetime


def stamp(seconds: float) -> str:
    """Return seconds since 1970 as ISO 8601 with milliseconds and Z."""
    return datetime.fromtimestamp(seconds, UTC).isoformat(timespec="milliseconds")[:-6] + "Z"
