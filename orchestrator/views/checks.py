"""Checks as lines: what holds, what does not, and what to type about it."""

from collections.abc import Iterator

from rich.text import Text

from orchestrator.doctor import Finding
from orchestrator.replay import CheckReport
from orchestrator.views.clean import one_line

MARK = {True: ("ok      ", "green"), False: ("FAILS   ", "bold red"), None: ("optional", "dim")}


def check_view(report: CheckReport) -> Iterator[Text]:
    """Yield the result of `replay --check`."""
    yield Text(f"{report.events} events, head {report.head_hash[:16]}")
    for one in report.invariants:
        yield _line(one.name, one.ok, one.detail)
    yield Text(
        "chain, folds and invariants hold" if report.is_sound else "the record does NOT hold",
        style="bold green" if report.is_sound else "bold red",
    )


def finding_view(findings: list[Finding]) -> Iterator[Text]:
    """Yield the result of `doctor`, each problem with the command that ends it."""
    for one in findings:
        yield _line(one.name, one.ok, one.detail)
        if one.command:
            yield Text.assemble(" " * 10, ("do: ", "dim"), (one.command, "bold"))


def _line(name: str, ok: bool | None, detail: str) -> Text:
    text = one_line(detail, limit=300)
    return Text.assemble(MARK[ok], f"  {one_line(name)}", f": {text}" if text else "")
