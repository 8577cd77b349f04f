"""Ranks with intervals and ties, worked out from a lineage when somebody looks.

Speed = speed-up over the baseline of the same job x the baseline's median over the whole session.
Which speed-up that is: see `tools.record.value`.
"""

from bisect import bisect_left, bisect_right
from collections.abc import Iterable
from typing import Any

from bench.challenge import PromotionRule
from bench.frozen import Frozen
from bench.measurement import RiderStage
from sandbox.errors import RecordError
from tools.record.events import VerdictState
from tools.record.lineage import Lineage, Node
from tools.record.value import Value, ValueKind, single_run, value_of, yardstick


class Baseline(Frozen):
    """The yardstick; None while nothing was measured."""

    tokens_per_second: float | None
    perplexity: float | None


class Row(Frozen):
    """One measured attempt."""

    rank: int | None
    """Shared by rows whose intervals overlap that of the first of their group; None: not ranked."""
    rank_low: int | None
    """Best rank the intervals allow."""
    rank_high: int | None
    """Worst rank the intervals allow."""
    attempt: str
    agent: str
    tokens_per_second: float
    ci_low: float
    ci_high: float
    n: int | None
    """Pairs behind the interval; None: others counted, and did not say."""
    launches: int
    """Launches behind the interval."""
    value: ValueKind
    """What the interval is from: private texts, fresh launches, a single run, shrunk, or what the
    challenge's noise makes of one reported draw."""
    fresh: int
    """Fresh launches so far."""
    single_speedup: float | None
    """Of the first full run, else the first screen, as it was measured."""
    speedup: float | None
    """None: reported, and no baseline is known."""
    speedup_low: float | None
    speedup_high: float | None
    perplexity: float | None
    perplexity_ratio: float | None
    stage: RiderStage | None
    """None: reported."""
    verdict: VerdictState
    reason: str
    """Of the verdict."""
    ruled_by: str
    """`guardrail`, `verifier`, `organiser` or `person:NAME`; empty before the first ruling."""
    suspected_by: tuple[str, ...]
    """suspect: the invalid attempts whose ingredient it inherits."""
    inherits: tuple[str, ...]
    """suspect: that ingredient, as `path=value` words."""
    verified: bool
    """Valid by a passed verification."""
    fingerprint: str
    simulated: bool
    reported: bool
    """Measured by others, elsewhere."""


class Leaderboard(Frozen):
    """Verified, fresh and single full values in one order, then screens; the others apart.

    Reported results stand alone: in their session nothing was measured here.
    """

    session: str
    challenge: str
    simulated: bool
    reported: bool
    negatives: int
    """Reported dead ends, which are not ranked."""
    baseline: Baseline
    rows: tuple[Row, ...]
    suspects: tuple[Row, ...]
    """To be verified before they are ranked again."""
    rejected: tuple[Row, ...]
    """Ruled invalid, by a guardrail or by anybody else."""


def leaderboard(
    lineage: Lineage, *, session: str, challenge: str, rule: PromotionRule | None = None
) -> Leaderboard:
    """Rank what was measured.

    Args:
        lineage: the fold to read.
        session: id of the session, for the heading.
        challenge: name of the challenge, for the heading.
        rule: what is known of launch noise before the session has shown its own; None = defaults.

    Raises:
        RecordError: simulated, real and reported figures in one session; the reader sees it.
    """
    _refuse_mixtures(lineage)
    rows = sorted(_rows(lineage, rule or PromotionRule()), key=_order)
    clean = [row for row in rows if row.verdict in ("pending", "valid")]
    fulls = [row for row in clean if not _is_screen(row)]
    screens = [row for row in clean if _is_screen(row)]
    return Leaderboard(
        session=session,
        challenge=challenge,
        simulated=lineage.simulated_jobs > 0,
        reported=lineage.reported_results > 0,
        negatives=sum(node.state == "negative" for node in lineage.nodes.values()),
        baseline=Baseline(
            tokens_per_second=lineage.baseline_tokens_per_second,
            perplexity=lineage.baseline_perplexity,
        ),
        rows=(*_ranked(fulls, first=1), *_ranked(screens, first=1 + len(fulls))),
        suspects=tuple(row for row in rows if row.verdict == "suspect"),
        rejected=tuple(row for row in rows if row.verdict == "invalid"),
    )


