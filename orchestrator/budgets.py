"""What a person allows a session to use up: options, defaults, and the caps they come to.

Knows options and personas; knows no record. `tools.budget` holds the caps.
"""

from collections.abc import Sequence
from typing import TypeVar

from pydantic import Field

from agents.library import Rider
from agents.model import Model
from agents.models.by_persona import model_for
from agents.models.program import Program
from agents.persona import Persona
from bench.challenge import Challenge
from bench.frozen import Frozen
from sandbox.errors import ConfigError
from tools.job_request import reserved_seconds, reserved_usd
from tools.limits import Caps, Limits

DEFAULT_CAPS = {"budget_usd": 5.0, "budget_tokens": 20_000_000, "budget_turns": 2000}
"""Of a session in which not only programs think: a first evening's experiment, not a surprise.
Tokens for what has no price, or next to none; turns for outside programs that pay their own bill.
"""


class Budgets(Frozen):
    """Caps as they are typed; None = no cap. `agent_...` is each agent's own."""

    budget_usd: float | None = Field(default=None, ge=0)
    budget_tokens: int | None = Field(default=None, ge=0)
    budget_seconds: float | None = Field(default=None, gt=0)
    """Device seconds."""
    budget_turns: int | None = Field(default=None, ge=1)
    agent_budget_usd: float | None = Field(default=None, ge=0)
    agent_budget_tokens: int | None = Field(default=None, ge=0)
    agent_budget_seconds: float | None = Field(default=None, gt=0)
    agent_budget_turns: int | None = Field(default=None, ge=1)


B = TypeVar("B", bound=Budgets)


def is_paid(model: Model, persona: Persona) -> bool:
    """Return whether a turn of `persona` costs money or tokens; of a program it costs neither."""
    if persona.x_paceline.harness is not None:
        return True
    return not isinstance(model_for(model, persona), Program)


def with_default_caps(options: B, model: Model, riders: Sequence[Rider]) -> B:
    """Return the options with caps where none were typed, unless only programs think."""
    if not any(is_paid(model, rider.persona) for rider in riders):
        return options
    typed = options.model_dump()
    missing = {name: cap for name, cap in DEFAULT_CAPS.items() if typed[name] is None}
    return options.model_copy(update=missing)


def with_device_cap(options: B, usd_per_hour: float | None) -> B:
    """Return the options with a cap in dollars where none was typed and the device is rented."""
    if not usd_per_hour or options.budget_usd is not None:
        return options
    return options.model_copy(update={"budget_usd": DEFAULT_CAPS["budget_usd"]})


def limits_of(options: Budgets, *, attempts: int | None = None) -> Limits:
    """Return the caps that options come to."""
    return Limits(
        attempts=attempts,
        usd=options.budget_usd,
        tokens=options.budget_tokens,
        seconds=options.budget_seconds,
        turns=options.budget_turns,
        agent=Caps(
            usd=options.agent_budget_usd,
            tokens=options.agent_budget_tokens,
            seconds=options.agent_budget_seconds,
            turns=options.agent_budget_turns,
        ),
    )


def persona_budgets(riders: Sequence[Rider]) -> dict[str, dict[str, float]]:
    """Return the caps of every persona that has some, as they stand in the record."""
    caps = {rider.persona.name: rider.persona.x_paceline.caps for rider in riders}
    dumped = {name: one.model_dump(exclude_none=True) for name, one in caps.items()}
    return {name: one for name, one in dumped.items() if one}


def refuse_too_small(options: Budgets, challenge: Challenge) -> None:
    """Return when the session can at least afford to measure its baseline.

    Raises:
        ConfigError: `budget_too_small`; whoever typed the budget sees what is needed.
    """
    needs = {
        "budget_usd": (reserved_usd(challenge, "full"), options.budget_usd),
        "budget_seconds": (reserved_seconds(challenge, "full"), options.budget_seconds),
    }
    for name, (need, cap) in needs.items():
        if cap is not None and need > cap:
            raise ConfigError(
                f"{name} = {cap:g} does not pay for the baseline, which reserves {need:g}",
                code="budget_too_small",
                hint=f"give --{name.replace('_', '-')} {need:g} or more",
            )
