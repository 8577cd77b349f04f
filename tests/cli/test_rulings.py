"""People who rule: invalidate, reinstate, and what every view says of it."""

import json
from pathlib import Path

import pytest

from tests.builders import (
    make_fresh,
    make_private,
    make_promotion,
    make_verification,
    make_verified,
)
from tests.cli.conftest import Paceline
from tests.cli.race import folded, race, write_record

HEAD = "weights.head=q8_0"


@pytest.fixture
def session(tmp_path: Path) -> Path:
    return write_record(tmp_path / "one", race())


def invalidate(paceline: Paceline, session: Path, *more: str) -> str:
    words = ("--reason", "copied_text", "--by", "eve", *more)
    return paceline("invalidate", str(session), "a0002", *words).stdout


def read(paceline: Paceline, verb: str, session: Path, *words: str) -> dict:  # type: ignore[type-arg]
    return json.loads(paceline(verb, str(session), *words, "--format", "json").stdout)  # type: ignore[no-any-return]


def test_a_ruling_says_what_followed(session: Path, paceline: Paceline) -> None:
    said = invalidate(paceline, session, "--ingredient", HEAD)

    assert said.splitlines()[0].endswith("event 38; its verdict is invalid")
    assert f"banned     {HEAD}" in said
    assert "now suspect 1 descendant: a0004" in said
    assert "record     stays with a0000" in said
    assert f"next       python -m orchestrator verify {session}" in said


def test_a_ruling_is_in_the_record_and_on_the_board(session: Path, paceline: Paceline) -> None:
    invalidate(paceline, session, "--ingredient", HEAD, "--note", "seen before")
    ruling = read(paceline, "attempt", session, "a0002")["rulings"][-1]
    message = read(paceline, "board", session)["messages"][-1]

    assert (ruling["by"], ruling["ingredient"], ruling["note"]) == (
        "person:eve",
        [HEAD],
        "seen before",
    )
    assert (message["author"], message["type"], message["mentions"]) == (
        "person:eve",
        "notice",
        ["bob"],
    )
    assert "Suspect until verified themselves: a0004." in message["body"]
    assert paceline("replay", str(session), "--check").returncode == 0


def test_a_reinstatement_brings_the_ranking_back(session: Path, paceline: Paceline) -> None:
    before = read(paceline, "leaderboard", session)
    invalidate(paceline, session, "--ingredient", HEAD)
    ruled = read(paceline, "leaderboard", session)

    said = paceline("reinstate", str(session), "a0002", "--by", "eve").stdout

    assert [row["attempt"] for row in ruled["suspects"]] == ["a0004"]
    assert "no longer suspect 1 descendant: a0004" in said
    assert read(paceline, "leaderboard", session)["rows"] == before["rows"]
    assert paceline("replay", str(session), "--check").returncode == 0


def test_one_attempt_may_be_ruled_on_again_and_again(session: Path, paceline: Paceline) -> None:
    for _ in range(2):
        assert "is invalid" in invalidate(paceline, session)
        assert "is reinstated" in paceline("reinstate", str(session), "a0002").stdout
    assert len(read(paceline, "attempt", session, "a0002")["rulings"]) == 5


BAD = {
    "unknown attempt 'a0042'": ("invalidate", "a0042", "--reason", "x"),
    "did you mean": ("reinstate", "a0022"),
    "was never invalidated, it is invalid: perplexity_above_cap by guardrail": (
        "reinstate",
        "a0003",
    ),
    "does not have 'weights.head=q4_0'. it has weights.head=q8_0": (
        *("invalidate", "a0002", "--reason", "x", "--ingredient", "weights.head=q4_0"),
    ),
    "did you mean 'weights.head'": (
        *("invalidate", "a0002", "--reason", "x", "--ingredient", "weight.head=q8_0"),
    ),
    "the baseline has threads=1 too": (
        *("invalidate", "a0002", "--reason", "x", "--ingredient", "threads=1"),
    ),
    "--reason 'Not a code'": ("invalidate", "a0002", "--reason", "Not a code"),
    "--by 'no name'": ("invalidate", "a0002", "--reason", "x", "--by", "no name"),
    "takes [SESSION] ATTEMPT": ("reinstate", "a0001", "a0002"),
}


@pytest.mark.parametrize("message", BAD)
def test_what_cannot_be_ruled_is_one_clear_error(
    message: str, session: Path, paceline: Paceline
) -> None:
    verb, *words = BAD[message]
    result = paceline(verb, str(session), *words)

    assert result.returncode == 2
    assert result.stderr.count("\n") == 1
    assert message in result.stderr