def _refuse_mixtures(lineage: Lineage) -> None:
    if lineage.simulated_jobs and lineage.real_jobs:
        raise RecordError(
            f"{lineage.simulated_jobs} simulated and {lineage.real_jobs} real measurements in one "
            "session cannot be ranked together",
            code="simulated_beside_real",
            hint="open one session per engine",
        )
    ours = lineage.simulated_jobs + lineage.real_jobs
    if lineage.reported_results and ours:
        raise RecordError(
            f"{lineage.reported_results} reported results and {ours} measurements in one session "
            "cannot be ranked together",
            code="reported_beside_measured",
            hint="import into a session of its own",
        )


def _rows(lineage: Lineage, rule: PromotionRule) -> Iterable[Row]:
    if lineage.reported_results:
        shown = (node for node in lineage.nodes.values() if node.state == "measured")
        rows = (_reported_row(node) for node in shown)
        yield from (row for row in rows if row)
        return
    baseline = lineage.baseline_tokens_per_second
    if baseline is None:
        return
    by = yardstick(lineage, rule)
    for node in lineage.nodes.values():
        value = value_of(node, by) if node.best_stage else None
        if value:
            yield _row(node, value, baseline)


def _row(node: Node, value: Value, baseline: float) -> Row:
    assert node.best_stage is not None
    estimate, low, high = value.speedup
    single = single_run(node)
    return Row(
        tokens_per_second=estimate * baseline,
        ci_low=low * baseline,
        ci_high=high * baseline,
        n=value.n,
        launches=value.launches,
        value=value.kind,
        fresh=len(node.fresh),
        single_speedup=single.speedup if single else None,
        speedup=estimate,
        speedup_low=low,
        speedup_high=high,
        stage=node.best_stage,
        simulated=node.all_measurements[0].simulated,
        reported=False,
        **_standing(node),
    )


def _reported_row(node: Node) -> Row | None:
    """Return the row of a result that others posted; None where they gave no figure."""
    speed, speedup = node.pace_interval, node.speedup
    if speed is None:
        return None
    return Row(
        tokens_per_second=speed.estimate,
        ci_low=speed.low,
        ci_high=speed.high,
        n=None,
        launches=1,
        value="reported",
        fresh=0,
        single_speedup=None,
        speedup=speedup.estimate if speedup else None,
        speedup_low=speedup.low if speedup else None,
        speedup_high=speedup.high if speedup else None,
        stage=None,
        simulated=False,
        reported=True,
        **_standing(node),
    )


def _standing(node: Node) -> dict[str, Any]:
    """Return the fields of a row that say whose it is and what was ruled on it."""
    return {
        "rank": None,
        "rank_low": None,
        "rank_high": None,
        "attempt": node.attempt,
        "agent": node.agent,
        "perplexity": node.perplexity,
        "perplexity_ratio": node.perplexity_ratio,
        "verdict": node.verdict,
        "reason": node.verdict_reason,
        "ruled_by": node.verdict_by,
        "suspected_by": tuple(sorted(node.suspected_by)),
        "inherits": tuple(
            sorted({one for ban in node.suspicions.values() for one in ban.ingredient})
        ),
        "verified": node.verified is not None,
        "fingerprint": node.fingerprint,
    }


def _is_screen(row: Row) -> bool:
    """A single screen never outranks what was measured with care."""
    return row.value == "single" and row.stage == "screen"


def _order(row: Row) -> tuple[float, str]:
    return (-row.tokens_per_second, row.attempt)


def _ranked(rows: list[Row], *, first: int) -> list[Row]:
    lows = sorted(row.ci_low for row in rows)
    highs = sorted(row.ci_high for row in rows)
    ranked: list[Row] = []
    leader, rank = None, first
    for place, row in enumerate(rows, start=first):
        if leader is None or row.ci_high < leader.ci_low:
            leader, rank = row, place
        above = len(rows) - bisect_right(lows, row.ci_high)
        not_below = len(rows) - bisect_left(highs, row.ci_low)
        bounds = {"rank_low": first + above, "rank_high": first + not_below - 1}
        ranked.append(row.model_copy(update={"rank": rank, **bounds}))
    return ranked
