"""A receipt for people, and what a round of verification came to."""

from collections.abc import Iterable, Iterator
from datetime import UTC, datetime

from rich.table import Table
from rich.text import Text

from bench.verification import Regret
from orchestrator.receipts import Receipt
from orchestrator.views import figures
from orchestrator.views.clean import one_line
from tools.record.events import Event


def receipt_view(receipt: Receipt, *, signed_by: str) -> Iterator[Table | Text]:
    """Yield what a receipt that holds says, and whose word it is."""
    table = Table(box=None, show_header=False, pad_edge=False)
    table.add_column(style="dim", no_wrap=True)
    table.add_column(overflow="fold")
    for name, value in _rows(receipt):
        table.add_row(name, one_line(value, limit=400))
    yield table
    key = f"{receipt.public_key} ({one_line(signed_by)})"
    yield Text(f"the receipt holds; signed by {key}", style="bold green")


def verified_view(events: Iterable[Event]) -> Iterator[Text]:
    """Yield a line for each ruling and each receipt among `events`."""
    nothing = True
    for event in events:
        found = event.payload
        if event.kind == "verdict_given" and found.by == "verifier":
            text = f"{found.attempt}: {found.verdict}, {found.reason}"
        elif event.kind == "attempt_invalidated":
            text = f"{found.attempt}: invalid, {found.reason}"
        elif event.kind == "receipt_issued":
            text = f"{found.attempt}: receipt signed with {found.receipt.get('public_key')}"
        else:
            continue
        nothing = False
        yield Text(one_line(text))
    if nothing:
        yield Text("nothing was ruled: no verification was due, or a flag waits for its second run")


def _rows(receipt: Receipt) -> Iterator[tuple[str, str]]:
    yield "attempt", f"{receipt.attempt} by {receipt.agent}, session {receipt.session}"
    yield "challenge", f"{receipt.challenge}, model SHA-256 {receipt.model_sha256}"
    yield "config", f"fingerprint {receipt.fingerprint}, engine {receipt.engine_version}"
    yield (
        "private texts",
        (f"{len(receipt.drawn)} drawn of the set committed to as {receipt.prompt_commitment}"),
    )
    if speed := receipt.speed:
        interval = f"{speed.speedup:.2f}x [{speed.low:.2f}, {speed.high:.2f}]"
        yield "private speed-up", f"{interval}, {speed.tokens_per_second:.1f} tokens/s"
    if perplexity := receipt.perplexity:
        ratio = f"{perplexity.value:.2f} against {perplexity.reference:.2f} of the reference"
        yield "private perplexity", f"{ratio}, {perplexity.tokens} tokens"
    yield "regret", _regret(receipt.regret)
    yield "self-consistency", _regret(receipt.self_regret)
    yield "tests", ", ".join(f"{one.test} {one.status}" for one in receipt.findings)
    yield "machine", str(receipt.hardware.get("cpu", figures.UNKNOWN))
    yield "record", f"head {receipt.chain_head.hash} at event {receipt.chain_head.seq}"
    yield (
        "issued",
        datetime.fromtimestamp(receipt.issued_at, tz=UTC).strftime("%Y-%m-%d %H:%M:%S UTC"),
    )


def _regret(regret: Regret | None) -> str:
    if regret is None:
        return figures.UNKNOWN
    share = f"{100 * regret.share_above_one:.1f} % above 1"
    return f"{regret.mean:.4f} nats per token, {share}, {regret.tokens} tokens"
