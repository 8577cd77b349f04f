"""`doctor [SESSION]`."""

from typing import Annotated

import typer

from orchestrator.cli.options import FormatOption, chosen

SOMETHING_MISSING = 5


def command(
    context: typer.Context,
    session: Annotated[
        str | None, typer.Argument(help="A session whose record is checked instead.")
    ] = None,
    challenge: Annotated[str, typer.Option(help="Whose model is looked for.")] = "gemma-270m-cpu",
    format: FormatOption = None,  # noqa: A002  (the option's name)
) -> None:
    """Say what is missing and what to type.

    With SESSION: check that session's record instead.
    """
    wanted = chosen(context, format, "table")
    if session is None:
        _machine(challenge, wanted)
    else:
        _session(session, wanted)


def _machine(challenge: str, wanted: str) -> None:
    from bench.challenge_files import load_challenge
    from orchestrator.cli.output import print_csv, print_json, show
    from orchestrator.doctor import Finding, examine
    from orchestrator.settings import load_settings
    from orchestrator.views.checks import finding_view

    rules = load_challenge(challenge).challenge
    findings = examine(rules, cache_folder=load_settings().cache_folder)
    rows = [one._asdict() for one in findings]
    if wanted == "json":
        print_json({"findings": rows})
    elif wanted == "csv":
        print_csv(rows, columns=Finding._fields)
    else:
        show(*finding_view(findings))
    if any(one.ok is False for one in findings):
        raise typer.Exit(SOMETHING_MISSING)


def _session(session: str, wanted: str) -> None:
    from orchestrator.cli.replay import check_folder
    from orchestrator.session_folder import find_session

    check_folder(find_session(session), wanted)
