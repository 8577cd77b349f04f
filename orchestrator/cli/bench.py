"""`bench CONFIG.toml`: the same as `python -m bench CONFIG.toml`, with this machine's cache."""

from typing import Annotated, Literal

import typer


def command(
    config: Annotated[str, typer.Argument(metavar="CONFIG.toml", help="An engine config.")],
    challenge: Annotated[str, typer.Option(help="Name or file.")] = "gemma-270m-cpu",
    stage: Annotated[
        Literal["screen", "full"], typer.Option(help="How long it is measured.")
    ] = "full",
    engine: Annotated[
        Literal["llamacpp", "simulated"] | None,
        typer.Option(help="What is measured.", show_default="as the challenge says"),
    ] = None,
    seed: Annotated[int, typer.Option(help="Of prompts and resampling.")] = 0,
) -> None:
    """Measure one config beside the baseline."""
    from bench.__main__ import main
    from orchestrator.settings import load_settings

    words = [config, "--challenge", challenge, "--stage", stage, "--seed", str(seed)]
    words += ["--cache", str(load_settings().cache_folder)]
    words += ["--engine", engine] if engine else []
    raise typer.Exit(main(words))
