"""What a run says when it is over: ranks, the path to the best, and what to type next."""

from collections.abc import Iterator

from rich.table import Table
from rich.text import Text

from orchestrator.views import figures
from orchestrator.views.leaderboard_table import leaderboard_view
from orchestrator.views.lineage_lines import path_rows, step_table
from tools.record.leaderboard import leaderboard
from tools.record.projection import Projection

MOST_ROWS = 10


def summary_view(
    projection: Projection, *, session: str, challenge: str, narrow: bool = False
) -> Iterator[Table | Text]:
    """Yield the summary, to be printed in turn."""
    lineage = projection.lineage
    yield Text()
    yield from leaderboard_view(
        leaderboard(lineage, session=session, challenge=challenge),
        most=MOST_ROWS,
        narrow=narrow,
    )
    best = lineage.best()
    if best:
        rows = path_rows(lineage, lineage.path(best.attempt))
        title = f"\nfrom the baseline to {best.attempt}" + " [simulated]" * projection.simulated
        yield step_table(lineage, rows, title=title)
    yield counts_line(projection)
    yield Text("\nnext", style="bold")
    yield from _next_commands(session, best.attempt if best else "a0000")


def counts_line(projection: Projection) -> Text:
    """Return how much was done, in one line."""
    nodes = list(projection.lineage.nodes.values())
    measured = [node for node in nodes if node.state == "measured"]
    rejected = sum(node.verdict == "invalid" for node in nodes)
    merged = sum(len(node.parents) > 1 for node in nodes)
    depth = max((projection.lineage.depth(node.attempt) for node in nodes), default=0)
    reason = projection.stopped.reason.replace("_", " ") if projection.stopped else "not stopped"
    return Text(
        f"\n{len(measured)} of {figures.count(len(nodes), 'attempt')} measured, by "
        f"{figures.count(len({node.agent for node in measured}), 'agent')}, "
        f"{rejected} rejected by a guardrail, {merged} with several parents, depth {depth}; "
        f"{figures.count(len(projection.board.messages), 'message')}, "
        f"{figures.count(len(projection.board.dead_ends), 'dead end')}; "
        f"stopped: {reason}"
    )


def _next_commands(session: str, best: str) -> Iterator[Text]:
    commands = (
        (f"resume {session}", "go on from here"),
        (f"replay {session} --check", "check that the record holds"),
        (f"replay {session} --speed 20", "watch it again, 20 times as fast"),
        (f"lineage {session}", "the tree; --format svg draws it"),
        (f"attempt {session} {best}", "all about the best attempt"),
        (f"board {session}", "what the agents said"),
    )
    width = max(len(words) for words, _ in commands)
    for words, what in commands:
        yield Text.assemble((f"  python -m orchestrator {words:<{width}}  ", "bold"), (what, "dim"))
