"""Sessions judged again under other rules."""

from pathlib import Path
from typing import Any

import pytest

from bench.measurement import Interval
from orchestrator.rejudge import Rejudged, rejudge_session
from orchestrator.rejudge_claims import Claim, Happened, Ruled
from orchestrator.rejudge_records import records_under
from orchestrator.rejudge_rules import Rules, load_rules
from sandbox.errors import ConfigError

ROOT = Path(__file__).parents[2]
RULES = ROOT / "examples" / "rules"


def first_ride(rules: Path) -> Rejudged:
    return rejudge_session(ROOT / "examples" / "first-ride", str(rules))


def claim(seq: int, attempt: str, speed: float, *, width: float = 1.0, valid: bool = True) -> Claim:
    interval = Interval(speed, speed - width, speed + width)
    return Claim(seq, seq, attempt, "full", interval, valid, "", None, "")


def holders(rules: dict[str, Any], *told: Happened, promoted: Any = ()) -> list[str]:
    found = records_under(Rules.model_validate(rules), told, dict(promoted))
    return [one.attempt for one in found]


BASE = claim(1, "a0000", 50.0)
STORY = (BASE, claim(2, "a0001", 60.0), claim(3, "a0002", 61.0), claim(4, "a0003", 70.0))
OUT = Ruled(5, 5.0, "a0003", "invalid", "verifier")


@pytest.mark.parametrize(
    ("rules", "expected"),
    [
        ({"record": "claim"}, ["a0001", "a0002", "a0003", "a0002"]),
        ({"record": "claim", "verification": "none"}, ["a0001", "a0002", "a0003"]),
        ({"record": "claim", "tie_tokens_per_second": 2}, ["a0001", "a0003", "a0001"]),
        ({"record": "interval"}, ["a0001", "a0003", "a0001"]),
        ({"record": "claim", "verification": "from_the_start"}, []),
        ({"record": "promotion"}, []),
    ],
)
def test_a_rule_says_who_takes_the_record(rules: dict[str, Any], expected: list[str]) -> None:
    assert expected == holders(rules, *STORY, OUT)


def test_what_counts_from_its_verification_takes_the_record_then() -> None:
    verified = Ruled(6, 6.0, "a0001", "verified", "verifier")
    rules = {"record": "claim", "verification": "from_the_start"}

    assert holders(rules, *STORY, OUT, verified) == ["a0001"]


def test_a_broken_limit_gives_the_record_back_to_the_next_best() -> None:
    again = claim(6, "a0003", 71.0, valid=False)

    assert holders({"record": "claim"}, *STORY, again) == ["a0001", "a0002", "a0003", "a0002"]


def test_a_promotion_takes_the_record_and_its_end_gives_it_back() -> None:
    promoted = {2: "a0001", 4: "a0003"}

    assert holders({}, *STORY[:1], OUT, promoted=promoted) == ["a0001", "a0003", "a0001"]


def test_a_ride_by_its_own_rules_is_as_it_was(tmp_path: Path) -> None:
    (tmp_path / "own.toml").write_text("")
    found = first_ride(tmp_path / "own.toml")

    assert found.records_now == found.records_then
    assert (found.flips, found.promotions) == ((), ())


def test_the_original_rules_give_the_record_to_another() -> None:
    found = first_ride(RULES / "original.toml")

    assert found.records_now[0].attempt == "a0001"
    assert found.records_now[0].seconds < found.records_then[0].seconds
    assert "a0001" in found.valid_now
    assert found.as_json()["counts"]["flips"] == len(found.flips)


def test_the_strict_rules_count_only_what_was_verified() -> None:
    found = first_ride(RULES / "strict.toml")

    assert [one.attempt for one in found.records_now] == ["a0014"]
    assert found.records_now[0].seconds > found.records_then[0].seconds
    assert "a0000" not in found.invalid_now
    assert len(found.invalid_now) > 5


def test_more_launches_than_were_made_decide_nothing(tmp_path: Path) -> None:
    (tmp_path / "more.toml").write_text("[promotion]\nlaunches = 40\n")
    found = first_ride(tmp_path / "more.toml")

    assert {one.now for one in found.promotions} == {"undecided"}


def test_a_contender_below_the_trigger_is_never_tested(tmp_path: Path) -> None:
    (tmp_path / "high.toml").write_text("[promotion]\ntrigger_sigmas = 1000\n")
    found = first_ride(tmp_path / "high.toml")

    assert {one.now for one in found.promotions} == {"not_opened"}
    assert found.records_now == ()


@pytest.mark.parametrize("text", ["record = 'loudest'", "ties = 3", "[promotion]\nalpha = 2"])
def test_rules_that_are_none_are_one_clear_error(tmp_path: Path, text: str) -> None:
    file = tmp_path / "rules.toml"
    file.write_text(text)

    with pytest.raises(ConfigError):
        load_rules(str(file))


def test_rules_that_are_not_there_say_where_some_are() -> None:
    with pytest.raises(ConfigError, match="examples/rules"):
        load_rules("nowhere.toml")
