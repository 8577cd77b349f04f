"""`lineage [SESSION] [tree|path A|frontier|diff A B]`."""

import sys
from typing import TYPE_CHECKING, Annotated, Any

import typer

from orchestrator.cli.options import LineageFormat, Order, chosen, expect, order

if TYPE_CHECKING:
    from rich.table import Table

    from orchestrator.cli.opening import Looked

ACTIONS = ("tree", "path", "frontier", "diff")


def command(
    context: typer.Context,
    words: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="SESSION|ACTION",
            help="A session (or the latest), then tree, path A, frontier, or diff A B.",
            show_default=False,
        ),
    ] = None,
    format: Annotated[  # noqa: A002  (the option's name)
        LineageFormat | None, typer.Option("--format", help="text; dot and svg for the tree only.")
    ] = None,
    verified: Annotated[
        bool, typer.Option("--verified", help="frontier: only what was ruled valid.")
    ] = False,
) -> None:
    """Show the attempts as a tree, or parts of it.

    tree: all of them. path A: from the baseline to A. frontier: the records over time.
    diff A B: two compared, the code they bring along as unified diffs.
    """
    from orchestrator.cli.opening import look

    given = order(words, actions=ACTIONS)
    wanted: LineageFormat = chosen(context, format, "text")
    with look(given.session) as looked:
        if given.action == "tree":
            expect(given)
            _tree(looked, wanted)
        elif given.action == "diff":
            _diff(looked, given, wanted)
        else:
            _steps(looked, given, wanted, valid_only=verified)


def _tree(looked: "Looked", wanted: LineageFormat) -> None:
    from orchestrator.cli.output import print_csv, print_json, show
    from orchestrator.views.lineage_rows import lineage_csv_rows, lineage_dot, lineage_json
    from orchestrator.views.lineage_svg import lineage_svg
    from orchestrator.views.lineage_tree import lineage_tree
    from orchestrator.views.speeds import session_label

    lineage, simulated = looked.projection.lineage, looked.projection.simulated
    title = f"Lineage of {looked.store.session} ({looked.challenge})"
    match wanted:
        case "json":
            print_json(lineage_json(lineage))
        case "csv":
            rows = list(lineage_csv_rows(lineage))
            print_csv(rows, columns=rows[0] if rows else ("attempt",))
        case "dot":
            sys.stdout.write(lineage_dot(lineage, title=title + " [simulated]" * simulated))
        case "svg":
            sys.stdout.write(lineage_svg(lineage, title=title, simulated=simulated))
        case _:
            label = session_label(lineage)
            show(*([label] if label else []), *lineage_tree(lineage))


def _steps(
    looked: "Looked", given: Order, wanted: LineageFormat, *, valid_only: bool = False
) -> None:
    from orchestrator.views.lineage_lines import frontier_rows, path_rows, step_table
    from orchestrator.views.speeds import session_label

    lineage = looked.projection.lineage
    if given.action == "frontier":
        expect(given)
        rows = frontier_rows(lineage, valid_only=valid_only)
        title = "verified records" if valid_only else "records"
        title += ", in the order they were measured"
    else:
        (attempt,) = expect(given, "ATTEMPT")
        rows = path_rows(lineage, lineage.path(looked.node(attempt).attempt))
        title = f"from the baseline to {attempt}"
    if label := session_label(lineage, simulated="[simulated]"):
        title += f" {label}"
    _print(looked, wanted, rows=rows, table=step_table(lineage, rows, title=title))


def _diff(looked: "Looked", given: Order, wanted: LineageFormat) -> None:
    from orchestrator.cli.output import print_json, show
    from orchestrator.views.code_diff import code_diff, file_rows
    from orchestrator.views.lineage_lines import diff_rows, diff_table
    from tools.record.blobs import FILE, Blobs

    old, new = (looked.node(attempt) for attempt in expect(given, "A", "B"))
    title = f"{old.attempt} to {new.attempt}" + " [simulated]" * looked.projection.simulated
    code = code_diff(old, new, Blobs(looked.folder / FILE))
    if code and wanted == "json":
        simulated, rows = looked.projection.simulated, diff_rows(old, new)
        files = {"files": file_rows(old, new), "diff": code}
        print_json({"simulated": simulated, "rows": rows} | files)
        return
    _print(looked, wanted, rows=diff_rows(old, new), table=diff_table(old, new, title=title))
    if code and wanted == "text":
        show("", code)


def _print(
    looked: "Looked", wanted: LineageFormat, *, rows: list[dict[str, Any]], table: "Table"
) -> None:
    from orchestrator.cli.output import print_csv, print_json, show
    from sandbox.errors import ConfigError

    match wanted:
        case "json":
            reported = looked.projection.lineage.reported_results > 0
            print_json(
                {"simulated": looked.projection.simulated, "reported": reported, "rows": rows}
            )
        case "csv":
            print_csv(rows, columns=rows[0] if rows else ())
        case "dot" | "svg":
            raise ConfigError(
                f"--format {wanted} is a picture of the whole tree",
                hint=f"write: lineage SESSION tree --format {wanted}",
            )
        case _:
            show(table)
