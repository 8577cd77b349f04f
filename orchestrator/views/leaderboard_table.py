"""The leaderboard as a table: ranks as ranges, intervals and what they are from.

Below it what is suspect, and what was ruled invalid, with who ruled.
"""

from collections.abc import Callable, Iterator
from typing import Any, Literal, NamedTuple

from rich.table import Table
from rich.text import Text

from orchestrator.views import figures
from orchestrator.views.clean import one_line
from orchestrator.views.speeds import REPORTED
from orchestrator.views.styles import VERDICT_STYLE
from tools.record.leaderboard import Leaderboard, Row

NARROW = 118
"""Columns the whole ranking needs with agents' names of usual length."""

FOOTNOTE = "* single launch, shrunk towards the session's mean"
REPORTED_FOOTNOTE = "one posted draw each; the interval is the challenge's known launch noise"


def leaderboard_view(
    board: Leaderboard, *, most: int | None = None, narrow: bool = False
) -> Iterator[Table | Text]:
    """Yield the heading, the ranking, the suspect and the invalid, to be printed in turn.

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
    if any(row.value == "single" for row in board.rows[:most]):
        yield Text(FOOTNOTE, style="dim")
    yield from _reported_notes(board)
    for title, style, columns, rows in (
        ("suspect: to be verified before it counts again", "bold yellow", SUSPECT, board.suspects),
        ("ruled invalid", "bold red", REJECTED, board.rejected),
    ):
        if rows:
            yield Text(f"\n{title}", style=style)
            yield _table(columns, rows[:most], narrow=narrow)
            yield from _left_out(len(rows), most)


def leaderboard_csv_rows(board: Leaderboard) -> Iterator[dict[str, Any]]:
    """Yield ranked rows, then suspect and invalid ones, which have no rank."""
    for row in (*board.rows, *board.suspects, *board.rejected):
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
    if board.reported:
        text.append(f"  {REPORTED}", "bold yellow")
    return text


def _reported_notes(board: Leaderboard) -> Iterator[Text]:
    if board.reported:
        left_out = figures.count(board.negatives, "negative result")
        words = f"; {left_out} not ranked" if board.negatives else ""
        yield Text(REPORTED_FOOTNOTE + words, style="dim")


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
    return Text(words, style=VERDICT_STYLE[row.verdict])


def _speedup(row: Row) -> str:
    return figures.ratio(row.speedup) + "*" * (row.value == "single")


def _pairs(row: Row) -> str:
    return figures.UNKNOWN if row.n is None else str(row.n)


def evidence(row: Row) -> str:
    """Return what the value is from: `private texts`, `4 fresh launches`, `1 screen run`."""
    if row.value == "verified":
        return "private texts"
    if row.value == "fresh":
        return figures.count(row.launches, "fresh launch", "fresh launches")
    if row.value == "reported":
        return "1 reported"
    return f"1 {row.stage} run"


_ATTEMPT = _Column("attempt", lambda row: row.attempt, "left")
_AGENT = _Column("agent", lambda row: one_line(row.agent, limit=24), "left")
_SPEED = _Column("tokens/s", lambda row: figures.tokens(row.tokens_per_second))
_SPEEDUP = _Column("speed-up", _speedup)
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
    _Column("from", evidence, "left"),
    _Column("pairs", _pairs, dispensable=True),
    _PERPLEXITY,
    _RATIO._replace(dispensable=True),
    _Column("verdict", _verdict, "left"),
)
_RULED_BY = _Column("ruled by", lambda row: one_line(row.ruled_by, limit=24), "left")

SUSPECT = (
    _ATTEMPT,
    _AGENT,
    _SPEED,
    _SPEEDUP,
    _Column("inherits from", lambda row: " ".join(row.suspected_by), "left"),
    _Column("what", lambda row: one_line(" ".join(row.inherits), limit=60), "left"),
    _RULED_BY,
)
REJECTED = (
    _ATTEMPT,
    _AGENT,
    _SPEED,
    _SPEEDUP,
    _PERPLEXITY,
    _RATIO,
    _Column("reason", lambda row: one_line(row.reason), "left"),
    _RULED_BY,
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
