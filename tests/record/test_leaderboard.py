from typing import Any

import pytest

from sandbox.errors import RecordError
from tests.builders import (
    make_events,
    make_fresh,
    make_invalidated,
    make_message,
    make_promotion,
    make_run,
    make_session,
    make_verified,
)
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


PLAIN = [make_run(f"a000{n}", speedup=1.0 + n / 10) for n in range(4)]


def row_of(attempt: str, *runs: list[Draft]) -> Any:
    return next(row for row in board_of(*runs).rows if row.attempt == attempt)


def test_a_single_run_is_drawn_towards_the_mean_and_marked() -> None:
    row = row_of("a0003", *PLAIN)

    assert (row.value, row.launches, row.fresh) == ("single", 1, 0)
    assert row.single_speedup == pytest.approx(1.3)
    assert 1.14 < row.speedup < 1.3


def test_of_several_runs_of_riders_the_first_counts() -> None:
    lucky = make_run("a0003", number=2, speedup=2.0)[1:]

    assert row_of("a0003", *PLAIN, lucky).single_speedup == pytest.approx(1.3)


def test_fresh_launches_leave_out_the_run_that_triggered_them() -> None:
    fresh = [make_fresh(speedup=1.2, digest=f"{n}") for n in range(4)]
    row = row_of("a0003", *PLAIN, make_promotion("a0003", launches=fresh, outcome="refused"))

    assert (row.value, row.launches, row.n, row.fresh) == ("fresh", 4, 16, 4)
    assert row.speedup == pytest.approx(1.2, rel=1e-3)
    assert row.speedup_low < 1.2 < row.speedup_high


def test_the_private_value_counts_where_there_is_one() -> None:
    fresh = make_promotion("a0003", launches=[make_fresh(speedup=1.3)])
    row = row_of("a0003", *PLAIN, fresh, make_verified("a0003", number=3, speedup=1.1))

    assert (row.value, row.verified, row.n) == ("verified", True, 10)
    assert (row.speedup, row.speedup_low) == pytest.approx((1.1, 1.078))


def test_all_values_but_screens_stand_in_one_order() -> None:
    screen = make_run("a0004", speedup=9.0, stage="screen")
    verified = make_verified("a0000", speedup=1.25)
    board = board_of(*PLAIN, screen, verified)

    assert [row.attempt for row in board.rows] == ["a0003", "a0000", "a0002", "a0001", "a0004"]


def test_an_invalid_row_says_who_ruled() -> None:
    (row,) = board_of(*PLAIN, [make_invalidated("a0002", by="person:eve")]).rejected

    assert (row.attempt, row.ruled_by, row.reason) == ("a0002", "person:eve", "missing_targets")


def test_posts_that_claim_a_confirmation_move_nothing() -> None:
    posts = [
        Draft(f"sock{n}", make_message("confirmed: 9x", refs=("a0001",)), f"sock/{n}")
        for n in range(9)
    ]

    assert board_of(*PLAIN, posts) == board_of(*PLAIN)


def test_thousands_of_rows_are_ranked_as_by_definition() -> None:
    runs = [make_run(f"a{n:04d}", speedup=1 + (n * 37 % 200) / 400, spread=0.1) for n in range(200)]
    rows = board_of(*runs).rows

    for row in rows[::20]:
        assert row.rank_low == 1 + sum(other.ci_low > row.ci_high for other in rows)
        assert row.rank_high == sum(other.ci_high >= row.ci_low for other in rows)
