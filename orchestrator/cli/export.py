"""`export --reveal SESSION`."""

from typing import TYPE_CHECKING, Annotated, Any

import typer

if TYPE_CHECKING:
    from orchestrator.cli.opening import Looked


def command(
    session: Annotated[
        str, typer.Argument(metavar="SESSION", help="A folder, an id, or `latest`.")
    ],
    reveal: Annotated[
        bool,
        typer.Option("--reveal", help="Publish the private texts of a closed session, for good."),
    ] = False,
) -> None:
    """Publish what a session kept back, once it has ended."""
    from orchestrator.cli.opening import look
    from orchestrator.session_folder import find_session, locked
    from sandbox.errors import ConfigError

    if not reveal:
        raise ConfigError("export what?", hint="known are: --reveal")
    folder = find_session(session)
    with locked(folder), look(str(folder)) as looked:
        _reveal(looked)


def _reveal(looked: "Looked") -> None:
    from orchestrator.cli.output import console
    from orchestrator.private_pool import reveal as publish
    from orchestrator.settings import load_settings

    committed = _committed(looked)
    revealed = publish(
        looked.folder,
        session=looked.store.session,
        commitment=committed.commitment,
        settings=load_settings(),
    )
    say = console().print
    say(f"{revealed.texts} private texts and their salt are in {revealed.file}", soft_wrap=True)
    say(f"they hash to {revealed.commitment}, as the record committed to", soft_wrap=True)
    say("no session will use them again", soft_wrap=True)
    for name in revealed.sharing:
        say(f"session {name} used them too: nothing more can be verified in it", soft_wrap=True)


def _committed(looked: "Looked") -> Any:
    """Return the record's `pool_committed`, once the session has ended.

    Raises:
        ConfigError: `not_closed`, `nothing_committed`; whoever typed it sees it.
    """
    from sandbox.errors import ConfigError

    name = looked.store.session
    if looked.projection.stopped is None:
        raise ConfigError(
            f"session {name!r} has not ended: its private texts may still be needed",
            code="not_closed",
            hint=f"python -m orchestrator resume {name}, and let it end",
        )
    for event in looked.store.events():
        if event.kind == "pool_committed":
            return event.payload
    raise ConfigError(
        f"session {name!r} has no private texts: nothing was to be verified in it",
        code="nothing_committed",
    )
