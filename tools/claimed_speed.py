"""Speeds that prose claims for attempts, and what the record says of the same attempts.

Words are never changed: a reader gets what was claimed and what was measured side by side. Finds
figures with a unit of speed; does not understand sentences, so it may miss a claim and may take a
quoted figure for one. Figures that we put into a result from the record are left out.
"""

import functools
import re
from collections.abc import Iterator
from typing import Any, Literal, NamedTuple

from tools.record.board import Message
from tools.record.lineage import Lineage, Node

Unit = Literal["times_the_baseline", "tokens_per_second", "percent_faster"]

MOST_CLAIMS = 12
"""Shown of one message."""

_NUMBER = r"(?<![\w.,])[+-]?\d{1,6}(?:\.\d{1,6})?"
_PER_SECOND = r"(?:tok(?:en)?s?\s?(?:/|per)\s?s(?:ec(?:ond)?s?)?|t/s|tps)\b"
_FASTER = r"(?:faster|quicker|speed-?\s?up|more\s+(?:speed|throughput|tokens))"
_PERCENT = r"(?:%|percent)"
_SPEED = re.compile(
    rf"""
      (?P<tokens_per_second>{_NUMBER})\s?{_PER_SECOND}
    | (?:tps|tokens\ per\ second)\s?(?:of|is|at|=|:)?\s?(?P<rate_after>{_NUMBER})
    | (?P<percent_faster>{_NUMBER})\s?{_PERCENT}\s+{_FASTER}
    | {_FASTER}\s+(?:by|of)\s+(?P<percent_after>{_NUMBER})\s?{_PERCENT}
    | (?P<times_the_baseline>{_NUMBER})\s?(?:[x\u00d7](?!\w|\s*\d)|times\s+(?:faster|as\ fast|the))
    | speed-?\s?up\s?(?:of|is|at|=|:)\s?(?P<times_after>{_NUMBER})(?![\w.])(?!\s?{_PERCENT})
    """,
    re.VERBOSE | re.IGNORECASE,
)
_UNITS: dict[str, Unit] = {
    "rate_after": "tokens_per_second",
    "percent_after": "percent_faster",
    "times_after": "times_the_baseline",
}
_ATTEMPT = re.compile(r"(?<!\w)a\d{4,6}(?!\w)")
_SENTENCE_END = re.compile(r"[.!?;:]\s|\n")
_OUR_FIGURES = re.compile(r"a\d+ \w+[^:]*: .*? of the reference\); .*?\.(?:\s|\Z)", re.DOTALL)
"""How `post_result` begins; what follows is the agent's."""


class Claimed(NamedTuple):
    """A speed somebody wrote down."""

    text: str
    unit: Unit
    attempt: str | None
    """The one named last before it in its own sentence; None: none is named there."""


def claims_of(message: Message, lineage: Lineage) -> list[dict[str, Any]]:
    """Return each speed a rider or person claims for an attempt, with the measured one beside it.

    `measured` and `interval` are in the unit of the claim; None = not measured.
    """
    if message.trust == "organiser":
        return []
    found = claimed(message.body, is_result=message.type == "result")
    named = (*message.refs, *_ATTEMPT.findall(message.body)) if found else ()
    meant = next((name for name in named if name in lineage.nodes), "")
    told = (_beside(one, lineage.nodes.get(one.attempt or meant), lineage) for one in found)
    return [one for one in told if one]


@functools.lru_cache(maxsize=1024)
def claimed(body: str, *, is_result: bool = False) -> tuple[Claimed, ...]:
    """Return the speeds written in `body`, in order."""
    ours = _OUR_FIGURES.match(body) if is_result else None
    start = ours.end() if ours else 0
    return tuple(_claims(body, start))[:MOST_CLAIMS]


def _claims(body: str, start: int) -> Iterator[Claimed]:
    for found in _SPEED.finditer(body, start):
        group = found.lastgroup
        assert group is not None
        sentence = _SENTENCE_END.split(body[max(0, found.start() - 300) : found.start()])[-1]
        names = _ATTEMPT.findall(sentence)
        unit: Any = _UNITS.get(group, group)
        yield Claimed(found.group().strip(), unit, names[-1] if names else None)


def _beside(one: Claimed, node: Node | None, lineage: Lineage) -> dict[str, Any] | None:
    if node is None or node.reported is not None:  # of those nothing was measured here
        return None
    speedup = node.speedup
    figures: list[float | None] = [None] * 3
    if speedup is not None:
        figures = [
            _in_unit(value, one.unit, lineage)
            for value in (speedup.estimate, speedup.low, speedup.high)
        ]
    measured, low, high = figures
    return {
        "claimed": one.text,
        "unit": one.unit,
        "attempt": node.attempt,
        "measured": measured,
        "interval": None if measured is None else [low, high],
    }


def _in_unit(speedup: float, unit: Unit, lineage: Lineage) -> float | None:
    if unit == "times_the_baseline":
        return round(speedup, 4)
    if unit == "percent_faster":
        return round(100 * (speedup - 1), 2)
    baseline = lineage.baseline_tokens_per_second
    return None if baseline is None else round(speedup * baseline, 2)
