from typing import Any

import pytest

from tests.builders import (
    make_attempt,
    make_ended,
    make_events,
    make_failed,
    make_measured,
    make_request,
    make_run,
    make_session,
    make_started,
)
from tools.record.events import Draft, Parent
from tools.record.lineage import Lineage, Node


def lineage_of(*runs: list[Draft]) -> Lineage:
    lineage = Lineage()
    for event in make_events(make_session(*runs)):
        lineage.apply(event)
    return lineage


def node_after(*payloads: Any) -> Node:
    drafts = [Draft("ann", payload, f"k{place}") for place, payload in enumerate(payloads)]
    return lineage_of([Draft("ann", make_attempt(), "p"), *drafts]).nodes["a0001"]


def diamond() -> Lineage:
    """a0000 -> a0001 and a0002 -> a0003 (merges both), a0004 alone."""
    return lineage_of(
        make_run("a0000"),
        make_run("a0001", parents=["a0000"], speedup=1.5),
        make_run("a0002", parents=["a0000"], speedup=1.2),
        make_run("a0003", parents=["a0002", "a0001"], speedup=2.0),
        make_run("a0004", speedup=0.5),
    )


def test_walks_see_the_whole_graph() -> None:
    lineage = diamond()

    assert lineage.children("a0000") == ["a0001", "a0002"]
    assert lineage.ancestors("a0003") == ["a0000", "a0001", "a0002"]
    assert lineage.descendants("a0000") == ["a0001", "a0002", "a0003"]
    assert [lineage.depth(name) for name in lineage.nodes] == [0, 1, 1, 2, 0]


def test_a_path_goes_through_the_fastest_parent() -> None:
    assert diamond().path("a0003") == ["a0000", "a0001", "a0003"]
    assert diamond().path("a0004") == ["a0004"]


def test_the_frontier_is_the_running_maximum() -> None:
    assert [node.attempt for node in diamond().frontier()] == ["a0000", "a0001", "a0003"]


def test_what_a_guardrail_rejected_is_neither_frontier_nor_best() -> None:
    lineage = lineage_of(
        make_run("a0000"),
        make_run("a0001", speedup=3.0, perplexity=30.0, verdict="invalid"),
        make_run("a0002", speedup=1.5),
    )

    assert [node.attempt for node in lineage.frontier()] == ["a0000", "a0002"]
    best = lineage.best()
    assert best is not None
    assert best.attempt == "a0002"


def test_a_screen_is_best_only_while_there_is_no_full() -> None:
    screen = make_run("a0001", speedup=3.0, stage="screen")
    full = make_run("a0002", speedup=1.5)

    assert lineage_of(screen).best().attempt == "a0001"  # type: ignore[union-attr]
    assert lineage_of(screen, full).best().attempt == "a0002"  # type: ignore[union-attr]


def test_nothing_measured_has_no_best_and_no_yardstick() -> None:
    lineage = lineage_of([Draft("ann", make_attempt(), "p")])

    assert lineage.best() is None
    assert lineage.frontier() == []
    assert lineage.baseline_tokens_per_second is None
    assert lineage.baseline_perplexity is None


def test_the_yardstick_is_the_median_over_all_jobs() -> None:
    speeds = [40.0, 50.0, 90.0]
    runs = [make_run(f"a000{i}", baseline_tokens_per_second=s) for i, s in enumerate(speeds)]

    assert lineage_of(*runs).baseline_tokens_per_second == pytest.approx(50.0)


STATES = {
    "proposed": [],
    "queued": [make_request()],
    "running": [make_request(), make_started()],
    "measured": [make_request(), make_started(), make_ended()],
    "failed": [make_request(), make_ended(outcome=make_failed())],
    "cancelled": [make_request(), make_ended(outcome=make_failed("cancelled"))],
}


@pytest.mark.parametrize("state", STATES)
def test_a_node_goes_through_its_states(state: str) -> None:
    assert node_after(*STATES[state]).state == state


