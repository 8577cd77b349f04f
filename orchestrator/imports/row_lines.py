"""One JSON line each of the row files: a board row, a verdict, a credit, a step of the frontier.

Pure: a mapping in, a value out, or a `ValueError` that says what is wrong. What is null there is
not known here.
"""

import re
from collections.abc import Mapping
from typing import Any

from orchestrator.imports.collaboration import (
    ChartPoint,
    ChartStep,
    Confidence,
    Credit,
    Result,
    Ruling,
    Status,
    UnfiledRuling,
)
from orchestrator.imports.values import (
    agent_of,
    is_file_name,
    moment_of,
    number_of,
    number_or_none,
    stamp_of,
    text_of,
)
from orchestrator.imports.verdict_posts import reasoned
from tools.record.events import VerdictState

LONGEST_TEXT = 65_536
_WINDOW = re.compile(
    r"(\d{4}-\d{2}-\d{2})(?: (\d{2}:\d{2}))?(?:\.\.(?:(\d{4}-\d{2}-\d{2}) )?(\d{2}:\d{2}))?"
)
"""When an organiser ran something: `2026-06-11 15:23..19:22 UTC`, or only a day."""

Row = Mapping[str, Any]


def result_row(row: Row, source: str) -> tuple[Result, Ruling | None]:
    """Return a row of the board, or of the results known from prose, and what was ruled on it."""
    file = _file(row.get("filename"), "filename")
    moment, agent = stamp_of(file)
    said = row.get("agent", agent)
    if said != agent:
        raise ValueError(f"filename is by {agent!r}, agent is {str(said)[:60]!r}")
    result = Result(
        file=file,
        source=source,
        time=moment,
        agent=agent,
        method=text_of(row.get("method"), "method", limit=500) or "(not named)",
        status=_status(row.get("status")),
        tokens_per_second=number_or_none(row.get("tps"), "tps"),
        perplexity=number_or_none(row.get("ppl"), "ppl"),
        description=text_of(row.get("description"), "description", limit=LONGEST_TEXT),
        note=text_of(row.get("note"), "note", limit=LONGEST_TEXT),
    )
    state = row.get("verification")
    if state in (None, "pending"):
        return result, None
    history = row.get("verification_history")
    return result, reasoned(Ruling(file, _state(state), source, time=_sighted(history, state)))


def verdict_row(row: Row, source: str) -> UnfiledRuling | Ruling:
    """Return what an organiser's run found; without a file name it is matched later."""
    drift = row.get("drift_pct")
    completed = number_or_none(row.get("completed"), "completed")
    ruling = Ruling(
        file="",
        state=_state(row.get("verdict")),
        source=source,
        time=window_end(row.get("window")),
        reason=text_of(row.get("reason"), "reason", limit=200),
        claimed=number_or_none(row.get("reported_tps"), "reported_tps"),
        private=number_or_none(row.get("private_tps"), "private_tps"),
        drift=None if drift is None else _signed(drift, "drift_pct") / 100,
        reported_perplexity=number_or_none(row.get("reported_ppl"), "reported_ppl"),
        private_perplexity=number_or_none(row.get("private_ppl"), "private_ppl"),
        completed=None if completed is None else int(completed),
    )
    if row.get("result_filename") is not None:
        return ruling._replace(file=_file(row["result_filename"], "result_filename"))
    return UnfiledRuling(
        ruling=ruling,
        agent="" if row.get("agent") is None else agent_of(row["agent"]),
        method=text_of(row.get("method"), "method", limit=500) or "(not named)",
        is_complete=row.get("complete") is not False,
    )


def credit_row(row: Row, source: str) -> Credit:
    """Return an edge that somebody read out of names and texts."""
    parent = row.get("parent_filename")
    return Credit(
        child=_file(row.get("child_filename"), "child_filename"),
        parent=None if parent is None else _file(parent, "parent_filename"),
        agent=agent_of(row.get("parent_agent"), "parent_agent"),
        evidence=text_of(row.get("evidence"), "evidence", limit=64) or "not said",
        confidence=_confidence(row.get("confidence")),
        note=text_of(row.get("note"), "note", limit=2000),
        source=source,
    )


def step_row(row: Row, source: str) -> ChartStep:
    """Return a step of the raw or of the verified frontier."""
    kind, agent, file = row.get("frontier"), row.get("agent"), row.get("filename")
    if kind not in ("raw", "verified"):
        raise ValueError(f"frontier is {str(kind)[:40]!r}, not raw or verified")
    return ChartStep(
        time=moment_of(row.get("at"), "at"),
        tokens_per_second=number_of(row.get("tps"), "tps"),
        perplexity=number_or_none(row.get("ppl"), "ppl"),
        agent=None if agent is None else agent_of(agent),
        file=None if file is None else _file(file, "filename"),
        method=text_of(row.get("method"), "method", limit=500) or None,
        is_valid=kind == "verified",
        source=source,
    )


def point_row(row: Row, _source: str) -> ChartPoint:
    """Return a plotted result."""
    return ChartPoint(moment_of(row.get("at"), "at"), number_of(row.get("tps"), "tps"))


def window_end(value: Any) -> float | None:
    """Return when a window of time ended; a day ends at its last minute; None: not readable."""
    found = _WINDOW.match(value) if isinstance(value, str) else None
    if found is None:
        return None
    day, start, other_day, end = found.groups()
    try:
        return moment_of(f"{other_day or day} {end or start or '23:59'}", "window")
    except ValueError:
        return None


def _sighted(history: Any, state: Any) -> float | None:
    """Return when a state was first seen; it may have been given long before."""
    rows = history if isinstance(history, list) else []
    seen = (row.get("at") for row in rows if isinstance(row, dict) and row.get("state") == state)
    first = next(seen, None)
    return None if first is None else moment_of(first, "verification_history")


def _signed(value: Any, name: str) -> float:
    if isinstance(value, int | float) and not isinstance(value, bool) and value < 0:
        return -number_of(-value, name)
    return 0.0 if value == 0 else number_of(value, name)


def _file(value: Any, name: str) -> str:
    if isinstance(value, str) and is_file_name(value):
        return value
    raise ValueError(f"{name} {str(value)[:80]!r} is not {{stamp}}_{{agent}}.md")


def _status(value: Any) -> Status:
    if value == "agent-run":
        return "agent-run"
    if value == "negative":
        return "negative"
    raise ValueError(f"status is {str(value)[:40]!r}, not agent-run or negative")


def _state(value: Any) -> VerdictState:
    if value == "valid":
        return "valid"
    if value == "invalid":
        return "invalid"
    raise ValueError(f"the verdict is {str(value)[:40]!r}, not valid or invalid")


def _confidence(value: Any) -> Confidence:
    known: tuple[Confidence, ...] = ("high", "medium", "low")
    for one in known:
        if value == one:
            return one
    raise ValueError(f"confidence is {str(value)[:40]!r}, not high, medium or low")
