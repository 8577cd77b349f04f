"""Numbers as people read them. Unknown is a dash, never 0."""

from collections.abc import Mapping

from pydantic import JsonValue

from bench.measurement import Interval
from orchestrator.views.clean import one_line

UNKNOWN = "-"
GB = 1e9


def tokens(per_second: float | None) -> str:
    """Return tokens per second with one decimal."""
    return UNKNOWN if per_second is None else f"{per_second:.1f}"


def ratio(value: float | None, *, digits: int = 2) -> str:
    """Return a ratio such as `2.41x`."""
    return UNKNOWN if value is None else f"{value:.{digits}f}x"


def perplexity(value: float | None) -> str:
    """Return a perplexity with two decimals."""
    return UNKNOWN if value is None else f"{value:.2f}"


def speedup(interval: Interval | None) -> str:
    """Return a speed-up with its 95 % interval: `2.41x [2.36, 2.47]`."""
    if interval is None:
        return UNKNOWN
    return f"{interval.estimate:.2f}x [{interval.low:.2f}, {interval.high:.2f}]"


def bounds(low: float | None, high: float | None) -> str:
    """Return `118.2-121.9`."""
    return UNKNOWN if low is None or high is None else f"{low:.1f}-{high:.1f}"


def clock(seconds: float) -> str:
    """Return seconds as `m:ss` or `h:mm:ss`."""
    whole = max(0, int(seconds))
    hours, rest = divmod(whole, 3600)
    minutes, left = divmod(rest, 60)
    return f"{hours}:{minutes:02d}:{left:02d}" if hours else f"{minutes}:{left:02d}"


def count(number: int, word: str, plural: str | None = None) -> str:
    """Return `1 agent`, `2 agents`, `3 launches`."""
    return f"{number} {word if number == 1 else plural or word + 's'}"


def size(size_bytes: int | None) -> str:
    """Return bytes as MB or GB."""
    if size_bytes is None:
        return UNKNOWN
    return f"{size_bytes / GB:.1f} GB" if size_bytes >= GB else f"{size_bytes / 1e6:.0f} MB"


def changes(change: Mapping[str, JsonValue], *, limit: int | None = None) -> str:
    """Return config changes as `weights.head=q8_0, threads=2`."""
    text = ", ".join(f"{path}={_short(value)}" for path, value in sorted(change.items()))
    return one_line(text, limit=limit)


def _short(value: JsonValue) -> str:
    match value:
        case None:
            return "none"
        case bool():
            return "on" if value else "off"
        case list():
            return f"[{', '.join(_short(item) for item in value)}]"
        case dict():
            return "{" + ", ".join(f"{name}={_short(item)}" for name, item in value.items()) + "}"
        case _:
            return str(value)
