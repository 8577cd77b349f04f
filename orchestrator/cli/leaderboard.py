"""`leaderboard [SESSION]`."""

from typing import Annotated

import typer

from orchestrator.cli.options import LATEST, FormatOption, SessionArgument, chosen


def command(
    context: typer.Context,
    session: SessionArgument = LATEST,
    most: Annotated[
        int | None, typer.Option("--most", min=1, help="Rows shown.", show_default="all")
    ] = None,
    format: FormatOption = None,  # noqa: A002  (the option's name)
) -> None:
    """Rank the attempts, with intervals and ties."""
    from orchestrator.cli.opening import look
    from orchestrator.cli.output import console, print_csv, print_json, show
    from orchestrator.views.leaderboard_table import NARROW, leaderboard_csv_rows, leaderboard_view
    from tools.record.leaderboard import Row

    with look(session) as looked:
        board = looked.leaderboard()
    match chosen(context, format, "table"):
        case "json":
            print_json(board.model_dump(mode="json"))
        case "csv":
            print_csv(leaderboard_csv_rows(board), columns=Row.model_fields)
        case _:
            show(*leaderboard_view(board, most=most, narrow=console().width < NARROW))
