"""Promotions, who holds the record, and what fresh and private jobs do not do."""

from bench.challenge import PromotionRule
from bench.config import apply_changes
from bench.configs.llamacpp import LlamaCppConfig
from tests.builders import (
    make_attempt,
    make_ended,
    make_event,
    make_events,
    make_failed,
    make_fresh,
    make_invalidated,
    make_opened,
    make_promotion,
    make_reinstated,
    make_request,
    make_run,
    make_session,
    make_verified,
)
from tools.record.events import Draft, PoolCommitted, SessionResumed, VerificationRefused
from tools.record.noise_of import known_noise, launches_to_compare
from tools.record.projection import Projection

FASTER = make_fresh(speedup=2.0, incumbent=1.5)
TWO = LlamaCppConfig(threads=2)


def after(*more: list[Draft]) -> Projection:
    drafts = make_session(
        make_run("a0000"),
        make_run("a0001", parents=["a0000"], speedup=1.5),
        make_run("a0002", parents=["a0001"], speedup=2.2, config=TWO),
        *more,
    )
    return Projection.of(make_events(drafts))


def incumbent(projection: Projection) -> str:
    return projection.records.incumbent(projection.lineage)


FIRST = make_promotion("a0001", "a0000", launches=[make_fresh(speedup=1.5)])
SECOND = make_promotion("a0002", "a0001", test=2, launches=[FASTER, FASTER])


def test_the_baseline_holds_the_record_until_somebody_is_promoted() -> None:
    assert incumbent(after()) == "a0000"
    assert incumbent(after(make_promotion(outcome="refused"))) == "a0000"
    assert incumbent(after(FIRST)) == "a0001"


def test_a_promotion_gathers_its_launches_and_failures() -> None:
    opened = make_promotion(outcome=None, launches=[FASTER, make_failed(), FASTER])
    records = after(opened).records

    assert records.open is records.promotions["p1"]
    assert (len(records.open.fresh), records.open.failed_jobs) == (2, 1)
    assert (records.tests, records.open.outcome) == (1, None)
    assert list(records.tested) == ["a0001"]


def test_a_second_decision_never_counts() -> None:
    again = make_promotion(outcome="refused")[-1]._replace(key="again")
    records = after([*FIRST, again]).records

    assert records.promotions["p1"].outcome == "promoted"
    assert records.open is None
    assert records.history == ["a0001"]


def test_the_record_falls_back_to_the_latest_earlier_holder_that_counts() -> None:
    fallen, restored = make_invalidated("a0002"), make_reinstated("a0002")

    assert incumbent(after(FIRST, SECOND)) == "a0002"
    assert incumbent(after(FIRST, SECOND, [fallen])) == "a0001"
    assert incumbent(after(FIRST, SECOND, [fallen, make_invalidated("a0001")])) == "a0000"
    assert incumbent(after(FIRST, SECOND, [fallen, restored])) == "a0002"


def test_a_suspect_holder_loses_the_record_too() -> None:
    child = make_run("a0003", parents=["a0002"], config=apply_changes(TWO, {"poll": 0}))
    third = make_promotion("a0003", "a0002", test=3, launches=[FASTER])
    ruling = [make_invalidated("a0002", "threads=2")]

    assert incumbent(after(FIRST, SECOND, child, third)) == "a0003"
    assert incumbent(after(FIRST, SECOND, child, third, ruling)) == "a0001"


def test_fresh_launches_count_for_contender_and_incumbent_but_are_no_measurement() -> None:
    before, lineage = after().lineage, after(FIRST, SECOND).lineage
    contender, holder = lineage.nodes["a0002"], lineage.nodes["a0001"]

    assert [one.ratios for one in contender.fresh] == [FASTER.ratios] * 2
    assert [one.ratios for one in holder.fresh[1:]] == [FASTER.incumbent_ratios] * 2
    assert lineage.nodes["a0000"].fresh == []
    assert contender.speedup == before.nodes["a0002"].speedup


def test_fresh_and_private_jobs_do_not_change_the_state() -> None:
    fresh = make_request(number=1, stage="fresh", purpose="p1")
    failed = make_ended(number=1, outcome=make_failed())
    proposed = make_attempt("a0001")
    payloads = [proposed, fresh, failed]
    events = [make_event(one, seq=seq) for seq, one in enumerate(payloads, start=1)]
    node = Projection.of(events).lineage.nodes["a0001"]

    assert node.state == "proposed"
    assert after(make_verified("a0001")).lineage.nodes["a0001"].state == "measured"


def test_noise_is_known_from_launches_of_one_kind() -> None:
    lineage = after(FIRST, SECOND).lineage
    rule = PromotionRule()

    assert len(launches_to_compare(lineage.nodes["a0002"])) == 2
    assert len(launches_to_compare(lineage.nodes["a0000"])) == 1
    assert known_noise(lineage, rule) is known_noise(lineage, rule)
    assert known_noise(lineage, rule).single_sd > 0


def test_the_projection_knows_pool_refusal_and_rule() -> None:
    pool = PoolCommitted(commitment="c" * 64, texts=64, public_key="k" * 64)
    refused = VerificationRefused(code="pool_missing", message="no pool")
    opened = make_opened().model_copy(
        update={"challenge": {"name": "t", "promotion": {"launches": 3}}}
    )
    payloads = [opened, pool, refused]
    projection = Projection.of(make_event(one, seq=seq) for seq, one in enumerate(payloads, 1))
    assert (projection.pool, projection.verification_refused) == (pool, refused)
    assert projection.promotion_rule.launches == 3

    projection.apply(make_event(SessionResumed(settings={}), seq=4))
    assert projection.verification_refused is None
