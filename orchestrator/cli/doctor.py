"""`doctor [SESSION]`."""

from typing import TYPE_CHECKING, Annotated

import typer

from orchestrator.cli.options import FormatOption, chosen

if TYPE_CHECKING:
    from bench.challenge import Challenge
    from orchestrator.doctor import Finding
    from orchestrator.settings import Settings

SOMETHING_MISSING = 5


def command(
    context: typer.Context,
    session: Annotated[
        str | None, typer.Argument(help="A session whose record is checked instead.")
    ] = None,
    challenge: Annotated[str, typer.Option(help="Whose model is looked for.")] = "gemma-270m-cpu",
    fix: Annotated[
        bool,
        typer.Option("--fix", help="Cancel rented jobs that nobody waits for; then look again."),
    ] = False,
    format: FormatOption = None,  # noqa: A002  (the option's name)
) -> None:
    """Say what is missing and what to type.

    With SESSION: check that session's record instead.
    """
    wanted = chosen(context, format, "table")
    if session is None:
        _machine(challenge, wanted, fixes=fix)
    else:
        _session(session, wanted)


def _machine(challenge: str, wanted: str, *, fixes: bool) -> None:
    from bench.challenge_files import load_challenge
    from orchestrator.cli.output import print_csv, print_json, show
    from orchestrator.doctor import Finding, examine
    from orchestrator.settings import load_settings
    from orchestrator.views.checks import finding_view

    rules, settings = load_challenge(challenge).challenge, load_settings()
    findings = examine(rules, cache_folder=settings.cache_folder)
    findings += _hub(rules, settings, fixes=fixes)
    rows = [one._asdict() for one in findings]
    if wanted == "json":
        print_json({"findings": rows})
    elif wanted == "csv":
        print_csv(rows, columns=Finding._fields)
    else:
        show(*finding_view(findings))
    if any(one.ok is False for one in findings):
        raise typer.Exit(SOMETHING_MISSING)


def _hub(rules: "Challenge", settings: "Settings", *, fixes: bool) -> "list[Finding]":
    """Look at the account of the Hub, where there is a token."""
    import asyncio

    from orchestrator.doctor_hub import examine_hub, reap

    async def look() -> "list[Finding]":
        reaped = await reap(settings.sessions_folder) if fixes else []
        return [*reaped, *await examine_hub(settings, rules)]

    return asyncio.run(look())


def _session(session: str, wanted: str) -> None:
    from orchestrator.cli.replay import check_folder
    from orchestrator.session_folder import find_session

    check_folder(find_session(session), wanted)
