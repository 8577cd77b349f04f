"""Folds and views over what others reported: one draw each, never mixed with what was measured."""

import math
from typing import Any

import pytest

from bench.configs.reported import ReportedConfig
from orchestrator.views.lineage_rows import lineage_dot, lineage_json
from orchestrator.views.lineage_svg import lineage_svg
from orchestrator.views.lineage_tree import lineage_tree
from sandbox.errors import RecordError
from tests.builders import make_ended, make_event, make_request
from tools.record.events import (
    AttemptProposed,
    Inference,
    Parent,
    ResultReported,
    SessionOpened,
    VerdictGiven,
)
from tools.record.leaderboard import leaderboard
from tools.record.lineage import Lineage
from tools.record.reported import LAUNCH_SD


def told(*payloads: Any) -> Lineage:
    lineage = Lineage()
    for seq, payload in enumerate(payloads, start=1):
        lineage.apply(make_event(payload, seq=seq))
    return lineage


def proposed(attempt: str, *parents: Parent, method: str = "m") -> AttemptProposed:
    return AttemptProposed(
        attempt=attempt,
        parents=parents,
        config=ReportedConfig(method=method),
        fingerprint=f"f{attempt}",
        hypothesis="",
        direction=f"method={method}",
    )


def reported(attempt: str, speed: float | None, **keys: Any) -> ResultReported:
    whole = {"perplexity": 2.3, "status": "agent-run", "source": f"{attempt}.md", **keys}
    return ResultReported(attempt=attempt, tokens_per_second=speed, **whole)


def opened(sd: float) -> SessionOpened:
    return SessionOpened(
        format_version=3,
        challenge={"name": "c", "engine": "reported", "promotion": {"prior_launch_sd": sd}},
        settings={},
        model_sha256="",
        engine_version="reported",
    )


BASE = (proposed("a0000"), reported("a0000", 50.0))


def test_the_interval_of_one_draw_is_the_challenges_known_noise() -> None:
    node = told(opened(0.02), proposed("a0001"), reported("a0001", 100.0)).nodes["a0001"]

    assert node.pace_interval is not None
    assert node.pace_interval.high == pytest.approx(100 * math.exp(1.96 * 0.02))


def test_without_a_word_on_it_the_noise_is_that_of_the_original() -> None:
    node = told(proposed("a0001"), reported("a0001", 100.0)).nodes["a0001"]

    assert node.pace_interval is not None
    assert node.pace_interval.low == pytest.approx(100 * math.exp(-1.96 * LAUNCH_SD))


def test_a_result_without_a_figure_is_known_and_not_ranked() -> None:
    lineage = told(*BASE, proposed("a0001"), reported("a0001", None))
    board = leaderboard(lineage, session="s", challenge="c")

    assert lineage.nodes["a0001"].state == "measured"
    assert [row.attempt for row in board.rows] == ["a0000"]
    assert lineage.frontier() == [lineage.nodes["a0000"]]


def test_rows_say_that_they_were_reported_and_guess_nothing() -> None:
    lineage = told(*BASE, proposed("a0001"), reported("a0001", 75.0, perplexity=None))
    row = leaderboard(lineage, session="s", challenge="c").rows[0]

    assert (row.reported, row.value, row.tokens_per_second) == (True, "reported", 75.0)
    assert row.speedup == pytest.approx(1.5)
    assert (row.n, row.stage, row.single_speedup, row.perplexity) == (None, None, None, None)


def test_draws_within_the_noise_share_a_rank() -> None:
    figures = {"a0001": 100.0, "a0002": 101.0, "a0003": 90.0}
    events = [
        one for name, speed in figures.items() for one in (proposed(name), reported(name, speed))
    ]
    rows = leaderboard(told(*events), session="s", challenge="c").rows

    assert [(row.attempt, row.rank) for row in rows] == [("a0002", 1), ("a0001", 1), ("a0003", 3)]


def test_reported_beside_measured_is_refused() -> None:
    lineage = told(
        *BASE,
        proposed("a0001"),
        make_request("a0001"),
        make_ended("a0001"),
    )

    with pytest.raises(RecordError, match="cannot be ranked together"):
        leaderboard(lineage, session="s", challenge="c")


def test_dead_ends_are_counted_and_not_ranked() -> None:
    lineage = told(*BASE, proposed("a0001"), reported("a0001", 99.0, status="negative"))
    board = leaderboard(lineage, session="s", challenge="c")

    assert (board.negatives, [row.attempt for row in board.rows]) == (1, ["a0000"])
    assert lineage.best() == lineage.nodes["a0000"]


def test_an_older_result_that_is_imported_later_takes_its_place_on_the_frontier() -> None:
    lineage = Lineage()
    for seq, (payload, time) in enumerate(
        [
            *((proposed("a0001"), 10.0), (reported("a0001", 100.0), 10.0)),
            *((proposed("a0002"), 5.0), (reported("a0002", 90.0), 5.0)),
        ],
        start=1,
    ):
        lineage.apply(make_event(payload, seq=seq, time=time))

    assert [node.attempt for node in lineage.frontier()] == ["a0002", "a0001"]


def test_a_second_report_of_one_attempt_changes_nothing() -> None:
    lineage = told(*BASE, reported("a0000", 500.0))

    assert lineage.baseline_tokens_per_second == 50.0


def test_the_way_to_an_attempt_goes_through_the_fastest_parent_that_counts() -> None:
    lineage = told(
        *BASE,
        proposed("a0001"),
        reported("a0001", 400.0),
        VerdictGiven(attempt="a0001", verdict="invalid", reason="tps_drift", by="organiser"),
        proposed("a0002"),
        reported("a0002", 300.0),
        proposed("a0003", Parent(attempt="a0001"), Parent(attempt="a0002")),
        reported("a0003", 350.0),
    )

    assert lineage.path("a0003") == ["a0002", "a0003"]


EDGE = Parent(attempt="a0000", inferred=Inference(evidence='te"xt', confidence="low"))


def test_views_label_the_figures_and_the_edges_that_were_inferred() -> None:
    lineage = told(*BASE, proposed("a0001", EDGE), reported("a0001", 75.0))
    data = lineage_json(lineage)
    tree = "\n".join(line.plain for line in lineage_tree(lineage))

    assert data["reported"] is True
    assert data["nodes"][1]["tokens_per_second"] == 75.0
    assert data["nodes"][1]["parents"][0]["inferred"] == {"evidence": 'te"xt', "confidence": "low"}
    assert "75.0 tokens/s" in tree
    assert "(inferred edge)" in tree
    assert "REPORTED by others" in lineage_svg(lineage, title="t")
    assert 'inferred from te\\"xt' in lineage_dot(lineage, title="t")


def test_old_records_have_no_inferred_field_in_their_edges() -> None:
    assert Parent(attempt="a0000").model_dump() == {"attempt": "a0000", "kind": "builds-on"}
