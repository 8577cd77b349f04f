"""`run`: open a session and ride until a limit."""

from typing import Annotated, Literal

import typer


def command(
    agents: Annotated[int, typer.Option(min=1, max=5000, help="How many agents ride.")] = 20,
    personas: Annotated[
        str | None,
        typer.Option(
            help="Names, files or folders, separated by commas.", show_default="all that are found"
        ),
    ] = None,
    model: Annotated[str, typer.Option(help="What the agents think with.")] = "offline",
    engine: Annotated[
        Literal["llamacpp", "simulated"] | None,
        typer.Option(help="What is measured.", show_default="as the challenge says"),
    ] = None,
    challenge: Annotated[str, typer.Option(help="Name or file.")] = "gemma-270m-cpu",
    attempts: Annotated[
        int | None, typer.Option(min=1, help="Stop after so many.", show_default="no limit")
    ] = None,
    minutes: Annotated[float, typer.Option(help="Stop after so long.")] = 12.0,
    budget_usd: Annotated[
        float | None, typer.Option(help="Spend no more than this.", show_default="no limit")
    ] = None,
    seed: Annotated[int, typer.Option(help="Of every random choice.")] = 1,
    session: Annotated[
        str | None, typer.Option(help="Folder of the new session.", show_default="named by time")
    ] = None,
    verify: Annotated[
        bool, typer.Option(help="Examine records on texts that nobody has seen.")
    ] = True,
) -> None:
    """Open a session and ride until a limit."""
    from bench.frozen import parse
    from orchestrator.cli.riding import watched
    from orchestrator.opening import RunOptions
    from orchestrator.parts import model_named
    from orchestrator.session import run_session

    typed = {
        "agents": agents,
        "personas": personas,
        "model": model,
        "engine": engine,
        "challenge": challenge,
        "attempts": attempts,
        "minutes": minutes,
        "budget_usd": budget_usd,
        "seed": seed,
        "session": session,
        "verify": verify,
    }
    options = parse(RunOptions, typed, what="run")
    model_named(options.model)  # a slip here must not leave an empty session behind
    watched(lambda on_event, parts: run_session(options, on_event=on_event, parts=parts))
