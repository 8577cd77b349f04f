"""Every launch of an attempt, and what its verifications found, as rows and tables.

A verification is shown once somebody ruled on it: until then a failed test is a private flag.
"""

from collections.abc import Iterator
from statistics import median
from typing import Any

from rich.table import Table
from rich.text import Text

from bench.measurement import FreshLaunch, Measurement, Side
from bench.verification import Finding, Verification
from orchestrator.views import figures
from orchestrator.views.clean import one_line
from tools.record.lineage import Lineage, Node, Run

_DIGEST_LENGTH = 12
_STATUS_STYLE = {"passed": "green", "failed": "bold red", "not_run": "dim"}


def launch_rows(lineage: Lineage, node: Node) -> list[dict[str, Any]]:
    """Return one row per timed launch, those beside a contender included, oldest first."""
    rows = [
        (run.ended_seq or 0, row)
        for other in lineage.nodes.values()
        for run in other.runs
        if other is node or run.incumbent == node.attempt
        for row in _rows_of(run, is_own=other is node)
    ]
    return [row for _, row in sorted(rows, key=lambda pair: pair[0])]


def launch_table(rows: list[dict[str, Any]]) -> Table:
    """Return `rows` as a table: what was kept, the median, and the digest that tells classes."""
    table = Table(box=None, pad_edge=False)
    for name in ("job", "launch"):
        table.add_column(name, no_wrap=True)
    for name in ("pairs", "rejected", "speed-up", "lowest", "highest"):
        table.add_column(name, justify="right", no_wrap=True)
    table.add_column("output", no_wrap=True)
    for row in rows:
        ratios = (figures.ratio(row[name]) for name in ("speedup", "lowest", "highest"))
        counts = (str(row["pairs"]), str(row["rejected"]))
        table.add_row(row["job"], row["kind"], *counts, *ratios, row["digest"][:_DIGEST_LENGTH])
    return table


def shown_verifications(node: Node, *, ruled_seq: int) -> list[tuple[str, Verification]]:
    """Return the verifications that ended before the latest ruling on them, with their jobs."""
    ends = {run.job: run.ended_seq or 0 for run in node.runs}
    return [(job, one) for job, one in node.verifications if ends.get(job, 0) < ruled_seq]


def verification_parts(job: str, verification: Verification) -> Iterator[Table | Text]:
    """Yield one verification: its figures in a line, then every test with value and limit."""
    words = [f"{len(verification.drawn)} private texts", f"class {verification.numeric_class}"]
    if speed := verification.speed:
        words.append(f"speed-up {speed.speedup:.2f}x [{speed.low:.2f}, {speed.high:.2f}]")
    if regret := verification.regret:
        words.append(f"regret {regret.mean:.5f} nats over {regret.tokens} tokens")
    words.append(f"{verification.seconds:.0f} s")
    failed = ", ".join(verification.failed)
    yield Text.assemble(
        f"  {job}: ",
        ("failed " + failed, "bold red") if failed else ("passed", "bold green"),
        (f" ({'; '.join(words)})", "dim"),
    )
    yield _finding_table(verification.findings)


def _finding_table(findings: tuple[Finding, ...]) -> Table:
    table = Table(box=None, pad_edge=False)
    for name in ("test", "status"):
        table.add_column(name, no_wrap=True)
    for name in ("value", "limit"):
        table.add_column(name, justify="right", no_wrap=True)
    table.add_column("unit", no_wrap=True)
    table.add_column("detail", overflow="fold", style="dim")
    for one in findings:
        table.add_row(
            one.test,
            Text(one.status.replace("_", " "), style=_STATUS_STYLE[one.status]),
            _figure(one.value),
            _figure(one.limit),
            one.unit,
            one_line(one.detail, limit=160),
        )
    return table


def _figure(value: float | None) -> str:
    return figures.UNKNOWN if value is None else f"{value:.4g}"


def _rows_of(run: Run, *, is_own: bool) -> Iterator[dict[str, Any]]:
    outcome = run.outcome
    if outcome is None:
        return
    if is_own and outcome.measurement is not None:
        yield _measured_row(run, outcome.measurement)
    elif outcome.fresh is not None:
        yield _fresh_row(run, outcome.fresh, is_own=is_own)


def _measured_row(run: Run, measured: Measurement) -> dict[str, Any]:
    kind = f"{run.stage}, replicate" if run.replicate else run.stage
    rejected = sum(sample.rejected is not None for sample in measured.samples)
    return _row(run, kind, measured.pair_ratios, measured.output_digest) | {"rejected": rejected}


def _fresh_row(run: Run, fresh: FreshLaunch, *, is_own: bool) -> dict[str, Any]:
    side: Side = "candidate" if is_own else "incumbent"
    ratios = fresh.ratios if is_own else fresh.incumbent_ratios
    digest = fresh.output_digest if is_own else fresh.incumbent_digest
    words = f"fresh, {run.purpose}" if is_own else f"fresh, {run.purpose}, holds the record"
    rejected = sum(one.rejected is not None for one in fresh.samples if one.side == side)
    return _row(run, words, ratios, digest) | {"rejected": rejected}


def _row(run: Run, kind: str, ratios: tuple[float, ...], digest: str) -> dict[str, Any]:
    return {
        "job": run.job,
        "kind": kind,
        "pairs": len(ratios),
        "speedup": median(ratios) if ratios else None,
        "lowest": min(ratios, default=None),
        "highest": max(ratios, default=None),
        "digest": digest,
    }
