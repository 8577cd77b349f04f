"""Parts of the lineage as tables: the path to an attempt, the frontier, two attempts compared."""

from collections.abc import Iterable
from typing import Any

from pydantic import JsonValue
from rich.table import Table

from bench.config import diff
from orchestrator.views import figures
from orchestrator.views.clean import one_line
from orchestrator.views.speeds import moment
from orchestrator.views.styles import node_style
from tools.record.lineage import Lineage, Node


def path_rows(lineage: Lineage, attempts: Iterable[str]) -> list[dict[str, Any]]:
    """Return one row per attempt with what it changed against the one before it."""
    rows: list[dict[str, Any]] = []
    before: Node | None = None
    for name in attempts:
        node = lineage.nodes[name]
        changed = diff(before.config, node.config) if before else {}
        rows.append(_row(node) | {"changes": changed})
        before = node
    return rows


def frontier_rows(lineage: Lineage, *, valid_only: bool = False) -> list[dict[str, Any]]:
    """Return one row per record, in the order they were measured; changes are to the baseline.

    `valid_only`: the records among what was ruled valid.
    """
    root = next((node for node in lineage.nodes.values() if node.is_baseline), None)
    return [
        _row(node) | {"changes": diff(root.config, node.config) if root else {}}
        for node in lineage.frontier(valid_only=valid_only)
    ]


def step_table(lineage: Lineage, rows: list[dict[str, Any]], *, title: str) -> Table:
    """Return `rows` as a table."""
    table = Table(title=title, title_justify="left", title_style="bold", box=None, pad_edge=False)
    for name in ("attempt", "agent"):
        table.add_column(name, no_wrap=True)
    if is_reported := lineage.reported_results > 0:
        table.add_column("posted, UTC", no_wrap=True)
        table.add_column("tokens/s [95 %]", justify="right", no_wrap=True)
    table.add_column("speed-up [95 %]", justify="right", no_wrap=True)
    table.add_column("perplexity", justify="right", no_wrap=True)
    table.add_column("verdict", no_wrap=True)
    table.add_column("changes", overflow="fold")
    for row in rows:
        node = lineage.nodes[row["attempt"]]
        table.add_row(
            node.attempt,
            one_line(node.agent, limit=24),
            *(_posted(node) if is_reported else ()),
            figures.speedup(node.speedup),
            figures.perplexity(node.perplexity),
            _verdict(node),
            _changes(node, row),
            style="" if node.counts else node_style(node),
        )
    return table


def diff_rows(old: Node, new: Node) -> list[dict[str, JsonValue]]:
    """Return `{path, old, new}` for every lever the two configs set differently."""
    forward, backward = diff(old.config, new.config), diff(new.config, old.config)
    return [
        {"path": path, "old": backward.get(path), "new": forward.get(path)}
        for path in sorted(forward.keys() | backward.keys())
    ]


def diff_table(old: Node, new: Node, *, title: str) -> Table:
    """Return two attempts side by side: levers first, then results."""
    table = Table(title=title, title_justify="left", title_style="bold", box=None, pad_edge=False)
    for name in ("", old.attempt, new.attempt):
        table.add_column(name, overflow="fold")
    for row in diff_rows(old, new):
        path = str(row["path"])
        table.add_row(path, *(_value(row, side) for side in ("old", "new")))
    table.add_section()
    table.add_row("speed-up", figures.speedup(old.speedup), figures.speedup(new.speedup))
    table.add_row(
        "perplexity", figures.perplexity(old.perplexity), figures.perplexity(new.perplexity)
    )
    table.add_row("verdict", _verdict(old), _verdict(new))
    return table


def _changes(node: Node, row: dict[str, Any]) -> str:
    if node.reported is not None:
        return one_line(node.direction)
    return figures.changes(row["changes"]) or ("baseline" if node.is_baseline else "none")


def _posted(node: Node) -> tuple[str, str]:
    interval = node.pace_interval
    if node.reported is None or interval is None:
        return figures.UNKNOWN, figures.UNKNOWN
    bounds = figures.bounds(interval.low, interval.high)
    return moment(node.reported.time), f"{figures.tokens(interval.estimate)} [{bounds}]"


def _verdict(node: Node) -> str:
    if node.verified is not None:
        return "verified"
    return node.verdict if node.state == "measured" or not node.counts else node.state


def _value(row: dict[str, JsonValue], side: str) -> str:
    return figures.changes({"": row[side]}).removeprefix("=")


def _row(node: Node) -> dict[str, Any]:
    speed = node.speedup
    return {
        "attempt": node.attempt,
        "agent": node.agent,
        "speedup": speed.estimate if speed else None,
        "speedup_low": speed.low if speed else None,
        "speedup_high": speed.high if speed else None,
        "perplexity": node.perplexity,
        "state": node.state,
        "verdict": node.verdict,
        "verified": node.verified is not None,
    } | _reported(node)


def _reported(node: Node) -> dict[str, Any]:
    one, interval = node.reported, node.pace_interval
    if one is None:
        return {}
    return {
        "time": one.time,
        "tokens_per_second": one.tokens_per_second,
        "ci_low": interval.low if interval else None,
        "ci_high": interval.high if interval else None,
        "source": one.source,
    }
