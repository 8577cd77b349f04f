"""The message board, as a person reads it: header by us, body by an agent, cleaned."""

from collections.abc import Iterable, Iterator
from typing import Any

from rich.text import Text

from orchestrator.views import figures
from orchestrator.views.clean import clean, one_line
from tools.record.board import Board, Message

TYPE_STYLE = {
    "result": "cyan",
    "dead-end": "magenta",
    "notice": "yellow",
    "digest": "blue",
    "plan": "green",
}


def message_lines(message: Message, *, opened_at: float) -> Iterator[Text]:
    """Yield a post: one header line, then its body, indented so that it cannot pose as a header."""
    refs = f" re {' '.join(message.refs)}" if message.refs else ""
    to = f" to {' '.join(message.mentions)}" if message.mentions else ""
    yield Text.assemble(
        (f"{figures.clock(message.time - opened_at):>7} ", "dim"),
        (message.id, "bold"),
        f" {one_line(message.author)} ",
        (message.type, TYPE_STYLE.get(message.type, "dim")),
        (one_line(refs + to, limit=120) and f" {one_line(refs + to, limit=120)}", "dim"),
    )
    for line in clean(message.body).splitlines():
        yield Text(f"        {line}")


def message_rows(messages: Iterable[Message]) -> list[dict[str, Any]]:
    """Return posts as data."""
    return [
        {
            "id": message.id,
            "time": message.time,
            "author": message.author,
            "type": message.type,
            "refs": list(message.refs),
            "mentions": list(message.mentions),
            "body": message.body,
        }
        for message in messages
    ]


def standing_lines(board: Board, *, now: float) -> Iterator[Text]:
    """Yield the claims that hold at `now` and the recorded dead ends."""
    for claim in board.claims(now=now):
        left = figures.clock(claim.expires_at - now)
        what = one_line(claim.direction, limit=100)
        yield Text.assemble(("claim     ", "green"), f"{claim.agent}: {what} ({left} left)")
    for end in board.dead_ends.values():
        text = one_line(f"{end.direction}: {end.reason}", limit=140)
        yield Text.assemble(("dead end  ", "magenta"), f"{end.agent}: {text}")
