"""`invalidate [SESSION] ATTEMPT --reason CODE [--ingredient PATH=VALUE ...]`."""

from typing import Annotated

import typer

from orchestrator.cli.options import AttemptArgument, ByOption, NoteOption, split_attempt


def command(
    words: AttemptArgument,
    reason: Annotated[str, typer.Option(metavar="CODE", help="Why, e.g. fitted_to_public_text.")],
    ingredient: Annotated[
        list[str] | None,
        typer.Option(
            metavar="PATH=VALUE",
            help="What in its config must not be built on; several count together.",
            show_default=False,
        ),
    ] = None,
    note: NoteOption = "",
    by: ByOption = None,
) -> None:
    """Rule an attempt invalid, and ban what it is invalid for."""
    import asyncio

    from orchestrator.cli.output import show
    from orchestrator.rulings import invalidate
    from orchestrator.session_folder import find_session
    from orchestrator.views.ruling_view import followed_lines

    session, attempt = split_attempt("invalidate", words)
    folder = find_session(session)
    ruling = invalidate(
        folder, attempt, reason=reason, ingredient=ingredient or (), note=note, by=by
    )
    show(*followed_lines(asyncio.run(ruling), session=session))