def test_a_later_failure_does_not_unmake_a_measurement() -> None:
    again = make_request(number=2)
    failed = make_ended(number=2, outcome=make_failed())

    assert node_after(*STATES["measured"], again).state == "measured"
    assert node_after(*STATES["measured"], again, failed).state == "measured"


def test_a_second_outcome_of_one_job_never_counts() -> None:
    node = node_after(*STATES["failed"], make_ended())

    assert node.state == "failed"
    assert node.measurements == []
    assert node.speedup is None


def test_a_cancelled_attempt_may_be_tried_again() -> None:
    node = node_after(*STATES["cancelled"], make_request(number=2), make_ended(number=2))

    assert node.state == "measured"


def test_fulls_push_screens_aside() -> None:
    screen = make_ended(outcome=make_measured(stage="screen", speedup=3.0))
    full = make_ended(number=2, outcome=make_measured(stage="full", speedup=2.0))
    asked = make_request(number=2, stage="full")

    before, after = (
        node_after(make_request(), screen),
        node_after(make_request(), screen, asked, full),
    )
    assert (before.best_stage, after.best_stage) == ("screen", "full")
    assert before.speedup is not None
    assert after.speedup is not None
    assert (before.speedup.estimate, after.speedup.estimate) == pytest.approx((3.0, 2.0), rel=1e-4)


def test_the_interval_follows_a_new_launch() -> None:
    lineage = lineage_of(make_run("a0001", speedup=2.0))
    node = lineage.nodes["a0001"]
    first = node.speedup
    request = make_request(number=2, stage="full", replicate=True)
    ended = make_ended(number=2, outcome=make_measured(speedup=2.2))
    for event in make_events([Draft("bob", request, "r"), Draft("lane", ended, "e")]):
        lineage.apply(event)

    assert first is not None
    assert node.speedup is not None
    assert first.estimate < node.speedup.estimate < 2.2


def test_perplexity_is_compared_within_its_launch() -> None:
    measured = make_measured(perplexity=10.5, reference_perplexity=10.0)
    node = node_after(make_request(), make_ended(outcome=measured))

    assert node.perplexity == 10.5
    assert node.perplexity_ratio == pytest.approx(1.05)


def test_jobs_wait_first_come_first() -> None:
    drafts = [Draft("ann", make_attempt(f"a000{n}"), f"p{n}") for n in range(3)]
    asks = [Draft("ann", make_request(f"a000{n}"), f"r{n}") for n in (2, 0, 1)]
    started = Draft("lane", make_started("a0002"), "s")
    lineage = lineage_of([*drafts, *asks, started])

    assert [node.attempt for node, _ in lineage.jobs_waiting()] == ["a0000", "a0001"]
    assert [run.job for _, run in lineage.live_jobs()] == ["a0002-1", "a0000-1", "a0001-1"]
    assert lineage.live_jobs("bob") == []
    assert len(lineage.live_jobs("ann")) == 3


def test_a_run_knows_its_highest_try() -> None:
    node = node_after(make_request(), make_started(), make_started(try_number=2))

    assert node.runs[0].tries == 2


def test_the_first_attempt_with_a_fingerprint_is_its_owner() -> None:
    lineage = lineage_of(
        [Draft("ann", make_attempt(f"a000{n}", fingerprint="same"), f"p{n}") for n in (1, 2)]
    )

    assert lineage.by_fingerprint == {"same": "a0001"}


def test_edges_to_what_is_not_there_are_no_edges() -> None:
    odd = [Parent(attempt="a0001"), Parent(attempt="a0099")]
    lineage = lineage_of([Draft("ann", make_attempt("a0001", parents=odd), "p")])

    assert lineage.depth("a0001") == 0
    assert lineage.ancestors("a0001") == []
    assert lineage.path("a0001") == ["a0001"]
