"""`attempt SESSION ID`."""

from typing import Annotated, Literal

import typer

from orchestrator.cli.options import AttemptArgument, chosen, split_attempt


def command(
    context: typer.Context,
    words: AttemptArgument,
    format: Annotated[  # noqa: A002  (the option's name)
        Literal["table", "json"] | None, typer.Option("--format", help="How it is printed.")
    ] = None,
) -> None:
    """Show all about one attempt."""
    from orchestrator.cli.opening import look
    from orchestrator.cli.output import print_json, show
    from orchestrator.views.attempt_view import attempt_json, attempt_view, gather

    session, attempt = split_attempt("attempt", words)
    with look(session) as looked:
        node = looked.node(attempt)
        dossier = gather(node.attempt, looked.projection, looked.store.events())
    if chosen(context, format, "table") == "json":
        print_json(attempt_json(dossier))
    else:
        show(*attempt_view(dossier))
