"""Everything the record knows about one attempt."""

from collections.abc import Iterable, Iterator
from typing import Any, NamedTuple

from rich.table import Table
from rich.text import Text

from bench.config import diff
from bench.measurement import Measurement
from orchestrator.views import figures
from orchestrator.views.board_view import message_lines, message_rows
from orchestrator.views.clean import clean, one_line
from orchestrator.views.story import outcome_words
from orchestrator.views.styles import VERDICT_STYLE
from tools.record.board import Message
from tools.record.events import Event
from tools.record.lineage import Lineage, Node, Run


class Dossier(NamedTuple):
    """An attempt with its surroundings, gathered from the record."""

    node: Node
    lineage: Lineage
    rulings: tuple[Event, ...]
    """`verdict_given` events on it, oldest first."""
    messages: tuple[Message, ...]
    """Posts that refer to it, oldest first."""
    opened_at: float
    simulated: bool


def gather(
    attempt: str, lineage: Lineage, messages: Iterable[Message], events: Iterable[Event]
) -> Dossier:
    """Collect what concerns `attempt`, which must be in `lineage`."""
    first_time: float | None = None
    rulings = []
    for event in events:
        first_time = event.time if first_time is None else first_time
        if event.kind == "verdict_given" and event.payload.attempt == attempt:
            rulings.append(event)
    return Dossier(
        node=lineage.nodes[attempt],
        lineage=lineage,
        rulings=tuple(rulings),
        messages=tuple(message for message in messages if attempt in message.refs),
        opened_at=first_time or 0.0,
        simulated=lineage.simulated_jobs > 0,
    )


def attempt_json(dossier: Dossier) -> dict[str, Any]:
    """Return the attempt as data; measurements in full."""
    node = dossier.node
    return {
        "attempt": node.attempt,
        "agent": node.agent,
        "parents": [parent.model_dump(mode="json") for parent in node.parents],
        "children": dossier.lineage.children(node.attempt),
        "fingerprint": node.fingerprint,
        "hypothesis": node.hypothesis,
        "direction": node.direction,
        "config": node.config.model_dump(mode="json"),
        "changes_to_baseline": _changes(dossier),
        "state": node.state,
        "speedup": node.speedup._asdict() if node.speedup else None,
        "perplexity": node.perplexity,
        "verdict": node.verdict,
        "simulated": dossier.simulated,
        "runs": [_run_json(run) for run in node.runs],
        "rulings": [event.payload.model_dump(mode="json") for event in dossier.rulings],
        "messages": message_rows(dossier.messages),
    }


def attempt_view(dossier: Dossier) -> Iterator[Table | Text]:
    """Yield the parts of the view, to be printed in turn."""
    yield _facts(dossier)
    if dossier.node.runs:
        yield Text("\nruns", style="bold")
    for run in dossier.node.runs:
        yield from _run_lines(run)
    if dossier.rulings:
        yield Text("\nverdicts", style="bold")
    for event in dossier.rulings:
        yield _ruling_line(event, dossier.opened_at)
    if dossier.messages:
        yield Text("\nmessages about it", style="bold")
    for message in dossier.messages:
        yield from message_lines(message, opened_at=dossier.opened_at)


def _facts(dossier: Dossier) -> Table:
    node = dossier.node
    table = Table(box=None, show_header=False, pad_edge=False)
    table.add_column(style="dim", no_wrap=True)
    table.add_column(overflow="fold")
    parents = ", ".join(f"{parent.attempt} ({parent.kind})" for parent in node.parents)
    label = " [simulated]" if dossier.simulated else ""
    for name, value in (
        ("attempt", f"{node.attempt} by {one_line(node.agent)}{label}"),
        ("parents", parents or "none: the baseline"),
        ("children", ", ".join(dossier.lineage.children(node.attempt)) or "none"),
        ("hypothesis", clean(node.hypothesis) or figures.UNKNOWN),
        ("changes to baseline", figures.changes(_changes(dossier)) or "none"),
        ("speed-up", f"{figures.speedup(node.speedup)} from {node.pairs} pairs"),
        ("perplexity", _perplexity(node)),
        ("state", node.state),
        ("fingerprint", node.fingerprint),
    ):
        table.add_row(name, value)
    verdict = Text(f"{node.verdict} {one_line(node.verdict_reason)}".rstrip())
    verdict.stylize(VERDICT_STYLE[node.verdict])
    table.add_row("verdict", verdict)
    return table


def _changes(dossier: Dossier) -> dict[str, Any]:
    nodes = dossier.lineage.nodes.values()
    root = next((node for node in nodes if not node.parents), dossier.node)
    return diff(root.config, dossier.node.config)


def _perplexity(node: Node) -> str:
    value = figures.perplexity(node.perplexity)
    return f"{value}, {figures.ratio(node.perplexity_ratio, digits=3)} the baseline's"


def _run_lines(run: Run) -> Iterator[Text]:
    what = "replicate, " * run.replicate + run.stage
    told = outcome_words(run.outcome, limit=None) if run.outcome else run.state
    yield Text(f"  {run.job} ({what}, asked for by {one_line(run.requested_by)}): {told}")
    if run.outcome and run.outcome.measurement:
        yield Text(f"      {_samples(run.outcome.measurement)}", style="dim")


def _samples(measurement: Measurement) -> str:
    rejected = sum(sample.rejected is not None for sample in measurement.samples)
    drafting = measurement.drafting
    words = [
        f"{len(measurement.pair_ratios)} pairs kept",
        f"{rejected} of {len(measurement.samples)} samples rejected",
        f"peak memory {figures.size(measurement.peak_memory_bytes)}",
        f"weights {figures.size(measurement.artefact_bytes)}",
        f"job {measurement.durations.total_seconds:.1f} s",
    ]
    if drafting and drafting.drafted_tokens:
        words.append(f"{drafting.accepted_tokens / drafting.drafted_tokens:.0%} of drafts accepted")
    if measurement.perplexity.missing_targets:
        words.append(f"{measurement.perplexity.missing_targets} targets outside the vocabulary")
    return ", ".join(words)


def _ruling_line(event: Event, opened_at: float) -> Text:
    ruling = event.payload
    evidence = ", ".join(f"{name} {_short(value)}" for name, value in ruling.evidence.items())
    return Text.assemble(
        (f"{figures.clock(event.time - opened_at):>7} ", "dim"),
        (ruling.verdict, VERDICT_STYLE[ruling.verdict]),
        f" by {one_line(ruling.by)}: {one_line(ruling.reason) or 'no reason given'}",
        (f" ({one_line(evidence, limit=200)})" if evidence else "", "dim"),
    )


def _short(value: Any) -> str:
    return f"{value:.5g}" if isinstance(value, float) else str(value)


def _run_json(run: Run) -> dict[str, Any]:
    return {
        "job": run.job,
        "stage": run.stage,
        "replicate": run.replicate,
        "requested_by": run.requested_by,
        "state": run.state,
        "outcome": run.outcome.model_dump(mode="json") if run.outcome else None,
    }
