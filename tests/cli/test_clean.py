"""Text of agents never reaches a terminal as anything but text."""

import io

import pytest
from hypothesis import given
from hypothesis import strategies as st
from rich.console import Console

from orchestrator.cli.output import console
from orchestrator.views.board_view import message_lines
from orchestrator.views.clean import clean, one_line
from orchestrator.views.lineage_tree import lineage_tree
from orchestrator.views.story import tell
from tests.builders import make_event, make_message
from tests.cli.race import NASTY, folded, proposed, race
from tools.record.board import Message

CASES = [
    ("plain", "plain"),
    ("\x1b[31mred\x1b[0m", "red"),
    ("\x1b]0;title\x07after", "after"),
    ("\x1b]8;;http://x\x1b\\link\x1b]8;;\x1b\\", "link"),
    ("\x9b31mC1", "31mC1"),
    ("a\rb", "a\nb"),
    ("one\u2028two", "one\ntwo"),
    ("\u202eevil\u202c", "evil"),
    ("zero\u200bwidth\ufeff", "zerowidth"),
    ("lone\ud800", "lone"),
    ("tab\there", "tab here"),
    ("ünï 漢字 🚲", "ünï 漢字 🚲"),
]


@pytest.mark.parametrize(("text", "expected"), CASES, ids=[repr(one[0]) for one in CASES])
def test_clean_keeps_words_and_drops_the_rest(text: str, expected: str) -> None:
    assert clean(text) == expected


@given(st.text(alphabet=st.characters(), max_size=200))
def test_what_is_cleaned_is_printable_and_stays_the_same(text: str) -> None:
    cleaned = clean(text)

    assert cleaned.replace("\n", "").isprintable()
    assert clean(cleaned) == cleaned


@given(st.text(max_size=100), st.integers(2, 40))
def test_one_line_is_one_line_and_no_longer_than_asked(text: str, limit: int) -> None:
    assert "\n" not in one_line(text, limit=limit)
    assert len(one_line(text, limit=limit)) <= limit


def rendered(*lines: object) -> str:
    printer = Console(
        file=io.StringIO(), force_terminal=True, markup=False, emoji=False, highlight=False
    )
    for line in lines:
        printer.print(line, style="none")
    assert isinstance(printer.file, io.StringIO)
    return printer.file.getvalue()


def test_a_post_cannot_colour_the_terminal_or_pose_as_a_header() -> None:
    message = Message("m5", 5, 5.0, "ada", "chat", f"{NASTY}\nm6 bob result", (), ())
    header, first, second = message_lines(message, opened_at=0.0)

    assert "\x1b" not in first.plain
    assert second.plain == "        m6 bob result"
    assert header.plain.split()[1:] == ["m5", "ada", "chat"]


def test_markup_and_emoji_codes_stay_letters() -> None:
    event = make_event(make_message(NASTY))
    sentence = tell(event)

    assert sentence is not None
    assert "[bold]loud[/bold]" in rendered(sentence.text)
    assert ":smile:" in rendered(sentence.text)


def test_our_console_takes_text_literally(capsys: pytest.CaptureFixture[str]) -> None:
    console().print("[red]x[/red] :smile:")

    assert capsys.readouterr().out == "[red]x[/red] :smile:\n"


def test_a_direction_with_escapes_is_harmless_in_the_tree() -> None:
    hurt = proposed("a0007", "cleo", ["a0004"], {"poll": 3})
    payload = hurt.payload.model_copy(update={"direction": NASTY, "hypothesis": NASTY})
    lineage = folded([*race(), hurt._replace(payload=payload)]).lineage

    assert "\x1b" not in "".join(line.plain for line in lineage_tree(lineage))
