"""What a ride will cost, worked out before anything is asked: expected, at worst, and at the caps.

Pure apart from reading files. Expected is a rule of thumb and says which; worst is what cannot be
passed even without caps. Knows no session.
"""

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from typing import NamedTuple

from agents.library import Rider, load_personas
from agents.model import Model, Observation
from agents.models.by_persona import ByPersona, model_for
from agents.models.llm import LlmModel
from agents.turn import grant_of
from bench.challenge import Challenge
from bench.challenge_files import load_challenge
from orchestrator.budgets import (
    is_paid,
    refuse_too_small,
    with_default_caps,
    with_device_cap,
)
from orchestrator.duties import START_SECONDS
from orchestrator.opening import RunOptions
from tools.job_request import reserved_seconds
from tools.limits import Grant
from tools.record.events import Usage
from tools.record.projection import Projection
from tools.record.spend import Amount, amount_of
from tools.toolbox import VERBS
from tools.verb import ToolSpec

TURNS_PER_JOB = 3
"""One that proposes and launches, one that sees the outcome, one that answers somebody."""
STEPS_PER_TURN = 4
"""Look, propose, launch, say why; what the offline riders take."""
REPLY_SHARE = 0.3
"""Of the longest reply allowed: most are one call of a verb."""
FASTEST_STEPS_PER_MINUTE = 60.0
"""Of one agent: no hosted model of any use reads thousands of tokens and answers faster."""
SECONDS_PER_HOUR = 3600


class Estimate(NamedTuple):
    """Of one ride; None = nothing limits it, or nobody can tell."""

    model: str
    agents: int
    minutes: float | None
    is_paid: bool
    outside_agents: int
    """Riders that are outside programs: they pay their own bill, only their turns are counted."""
    expected: Amount | None
    worst: Amount | None
    caps: Mapping[str, float | None]
    device_usd_per_hour: float = 0.0

    def at_most(self, what: str) -> float | None:
        """Return what the ride can come to: the worst case, or the cap below it."""
        worst = None if self.worst is None else self.worst._asdict()[what]
        known = [value for value in (worst, self.caps[what]) if value is not None]
        return min(known, default=None)


class _Step(NamedTuple):
    """What one question costs, and how many can be asked in a minute."""

    expected: Usage
    worst: Usage
    per_minute: float


_FREE_STEP = _Step(Usage(), Usage(), FASTEST_STEPS_PER_MINUTE)


def estimate(
    options: RunOptions, *, models: Callable[[str], Model], usd_per_hour: float | None = None
) -> Estimate:
    """Return what `run` with these options would cost; opens no session and asks no model.

    `usd_per_hour` is what the device costs now; None = as the challenge says.

    Raises:
        ConfigError: an option, a challenge, a persona, or a model whose price is unknown.
    """
    challenge = load_challenge(options.challenge).challenge
    model = ByPersona(models(options.model), models)
    riders = load_personas(options.personas, count=options.agents)
    if usd_per_hour is not None:
        challenge = challenge.model_copy(update={"device_usd_per_hour": usd_per_hour})
    options = with_device_cap(with_default_caps(options, model, riders), usd_per_hour)
    refuse_too_small(options, challenge)
    seconds = _seconds(options, challenge)
    steps = _steps(model, riders, challenge)
    return Estimate(
        model=options.model,
        agents=len(riders),
        minutes=options.minutes,
        is_paid=any(is_paid(model, one.persona) for one in riders),
        outside_agents=sum(one.persona.x_paceline.harness is not None for one in riders),
        expected=None if seconds is None else _expected(steps, seconds, challenge),
        worst=None if seconds is None else _worst(steps, seconds, challenge, options),
        caps={what: options.model_dump()[f"budget_{what}"] for what in Amount._fields},
        device_usd_per_hour=challenge.device_usd_per_hour,
    )


