"""What followed from a person's ruling, in a few lines."""

from collections.abc import Iterator

from rich.text import Text

from orchestrator.rulings import Followed
from orchestrator.views import figures
from orchestrator.views.clean import one_line
from orchestrator.views.styles import VERDICT_STYLE
from tools.record.events import AttemptInvalidated


def followed_lines(followed: Followed, *, session: str) -> Iterator[Text]:
    """Yield the ruling, its consequences and the next command."""
    ruling = followed.ruling
    is_invalid = isinstance(ruling, AttemptInvalidated)
    did = f"invalid ({ruling.reason})" if isinstance(ruling, AttemptInvalidated) else "reinstated"
    yield Text.assemble(
        (ruling.attempt, "bold"),
        f" is {did} by {ruling.by}, event {followed.seq}; its verdict is ",
        (followed.verdict, VERDICT_STYLE.get(followed.verdict, "")),
    )
    if isinstance(ruling, AttemptInvalidated) and ruling.ingredient:
        yield Text(f"banned     {one_line(' '.join(ruling.ingredient))}")
    yield Text(_changed_line(followed, is_invalid=is_invalid))
    if followed.record == followed.record_before:
        yield Text(f"record     stays with {followed.record}")
    else:
        yield Text(f"record     {followed.record_before} -> {followed.record}")
    next_verb = "verify" if is_invalid and followed.changed else "leaderboard"
    yield Text(f"next       python -m orchestrator {next_verb} {session}")


def _changed_line(followed: Followed, *, is_invalid: bool) -> str:
    if not followed.changed:
        return "nobody else is affected" if is_invalid else "nobody else was suspect because of it"
    names = " ".join(followed.changed)
    count = figures.count(len(followed.changed), "descendant")
    what = "now suspect" if is_invalid else "no longer suspect"
    return f"{what:<10} {count}: {names}"
