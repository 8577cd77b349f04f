"""`challenges [list|show NAME|check FILE]`."""

from typing import Annotated

import typer

from orchestrator.cli.options import FormatOption, action, chosen, expect

ACTIONS = ("list", "show", "check")
COLUMNS = ("name", "engine", "title")


def command(
    context: typer.Context,
    words: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="ACTION",
            help="list, show NAME, or check FILE.",
            show_default=False,
        ),
    ] = None,
    format: FormatOption = None,  # noqa: A002  (the option's name)
) -> None:
    """List, show or check challenges."""
    given = action(words, actions=ACTIONS)
    wanted = chosen(context, format, "table")
    match given.action:
        case "list":
            expect(given)
            _list(wanted)
        case "show":
            _show(*expect(given, "NAME"), wanted=wanted)
        case _:
            _check(*expect(given, "FILE"))


def _list(wanted: str) -> None:
    from bench.challenge_files import list_challenges, load_challenge
    from orchestrator.cli.output import print_csv, print_json, show
    from orchestrator.views.catalogue import catalogue

    loaded = [load_challenge(name).challenge for name in list_challenges()]
    rows = [one.model_dump(mode="json", include=set(COLUMNS)) for one in loaded]
    if wanted == "json":
        print_json(rows)
    elif wanted == "csv":
        print_csv(rows, columns=COLUMNS)
    else:
        show(catalogue(rows, columns=COLUMNS))


def _show(name: str, *, wanted: str) -> None:
    from bench.challenge_files import load_challenge
    from orchestrator.cli.output import print_json, show
    from orchestrator.views.catalogue import settings_table

    data = load_challenge(name).challenge.model_dump(mode="json")
    if wanted == "json":
        print_json(data)
    else:
        show(settings_table(data))


def _check(file: str) -> None:
    from bench.challenge_files import load_challenge
    from orchestrator.cli.output import show

    loaded = load_challenge(file)
    show(f"{file}: ok, challenge {loaded.challenge.name!r} can be ridden")
