from typing import Any

import pytest

from sandbox.errors import RecordError
from tests.builders import make_events, make_run, make_session
from tools.record.events import Draft
from tools.record.leaderboard import Leaderboard, leaderboard
from tools.record.projection import Projection


def board_of(*runs: list[Draft]) -> Leaderboard:
    projection = Projection.of(make_events(make_session(*runs)))
    return leaderboard(projection.lineage, session="s", challenge="test")


def ranks(board: Leaderboard) -> dict[str, tuple[Any, Any, Any]]:
    return {row.attempt: (row.rank, row.rank_low, row.rank_high) for row in board.rows}


def test_an_empty_leaderboard_knows_nothing() -> None:
    board = board_of()

    assert board.rows == board.rejected == ()
    assert board.baseline.tokens_per_second is None
    assert board.baseline.perplexity is None


def test_rows_that_differ_clearly_are_ranked_apart() -> None:
    board = board_of(make_run("a0001", speedup=1.5), make_run("a0002", speedup=2.5))

    assert ranks(board) == {"a0002": (1, 1, 1), "a0001": (2, 2, 2)}


def test_rows_whose_intervals_overlap_share_a_rank() -> None:
    board = board_of(
        make_run("a0001", speedup=2.00, spread=0.02),
        make_run("a0002", speedup=2.01, spread=0.02),
        make_run("a0003", speedup=1.0),
    )

    assert ranks(board) == {"a0002": (1, 1, 2), "a0001": (1, 1, 2), "a0003": (3, 3, 3)}


def test_a_screen_never_outranks_a_full() -> None:
    board = board_of(make_run("a0001", speedup=9.0, stage="screen"), make_run("a0002", speedup=1.1))

    assert ranks(board) == {"a0002": (1, 1, 1), "a0001": (2, 2, 2)}
    assert [row.stage for row in board.rows] == ["full", "screen"]


def test_what_a_guardrail_rejected_is_listed_without_a_rank() -> None:
    board = board_of(
        make_run("a0001", speedup=3.0, perplexity=30.0, verdict="invalid"), make_run("a0002")
    )

    assert list(ranks(board)) == ["a0002"]
    (rejected,) = board.rejected
    assert (rejected.attempt, rejected.rank, rejected.perplexity) == ("a0001", None, 30.0)


def test_speed_is_the_speedup_times_the_sessions_baseline() -> None:
    board = board_of(make_run("a0001", speedup=2.0, baseline_tokens_per_second=50.0, pairs=8))
    (row,) = board.rows

    assert board.baseline.tokens_per_second == pytest.approx(50.0)
    assert row.tokens_per_second == pytest.approx(100.0, rel=0.01)
    assert row.ci_low < row.tokens_per_second < row.ci_high
    assert (row.n, row.launches, row.verified) == (8, 1, False)


def test_simulated_and_real_numbers_are_not_ranked_together() -> None:
    with pytest.raises(RecordError, match="1 simulated and 1 real") as refusal:
        board_of(make_run("a0001", simulated=True), make_run("a0002"))
    assert refusal.value.code == "simulated_beside_real"


def test_simulated_numbers_say_so() -> None:
    board = board_of(make_run("a0001", simulated=True))

    assert board.simulated
    assert board.rows[0].simulated


def test_the_json_has_the_documented_shape() -> None:
    data = board_of(make_run("a0001")).model_dump(mode="json")

    documented = (
        "rank rank_low rank_high attempt agent tokens_per_second ci_low ci_high n speedup "
        "perplexity verdict verified fingerprint"
    )
    assert set(documented.split()) <= set(data["rows"][0])
    assert {"session", "challenge", "baseline", "rows", "simulated"} <= set(data)
    assert set(data["baseline"]) == {"tokens_per_second", "perplexity"}
