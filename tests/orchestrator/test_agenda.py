"""What the organiser does next, and when agents go first: on made-up records."""

from collections.abc import Sequence
from typing import Any

import pytest

from bench.challenge import Challenge, VerificationRule
from bench.config import apply_changes
from bench.configs.llamacpp import LlamaCppConfig
from bench.measurement import JobOutcome
from orchestrator.agenda import Agenda, Step, lane_share
from orchestrator.duties import Moment, Wish
from orchestrator.verifications import ingredient, is_audited
from tests.builders import (
    make_attempt,
    make_ended,
    make_events,
    make_fresh,
    make_request,
    make_run,
    make_session,
    make_verdict,
    make_verification,
)
from tests.orchestrator.tiny_race import tiny_challenge
from tools.record.events import Draft, PromotionDecided, PromotionOpened
from tools.record.projection import Projection

CHALLENGE: Challenge = tiny_challenge().model_copy(
    update={"verification": VerificationRule(wall_seconds=100)}
)
EARLY, LATE = Moment(100.0, 1000.0, 0.0), Moment(700.0, 1000.0, 0.0)
BASELINE = make_run("a0000", agent="organiser")


def full(attempt: str, speedup: float, **fields: Any) -> list[Draft]:
    return make_run(attempt, parents=["a0000"], speedup=speedup, **fields)


def waiting(attempt: str = "a0009") -> list[Draft]:
    proposed = make_attempt(attempt, parents=["a0000"])
    return [
        Draft("ann", proposed, f"p/{attempt}"),
        Draft("ann", make_request(attempt), f"r/{attempt}"),
    ]


def opened(contender: str, number: int = 1) -> Draft:
    payload = PromotionOpened(
        promotion=f"p{number}",
        contender=contender,
        incumbent="a0000",
        test=number,
        alpha=0.03,
        launches=2,
    )
    return Draft("organiser", payload, f"promotion/p{number}/opened")


def promoted(contender: str, number: int = 1) -> list[Draft]:
    payload = PromotionDecided(
        promotion=f"p{number}", contender=contender, incumbent="a0000", outcome="promoted"
    )
    return [opened(contender, number), Draft("organiser", payload, f"promotion/p{number}/decided")]


def organisers_job(attempt: str, number: int, outcome: JobOutcome, **fields: Any) -> list[Draft]:
    asked = make_request(attempt, number=number, **fields)
    ended = make_ended(attempt, number=number, outcome=outcome)
    return [Draft("organiser", asked, f"o/{asked.job}"), Draft("lane", ended, f"e/{asked.job}")]


def fresh_launch(attempt: str, number: int, seconds: float) -> list[Draft]:
    outcome = JobOutcome(status="measured", seconds=seconds, fresh=make_fresh(speedup=1.5))
    return organisers_job(attempt, number, outcome, stage="fresh", purpose="p1", incumbent="a0000")


def examined(attempt: str, number: int, *failed: Any, seconds: float = 5.0) -> list[Draft]:
    outcome = JobOutcome(
        status="measured", seconds=seconds, verification=make_verification(*failed)
    )
    return organisers_job(attempt, number, outcome, stage="private", purpose="record")


def agenda(*runs: Sequence[Draft], moment: Moment = EARLY, **fields: Any) -> Agenda:
    known = Projection.of(make_events(make_session(BASELINE, *runs)))
    return Agenda(known, CHALLENGE, moment, **{"can_verify": True, **fields})


def told(step: Step | None) -> tuple[str, str] | None:
    if isinstance(step, PromotionOpened):
        return step.contender, "promotion"
    return (step.node.attempt, step.stage) if step else None


def test_the_best_full_run_is_promoted_once_there_is_one_and_the_lane_idles() -> None:
    assert told(agenda(full("a0001", 1.4), full("a0002", 1.8)).next_step()) == (
        "a0002",
        "promotion",
    )


def test_a_screen_alone_gets_its_full_first() -> None:
    assert told(agenda(full("a0001", 1.4, stage="screen")).next_step()) == ("a0001", "full")


def test_a_gain_within_the_noise_does_not_trigger() -> None:
    assert agenda(full("a0001", 1.01)).record_step() is None


def test_early_in_a_ride_with_a_queue_one_full_run_is_not_enough() -> None:
    one = (full("a0001", 1.4), waiting())
    two = (*one, full("a0002", 1.5))

    assert agenda(*one).record_step() is None
    assert told(agenda(*one, moment=LATE).record_step()) == ("a0001", "promotion")
    assert told(agenda(*two, moment=Moment(250.0, 1000.0, 0.0)).record_step()) == (
        "a0002",
        "promotion",
    )


def test_no_promotion_is_opened_that_cannot_end_with_its_verification() -> None:
    runs = (full("a0001", 1.4), full("a0002", 1.5))

    assert agenda(*runs, moment=Moment(994.0, 1000.0, 0.0)).record_step() is None
    short = agenda(*runs, moment=Moment(994.0, 1000.0, 0.0), can_verify=False)
    assert told(short.record_step()) == ("a0002", "promotion")


