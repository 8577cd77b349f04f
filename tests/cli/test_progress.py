"""Live progress, driven by the events of a small race."""

import io
from collections.abc import Iterator

import pytest
from rich.console import Console

from orchestrator.progress import LiveProgress, PlainProgress, panel_lines, progress_on
from tests.builders import make_event
from tests.cli.race import NASTY, folded, race
from tools.record.events import Event
from tools.record.projection import Projection


def steps() -> Iterator[tuple[Event, Projection]]:
    projection = Projection()
    for seq, draft in enumerate(race(), start=1):
        event = make_event(draft.payload, seq=seq, actor=draft.actor)
        projection.apply(event)
        yield event, projection


@pytest.fixture
def screen() -> Console:
    return Console(file=io.StringIO(), force_terminal=True, width=100, height=30)


def text_of(console: Console) -> str:
    assert isinstance(console.file, io.StringIO)
    return console.file.getvalue()


def test_without_a_terminal_every_event_is_one_line() -> None:
    console = Console(file=io.StringIO())
    with progress_on(console) as progress:
        for event, projection in steps():
            progress.on_event(event, projection)
    lines = text_of(console).splitlines()

    assert isinstance(progress, PlainProgress)
    assert len(lines) == len(race())
    assert not any(character in text_of(console) for character in "\x1b\x07\u202e")


def test_a_terminal_gets_a_panel(screen: Console) -> None:
    assert isinstance(progress_on(screen), LiveProgress)


def test_the_panel_shows_counts_the_best_and_rejections() -> None:
    attempts, best, _record = (line.plain for line in panel_lines(folded(race()), 40))

    assert "7 of at most 40: 5 measured" in attempts
    assert "1 rejected by a guardrail" in attempts
    assert best.startswith("best      a0004 by ada: 2.40x [")


def test_the_running_job_is_named() -> None:
    names = [draft.payload.kind for draft in race()]
    until = names.index("job_started") + 1

    assert "running   a0000-1 (full): baseline" in [
        line.plain for line in panel_lines(folded(race()[:until]), None)
    ]


def test_the_panel_is_drawn_again_only_after_a_pause(screen: Console) -> None:
    now = [0.0]
    with LiveProgress(screen, clock=lambda: now[0]) as progress:
        all_steps = list(steps())
        progress.on_event(*all_steps[0])
        after_one = len(text_of(screen))
        for step in all_steps[1:]:
            progress.on_event(*step)
        unchanged = len(text_of(screen))
        now[0] = 0.3
        progress.on_event(*all_steps[-1])

    assert after_one == unchanged
    assert "a0004 is fast" in text_of(screen)


def test_the_time_left_comes_from_the_settings_of_the_ride(screen: Console) -> None:
    event, projection = next(steps())
    with LiveProgress(screen, clock=lambda: event.time + 60) as progress:
        progress.on_event(event, projection)

    assert "riding for 1:00, 6:00 left" in text_of(screen)


def test_posts_are_cleaned_in_the_panel(screen: Console) -> None:
    with LiveProgress(screen, clock=lambda: 0.0) as progress:
        for event, projection in steps():
            progress.on_event(event, projection)

    assert "[bold]loud[/bold]" in text_of(screen)
    assert NASTY not in text_of(screen)
