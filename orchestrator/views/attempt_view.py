"""Everything the record knows about one attempt."""

from collections.abc import Iterable, Iterator
from typing import Any, NamedTuple

from rich.table import Table
from rich.text import Text

from bench.config import diff
from bench.measurement import JobOutcome, Measurement
from orchestrator.views import figures
from orchestrator.views.board_view import message_lines, message_rows
from orchestrator.views.clean import clean, one_line
from orchestrator.views.launches import (
    launch_rows,
    launch_table,
    shown_verifications,
    verification_parts,
)
from orchestrator.views.speeds import edge_words, moment, session_label
from orchestrator.views.story import outcome_words, stage_words
from orchestrator.views.styles import VERDICT_STYLE
from tools.record.board import Message
from tools.record.credit import confirmations
from tools.record.events import Event
from tools.record.lineage import Lineage, Node, Run
from tools.record.projection import Projection
from tools.record.retraction import Ban
from tools.record.rulings import rank
from tools.record.value import Value, value_of, yardstick

_RULINGS = frozenset({"verdict_given", "attempt_invalidated", "attempt_reinstated"})


class Dossier(NamedTuple):
    """An attempt with its surroundings, gathered from the record."""

    node: Node
    lineage: Lineage
    value: Value | None
    """What the leaderboard takes its speed to be."""
    rulings: tuple[Event, ...]
    """Verdicts, invalidations and reinstatements, oldest first."""
    receipts: tuple[Event, ...]
    """`receipt_issued` events on it, oldest first."""
    messages: tuple[Message, ...]
    """Posts that refer to it, oldest first."""
    opened_at: float
    simulated: bool

    @property
    def ruled_seq(self) -> int:
        """Of the latest ruling on more than the guardrail; what came before it is public."""
        rulings = (one for one in self.rulings if rank(one.payload.by) > rank("guardrail"))
        return max((one.seq for one in rulings), default=0)


def gather(attempt: str, projection: Projection, events: Iterable[Event]) -> Dossier:
    """Collect what concerns `attempt`, which must be in the projection's lineage."""
    kinds = {*_RULINGS, "receipt_issued"}
    about = [one for one in events if one.kind in kinds and one.payload.attempt == attempt]
    lineage, messages = projection.lineage, projection.board.messages
    node = lineage.nodes[attempt]
    return Dossier(
        node=node,
        lineage=lineage,
        value=value_of(node, yardstick(lineage, projection.promotion_rule)),
        rulings=tuple(event for event in about if event.kind in _RULINGS),
        receipts=tuple(event for event in about if event.kind == "receipt_issued"),
        messages=tuple(message for message in messages if attempt in message.refs),
        opened_at=projection.opened_at or 0.0,
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
        "files": node.files,
        "changes_to_baseline": _changes(dossier),
        "state": node.state,
        "speedup": node.speedup._asdict() if node.speedup else None,
        "perplexity": node.perplexity,
        "reported": node.reported._asdict() if node.reported else None,
        "value": _value_json(dossier.value),
        "verdict": node.verdict,
        "reason": node.verdict_reason,
        "ruled_by": node.verdict_by,
        "verified": node.verified is not None,
        "suspected_by": sorted(node.suspected_by),
        "confirmed_by": confirmations(dossier.lineage).get(node.attempt, []),
        "bans": [ban._asdict() for ban in _bans(dossier)],
        "simulated": dossier.simulated,
        "launches": launch_rows(dossier.lineage, node),
        "runs": [_run_json(run, dossier.ruled_seq) for run in node.runs],
        "rulings": [
            {"event": event.seq, "time": event.time} | event.payload.model_dump(mode="json")
            for event in dossier.rulings
        ],
        "receipt": node.receipt,
        "messages": message_rows(dossier.messages),
    }


