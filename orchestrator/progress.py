"""What a person sees while a session runs: a small live panel, or plain lines without a terminal.

Driven by events. The machine is being timed meanwhile, so drawing may take 2 % of one core at most
and four frames a second. Knows the folds; knows no supervisor and no model.
"""

import asyncio
import time
from collections.abc import Callable
from contextlib import suppress
from types import TracebackType
from typing import NamedTuple, Protocol, Self

from rich.console import Console, Group, RenderableType
from rich.live import Live
from rich.text import Text

from orchestrator.views import figures
from orchestrator.views.clean import one_line
from orchestrator.views.record_view import is_rejected, record_holder, verdict_counts
from orchestrator.views.story import tell
from tools.record.events import Event
from tools.record.projection import Projection

LEAST_SECONDS_BETWEEN_FRAMES = 0.25
COST_SHARE = 0.02
"""A frame that took t seconds is followed by t / COST_SHARE seconds without one."""
MOST_SECONDS_BETWEEN_FRAMES = 2.0
"""The first frame with a number in it loads numpy; the panel does not freeze for that."""
LATEST_POSTS = 6


class Progress(Protocol):
    """A watcher of one run; a context manager that gives the terminal back."""

    def on_event(self, event: Event, projection: Projection) -> None:
        """Take in an event that `projection` contains already. Cheap; never raises for content."""

    def note(self, line: str) -> None:
        """Show a line about what happens before the first event."""

    def __enter__(self) -> Self: ...

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None: ...


def progress_on(console: Console, *, clock: Callable[[], float] = time.time) -> Progress:
    """Return the live panel on a terminal, else plain lines."""
    return LiveProgress(console, clock=clock) if console.is_terminal else PlainProgress(console)


class PlainProgress:
    """One line per event."""

    def __init__(self, console: Console) -> None:
        self._console = console
        self._started_at: float | None = None

    def on_event(self, event: Event, projection: Projection) -> None:
        """Print the event's sentence, if it has one."""
        del projection
        if self._started_at is None:
            self._started_at = event.time
        sentence = tell(event)
        if sentence is None:
            return
        moment = figures.clock(event.time - self._started_at)
        print(f"{moment:>7} {sentence.text}", file=self._console.file, flush=True)

    def note(self, line: str) -> None:
        """Print the line."""
        print(f"{'':>7} {one_line(line)}", file=self._console.file, flush=True)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_unused: object) -> None:
        self._console.file.flush()


class _Limits(NamedTuple):
    """What the session may use, from its first (or latest resuming) event."""

    started_at: float
    minutes: float | None
    attempts: int | None


class LiveProgress:
    """A panel that is redrawn in place."""

    def __init__(self, console: Console, *, clock: Callable[[], float]) -> None:
        self._clock = clock
        self._limits: _Limits | None = None
        self._known: Projection | None = None
        self._posts: tuple[Text, ...] = ()
        self._lines: tuple[Text, ...] = ()
        self._note_line = ""
        self._next_frame_at = 0.0
        self._later: asyncio.TimerHandle | None = None
        # One frame a second of its own keeps the time left honest while a job is measured; the
        # drawing thread reads finished lines only, never the folds.
        self._live = Live(console=console, refresh_per_second=1, get_renderable=self._render)

    def on_event(self, event: Event, projection: Projection) -> None:
        """Redraw, or, when the last frame is too young, a little later."""
        self._take_in(event)
        self._known = projection
        wait = self._next_frame_at - self._clock()
        if wait <= 0 or event.kind == "session_stopped":
            self._draw(projection)
        elif self._later is None:
            with suppress(RuntimeError):  # no event loop: the next event draws
                loop = asyncio.get_running_loop()
                self._later = loop.call_later(wait, self._draw, projection)

    def note(self, line: str) -> None:
        """Show the line until the ride begins."""
        self._note_line = one_line(line)
        self._live.refresh()

    def _draw(self, projection: Projection) -> None:
        self._forget_later()
        started = self._clock()
        self._lines = tuple(panel_lines(projection, self._limits and self._limits.attempts))
        self._live.refresh()
        pause = max(LEAST_SECONDS_BETWEEN_FRAMES, (self._clock() - started) / COST_SHARE)
        self._next_frame_at = started + min(pause, MOST_SECONDS_BETWEEN_FRAMES)

    def _forget_later(self) -> None:
        if self._later is not None:
            self._later.cancel()
        self._later = None

    def __enter__(self) -> Self:
        self._live.start()
        return self

    def __exit__(self, *_unused: object) -> None:
        self._forget_later()
        if self._known is not None:
            self._draw(self._known)  # the last word is up to date
        self._live.stop()

    def _take_in(self, event: Event) -> None:
        if event.kind in ("session_opened", "session_resumed"):
            settings = event.payload.settings
            minutes, attempts = settings.get("minutes"), settings.get("attempts")
            self._limits = _Limits(event.time, minutes, attempts)
        elif event.kind == "message_posted":
            sentence = tell(event)
            assert sentence is not None
            self._posts = (*self._posts, _cut(Text(sentence.text)))[-LATEST_POSTS:]

    def _render(self) -> RenderableType:
        posts = [Text("latest posts", style="bold"), *self._posts] if self._posts else []
        return Group(self._time_line(), *self._lines, *posts)

    def _time_line(self) -> Text:
        if self._limits is None:
            what = f": {self._note_line}" if self._note_line else ""
            return _cut(Text(f"opening the session{what}", style="bold"))
        gone = self._clock() - self._limits.started_at
        text = Text(f"riding for {figures.clock(gone)}", style="bold")
        if self._limits.minutes is not None:
            left = self._limits.minutes * 60 - gone
            text.append(f", {figures.clock(left)} left" if left > 0 else ", time is up: settling")
        return text


