"""`stop SESSION`: ask a riding session to stop."""

from typing import TYPE_CHECKING, Annotated

import typer

from orchestrator.cli.options import LATEST, FormatOption, SessionArgument, chosen

if TYPE_CHECKING:
    from orchestrator.stopping import Stopped


def command(
    context: typer.Context,
    session: SessionArgument = LATEST,
    cancel_jobs: Annotated[
        bool,
        typer.Option(
            "--cancel-jobs", help="Cancel its rented jobs too; else a resume takes them over."
        ),
    ] = False,
    format: FormatOption = None,  # noqa: A002  (the option's name)
) -> None:
    """Ask a riding session to stop, as Ctrl-C does; it can be resumed."""
    import asyncio

    from orchestrator.cli.output import print_csv, print_json
    from orchestrator.session_folder import find_session
    from orchestrator.stopping import stop_session

    done = asyncio.run(stop_session(find_session(session), cancels_jobs=cancel_jobs))
    wanted = chosen(context, format, "table")
    data = {**done._asdict(), "cancelled": list(done.cancelled)}
    if wanted == "json":
        print_json(data)
    elif wanted == "csv":
        print_csv([data], columns=tuple(data))
    else:
        _say(done, cancels=cancel_jobs)


def _say(done: "Stopped", *, cancels: bool) -> None:
    from orchestrator.cli.output import show
    from orchestrator.views.clean import one_line

    name = one_line(done.session)
    if done.asked_pid is None:
        show(f"nobody rides session {name}")
    else:
        show(f"asked session {name} (process {done.asked_pid}) to stop; stop it again to hurry it")
    for job in done.cancelled:
        show(f"cancelled remote job {one_line(job)}")
    if cancels and not done.cancelled:
        show("no remote job of it waits or runs")
    show(f"go on later: python -m orchestrator resume {name}")
