"""Where the product goes: stdout, as a table for people, or as JSON or CSV for scripts."""

import csv
import json
import sys
from collections.abc import Iterable, Mapping
from typing import Any

from rich.console import Console, RenderableType
from rich.text import Text

from orchestrator.views.clean import one_line

WIDTH_WITHOUT_TERMINAL = 140
"""Files and pipes get whole lines, the same on every machine."""


def console() -> Console:
    """Return a console on stdout that takes every text literally: no markup, no emoji codes."""
    width = None if sys.stdout.isatty() else WIDTH_WITHOUT_TERMINAL
    return Console(width=width, markup=False, emoji=False, highlight=False)


def show(*parts: RenderableType) -> None:
    """Print renderables, one after the other."""
    printer = console()
    if printer.is_terminal:
        for part in parts:
            printer.print(part)
        return
    with printer.capture() as captured:  # tables pad their last column; files need no padding
        for part in parts:
            printer.print(part, soft_wrap=isinstance(part, str | Text))
    for line in captured.get().splitlines():
        print(line.rstrip())


def print_json(data: Any) -> None:
    """Print one JSON document. Control characters are escaped by the format itself."""
    json.dump(data, sys.stdout, indent=2, ensure_ascii=True, allow_nan=False)
    print()


def print_csv(rows: Iterable[Mapping[str, Any]], *, columns: Iterable[str]) -> None:
    """Print rows under a header line; lists are joined by spaces, unknown is empty."""
    writer = csv.writer(sys.stdout, lineterminator="\n")
    names = list(columns)
    writer.writerow(names)
    for row in rows:
        writer.writerow([_cell(row.get(name)) for name in names])


def _cell(value: Any) -> str:
    match value:
        case None:
            return ""
        case list() | tuple():
            return " ".join(map(_cell, value))
        case float():
            return repr(value)
        case _:
            return one_line(str(value))
