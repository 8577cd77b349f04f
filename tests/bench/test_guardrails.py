from pathlib import Path

import pytest

from bench.challenge import Guardrail
from bench.guardrails import Ruling, judge
from bench.harness import run_job
from bench.measurement import KeptCheck, Measurement
from tests.bench.process_engine import make_request, write_challenge

GUARDRAIL = Guardrail(
    perplexity_ratio_cap=1.05, missing_target_logprob=-12.0, missing_target_share_cap=0.005
)


@pytest.fixture(scope="module")
def clean(tmp_path_factory: pytest.TempPathFactory) -> Measurement:
    folder: Path = write_challenge(tmp_path_factory.mktemp("challenge"))
    measurement = run_job(make_request(folder)).measurement
    assert measurement is not None
    return measurement


def judged(measurement: Measurement, *, factor: float = 1.0, **changes: object) -> Ruling:
    value = measurement.reference_perplexity.value * factor
    scored = measurement.perplexity.model_copy(update={"value": value, **changes})
    return judge(measurement.model_copy(update={"perplexity": scored}), GUARDRAIL)


def test_what_keeps_its_quality_is_pending(clean: Measurement) -> None:
    assert judged(clean, factor=1.0499)[:2] == ("pending", "within_guardrail")


def test_a_screen_is_judged_on_every_target_a_full_would_score(clean: Measurement) -> None:
    lacking = KeptCheck(targets=320, missing=2)

    assert judge(clean.model_copy(update={"kept_check": lacking}), GUARDRAIL).reason == (
        "missing_targets"
    )


def test_better_than_the_reference_is_fine(clean: Measurement) -> None:
    assert judged(clean, factor=0.5).state == "pending"


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"factor": 1.051}, "perplexity_above_cap"),
        ({"missing_targets": 1}, "missing_targets"),
        ({"value": float("nan")}, "perplexity_not_finite"),
        ({"value": float("inf")}, "perplexity_not_finite"),
        ({"text_sha256": "another"}, "texts_differ"),
        ({"tokens": 19}, "texts_differ"),
    ],
)
def test_a_broken_limit_is_invalid_and_named(
    clean: Measurement, changes: dict[str, float], reason: str
) -> None:
    assert judged(clean, **changes)[:2] == ("invalid", reason)


def test_the_evidence_holds_the_numbers(clean: Measurement) -> None:
    evidence = judged(clean, factor=2.0).evidence

    assert evidence["perplexity_ratio"] == pytest.approx(2.0)
    assert evidence["perplexity_ratio_cap"] == 1.05
    assert evidence["missing_share"] == 0.0


def test_missing_targets_come_before_the_cap_they_flatter(clean: Measurement) -> None:
    assert judged(clean, factor=2.0, missing_targets=5).reason == "missing_targets"


def capped(clean: Measurement, *, factor: float) -> Ruling:
    cap = clean.reference_perplexity.value * 1.01
    scored = clean.perplexity.model_copy(
        update={"value": clean.reference_perplexity.value * factor}
    )
    rule = GUARDRAIL.model_copy(update={"perplexity_cap": cap})
    return judge(clean.model_copy(update={"perplexity": scored}), rule)


@pytest.mark.parametrize(
    ("factor", "reason"),
    [
        (0.5, "within_guardrail"),
        (1.009, "within_guardrail"),
        (1.02, "perplexity_above_absolute_cap"),
        (1.06, "perplexity_above_cap"),
    ],
)
def test_an_absolute_cap_is_one_sided_and_comes_after_the_ratio(
    clean: Measurement, factor: float, reason: str
) -> None:
    assert capped(clean, factor=factor).reason == reason


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_a_perplexity_that_is_no_number_passes_no_cap(clean: Measurement, value: float) -> None:
    ruling = capped(clean, factor=value)

    assert ruling[:2] == ("invalid", "perplexity_not_finite")
    assert ruling.evidence["perplexity"] is None


def test_only_a_rule_with_an_absolute_cap_speaks_of_it(clean: Measurement) -> None:
    assert "perplexity_cap" not in judged(clean).evidence
    assert "perplexity_cap" in capped(clean, factor=1.0).evidence