def test_a_verified_contender_needs_time_for_its_launches_alone() -> None:
    passed = Draft("organiser", make_verdict("a0002", "valid", by="verifier"), "verdict/a0002")
    runs = (full("a0001", 1.4), full("a0002", 1.5), examined("a0002", 2), [passed])

    assert told(agenda(*runs, moment=Moment(994.0, 1000.0, 0.0)).record_step()) == (
        "a0002",
        "promotion",
    )
    assert agenda(*runs, moment=Moment(1000.0, 1000.0, 0.0)).record_step() is None


def test_an_open_promotion_asks_for_launch_after_launch() -> None:
    step = agenda(full("a0001", 1.5), [opened("a0001")], fresh_launch("a0001", 2, 5.0)).next_step()

    assert isinstance(step, Wish)
    assert (step.node.attempt, step.stage, step.purpose, step.incumbent) == (
        "a0001",
        "fresh",
        "p1",
        "a0000",
    )


def test_who_holds_the_record_unverified_comes_before_the_next_promotion() -> None:
    step = agenda(full("a0001", 1.5), promoted("a0001"), full("a0002", 2.5)).next_step()

    assert isinstance(step, Wish)
    assert (step.node.attempt, step.stage, step.purpose) == ("a0001", "private", "record")


def test_a_flag_asks_for_a_second_run_and_two_ask_for_nothing() -> None:
    once = agenda(full("a0001", 1.5), promoted("a0001"), examined("a0001", 2, "regret"))
    assert told(once.record_step()) == ("a0001", "private")


def test_without_a_judge_nothing_is_examined() -> None:
    step = agenda(full("a0001", 1.5), promoted("a0001"), can_verify=False).next_step()

    assert step is None


def test_agents_go_first_once_the_organiser_has_had_its_share() -> None:
    runs = (full("a0001", 1.5), [opened("a0001")], waiting())
    little, much = fresh_launch("a0001", 2, 2.0), fresh_launch("a0001", 2, 30.0)

    assert told(agenda(*runs, little).next_step()) == ("a0001", "fresh")
    assert agenda(*runs, much).next_step() is None
    assert lane_share(agenda(*runs, much).known.lineage) > 0.45


@pytest.mark.parametrize("seconds", [2.0, 60.0])
def test_at_the_end_of_a_ride_without_a_verified_record_the_record_goes_first(
    seconds: float,
) -> None:
    runs = (full("a0001", 1.5), [opened("a0001")], waiting(), fresh_launch("a0001", 2, seconds))

    assert told(agenda(*runs, moment=LATE).next_step()) == ("a0001", "fresh")


def test_an_idle_lane_is_the_organisers_to_use() -> None:
    runs = (full("a0001", 1.5), [opened("a0001")], fresh_launch("a0001", 2, 300.0))

    assert told(agenda(*runs).next_step()) == ("a0001", "fresh")


def test_a_contender_is_not_tested_again_without_a_new_run() -> None:
    refused = PromotionDecided(
        promotion="p1", contender="a0001", incumbent="a0000", outcome="refused"
    )
    runs = (full("a0001", 1.5), [opened("a0001"), Draft("organiser", refused, "decided")])
    again = make_run("a0001", number=2, speedup=1.5)[1:]

    assert agenda(*runs, can_verify=False).record_step() is None
    assert told(agenda(*runs, again).record_step()) == ("a0001", "promotion")


def test_when_records_are_settled_the_fastest_and_the_audited_are_examined() -> None:
    runs = (full("a0001", 1.005), full("a0002", 1.001, stage="screen"))
    step = agenda(*runs, audited=("a0002",)).examination()
    only = agenda(runs[1], audited=("a0002",)).examination()
    slower = agenda(full("a0001", 0.95)).examination()

    assert slower is None
    assert step
    assert (step.node.attempt, step.purpose) == ("a0001", "top_five")
    assert only
    assert (only.node.attempt, only.purpose) == ("a0002", "audit")


def test_audits_pick_themselves_by_the_hash_in_the_share_that_was_set() -> None:
    picked = [is_audited(f"{n:064x}", "a0001", share=0.1) for n in range(2000)]

    assert 0.07 < sum(picked) / 2000 < 0.13
    assert not any(is_audited(f"{n:064x}", "a0001", share=0.0) for n in range(50))


STRATEGY, SIZE = "weights.vocabulary.strategy=", "weights.vocabulary.size=8192"


@pytest.mark.parametrize(
    ("changes", "failed", "words"),
    [
        ({"strategy": "public_text"}, "missing_targets", (f"{STRATEGY}public_text",)),
        ({"strategy": "ascii"}, "private_perplexity", (SIZE, f"{STRATEGY}ascii")),
        ({"strategy": "ascii"}, "regret", ()),
        ({}, "missing_targets", ()),
    ],
)
def test_a_ruling_names_what_the_failure_is_laid_to(
    changes: dict[str, Any], failed: str, words: tuple[str, ...]
) -> None:
    kept = {"weights.vocabulary": {**changes, "size": 8192}} if changes else {}

    assert ingredient(apply_changes(LlamaCppConfig(), kept), [failed]) == words


def test_a_failure_of_decoding_is_laid_to_how_tokens_are_guessed() -> None:
    config = apply_changes(LlamaCppConfig(), {"speculation.kind": "ngram_mod"})

    assert ingredient(config, ["self_consistency"]) == ("speculation.kind=ngram_mod",)
    assert ingredient(LlamaCppConfig(), ["self_consistency"]) == ()
