"""`verify SESSION [ATTEMPT]` and `verify --receipt FILE [--trust KEY]`."""

from pathlib import Path
from typing import Annotated, Literal

import typer

from orchestrator.cli.options import LATEST, chosen


def command(
    context: typer.Context,
    words: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="[SESSION] [ATTEMPT]",
            help="A session (or the latest), and one attempt of it; else all that are due.",
        ),
    ] = None,
    receipt: Annotated[
        Path | None, typer.Option(help="Check this receipt instead; nothing else is needed.")
    ] = None,
    trust: Annotated[
        list[str] | None,
        typer.Option(metavar="KEY", help="With --receipt: a public key that counts as well."),
    ] = None,
    format: Annotated[  # noqa: A002  (the option's name)
        Literal["table", "json"] | None, typer.Option("--format", help="How it is printed.")
    ] = None,
) -> None:
    """Verify attempts on private texts, or check a receipt offline."""
    from sandbox.errors import ConfigError

    if receipt is not None and words:
        raise ConfigError("verify takes a session or --receipt, not both")
    if receipt is None and trust:
        raise ConfigError("--trust belongs to --receipt")
    if receipt is not None:
        _check(receipt, trust or [], chosen(context, format, "table"))
    else:
        _verify(words or [])


def _verify(words: list[str]) -> None:
    """Run the verifications that are due, or that of one attempt, with live progress."""
    import asyncio

    from orchestrator.cli.opening import look
    from orchestrator.cli.output import console, show
    from orchestrator.organiser import verify_session
    from orchestrator.progress import progress_on
    from orchestrator.views.receipt_view import verified_view

    session, attempt = _split(words)
    with look(session) as looked:
        folder, told = looked.folder, looked.projection.seq
        attempt = attempt and looked.node(attempt).attempt
    with progress_on(console()) as progress:
        asyncio.run(verify_session(folder, attempt=attempt, on_event=progress.on_event))
    with look(str(folder)) as looked:
        show(*verified_view(event for event in looked.store.events() if event.seq > told))


def _split(words: list[str]) -> tuple[str, str | None]:
    from sandbox.errors import ConfigError

    match words:
        case []:
            return LATEST, None
        case [session]:
            return session, None
        case [session, attempt]:
            return session, attempt
    raise ConfigError(f"verify takes [SESSION] [ATTEMPT], but got {' '.join(words)!r}")


def _check(file: Path, extra: list[str], wanted: str) -> None:
    from orchestrator.cli.output import print_json, show
    from orchestrator.keys import known_key
    from orchestrator.receipts import check, trusted_keys
    from orchestrator.settings import load_settings
    from orchestrator.views.receipt_view import receipt_view
    from sandbox.errors import ReceiptError

    try:
        data = file.read_bytes()
    except OSError as error:
        raise ReceiptError(f"receipt {str(file)!r}: {error.strerror}") from None
    own = known_key(load_settings().private_folder)
    trusted = trusted_keys(own.public_hex if own else None, extra)
    receipt = check(data, trusted=trusted)
    signed_by = trusted[receipt.public_key]
    if wanted == "json":
        print_json({"signed_by": signed_by, "receipt": receipt.model_dump(mode="json")})
    else:
        show(*receipt_view(receipt, signed_by=signed_by))
