"""Posted records judged by other rules: noise, caps, and what the organisers' own run found."""

from pathlib import Path

import pytest

from bench.measurement import Interval
from orchestrator.rejudge import Rejudged, rejudge_session
from orchestrator.rejudge_reported import Findings, sigmas_between
from orchestrator.views.rejudge_view import rejudge_lines
from tests.imports.bucket_tree import bring_in, read, result, small_bucket

RULES = Path(__file__).parents[2] / "examples" / "rules"


@pytest.fixture
def session(tmp_path: Path) -> Path:
    bucket = small_bucket(tmp_path / "bucket")
    result(bucket, "20260608-171500-000_ada.md", tps=118.9, ppl=2.01, method="luck")
    result(bucket, "20260609-120000-000_ada.md", tps=180.0, ppl=2.6, method="too-lossy")
    result(bucket, "20260609-130000-000_bo.md", tps=190.0, method="untold")
    bring_in(read(bucket), tmp_path / "session")
    return tmp_path / "session"


def judged(session: Path, text: str) -> Rejudged:
    rules = session.parent / "rules.toml"
    rules.write_text(text)
    return rejudge_session(session, str(rules))


def found_in(session: Path, text: str = "") -> Findings:
    found = judged(session, text).reported
    assert found is not None
    return found


def speeds(found: Rejudged) -> list[float | None]:
    return [one.tokens_per_second for one in found.records_now]


def test_the_record_then_is_who_led_the_posted_board(session: Path) -> None:
    then = [one.tokens_per_second for one in judged(session, "").records_then]

    assert then == [95.4, 118.3, 118.9, 260.0, 118.9, 180.0, 190.0, 250.0]


def test_a_lead_inside_the_noise_is_a_tie(session: Path) -> None:
    steps = {one.tokens_per_second: one for one in found_in(session).steps}

    assert [one.is_tie for one in steps.values()] == [False, False, True, False, False, False]
    assert steps[118.9].sigmas == pytest.approx(0.34, abs=0.02)
    assert speeds(judged(session, 'record = "claim"\ntie_sigmas = 1.96')) == [
        *(95.4, 118.3, 260.0, 118.3, 190.0, 250.0)
    ]


def test_the_cap_is_a_gate_and_an_unknown_perplexity_is_told(session: Path) -> None:
    found = found_in(session, "[guardrail]\nperplexity_cap = 2.42")

    assert found.counts["over_cap"] == 1
    assert found.counts["perplexity_unknown"] == 1
    assert len(found.over_cap) == 1
    flips = judged(session, "[guardrail]\nperplexity_cap = 2.42").flips
    assert [(one.then, one.now) for one in flips] == [("posted", "perplexity_above_cap")]


def test_what_was_never_verified_does_not_count_under_strict_rules(session: Path) -> None:
    rules = 'record = "claim"\nverification = "from_the_start"'

    assert speeds(judged(session, rules)) == [250.0]
    assert found_in(session).counts["never_verified"] == 5


def test_another_drift_cap_changes_what_the_private_run_says(session: Path) -> None:
    strict = 'record = "claim"\nverification = "from_the_start"\ndrift_cap = 0.01'
    mild = 'record = "claim"\nverification = "from_the_start"\ndrift_cap = 0.2'

    assert speeds(judged(session, strict)) == []
    assert speeds(judged(session, mild)) == [260.0]
    assert [one.drift for one in found_in(session).drifted] == pytest.approx([30 / 260])


def test_rulings_may_be_left_out(session: Path) -> None:
    rules = 'record = "claim"\nverification = "none"'

    assert speeds(judged(session, rules)) == [95.4, 118.3, 118.9, 260.0]


def test_the_shipped_rules_apply_and_are_told(session: Path) -> None:
    found = rejudge_session(session, str(RULES / "fast-gemma.toml"))
    text = "\n".join(rejudge_lines(found))

    assert speeds(found) == [250.0]
    assert "a tie" in text
    assert "260.00 -> 230.00 tokens/s, 11.54%" in text
    assert found.as_json()["reported"]["counts"]["ties"] == 1


def test_leads_are_counted_in_the_noise_of_both() -> None:
    noisy = Interval(100.0, 90.0, 111.1)

    assert sigmas_between(Interval(110.0, 110.0, 110.0), Interval(100.0, 100.0, 100.0)) == float(
        "inf"
    )
    assert 0 < sigmas_between(Interval(104.0, 94.0, 115.0), noisy) < 1
