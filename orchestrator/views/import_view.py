"""What an import came to: how much of each kind, which edges, and what could not be taken."""

from collections.abc import Iterator
from typing import Any

from rich.text import Text

from orchestrator.imports.importing import Imported
from orchestrator.views import figures
from orchestrator.views.clean import one_line

PROBLEM_COLUMNS = ("file", "reason", "imported")
MOST_PROBLEMS = 200
"""Told one by one; the rest is counted. All of them are in the JSON and CSV output."""

_KINDS = {
    "agent_joined": "agent",
    "attempt_proposed": "attempt",
    "message_posted": "message",
    "verdict_given": "verdict",
}


def import_data(done: Imported) -> dict[str, Any]:
    """Return the import as data."""
    return {
        "session": str(done.folder),
        "new_events": sum(done.events.values()),
        "new": done.events,
        "known_already": done.known,
        "edges": done.edges,
        "not_imported": done.lost,
        "kept_unreadable": done.kept,
        "problems": problem_rows(done),
        "not_read": done.not_read,
    }


def problem_rows(done: Imported) -> list[dict[str, Any]]:
    """Return one row per problem."""
    return [
        {
            "file": one_line(one.file),
            "reason": one_line(one.reason),
            "imported": one.raw is None,
        }
        for one in done.problems
    ]


def import_lines(done: Imported) -> Iterator[Text]:
    """Yield the summary for people."""
    folder = one_line(str(done.folder))
    new = sum(done.events.values())
    if new:
        kinds = (
            figures.count(done.events[kind], word)
            for kind, word in _KINDS.items()
            if done.events.get(kind)
        )
        yield Text(f"{folder}: {figures.count(new, 'new event')}: {', '.join(kinds)}", style="bold")
    else:
        yield Text(f"{folder}: nothing new, nothing changed", style="bold")
    if done.known:
        yield Text(f"{figures.count(done.known, 'event was', 'events were')} there already")
    if done.edges:
        told = ", ".join(f"{number} {one_line(why)}" for why, number in done.edges.items())
        yield Text(f"{figures.count(sum(done.edges.values()), 'edge')}: {told}")
    if done.not_read:
        names = one_line(", ".join(sorted(done.not_read)), limit=200)
        yield Text(f"not read, as nothing of it belongs in a record: {names}")
    if done.problems:
        yield Text(
            f"{figures.count(len(done.problems), 'problem')}, of which {done.lost} could not be "
            f"imported; {done.kept} newly kept in {folder}/unreadable"
        )
    yield Text(f"next: python -m orchestrator lineage {folder} frontier")


def problem_lines(done: Imported) -> Iterator[str]:
    """Yield one line per problem, for standard error."""
    for one in done.problems[:MOST_PROBLEMS]:
        what = "imported, but" if one.raw is None else "not imported:"
        yield f"{one_line(one.file, limit=120)}: {what} {one_line(one.reason, limit=300)}"
    if len(done.problems) > MOST_PROBLEMS:
        yield f"and {len(done.problems) - MOST_PROBLEMS} more; --format csv lists all"
