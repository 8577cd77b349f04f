"""The verb that works a config out on paper: speed, memory, what dominates. Costs no job.

Knows the cost models of the bench; writes nothing, measures nothing and says so.
"""

from typing import Any

from pydantic import Field, JsonValue

from bench.config import apply_changes, diff
from bench.roofline import Estimate, Extra, explain, most_plausible
from bench.roofline_configs import ACCEPTED, asked_of, estimate_config
from tools.verb import Arguments, Caller, Desk, Verb, unknown_attempt

_BASELINE = "a0000"


class EstimateConfig(Arguments):
    """Arguments of `estimate`."""

    parent: str = _BASELINE
    """The attempt whose config the changes are applied to; a0000 is the baseline."""
    changes: dict[str, JsonValue] = Field(default_factory=dict)
    """Dotted path -> value, as in propose_config; empty = the parent itself."""
    device: str | None = None
    """Where it runs, e.g. `a10g`; None = what the challenge says."""
    accepted: tuple[float, ...] = Field(default=(), max_length=32)
    """Measured share of steps in which guesses up to each position were right; empty = the
    published log."""


async def estimate_verb(desk: Desk, caller: Caller, arguments: EstimateConfig) -> dict[str, Any]:
    """Return what paper says of a config, beside what it says of the baseline."""
    del caller
    node = desk.known.lineage.nodes.get(arguments.parent)
    if node is None:
        raise unknown_attempt(arguments.parent)
    config = apply_changes(node.config, arguments.changes)
    asked = asked_of(desk.challenge, arguments.device)
    accepted = arguments.accepted or ACCEPTED
    found = estimate_config(config, asked, accepted=accepted)
    baseline = estimate_config(desk.challenge.baseline, asked, accepted=accepted)
    return {
        "on_paper": True,
        "device": found.device,
        "changes_from_baseline": diff(desk.challenge.baseline, config),
        "tokens_per_second": round(found.tokens_per_second, 1),
        "speedup_over_baseline": round(found.tokens_per_second / baseline.tokens_per_second, 2),
        "suspect_above_tokens_per_second": round(most_plausible(found), 1),
        "tokens_per_step": round(found.tokens_per_step, 2),
        "step_ms": _rounded(found.terms, 1.0),
        "gigabytes_per_token": round(found.bytes_per_token / 1e9, 3),
        "fits": found.fits,
        "memory_gigabytes": _memory(found),
        "in_words": explain(found),
    }


def _memory(found: Estimate) -> dict[str, float]:
    limit = {"allowed": round(found.memory_limit / 1e9, 2)}
    return _rounded(found.memory, 1e9) | limit


def _rounded(amounts: tuple[Extra, ...], unit: float) -> dict[str, float]:
    return {one.name: round(one.amount / unit, 3) for one in amounts}


ESTIMATE_VERBS = (
    Verb(
        "estimate",
        "Work out on paper what a config should reach, what keeps it there, and whether it fits.",
        EstimateConfig,
        estimate_verb,
    ),
)