def attempt_view(dossier: Dossier) -> Iterator[Table | Text]:
    """Yield the parts of the view, to be printed in turn."""
    node = dossier.node
    yield _facts(dossier)
    if node.runs:
        yield Text("\nruns", style="bold")
    for run in node.runs:
        yield from _run_lines(run)
    if rows := launch_rows(dossier.lineage, node):
        yield Text("\nlaunches, each against the baseline of its own job", style="bold")
        yield launch_table(rows)
    yield from _verifications(dossier)
    if dossier.rulings:
        yield Text("\nverdicts", style="bold")
    for event in dossier.rulings:
        yield _ruling_line(event, dossier.opened_at)
    if dossier.messages:
        yield Text("\nmessages about it", style="bold")
    for message in dossier.messages:
        yield from message_lines(message, opened_at=dossier.opened_at)


def _verifications(dossier: Dossier) -> Iterator[Table | Text]:
    shown = shown_verifications(dossier.node, ruled_seq=dossier.ruled_seq)
    if shown:
        yield Text("\nverifications on private texts", style="bold")
    for job, verification in shown:
        yield from verification_parts(job, verification)


def _facts(dossier: Dossier) -> Table:
    node = dossier.node
    table = Table(box=None, show_header=False, pad_edge=False)
    table.add_column(style="dim", no_wrap=True)
    table.add_column(overflow="fold")
    parents = ", ".join(f"{one.attempt} ({one_line(edge_words(one))})" for one in node.parents)
    label = session_label(dossier.lineage, simulated="[simulated]")
    of_none = "none: the baseline" if node.is_baseline else "none that is known"
    for name, value in (
        ("attempt", f"{node.attempt} by {one_line(node.agent)} {label}".rstrip()),
        ("parents", parents or of_none),
        ("children", ", ".join(dossier.lineage.children(node.attempt)) or "none"),
        ("hypothesis", clean(node.hypothesis) or figures.UNKNOWN),
        *_speed_facts(dossier),
        ("perplexity", _perplexity(node)),
        ("state", node.state),
        ("fingerprint", node.fingerprint),
    ):
        table.add_row(name, value)
    if node.files:
        table.add_row("files", one_line(", ".join(sorted(node.files))))
    verdict = Text(_verdict_words(node), style=VERDICT_STYLE[node.verdict])
    table.add_row("verdict", verdict)
    for name, value in _consequences(dossier):
        table.add_row(name, value)
    return table


def _speed_facts(dossier: Dossier) -> Iterator[tuple[str, str]]:
    node, one = dossier.node, dossier.node.reported
    if one is None:
        yield "changes to baseline", figures.changes(_changes(dossier)) or "none"
        yield "speed-up", _value_words(dossier.value)
        yield "all its own runs", f"{figures.speedup(node.speedup)} from {node.pairs} pairs"
        return
    yield "method", one_line(node.direction.removeprefix("method="))
    yield "posted", f"{moment(one.time)} UTC, {one.status}, in {one_line(one.source)}"
    interval = node.pace_interval
    bounds = f" [{figures.bounds(interval.low, interval.high)}]" if interval else ""
    yield "tokens/s", f"{figures.tokens(one.tokens_per_second)}{bounds}, one draw as reported"
    yield "speed-up", _value_words(dossier.value)
    if one.note:
        yield "note", clean(one.note)


def _value_words(value: Value | None) -> str:
    if value is None:
        return figures.UNKNOWN
    source = {
        "verified": "on private texts",
        "fresh": f"mean of {figures.count(value.launches, 'fresh launch', 'fresh launches')}",
        "single": "a single launch, shrunk towards the session's mean",
        "reported": "over the reported baseline",
    }
    pairs = "" if value.n is None else f", {value.n} pairs"
    return f"{figures.speedup(value.speedup)} {source[value.kind]}{pairs}"


