"""One value of a stranger's at a time."""

from datetime import UTC, datetime
from typing import Any

import pytest

from orchestrator.imports.values import (
    agent_of,
    list_of,
    moment_of,
    number_of,
    stamp_of,
    text_of,
)


@pytest.mark.parametrize(
    "value", [True, "420.1", None, [], float("nan"), float("inf"), 0, -3, 10**400, 1e12]
)
def test_what_is_no_number_above_zero_is_refused(value: Any) -> None:
    with pytest.raises(ValueError, match="tps"):
        number_of(value, "tps")


@pytest.mark.parametrize("value", ["a.md, b.md", "a.md b.md", ["a.md", "b.md"], "a.md,b.md a.md"])
def test_references_are_a_text_or_a_list(value: Any) -> None:
    assert list_of(value, "refs", most=9) == ("a.md", "b.md")


def test_too_many_references_are_refused() -> None:
    with pytest.raises(ValueError, match="names 10, the limit is 9"):
        list_of([str(n) for n in range(10)], "refs", most=9)


@pytest.mark.parametrize(
    "name",
    [
        *("Ada", "a_b", "-a", "a" * 41, "", "a/b", "organiser", "verifier", "lane", "baseline"),
        *("sk-" + "a" * 30, 7, None),
    ],
)
def test_names_that_are_not_an_agents_are_refused(name: Any) -> None:
    with pytest.raises(ValueError, match="agent"):
        agent_of(name)


def test_people_keep_their_names() -> None:
    assert agent_of("human-kim") == "human-kim"


def test_a_file_name_says_when_and_who() -> None:
    moment = datetime(2026, 6, 12, 10, 30, 1, 417_000, tzinfo=UTC).timestamp()

    assert stamp_of("20260612-103001-417_ada-bot.md") == (moment, "ada-bot")


@pytest.mark.parametrize(
    "name",
    [
        *("ada.md", "20261399-103001-417_ada.md", "20260612-103001-417_ada.txt"),
        *("00010101-000000-000_ada.md", "20260612-103001-417_organiser.md", "../x.md"),
    ],
)
def test_a_file_name_of_another_form_is_refused(name: str) -> None:
    with pytest.raises(ValueError, match=r"name|moment|years"):
        stamp_of(name)


@pytest.mark.parametrize("text", ["2026-06-12 10:15 UTC", "2026-06-12T10:15Z", "2026-06-12T10:15"])
def test_moments_are_read_in_the_forms_they_come_in(text: str) -> None:
    assert moment_of(text, "at") == datetime(2026, 6, 12, 10, 15, tzinfo=UTC).timestamp()


def test_texts_lose_what_hides() -> None:
    assert text_of("a\x1b[31mb\u202ec\u200b", "method", limit=9) == "a[31mbc"
