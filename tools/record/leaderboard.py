"""Ranks with intervals and ties, worked out from a lineage when somebody looks.

Speed = speed-up over the baseline of the same job x the baseline's median over the whole session.
"""

from bench.frozen import Frozen
from bench.measurement import Stage
from sandbox.errors import RecordError
from tools.record.events import VerdictState
from tools.record.lineage import Lineage, Node


class Baseline(Frozen):
    """The yardstick; None while nothing was measured."""

    tokens_per_second: float | None
    perplexity: float | None


class Row(Frozen):
    """One measured attempt."""

    rank: int | None
    """Shared by rows whose intervals overlap that of the first of their group; None = rejected."""
    rank_low: int | None
    """Best rank the intervals allow."""
    rank_high: int | None
    """Worst rank the intervals allow."""
    attempt: str
    agent: str
    tokens_per_second: float
    ci_low: float
    ci_high: float
    n: int
    """Pairs behind the interval."""
    launches: int
    speedup: float
    speedup_low: float
    speedup_high: float
    perplexity: float | None
    perplexity_ratio: float | None
    stage: Stage
    verdict: VerdictState
    reason: str
    """Of the verdict."""
    verified: bool
    fingerprint: str
    simulated: bool


class Leaderboard(Frozen):
    """Fulls first, then screens, which never outrank a full; what a guardrail rejected apart."""

    session: str
    challenge: str
    simulated: bool
    baseline: Baseline
    rows: tuple[Row, ...]
    rejected: tuple[Row, ...]


def leaderboard(lineage: Lineage, *, session: str, challenge: str) -> Leaderboard:
    """Rank what was measured.

    Args:
        lineage: the fold to read.
        session: id of the session, for the heading.
        challenge: name of the challenge, for the heading.

    Raises:
        RecordError: simulated and real measurements in one session; the reader of it sees it.
    """
    if lineage.simulated_jobs and lineage.real_jobs:
        raise RecordError(
            f"{lineage.simulated_jobs} simulated and {lineage.real_jobs} real measurements in one "
            "session cannot be ranked together",
            code="simulated_beside_real",
            hint="open one session per engine",
        )
    baseline = lineage.baseline_tokens_per_second
    rows = [_row(node, baseline) for node in lineage.nodes.values() if node.speedup and baseline]
    clean = sorted((row for row in rows if row.verdict != "invalid"), key=_order)
    fulls = [row for row in clean if row.stage == "full"]
    screens = [row for row in clean if row.stage == "screen"]
    return Leaderboard(
        session=session,
        challenge=challenge,
        simulated=lineage.simulated_jobs > 0,
        baseline=Baseline(tokens_per_second=baseline, perplexity=lineage.baseline_perplexity),
        rows=(*_ranked(fulls, first=1), *_ranked(screens, first=1 + len(fulls))),
        rejected=tuple(sorted((row for row in rows if row.verdict == "invalid"), key=_order)),
    )


def _row(node: Node, baseline: float) -> Row:
    assert node.speedup is not None
    assert node.best_stage is not None
    estimate, low, high = node.speedup
    measurements = node.measurements
    return Row(
        rank=None,
        rank_low=None,
        rank_high=None,
        attempt=node.attempt,
        agent=node.agent,
        tokens_per_second=estimate * baseline,
        ci_low=low * baseline,
        ci_high=high * baseline,
        n=node.pairs,
        launches=len(measurements),
        speedup=estimate,
        speedup_low=low,
        speedup_high=high,
        perplexity=node.perplexity,
        perplexity_ratio=node.perplexity_ratio,
        stage=node.best_stage,
        verdict=node.verdict,
        reason=node.verdict_reason,
        verified=node.verdict == "valid",
        fingerprint=node.fingerprint,
        simulated=measurements[0].simulated,
    )


def _order(row: Row) -> tuple[float, str]:
    return (-row.tokens_per_second, row.attempt)


def _ranked(rows: list[Row], *, first: int) -> list[Row]:
    ranked: list[Row] = []
    leader, rank = None, first
    for place, row in enumerate(rows, start=first):
        if leader is None or row.ci_high < leader.ci_low:
            leader, rank = row, place
        above = sum(other.ci_low > row.ci_high for other in rows)
        not_below = sum(other.ci_high >= row.ci_low for other in rows)
        bounds = {"rank_low": first + above, "rank_high": first + not_below - 1}
        ranked.append(row.model_copy(update={"rank": rank, **bounds}))
    return ranked
