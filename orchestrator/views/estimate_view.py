"""An estimate as a table, as a line, and as rows for scripts."""

from typing import Any

from rich.table import Table
from rich.text import Text

from orchestrator.estimate import STEPS_PER_TURN, TURNS_PER_JOB, Estimate
from orchestrator.views import figures
from orchestrator.views.clean import one_line
from tools.budget import figure
from tools.record.spend import Amount

LABELS = {"usd": "dollars", "tokens": "tokens", "seconds": "device time", "turns": "turns"}

ASSUMPTIONS = (
    f"expected: {TURNS_PER_JOB} turns a job, {STEPS_PER_TURN} questions a turn, half of the context"
    " filled, nothing cached; at worst: nobody ever pauses, every question at its ceiling"
)


def estimate_rows(found: Estimate) -> dict[str, dict[str, float | None]]:
    """Return each kind of cost with its expected value, worst case, cap and most."""
    return {
        what: {
            "expected": _value(found.expected, what),
            "worst": _value(found.worst, what),
            "cap": found.caps[what],
            "at_most": found.at_most(what),
        }
        for what in Amount._fields
    }


def estimate_json(found: Estimate) -> dict[str, Any]:
    """Return the estimate as one document."""
    fields = ("model", "agents", "minutes", "is_paid", "outside_agents", "device_usd_per_hour")
    head = {name: value for name, value in found._asdict().items() if name in fields}
    return head | estimate_rows(found)


def estimate_table(found: Estimate) -> Table:
    """Return the estimate as a table."""
    table = Table("", *("expected", "at worst", "cap", "at most"), box=None, header_style="bold")
    for column in table.columns[1:]:
        column.justify = "right"
    for what, row in estimate_rows(found).items():
        table.add_row(LABELS[what], *(_figure(what, value) for value in row.values()))
    return table


def estimate_line(found: Estimate) -> Text:
    """Return the estimate as one line, to be read before the ride begins."""
    who = f"{one_line(found.model)}, {figures.count(found.agents, 'agent')}"
    device = _device_words(found)
    if not found.is_paid:
        return Text(f"{who}: thinking costs nothing{device}")
    usd, tokens = (estimate_rows(found)[what] for what in ("usd", "tokens"))
    words = (
        f"{who}: about"
        f" {_figure('usd', usd['expected'])} and {_figure('tokens', tokens['expected'])} expected;"
        f" stops at {_figure('usd', usd['at_most'])} or {_figure('tokens', tokens['at_most'])}"
    )
    if found.outside_agents:
        words += (
            f"; {figures.count(found.outside_agents, 'outside program')} besides, with own bills"
        )
    return Text(words + device)


def _device_words(found: Estimate) -> str:
    if not found.device_usd_per_hour:
        return ""
    at_most = _figure("usd", found.at_most("usd"))
    return f"; the device costs ${found.device_usd_per_hour:.2f} an hour, {at_most} at most"


def _value(amount: Amount | None, what: str) -> float | None:
    return None if amount is None else amount._asdict()[what]


def _figure(what: str, value: float | None) -> str:
    return figures.UNKNOWN if value is None else figure(what, value)
