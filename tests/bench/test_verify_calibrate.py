import math
from contextlib import nullcontext
from pathlib import Path

import pytest

from bench.challenge_files import load_challenge
from bench.verify.calibrate import FLOORS, limit_of, main
from bench.verify.thresholds import load_thresholds
from tests.bench.verify_stand import MEASURES, write_verified_challenge


def test_a_limit_leaves_room_above_what_was_seen() -> None:
    values = [1.0, 1.2, 0.8, 1.0]

    assert limit_of("regret", values).limit == pytest.approx(1 + 4 * 0.1633, abs=0.005)
    assert limit_of("regret", [1.0]).limit == 1.25
    assert limit_of("regret", values).values == (1.0, 1.2, 0.8, 1.0)


def test_where_nothing_strays_the_floor_is_the_limit() -> None:
    assert limit_of("strict", [0.0] * 20).limit == FLOORS["strict"]
    assert limit_of("strict", [math.nan]).limit == limit_of("strict", ()).limit == FLOORS["strict"]


def test_every_calibrated_measure_has_a_floor() -> None:
    assert set(FLOORS) == set(MEASURES)


@pytest.mark.enable_socket
def test_a_calibration_writes_limits_that_can_be_loaded(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = write_verified_challenge(tmp_path)
    file = folder / "thresholds.json"
    where = ("--challenge", str(folder), "--cache", str(folder / "cache"), "--out", str(file))
    file.unlink()

    assert main([*where, "--runs", "1", "--classes", "exact"], lane=nullcontext) == 0
    limits = load_thresholds(load_challenge(folder))
    assert limits.is_provisional
    assert len(limits.classes["exact"].limits["self_consistency"].values) == 1
    assert "exact: baseline, 1 runs" in capsys.readouterr().err


def test_a_challenge_that_cannot_be_calibrated_says_why(
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert main(["--challenge", "nowhere", "--runs", "1"], lane=nullcontext) == 2
    assert "unknown_challenge" in capsys.readouterr().err
