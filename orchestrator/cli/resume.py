"""`resume SESSION`: go on after a stop or a kill."""

from typing import Annotated

import typer

from orchestrator.cli.options import LATEST, SessionArgument


def command(
    session: SessionArgument = LATEST,
    attempts: Annotated[
        int | None, typer.Option(min=1, help="New limit, in total.", show_default="as before")
    ] = None,
    minutes: Annotated[
        float | None,
        typer.Option(help="How long from now.", show_default="what was left, else the same"),
    ] = None,
    budget_usd: Annotated[
        float | None, typer.Option(help="New limit, in total.", show_default="as before")
    ] = None,
) -> None:
    """Go on after a stop or a kill."""
    from orchestrator.cli.opening import look
    from orchestrator.cli.riding import watched
    from orchestrator.session import resume_session

    with look(session) as looked:
        folder, told = looked.folder, looked.projection.seq
    watched(
        lambda on_event, parts: resume_session(
            folder,
            minutes=minutes,
            attempts=attempts,
            budget_usd=budget_usd,
            on_event=on_event,
            parts=parts,
        ),
        after=told,
    )
