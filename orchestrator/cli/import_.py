"""`import trace FILE`, `import bucket DIR|hf://...`, `import rows FILE...`.

Reads what other programs and other collaborations wrote; nothing in it is run.
"""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from orchestrator.cli.options import FormatOption, Order, action, chosen, expect

if TYPE_CHECKING:
    from orchestrator.imports.collaboration import Collaboration
    from orchestrator.traces.reading import Found

ACTIONS = ("trace", "bucket", "rows")
INCOMPLETE = 2
"""Exit code when something could not be imported; the rest was."""


def command(
    context: typer.Context,
    words: Annotated[
        list[str],
        typer.Argument(metavar="trace|bucket|rows FROM...", help="What, and from where."),
    ],
    kind: Annotated[
        Literal["session-trace", "atif"] | None,
        typer.Option("--as", help="trace: write it in this format.", show_default="only show it"),
    ] = None,
    out: Annotated[
        Path | None,
        typer.Option(help="--as: file to write.", show_default="FILE with the format's ending"),
    ] = None,
    last: Annotated[
        int, typer.Option(min=1, help="trace: how many of the latest messages to show.")
    ] = 20,
    session: Annotated[
        Path | None,
        typer.Option(help="bucket, rows: folder of the session.", show_default="a new one"),
    ] = None,
    format: FormatOption = None,  # noqa: A002  (the option's name)
) -> None:
    """Read an agent's transcript, or a collaboration of others, whoever wrote it.

    trace FILE: show or convert it. bucket DIR or hf://buckets/ORG/NAME: make it a session.
    rows FILE or DIR, several if need be: the same from rows that somebody stored.
    """
    from sandbox.errors import ConfigError

    given = action(words, actions=ACTIONS)
    wanted = chosen(context, format, "table")
    if given.action == "trace":
        _trace(given, kind, out, last=last, wanted=wanted, session=session)
        return
    if kind is not None or out is not None:
        raise ConfigError("--as and --out belong to: import trace")
    _collaboration(given, session, wanted)


def _trace(
    given: Order,
    kind: Literal["session-trace", "atif"] | None,
    out: Path | None,
    *,
    last: int,
    wanted: str,
    session: Path | None,
) -> None:
    from orchestrator.cli.waiting import Waiting
    from orchestrator.traces.reading import read_trace
    from sandbox.errors import ConfigError

    if session is not None:
        raise ConfigError("--session belongs to: import bucket, import rows")
    if out is not None and kind is None:
        raise ConfigError("--out belongs to --as", hint="write: --as session-trace, or --as atif")
    (name,) = expect(given, "FILE")
    found = read_trace(Path(name), tell=Waiting("bytes read"))
    _show(found, wanted=wanted, last=last)
    if kind is not None:
        _convert(found, Path(name), kind, out)


def _collaboration(given: Order, session: Path | None, wanted: str) -> None:
    """Import what is named, say what came of it, and end with 2 when some of it is missing."""
    import sys

    from orchestrator.cli.output import print_csv, print_json, show
    from orchestrator.imports.importing import import_into
    from orchestrator.settings import load_settings
    from orchestrator.views.import_view import (
        PROBLEM_COLUMNS,
        import_data,
        import_lines,
        problem_lines,
        problem_rows,
    )

    done = import_into(_read(given), session, settings=load_settings())
    if wanted == "json":
        print_json(import_data(done))
    elif wanted == "csv":
        print_csv(problem_rows(done), columns=PROBLEM_COLUMNS)
    else:
        show(*import_lines(done))
    for line in problem_lines(done):
        print(line, file=sys.stderr)
    if done.lost:
        raise typer.Exit(INCOMPLETE)


def _read(given: Order) -> "Collaboration":
    from orchestrator.cli.waiting import Waiting
    from orchestrator.imports.bucket import read_bucket
    from orchestrator.imports.places import opened_place
    from orchestrator.imports.row_files import read_rows
    from sandbox.errors import ConfigError

    if given.action == "bucket":
        (place,) = expect(given, "DIR")
        with opened_place(place) as reader:
            return read_bucket(reader, tell=Waiting("files read"))
    if not given.rest:
        raise ConfigError("'rows' takes files or folders", hint="write: import rows FILE [FILE...]")
    return read_rows([Path(one) for one in given.rest])


def _show(found: "Found", *, wanted: str, last: int) -> None:
    from orchestrator.cli.output import print_csv, print_json, show
    from orchestrator.views.trace_view import STEP_COLUMNS, found_data, found_view, step_rows

    if wanted == "json":
        print_json(found_data(found))
    elif wanted == "csv":
        print_csv(step_rows(found.trace), columns=STEP_COLUMNS)
    else:
        show(*found_view(found, last=last))


def _convert(
    found: "Found", source: Path, kind: Literal["session-trace", "atif"], out: Path | None
) -> None:
    import sys

    from orchestrator.known_secrets import machine_redactor
    from orchestrator.settings import load_settings
    from orchestrator.traces.writing import SUFFIXES, write
    from orchestrator.views.clean import one_line
    from sandbox.errors import ConfigError

    file = out or source.with_name(source.name.split(".")[0] + SUFFIXES[kind])
    if file.exists():
        raise ConfigError(
            f"{str(file)!r} exists already", code="file_exists", hint="name another with --out"
        )
    print(f"writing {len(found.trace.steps):,} messages", file=sys.stderr)
    written = write(found.trace, file, kind=kind, redact=machine_redactor(load_settings()))
    print(
        f"next: python -m orchestrator import trace {one_line(str(written.file))}", file=sys.stderr
    )
