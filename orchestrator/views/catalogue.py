"""A plain table of what can be plugged in: personas, challenges."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from rich.table import Table

from orchestrator.views.clean import one_line


def catalogue(rows: Sequence[Mapping[str, Any]], *, columns: Sequence[str]) -> Table:
    """Return `rows` as a table; the last column may wrap, the others stay whole."""
    table = Table(box=None, pad_edge=False)
    for name in columns[:-1]:
        table.add_column(name, no_wrap=True)
    table.add_column(columns[-1], overflow="fold")
    for row in rows:
        table.add_row(*(one_line(str(row[name])) for name in columns))
    return table


def settings_table(data: Mapping[str, Any]) -> Table:
    """Return nested settings as `path  value` lines."""
    table = Table(box=None, show_header=False, pad_edge=False)
    table.add_column(no_wrap=True, style="dim")
    table.add_column(overflow="fold")
    for path, value in _flat(data):
        table.add_row(path, one_line(str(value)))
    return table


def _flat(data: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, Any]]:
    for name, value in data.items():
        if isinstance(value, Mapping):
            yield from _flat(value, f"{prefix}{name}.")
        else:
            yield f"{prefix}{name}", value