@pytest.fixture
def judged(tmp_path: Path) -> Path:
    """a0004 took the record and was verified; a0002 has a flag nobody knows of."""
    drafts = [
        *race(),
        *make_promotion("a0004", launches=[make_fresh(speedup=2.3, digest="feed" * 4)] * 3),
        *make_verified("a0004", number=5, speedup=2.2),
        *make_private("a0002", verification=make_verification("regret")),
    ]
    return write_record(tmp_path / "judged", drafts)


def test_the_leaderboard_says_what_each_value_is_from(judged: Path, paceline: Paceline) -> None:
    invalidate(paceline, judged, "--ingredient", HEAD)
    lines = paceline("leaderboard", str(judged)).stdout.splitlines()

    assert any("a0001" in line and "1 full run" in line and "x*" in line for line in lines)
    assert "* single launch, shrunk towards the session's mean" in lines
    (suspect,) = (line for line in lines if line.startswith("a0004"))
    assert suspect.split()[-3:] == ["a0002", HEAD, "person:eve"]
    assert any("copied_text" in line and "person:eve" in line for line in lines)


def test_a_verified_row_is_marked(judged: Path, paceline: Paceline) -> None:
    (line,) = (
        line for line in paceline("leaderboard", str(judged)).stdout.splitlines() if "a0004" in line
    )

    assert "2.20x  private texts" in line
    assert line.endswith("verified")


def test_an_attempt_shows_launches_findings_and_receipt(judged: Path, paceline: Paceline) -> None:
    shown = paceline("attempt", str(judged), "a0004").stdout

    assert "fresh, p1" in shown
    assert "feedfeedfeed" in shown
    assert "a0004-5: passed" in shown
    assert "private speed" in shown.replace("_", " ")
    assert "issued for a0004-5" in shown
    assert "valid by verifier: verified" in shown


def test_a_flag_is_in_no_view_before_a_ruling(judged: Path, paceline: Paceline) -> None:
    shown = paceline("attempt", str(judged), "a0002").stdout
    data = read(paceline, "attempt", judged, "a0002")
    story = paceline("replay", str(judged)).stdout

    assert "regret" not in shown
    assert data["runs"][1]["outcome"]["verification"] is None
    assert "verification of a0002 ended" in story
    assert "regret" not in story


def test_findings_are_public_once_somebody_ruled(judged: Path, paceline: Paceline) -> None:
    invalidate(paceline, judged)
    shown = paceline("attempt", str(judged), "a0002").stdout

    assert "a0002-2: failed regret" in shown
    assert "invalid by person:eve: copied_text" in shown


def test_the_story_tells_every_kind_of_event(judged: Path, paceline: Paceline) -> None:
    invalidate(paceline, judged, "--ingredient", HEAD)
    paceline("reinstate", str(judged), "a0002", "--by", "eve", "--note", "it holds")
    story = paceline("replay", str(judged)).stdout

    for sentence in (
        "a0004 contends for the record of a0000: p1, 3 fresh launches, test 1 at level 0.03",
        "a0004-2 launched afresh: 2.30x the baseline, the incumbent 1.00x, 4 rounds",
        "organiser queues a0004-2 (fresh launch beside a0000)",
        "a0004 takes the record from a0000 (p1)",
        "a signed receipt is issued for a0004 (a0004-5)",
        f"person:eve rules a0002 invalid: copied_text; {HEAD} is banned",
        "person:eve reinstates a0002: it holds",
    ):
        assert sentence in story


def test_trees_and_pictures_mark_badges_and_suspects(judged: Path, paceline: Paceline) -> None:
    tree = paceline("lineage", str(judged)).stdout
    invalidate(paceline, judged, "--ingredient", HEAD)
    ruled = paceline("lineage", str(judged)).stdout
    picture = paceline("lineage", str(judged), "--format", "svg").stdout

    assert "a0004 2.40x ✓ verified" in tree
    assert "a0004 2.40x ? suspect, inherits from a0002" in ruled
    assert "rejected by person:eve: copied_text" in ruled
    assert 'class="node suspect' in picture
    assert "2.40x ?" in picture


def test_the_lineage_json_says_verified_and_suspected(judged: Path, paceline: Paceline) -> None:
    before = {one["attempt"]: one for one in read(paceline, "lineage", judged)["nodes"]}
    invalidate(paceline, judged, "--ingredient", HEAD)
    after = {one["attempt"]: one for one in read(paceline, "lineage", judged)["nodes"]}

    assert (before["a0004"]["verified"], after["a0004"]["verified"]) == (True, False)
    assert after["a0004"]["suspected_by"] == ["a0002"]


def test_the_record_holder_falls_when_it_is_suspect(judged: Path, paceline: Paceline) -> None:
    assert folded(race()).records.incumbent(folded(race()).lineage) == "a0000"
    assert "record     a0004 -> a0000" in invalidate(paceline, judged, "--ingredient", HEAD)
