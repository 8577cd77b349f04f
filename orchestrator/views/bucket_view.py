"""What came of writing a session into a bucket, as lines and as data."""

from collections.abc import Iterator
from typing import Any

from rich.text import Text

from orchestrator.bucket_session import Mirrored
from orchestrator.views import figures
from orchestrator.views.clean import one_line


def mirrored_data(done: Mirrored) -> dict[str, Any]:
    """Return the documented shape."""
    refused = [{"file": file, "reason": reason} for file, reason in done.refused]
    return {**done._asdict(), "settled": list(done.settled), "refused": refused}


def mirrored_view(done: Mirrored) -> Iterator[Text]:
    """Yield what was written, what came in, and what stands as others wrote it."""
    files = figures.count(done.written, "file")
    yield Text(f"{files} written to {one_line(done.bucket)}, {done.there} were there")
    yield Text(f"index of verdicts: {one_line(done.verdicts)}")
    if done.settled:
        results = figures.count(len(done.settled), "verdict")
        yield Text(f"{results} of others stand: {one_line(', '.join(done.settled), limit=300)}")
    if done.taken_in:
        yield Text(f"{figures.count(done.taken_in, 'post')} of outside agents taken in")
    for file, reason in done.refused:
        yield Text(f"not taken in: {one_line(file)}: {one_line(reason)}", style="yellow")
