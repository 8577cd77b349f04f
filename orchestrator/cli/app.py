"""All verbs in one place, and the boundary where an error becomes a sentence and an exit code."""

import os
import sys
from typing import Annotated

import typer

from orchestrator.cli import (
    attempt,
    bench,
    board,
    challenges,
    doctor,
    export,
    import_,
    invalidate,
    leaderboard,
    lineage,
    personas,
    reinstate,
    replay,
    resume,
    run,
    stop,
    verify,
)
from orchestrator.cli.options import TableFormat
from sandbox.errors import PacelineError

INTERNAL = 1
INTERRUPTED = 130

EPILOG = (
    "Exit codes: 0 ok, 1 internal error, 2 bad input, 3 record damaged or a check failed, "
    "4 session busy, 5 job, engine or model failed, 6 budget exhausted, 130 interrupted. "
    "SESSION is a folder, an id, or `latest`. PACELINE_DEBUG=1 shows tracebacks."
)

app = typer.Typer(
    name="orchestrator",
    help="Ride: many agents make a model's inference faster, on record.",
    epilog=EPILOG,
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
    context_settings={"help_option_names": ["-h", "--help"]},
)

VERBS = {
    "run": run,
    "resume": resume,
    "stop": stop,
    "replay": replay,
    "board": board,
    "leaderboard": leaderboard,
    "lineage": lineage,
    "attempt": attempt,
    "invalidate": invalidate,
    "reinstate": reinstate,
    "verify": verify,
    "export": export,
    "import": import_,
    "bench": bench,
    "personas": personas,
    "challenges": challenges,
    "doctor": doctor,
}
for name, module in VERBS.items():
    app.command(name)(module.command)


@app.callback()
def everywhere(
    context: typer.Context,
    format: Annotated[  # noqa: A002  (the option's name)
        TableFormat | None, typer.Option(help="Default of --format for verbs that print data.")
    ] = None,
) -> None:
    """Ride: many agents make a model's inference faster, on record."""
    context.obj = format


def main() -> None:
    """Run the command line; ends the process."""
    try:
        app(prog_name="python -m orchestrator")
    except BrokenPipeError:  # `... | head`: the reader has seen enough
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    except Exception as error:
        first = _first(error)
        if _wants_tracebacks():
            raise
        print(f"error: {_sentence(first)}", file=sys.stderr)
        raise SystemExit(_exit_code(first)) from None


def _first(error: BaseException) -> BaseException:
    """Return the first error that is not just a group of others."""
    while isinstance(error, BaseExceptionGroup):
        error = error.exceptions[0]
    return error


def _exit_code(error: BaseException) -> int:
    if isinstance(error, KeyboardInterrupt):
        return INTERRUPTED
    return error.exit_code if isinstance(error, PacelineError) else INTERNAL


def _sentence(error: BaseException) -> str:
    from orchestrator.views.clean import one_line

    if isinstance(error, PacelineError | OSError):
        return one_line(str(error))
    return one_line(
        f"internal error, {type(error).__name__}: {error}. PACELINE_DEBUG=1 shows where"
    )


def _wants_tracebacks() -> bool:
    from orchestrator.settings import load_settings

    try:
        return load_settings().debug
    except PacelineError:
        return False