def panel_lines(projection: Projection, attempts_limit: int | None) -> list[Text]:
    """Return the panel's lines about attempts, the best so far and the job that runs."""
    lines = [
        _attempts_line(projection, attempts_limit),
        _best_line(projection),
        _record_line(projection),
    ]
    for node, run in projection.lineage.live_jobs():
        if run.state == "running":
            text = one_line(f"{run.job} ({run.stage}): {node.direction or 'baseline'}")
            lines.append(_cut(Text.assemble(("running   ", "dim"), text)))
    if projection.stopped:
        lines.append(Text(f"stopped: {projection.stopped.reason}", style="bold"))
    return lines


def _attempts_line(projection: Projection, limit: int | None) -> Text:
    counts = {"measured": 0, "queued": 0, "running": 0, "failed": 0}
    rejected = 0
    for node in projection.lineage.nodes.values():
        counts[node.state] = counts.get(node.state, 0) + 1
        rejected += is_rejected(node)
    words = ", ".join(f"{count} {state}" for state, count in counts.items())
    of = f" of at most {limit}" if limit is not None else ""
    return _cut(
        Text.assemble(
            ("attempts  ", "dim"),
            f"{len(projection.lineage.nodes)}{of}: {words}, ",
            (f"{rejected} rejected by a guardrail", "red" if rejected else ""),
        )
    )


def _best_line(projection: Projection) -> Text:
    best, baseline = projection.lineage.best(), projection.lineage.baseline_tokens_per_second
    if best is None or best.speedup is None or baseline is None:
        return Text.assemble(("best      ", "dim"), "nothing measured yet")
    return _cut(
        Text.assemble(
            ("best      ", "dim"),
            (f"{best.attempt} by {one_line(best.agent)}: ", "bold"),
            (f"{figures.speedup(best.speedup)} the baseline", "bold green"),
            f", {figures.tokens(best.speedup.estimate * baseline)} tokens/s, "
            f"perplexity {figures.perplexity(best.perplexity)} "
            f"({figures.ratio(best.perplexity_ratio, digits=3)})",
            (" [simulated]" if projection.simulated else "", "bold yellow"),
        )
    )


def _record_line(projection: Projection) -> Text:
    """Return who holds the record, and what the judge has said so far."""
    holder = record_holder(projection)
    if holder is None:
        words = [("nobody has taken it from the baseline yet", "")]
    elif holder.verdict == "valid":
        words = [(f"{holder.attempt} by {one_line(holder.agent)}, ", ""), ("verified", "green")]
    else:
        words = [(f"{holder.attempt} by {one_line(holder.agent)}, not verified", "yellow")]
    promotion = projection.records.open
    if promotion is not None:
        done = f"{len(promotion.fresh)} of {promotion.launches}"
        words.append((f"; {promotion.contender} is timed against it, {done} launches", ""))
    return _cut(Text.assemble(("record    ", "dim"), *words, f"; {verdict_counts(projection)}"))


def _cut(text: Text) -> Text:
    text.no_wrap, text.overflow = True, "ellipsis"
    return text