def _verdict_words(node: Node) -> str:
    if node.verdict == "suspect":
        return f"suspect, inherits from {' and '.join(sorted(node.suspected_by))}"
    by = f" by {node.verdict_by}" if node.verdict_by else ""
    why = f": {node.verdict_reason}" if node.verdict_reason else ""
    return one_line(f"{node.verdict}{by}{why}")


def _consequences(dossier: Dossier) -> Iterator[tuple[str, str]]:
    """Yield what its rulings led to: bans in force, receipts, who backs it."""
    node = dossier.node
    for ban in _bans(dossier):
        words = f"{' '.join(ban.ingredient)}, by {ban.by} on {ban.attempt} for {ban.reason}"
        yield "banned", one_line(f"{words}, event {ban.seq}")
    for event in dossier.receipts[-1:]:
        stands = "" if node.verified else "; its verdict no longer stands"
        yield "receipt", f"issued for {event.payload.job}, event {event.seq}{stands}"
    if backers := confirmations(dossier.lineage).get(node.attempt):
        yield "replicated by", one_line(", ".join(backers))


def _changes(dossier: Dossier) -> dict[str, Any]:
    nodes = dossier.lineage.nodes.values()
    root = next((node for node in nodes if node.is_baseline), dossier.node)
    return diff(root.config, dossier.node.config)


def _perplexity(node: Node) -> str:
    value = figures.perplexity(node.perplexity)
    return f"{value}, {figures.ratio(node.perplexity_ratio, digits=3)} the baseline's"


def _run_lines(run: Run) -> Iterator[Text]:
    what = "replicate, " * run.replicate + stage_words(run.stage, run.incumbent)
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
    state = _RULED.get(event.kind) or ruling.verdict
    evidence = {} if event.kind == "attempt_reinstated" else ruling.evidence
    found = ", ".join(f"{name} {_short(value)}" for name, value in evidence.items())
    return Text.assemble(
        (f"{figures.clock(event.time - opened_at):>7} ", "dim"),
        (state, VERDICT_STYLE.get(state, "bold")),
        f" by {one_line(ruling.by)}: {one_line(_grounds(event)) or 'no reason given'}",
        (f" ({one_line(found, limit=200)})" if found else "", "dim"),
    )


_RULED = {"attempt_invalidated": "invalid", "attempt_reinstated": "reinstated"}


def _grounds(event: Event) -> str:
    ruling = event.payload
    if event.kind == "verdict_given":
        return str(ruling.reason)
    if event.kind == "attempt_reinstated":
        return str(ruling.note)
    banned = f", bans {' '.join(ruling.ingredient)}" if ruling.ingredient else ""
    return f"{ruling.reason}{banned}{': ' if ruling.note else ''}{ruling.note}"


def _short(value: Any) -> str:
    if value is None:
        return figures.UNKNOWN
    return f"{value:.5g}" if isinstance(value, float) else str(value)


def _run_json(run: Run, ruled_seq: int) -> dict[str, Any]:
    is_private = run.stage == "private" and (run.ended_seq or 0) > ruled_seq
    outcome = _sealed(run.outcome) if is_private and run.outcome else run.outcome
    return {
        "job": run.job,
        "stage": run.stage,
        "replicate": run.replicate,
        "requested_by": run.requested_by,
        "state": run.state,
        "outcome": outcome.model_dump(mode="json") if outcome else None,
    }


def _sealed(outcome: JobOutcome) -> JobOutcome:
    """Return a private outcome without what it found: nobody has ruled on it yet."""
    return outcome.model_copy(update={"verification": None, "message": None})


def _value_json(value: Value | None) -> dict[str, Any] | None:
    return value._asdict() | {"speedup": value.speedup._asdict()} if value else None


def _bans(dossier: Dossier) -> list[Ban]:
    """Return the bans that rulings on it, or on what it inherits from, have set."""
    concerned = {dossier.node.attempt, *dossier.node.suspected_by}
    return [ban for ban in dossier.lineage.all_bans if ban.attempt in concerned]