def _seconds(options: RunOptions, challenge: Challenge) -> float | None:
    """Return how long the lane will be busy: until the clock or the attempts are used up."""
    ends = [] if options.minutes is None else [60 * options.minutes]
    if options.attempts is not None:
        ends.append((options.attempts + 1) * _job_seconds(challenge))
    return min(ends, default=None)


def _job_seconds(challenge: Challenge) -> float:
    return challenge.protocol.screen.measure_seconds + START_SECONDS


def _expected(steps: Sequence[_Step], seconds: float, challenge: Challenge) -> Amount:
    turns = round(len(steps) + TURNS_PER_JOB * seconds / _job_seconds(challenge))
    asked = STEPS_PER_TURN * turns / len(steps)
    each = [amount_of(step.expected) for step in steps]
    return Amount(
        usd=asked * sum(one.usd for one in each) + _device_usd(seconds, challenge),
        tokens=round(asked * sum(one.tokens for one in each)),
        seconds=seconds,
        turns=turns,
    )


def _worst(
    steps: Sequence[_Step], seconds: float, challenge: Challenge, options: RunOptions
) -> Amount:
    """Everybody asks without a pause, each question at its ceiling, each a turn of its own."""
    whole = seconds if options.minutes is None else 60 * options.minutes
    asked = [step.per_minute * whole / 60 for step in steps]
    worst = [(n, amount_of(step.worst)) for n, step in zip(asked, steps, strict=True)]
    lane = whole + reserved_seconds(challenge, "full")  # the last job may begin at the end
    return Amount(
        usd=sum(n * one.usd for n, one in worst) + _device_usd(lane, challenge),
        tokens=round(sum(n * one.tokens for n, one in worst)),
        seconds=lane,
        turns=round(sum(asked)),
    )


def _device_usd(seconds: float, challenge: Challenge) -> float:
    return seconds * challenge.device_usd_per_hour / SECONDS_PER_HOUR


def _steps(model: Model, riders: Sequence[Rider], challenge: Challenge) -> list[_Step]:
    pairs = [(rider, _llm(model, rider)) for rider in riders]
    asking = Counter(llm.spec.provider for _, llm in pairs if llm)  # they share its rate limit
    return [
        _step(llm, rider, challenge, sharing=asking[llm.spec.provider]) if llm else _FREE_STEP
        for rider, llm in pairs
    ]


def _llm(model: Model, rider: Rider) -> LlmModel | None:
    own = model_for(model, rider.persona)
    is_outside = rider.persona.x_paceline.harness is not None
    return own if isinstance(own, LlmModel) and not is_outside else None


def _step(model: LlmModel, rider: Rider, challenge: Challenge, *, sharing: int) -> _Step:
    spec, price = model.spec, model.price
    first = first_question(model, rider, challenge)
    full = spec.context - spec.output
    return _Step(
        expected=price.usage(
            input_tokens=(first.input_tokens + full) // 2,  # it grows from the one to the other
            output_tokens=round(REPLY_SHARE * spec.output),
        ),
        worst=price.usage(input_tokens=full, output_tokens=spec.output),
        per_minute=min(FASTEST_STEPS_PER_MINUTE, spec.rpm / sharing),
    )


def first_question(model: Model, rider: Rider, challenge: Challenge) -> Usage:
    """Return what the very first question of `rider` may use up."""
    known, grant = Projection(), grant_of(rider.persona)
    observation = Observation(
        agent=rider.agent_name,
        persona=rider.persona,
        turn=0,
        cursor=0,
        seen=0,
        now=0.0,
        seed=0,
        challenge=challenge,
        board=known.board,
        lineage=known.lineage,
        free_job_slots=challenge.quotas.queued_jobs,
        attempts_left=None,
        seconds_left=None,
    )
    return model.question(observation, [], _specs(grant)).ceiling


def _specs(grant: Grant) -> list[ToolSpec]:
    return [verb.spec() for name, verb in VERBS.items() if grant.allows(name)]
