"""The leaderboard as a table: ranks as ranges, intervals, and below it what was rejected."""

from collections.abc import Callable, Iterator
from typing import Any, Literal, NamedTuple

from rich.table import Table
from rich.text import Text

from orchestrator.views import figures
from orchestrator.views.clean import one_line
from orchestrator.views.styles import VERDICT_STYLE
from tools.record.leaderboard import Leaderboard, Row

NARROW = 106
"""Columns the whole ranking needs with agents' names of usual length."""


def leaderboard_view(
    board: Leaderboard, *, most: int | None = None, narrow: bool = False
) -> Iterator[Table | Text]:
    """Yield the heading, the ranking and the rejected attempts, to be printed in turn.

    Args:
        board: the fold.
        most: rows shown of each part; None = all.
        narrow: leave out what the other columns imply; for terminals below `NARROW` columns.
    """
    yield _heading(board)
    if not board.rows:
        yield Text("nothing measured yet", style="dim")
    else:
        yield _table(RANKING, board.rows[:most], narrow=narrow)
    yield from _left_out(len(board.rows), most)
    if board.rejected:
        yield Text("\nrejected by a guardrail", style="bold red")
        yield _table(REJECTED, board.rejected[:most], narrow=narrow)
        yield from _left_out(len(board.rejected), most)


def leaderboard_csv_rows(board: Leaderboard) -> Iterator[dict[str, Any]]:
    """Yield ranked rows, then rejected ones, which have no rank."""
    for row in (*board.rows, *board.rejected):
        yield row.model_dump(mode="json")


def _heading(board: Leaderboard) -> Text:
    base = board.baseline
    text = Text.assemble(
        (f"{board.session}", "bold"),
        f"  challenge {board.challenge}  baseline {figures.tokens(base.tokens_per_second)} "
        f"tokens/s at perplexity {figures.perplexity(base.perplexity)}",
    )
    if board.simulated:
        text.append("  [simulated: no model was run]", "bold yellow")
    return text


class _Column(NamedTuple):
    """A column of the ranking; the dispensable ones give way on a narrow terminal."""

    name: str
    cell: Callable[[Row], str | Text]
    justify: Literal["left", "right"] = "right"
    dispensable: bool = False


def _range(row: Row) -> str:
    low, high = row.rank_low, row.rank_high
    return str(low) if low == high else f"{low}-{high}"


def _verdict(row: Row) -> Text:
    words = "verified" if row.verified else str(row.verdict)
    words += " (screen)" * (row.stage == "screen")
    return Text(words, style=VERDICT_STYLE[row.verdict])


_ATTEMPT = _Column("attempt", lambda row: row.attempt, "left")
_AGENT = _Column("agent", lambda row: one_line(row.agent, limit=24), "left")
_SPEED = _Column("tokens/s", lambda row: figures.tokens(row.tokens_per_second))
_SPEEDUP = _Column("speed-up", lambda row: figures.ratio(row.speedup), dispensable=True)
_PERPLEXITY = _Column("perplexity", lambda row: figures.perplexity(row.perplexity))
_RATIO = _Column("ratio", lambda row: figures.ratio(row.perplexity_ratio, digits=3))

RANKING = (
    _Column("rank", lambda row: str(row.rank)),
    _Column("range", _range),
    _ATTEMPT,
    _AGENT,
    _SPEED,
    _Column("95 % interval", lambda row: figures.bounds(row.ci_low, row.ci_high)),
    _SPEEDUP,
    _Column("pairs", lambda row: str(row.n), dispensable=True),
    _PERPLEXITY,
    _RATIO._replace(dispensable=True),
    _Column("verdict", _verdict, "left"),
)
REJECTED = (
    _ATTEMPT,
    _AGENT,
    _SPEED,
    _SPEEDUP,
    _PERPLEXITY,
    _RATIO,
    _Column("reason", lambda row: one_line(row.reason), "left"),
)


def _table(columns: tuple[_Column, ...], rows: tuple[Row, ...], *, narrow: bool) -> Table:
    shown = [column for column in columns if not (narrow and column.dispensable)]
    table = Table(box=None, pad_edge=False)
    for column in shown:
        table.add_column(column.name, justify=column.justify, no_wrap=True)
    for row in rows:
        table.add_row(*(column.cell(row) for column in shown))
    return table


def _left_out(count: int, most: int | None) -> Iterator[Text]:
    if most is not None and count > most:
        yield Text(f"… and {count - most} more", style="dim")
