import math

import pytest

from bench.verification import Finding
from bench.verify.evidence import Part, findings


def judged(*parts: Part) -> Finding:
    return findings(parts, [parts[0].test], lambda _name: 0.5)[0]


def test_a_value_above_its_limit_fails() -> None:
    assert judged(Part("regret", 0.6, "nats per token")).status == "failed"
    assert judged(Part("regret", 0.4, "nats per token")).status == "passed"


def test_noise_speaks_for_the_judged() -> None:
    assert judged(Part("cache", 1.2, "ratio", limit=1.1, noise=0.15)).status == "passed"
    assert judged(Part("cache", 1.2, "ratio", limit=1.1, noise=0.05)).status == "failed"


def test_below_a_floor_fails_beyond_noise() -> None:
    slow = Part("private_speed", 0.9, "ratio", limit=0.95, is_floor=True)

    assert judged(slow).status == "failed"
    assert judged(slow._replace(noise=0.06)).status == "passed"


@pytest.mark.parametrize("value", [math.nan, math.inf])
def test_what_is_no_number_fails_without_one(value: float) -> None:
    found = judged(Part("score_path", value, "nats per token"))

    assert (found.status, found.value) == ("failed", None)


def test_the_worst_part_speaks_for_its_test() -> None:
    found = judged(
        Part("regret", 0.1, "nats per token"),
        Part("regret", 0.9, "share", measure="regret_share"),
    )

    assert (found.status, found.value, found.unit) == ("failed", 0.9, "share")
    assert "regret 0.1 <= 0.5; regret_share 0.9 <= 0.5" in found.detail


def test_a_failed_part_speaks_before_a_larger_one_that_passed() -> None:
    found = judged(
        Part("timing_shape", 0.7, "ln ratio", noise=0.4),
        Part("timing_shape", 0.6, "ln ratio", measure="timing_drift"),
    )

    assert (found.status, found.value) == ("failed", 0.6)


def test_a_test_without_parts_was_not_run() -> None:
    found = findings([], ["strict", "cache"], lambda _name: 1.0)

    assert [one.status for one in found] == ["not_run", "not_run"]
