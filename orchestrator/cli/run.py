"""`run`: open a session and ride until a limit, or say what that would cost."""

from typing import TYPE_CHECKING, Annotated, Literal

import typer

from orchestrator.cli.options import (
    AgentSecondsOption,
    AgentTokensOption,
    AgentTurnsOption,
    AgentUsdOption,
    FormatOption,
    SandboxOption,
    SecondsOption,
    TokensOption,
    TurnsOption,
    UsdOption,
    chosen,
)
from orchestrator.target_names import TargetName

if TYPE_CHECKING:
    from orchestrator.estimate import Estimate
    from orchestrator.opening import RunOptions
    from sandbox.job import Level

PersonasOption = Annotated[
    str | None,
    typer.Option(
        help="Names, files or folders, separated by commas.", show_default="all that are found"
    ),
]
EngineOption = Annotated[
    Literal["llamacpp", "vllm", "openai", "transformers", "simulated"] | None,
    typer.Option(help="What is measured.", show_default="as the challenge says"),
]
AttemptsOption = Annotated[
    int | None, typer.Option(min=1, help="Stop after so many.", show_default="no limit")
]
TargetOption = Annotated[
    TargetName | None,
    typer.Option(
        help="Where jobs run; hf-jobs rents a machine, fake-hub plays that.", show_default="local"
    ),
]
FolderOption = Annotated[
    str | None, typer.Option(help="Folder of the new session.", show_default="named by time")
]
VerifyOption = Annotated[bool, typer.Option(help="Examine records on texts that nobody has seen.")]
AllowHarnessOption = Annotated[
    bool, typer.Option("--allow-harness", help="Let personas start outside programs (network!).")
]
DryRunOption = Annotated[
    bool, typer.Option("--dry-run", help="Only say what it would cost; nothing is asked.")
]


def command(
    context: typer.Context,
    agents: Annotated[int, typer.Option(min=1, max=5000, help="How many agents ride.")] = 20,
    personas: PersonasOption = None,
    model: Annotated[str, typer.Option(help="What the agents think with.")] = "offline",
    engine: EngineOption = None,
    challenge: Annotated[str, typer.Option(help="Name or file.")] = "gemma-270m-cpu",
    attempts: AttemptsOption = None,
    minutes: Annotated[float, typer.Option(help="Stop after so long.")] = 12.0,
    seed: Annotated[int, typer.Option(help="Of every random choice.")] = 1,
    session: FolderOption = None,
    target: TargetOption = None,
    verify: VerifyOption = True,
    sandbox: SandboxOption = None,
    allow_harness: AllowHarnessOption = False,
    dry_run: DryRunOption = False,
    budget_usd: UsdOption = None,
    budget_tokens: TokensOption = None,
    budget_seconds: SecondsOption = None,
    budget_turns: TurnsOption = None,
    agent_budget_usd: AgentUsdOption = None,
    agent_budget_tokens: AgentTokensOption = None,
    agent_budget_seconds: AgentSecondsOption = None,
    agent_budget_turns: AgentTurnsOption = None,
    format: FormatOption = None,  # noqa: A002  (the option's name)
) -> None:
    """Open a session and ride until a limit."""
    from bench.frozen import parse
    from orchestrator.opening import RunOptions

    typed = {
        "agents": agents,
        "personas": personas,
        "model": model,
        "engine": engine,
        "challenge": challenge,
        "attempts": attempts,
        "minutes": minutes,
        "budget_usd": budget_usd,
        "budget_tokens": budget_tokens,
        "budget_seconds": budget_seconds,
        "budget_turns": budget_turns,
        "agent_budget_usd": agent_budget_usd,
        "agent_budget_tokens": agent_budget_tokens,
        "agent_budget_seconds": agent_budget_seconds,
        "agent_budget_turns": agent_budget_turns,
        "seed": seed,
        "session": session,
        "verify": verify,
        "allow_harness": allow_harness,
        "target": target,
    }
    options = parse(RunOptions, typed, what="run")
    found = _estimate(options)  # a slip in an option must not leave an empty session behind
    if dry_run:
        _show(found, chosen(context, format, "table"))
        return
    if found.is_paid or found.device_usd_per_hour:
        _warn(found)
    _ride(options, sandbox)


def _ride(options: "RunOptions", sandbox: "Level | None") -> None:
    from orchestrator.cli.riding import watched
    from orchestrator.session import run_session

    watched(
        lambda on_event, parts: run_session(options, on_event=on_event, parts=parts),
        sandbox=sandbox,
    )


def _estimate(options: "RunOptions") -> "Estimate":
    import asyncio

    from orchestrator.estimate import estimate
    from orchestrator.parts import model_named
    from orchestrator.settings import load_settings
    from orchestrator.targets import price_of

    price = asyncio.run(price_of(options.target, load_settings()))
    return estimate(options, models=model_named, usd_per_hour=price)


def _show(found: "Estimate", wanted: str) -> None:
    from orchestrator.cli.output import print_csv, print_json, show
    from orchestrator.views.estimate_view import (
        ASSUMPTIONS,
        estimate_json,
        estimate_line,
        estimate_rows,
        estimate_table,
    )

    if wanted == "json":
        print_json(estimate_json(found))
    elif wanted == "csv":
        rows = [{"what": what, **row} for what, row in estimate_rows(found).items()]
        print_csv(rows, columns=("what", "expected", "worst", "cap", "at_most"))
    else:
        show(estimate_line(found), estimate_table(found), ASSUMPTIONS)


def _warn(found: "Estimate") -> None:
    from orchestrator.cli.output import show
    from orchestrator.views.estimate_view import estimate_line

    show(estimate_line(found))
