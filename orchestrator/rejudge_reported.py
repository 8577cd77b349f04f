"""What other rules say of the records of an imported collaboration: pure, over its lineage.

Every posted record is one draw, so some were luck: here each is set against the noise of such a
draw, the caps, and what the organisers' own run found. Knows reported results only.
"""

from math import log, sqrt
from typing import Any, NamedTuple

from bench.challenge import Guardrail
from bench.measurement import Interval
from orchestrator.rejudge_rules import Rules
from tools.record.lineage import Lineage, Node
from tools.record.reported import NORMAL_95


class Step(NamedTuple):
    """A record as it was posted, of those not ruled invalid since."""

    attempt: str
    agent: str
    seconds: float
    """After the session's first event."""
    tokens_per_second: float
    ahead: float | None
    """Tokens per second over the record before it."""
    sigmas: float | None
    """That lead, in standard deviations of the difference of two single draws."""
    is_tie: bool
    verdict: str
    perplexity: float | None
    is_over_cap: bool | None
    """None: no perplexity is known."""
    drift: float | None
    """Share of the claim lost on private prompts; None: nobody ran it, or the figures are lost."""


class Drifted(NamedTuple):
    """A claim of which a run on private prompts showed less."""

    attempt: str
    claimed: float
    private: float
    drift: float


class Findings(NamedTuple):
    """What the rules find in posted results."""

    steps: tuple[Step, ...]
    tie_sigmas: float
    perplexity_cap: float | None
    drift_cap: float
    over_cap: tuple[str, ...]
    """Every posted result with a perplexity over the cap, not only records."""
    drifted: tuple[Drifted, ...]
    """Every claim that lost more than the cap."""
    examined: int
    """Claims of which both figures are known."""

    @property
    def counts(self) -> dict[str, int]:
        """How many of the records are what."""
        steps = self.steps
        return {
            "steps": len(steps),
            "ties": sum(one.is_tie for one in steps),
            "never_verified": sum(one.verdict != "valid" for one in steps),
            "over_cap": sum(one.is_over_cap is True for one in steps),
            "perplexity_unknown": sum(one.is_over_cap is None for one in steps),
        }

    def as_json(self) -> dict[str, Any]:
        """Return the documented shape."""
        return {
            **self._asdict(),
            "steps": [one._asdict() for one in self.steps],
            "drifted": [one._asdict() for one in self.drifted],
            "counts": self.counts,
        }


TIE_SIGMAS = 1.96
"""Where the rules name none: two-sided 95 %."""
DRIFT_CAP = 0.05
"""Of the original challenge."""

Evidence = dict[str, Any]


def findings(
    lineage: Lineage,
    evidence: dict[str, Evidence],
    *,
    rules: Rules,
    limits: Guardrail,
    opened_at: float,
) -> Findings:
    """Return what the rules find.

    Args:
        lineage: of an imported session.
        evidence: attempt -> what the latest ruling on it rests on.
        rules: to judge by.
        limits: the guardrail of the rules.
        opened_at: Unix seconds of the first event.
    """
    cap = limits.perplexity_cap
    drift_cap = DRIFT_CAP if rules.drift_cap is None else rules.drift_cap
    sigmas = rules.tie_sigmas or TIE_SIGMAS
    posted = [node for node in lineage.nodes.values() if node.state == "measured"]
    known = [one for node in posted if (one := _drifted(node, evidence.get(node.attempt, {})))]
    steps: list[Step] = []
    before: Node | None = None
    for node in lineage.frontier():
        step = _step(node, before, evidence.get(node.attempt, {}), cap=cap, opened_at=opened_at)
        steps.append(step._replace(is_tie=step.sigmas is not None and step.sigmas <= sigmas))
        before = node
    return Findings(
        steps=tuple(steps),
        tie_sigmas=sigmas,
        perplexity_cap=cap,
        drift_cap=drift_cap,
        over_cap=tuple(node.attempt for node in posted if _is_over(node, cap)),
        drifted=tuple(one for one in known if abs(one.drift) > drift_cap),
        examined=len(known),
    )


def sigmas_between(own: Interval, held: Interval) -> float:
    """Return ln(own / held) in standard deviations of that difference, from 95 % intervals."""
    noise = sqrt(_ln_sd(own) ** 2 + _ln_sd(held) ** 2)
    lead = log(own.estimate / held.estimate)
    return lead / noise if noise else float("inf") * (1 if lead > 0 else -1)


def _ln_sd(interval: Interval) -> float:
    return log(interval.high / interval.low) / (2 * NORMAL_95) if interval.low > 0 else 0.0


def _step(
    node: Node, before: Node | None, evidence: Evidence, *, cap: float | None, opened_at: float
) -> Step:
    own, held = node.pace_interval, before.pace_interval if before else None
    assert own is not None
    assert node.reported is not None
    known = _drifted(node, evidence)
    return Step(
        attempt=node.attempt,
        agent=node.agent,
        seconds=node.reported.time - opened_at,
        tokens_per_second=own.estimate,
        ahead=own.estimate - held.estimate if held else None,
        sigmas=sigmas_between(own, held) if held else None,
        is_tie=False,
        verdict=node.verdict,
        perplexity=node.perplexity,
        is_over_cap=None if node.perplexity is None else _is_over(node, cap),
        drift=known.drift if known else None,
    )


def _is_over(node: Node, cap: float | None) -> bool:
    return cap is not None and node.perplexity is not None and node.perplexity > cap


def _drifted(node: Node, evidence: Evidence) -> Drifted | None:
    claimed, private = evidence.get("claimed"), evidence.get("private")
    if not isinstance(claimed, int | float) or not isinstance(private, int | float) or not claimed:
        return None
    return Drifted(node.attempt, claimed, private, (claimed - private) / claimed)
