"""`attempt SESSION ID`."""

from typing import Annotated, Literal

import typer

from orchestrator.cli.options import LATEST, chosen


def command(
    context: typer.Context,
    words: Annotated[
        list[str],
        typer.Argument(
            metavar="SESSION|ATTEMPT", help="A session (or the latest), then an attempt."
        ),
    ],
    format: Annotated[  # noqa: A002  (the option's name)
        Literal["table", "json"] | None, typer.Option("--format", help="How it is printed.")
    ] = None,
) -> None:
    """Show all about one attempt."""
    from orchestrator.cli.opening import look
    from orchestrator.cli.output import print_json, show
    from orchestrator.views.attempt_view import attempt_json, attempt_view, gather

    session, attempt = _split(words)
    with look(session) as looked:
        projection = looked.projection
        node = looked.node(attempt)
        dossier = gather(
            node.attempt, projection.lineage, projection.board.messages, looked.store.events()
        )
    if chosen(context, format, "table") == "json":
        print_json(attempt_json(dossier))
    else:
        show(*attempt_view(dossier))


def _split(words: list[str]) -> tuple[str, str]:
    from sandbox.errors import ConfigError

    match words:
        case [attempt]:
            return LATEST, attempt
        case [session, attempt]:
            return session, attempt
    raise ConfigError(f"attempt takes [SESSION] ATTEMPT, but got {' '.join(words)!r}")
