"""The simulated frontier of Gemma 4 E4B beside the real one: tables of docs/simulation.md.

    python -m tests.performance.bench_simulated_frontier [SESSION...]

Without a session the model against real rows; with some, when each passed the real milestones.
Every number of a session is simulated. A milestone counts where a measured attempt that the
guardrail lets pass reaches it; hours are the virtual ones of all jobs so far, one after another.
"""

import argparse
import json
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

from bench import e4b_model
from bench.engines.simulated_e4b import COLD_START_SECONDS
from tests.bench.e4b_rows import CHRONOLOGY, OTHERS
from tools.record.events import AttemptProposed, Event, JobEnded
from tools.record.projection import Projection
from tools.record.sqlite_store import SqliteStore

REAL: Sequence[tuple[str, float, float]] = (
    ("int4 body", 95.4, 0.0),
    ("int4 head", 118.3, 2.8),
    ("all int4", 127.0, 7.5),
    ("drafter", 247.2, 27.1),
    ("K = 7", 275.4, 28.1),
    ("matched drafter", 288.0, 29.7),
    ("loop graph", 297.5, 33.4),
    ("slim sampler", 308.1, 42.2),
    ("one graph", 315.1, 49.2),
    ("head 16k", 332.3, 54.3),
    ("five layers", 365.0, 69.0),
    ("tuned drafter", 377.3, 70.8),
    ("front end", 418.8, 76.8),
    ("12k, FA2", 421.1, 103.2),
    ("layer-29 skip", 459.2, 115.0),
    ("split-KV", 481.5, 128.5),
    ("block 64", 489.6, 136.8),
    ("window 192", 504.9, 269.1),
)
"""Milestone, tokens/s, hours after the first int4 result (8 June 2026, 14:21 UTC)."""


REACHED = 0.985
"""Share of a milestone that counts as reaching it: the model's own error."""


class Passed(NamedTuple):
    """Where a session stood when it first reached a speed."""

    tokens_per_second: float
    attempts: int
    hours: float


def frontier(folder: Path) -> list[Passed]:
    """Return the running best of a session's record, in the order it was measured."""
    store = SqliteStore.open_read_only(folder / "record.db")
    try:
        known = Projection()
        events = list(store.events())
        for event in events:
            known.apply(event)
    finally:
        store.close_reader()
    return list(_steps(events, known))


def _steps(events: Sequence[Event], known: Projection) -> Iterator[Passed]:
    best, proposed, spent = 0.0, 0, 0.0
    for event in events:
        payload = event.payload
        if isinstance(payload, AttemptProposed):
            proposed += payload.attempt != "a0000"
        if not isinstance(payload, JobEnded):
            continue
        measured = payload.outcome.measurement
        fresh = payload.outcome.fresh
        found = measured or fresh
        spent += found.durations.total_seconds if found else COLD_START_SECONDS
        node = known.lineage.nodes[payload.attempt]
        if measured and node.counts and measured.tokens_per_second > best:
            best = measured.tokens_per_second
            yield Passed(best, proposed, spent / 3600)


def calibration() -> list[str]:
    """Return the table of the model against real rows."""
    lines = [
        "| row | real tokens/s | model | off | real perplexity | model | its drift | used |",
        "|---|---|---|---|---|---|---|---|",
    ]
    for row in (*CHRONOLOGY, *OTHERS):
        found = e4b_model.tokens_per_second(row.config)
        use = "to fit" if row.fitted else "as a check"
        off = found / row.tokens_per_second - 1
        lines.append(
            f"| {row.name} | {row.tokens_per_second:g} | {found:.1f} | {off:+.1%}"
            f" | {row.perplexity or 'not stored'} | {e4b_model.perplexity(row.config):.3f}"
            f" | {e4b_model.drift_of(row.config):.1%} | {use} |"
        )
    return lines


def milestones(folders: Sequence[Path]) -> list[str]:
    """Return the table of when each session passed each real milestone."""
    walked = [frontier(folder) for folder in folders]
    names = " | ".join(f"{folder.name}: attempt, hour" for folder in folders)
    lines = [f"| milestone | tokens/s | real, hour | {names} |", "|---" * (3 + len(folders)) + "|"]
    for name, speed, hour in REAL:
        first = [
            next((one for one in steps if one.tokens_per_second >= REACHED * speed), None)
            for steps in walked
        ]
        cells = " | ".join(f"{one.attempts}, {one.hours:.1f}" if one else "-" for one in first)
        lines.append(f"| {name} | {speed:g} | {hour:.1f} | {cells} |")
    best = " | ".join(f"{steps[-1].tokens_per_second:.1f}" for steps in walked)
    return [*lines, f"| best | | | {best} |"]


def main(arguments: Sequence[str]) -> None:
    """Print the tables, and last one line of JSON."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("sessions", nargs="*", type=Path)
    folders = parser.parse_args(arguments).sessions
    print("\n".join(milestones(folders) if folders else calibration()))
    worst = max(
        abs(e4b_model.tokens_per_second(row.config) / row.tokens_per_second - 1)
        for row in (*CHRONOLOGY, *OTHERS)
    )
    best = {folder.name: frontier(folder)[-1].tokens_per_second for folder in folders}
    print(json.dumps({"simulated": True, "worst_off": round(worst, 4), "best": best}))


if __name__ == "__main__":
    main(sys.argv[1:])
