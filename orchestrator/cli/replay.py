"""`replay [SESSION] [--speed X] [--until SEQ] [--check]`."""

import time
from typing import TYPE_CHECKING, Annotated

import typer

from orchestrator.cli.options import LATEST, FormatOption, SessionArgument, chosen

if TYPE_CHECKING:
    from pathlib import Path

    from orchestrator.replay import CheckReport

CHECK_FAILED = 3


def command(
    context: typer.Context,
    session: SessionArgument = LATEST,
    speed: Annotated[
        float, typer.Option(min=0.0, help="Record seconds per second; 0 = do not wait.")
    ] = 0.0,
    until: Annotated[
        int | None, typer.Option(min=1, help="Stop after the event with this number.")
    ] = None,
    check: Annotated[
        bool, typer.Option("--check", help="Refold and check the record instead of telling it.")
    ] = False,
    format: FormatOption = None,  # noqa: A002  (the option's name)
) -> None:
    """Tell a session again, or check its record."""
    from orchestrator.session_folder import find_session

    folder = find_session(session)
    if check:
        check_folder(folder, chosen(context, format, "table"))
    else:
        _tell(folder, speed=speed, until=until)


def check_folder(folder: "Path", wanted: str) -> None:
    """Print the checks of a session; ends with exit code 3 when one fails."""
    from orchestrator.replay import inspect_record

    report = inspect_record(folder)
    print_report(report, wanted)
    if not report.is_sound:
        raise typer.Exit(CHECK_FAILED)


def print_report(report: "CheckReport", wanted: str) -> None:
    """Print a check as JSON, CSV or a table."""
    from orchestrator.cli.output import print_csv, print_json, show
    from orchestrator.views.checks import check_view

    data = report.as_json()
    if wanted == "json":
        print_json(data)
    elif wanted == "csv":
        print_csv(data["invariants"], columns=("name", "ok", "detail"))
    else:
        show(*check_view(report))


def _tell(folder: "Path", *, speed: float, until: int | None) -> None:
    from rich.text import Text

    from orchestrator.cli.output import console
    from orchestrator.replay import Told, tell_session, told_line
    from orchestrator.session_folder import RECORD
    from tools.record.sqlite_store import SqliteStore

    printer = console()
    store = SqliteStore.open_read_only(folder / RECORD)

    def say(told: Told) -> None:
        printer.print(Text(told_line(told), style=told.sentence.style), soft_wrap=True)

    try:
        tell_session(store.events(), say=say, sleep=time.sleep, speed=speed, until=until)
    finally:
        store.close_reader()
