"""`export SESSION --traces`, `export SESSION --reveal` and `export bucket SESSION WHERE`."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

from orchestrator.cli.options import FormatOption, chosen

if TYPE_CHECKING:
    from orchestrator.bucket_session import Mirrored
    from orchestrator.cli.opening import Looked
    from orchestrator.traces.writing import Written

TRACES_FOLDER = "traces"
COLUMNS = ("agent", "steps", "calls", "input_tokens", "output_tokens", "usd", "bytes", "file")
BUCKET = "bucket"


def command(
    context: typer.Context,
    words: Annotated[
        list[str],
        typer.Argument(
            metavar="SESSION|bucket SESSION WHERE",
            help="A session; or its board into a bucket: hf://buckets/ORG/NAME, or a folder.",
        ),
    ],
    reveal: Annotated[
        bool,
        typer.Option("--reveal", help="Publish the private texts of a closed session, for good."),
    ] = False,
    traces: Annotated[
        bool, typer.Option("--traces", help="Write the transcript of each agent to a file.")
    ] = False,
    follow: Annotated[
        bool,
        typer.Option(
            "--follow", help="bucket: both ways, with what outside agents post, while it rides."
        ),
    ] = False,
    kind: Annotated[
        Literal["session-trace", "atif"],
        typer.Option(help="traces: JSONL as the Hub shows it, or ATIF v1.7."),
    ] = "session-trace",
    tier: Annotated[
        Literal["off", "stats", "full"],
        typer.Option(help="traces: nothing, figures without a word, or texts without secrets."),
    ] = "full",
    agents: Annotated[
        str | None,
        typer.Option(metavar="A,B", help="traces: of whom.", show_default="everybody"),
    ] = None,
    out: Annotated[
        Path | None,
        typer.Option(
            help="traces: folder to write to.", show_default="`traces` in the session's folder"
        ),
    ] = None,
    format: FormatOption = None,  # noqa: A002  (the option's name)
) -> None:
    """Hand out what is in a session: its board, transcripts, or what was kept back to the end."""
    from orchestrator.cli.opening import look
    from orchestrator.session_folder import find_session, locked

    wanted = chosen(context, format, "table")
    if words[0] == BUCKET:
        session, where = _bucket_words(words, has_others=reveal or traces)
        _mirror(find_session(session), where, follow=follow, wanted=wanted)
        return
    folder = find_session(_session_word(words, exactly_one=reveal != traces, follow=follow))
    if traces:
        names = tuple(filter(None, (agents or "").split(",")))
        written = _write(folder, out or folder / TRACES_FOLDER, names, kind=kind, tier=tier)
        _say_written(written, kind=kind, tier=tier, wanted=wanted)
        return
    with locked(folder), look(str(folder)) as looked:
        _reveal(looked)


def _bucket_words(words: list[str], *, has_others: bool) -> tuple[str, str]:
    from sandbox.errors import ConfigError

    if len(words) != 3 or has_others:  # noqa: PLR2004 - bucket, a session, a place
        raise ConfigError(
            f"export bucket takes SESSION WHERE, but got {' '.join(words[1:]) or 'nothing'!r}",
            hint="write: export bucket latest hf://buckets/ORG/NAME, or a folder",
        )
    return words[1], words[2]


def _session_word(words: list[str], *, exactly_one: bool, follow: bool) -> str:
    from sandbox.errors import ConfigError

    if not exactly_one:
        raise ConfigError(
            "export what? one thing at a time",
            hint="known are: --reveal, --traces, and: export bucket SESSION WHERE",
        )
    if len(words) != 1 or follow:
        raise ConfigError(
            f"export takes one SESSION, but got {' '.join(words)!r}"
            if len(words) != 1
            else "--follow belongs to: export bucket SESSION WHERE"
        )
    return words[0]


def _mirror(folder: Path, where: str, *, follow: bool, wanted: str) -> None:
    import asyncio

    from orchestrator.bucket_place import opened_place
    from orchestrator.bucket_session import mirror
    from orchestrator.cli.output import print_csv, print_json, show
    from orchestrator.settings import load_settings
    from orchestrator.views.bucket_view import mirrored_data, mirrored_view

    settings = load_settings()

    async def through() -> "Mirrored":
        async with opened_place(where, settings) as place:
            return await mirror(
                folder, place, settings=settings, follow=follow, takes_in=follow, tell=_tell
            )

    done = asyncio.run(through())
    if wanted == "json":
        print_json(mirrored_data(done))
    elif wanted == "csv":
        print_csv([mirrored_data(done)], columns=tuple(mirrored_data(done)))
    else:
        show(*mirrored_view(done))


def _tell(line: str) -> None:
    import sys

    from orchestrator.views.clean import one_line

    print(one_line(line), file=sys.stderr)


def _write(
    folder: Path,
    out: Path,
    agents: tuple[str, ...],
    *,
    kind: Literal["session-trace", "atif"],
    tier: Literal["off", "stats", "full"],
) -> "list[Written]":
    from orchestrator.cli.waiting import Waiting
    from orchestrator.known_secrets import machine_redactor
    from orchestrator.session_folder import RECORD
    from orchestrator.settings import load_settings
    from orchestrator.traces.from_record import Transcripts
    from orchestrator.traces.writing import write_all
    from tools.record.blobs import FILE, Blobs
    from tools.record.sqlite_store import SqliteStore

    redact = machine_redactor(load_settings())
    store = SqliteStore.open_read_only(folder / RECORD)
    try:
        transcripts = Transcripts.of(
            store.events(),
            session=store.session,
            blobs=Blobs(folder / FILE),
            tell=Waiting("events read"),
        )
    finally:
        store.close_reader()
    return write_all(
        transcripts,
        agents or tuple(transcripts.agents),
        kind=kind,
        tier=tier,
        folder=out,
        redact=redact,
        tell=Waiting("transcripts written"),
    )


def _say_written(written: "list[Written]", *, kind: str, tier: str, wanted: str) -> None:
    from orchestrator.cli.output import print_csv, print_json, show
    from orchestrator.views.trace_view import written_rows, written_view

    rows = written_rows(written)
    if wanted == "json":
        print_json({"kind": kind, "tier": tier, "traces": rows})
    elif wanted == "csv":
        print_csv(rows, columns=COLUMNS)
    else:
        show(*written_view(written, tier=tier))


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
