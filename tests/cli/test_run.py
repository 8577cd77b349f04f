"""`run` and `resume` as a person types them, on the simulated engine."""

from pathlib import Path

import pytest

from orchestrator.session_folder import locked
from tests.cli.conftest import Paceline

RIDE = "run --engine simulated --agents 3 --attempts 2 --minutes 1 --session ride"


@pytest.fixture(scope="module")
def ridden(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("ridden")


BAD_RUNS = [
    ("run --personas zzz", "unknown persona 'zzz'"),
    ("run --challenge gemma-270m-cup", "did you mean 'gemma-270m-cpu'"),
    ("run --model gtp", "unknown model 'gtp'"),
    ("run --engine vlm", "'llamacpp', 'vllm'"),
    ("run --minutes -3", "minutes = -3.0"),
    ("run --agents 0", "agents"),
    ("resume 20270101-race-2", "no session '20270101-race-2'"),
    ("bench nowhere.toml", "nowhere.toml"),
]


@pytest.mark.parametrize(("line", "said"), BAD_RUNS, ids=[one[0] for one in BAD_RUNS])
def test_a_bad_option_leaves_nothing_behind(
    line: str, said: str, tmp_path: Path, paceline: Paceline
) -> None:
    result = paceline(*line.split(), folder=tmp_path)

    assert result.returncode == 2, result.stderr
    assert said in result.stdout + result.stderr
    assert list(tmp_path.iterdir()) == []


def test_a_ride_is_told_summed_up_and_can_be_looked_at(
    ridden: Path, program: Paceline, paceline: Paceline
) -> None:
    ride = program(*RIDE.split(), folder=ridden, TMPDIR=str(ridden))  # a lane of its own
    lines = ride.stdout.splitlines()

    assert ride.returncode == 0, ride.stderr
    assert "session opened: challenge gemma-270m-cpu" in lines[0]
    assert "simulated: no model was run" in ride.stdout
    assert any(line.startswith("  python -m orchestrator resume ride ") for line in lines)
    assert paceline("replay", "ride", "--check", folder=ridden).returncode == 0


def test_a_folder_that_holds_a_session_is_not_opened_again(
    ridden: Path, paceline: Paceline
) -> None:
    (ridden / "taken").mkdir()
    (ridden / "taken" / "record.db").write_text("")
    result = paceline("run", "--engine", "simulated", "--session", "taken", folder=ridden)

    assert result.returncode == 2
    assert "exists and is not empty" in result.stderr


def test_a_session_that_another_process_rides_is_busy(
    ridden: Path, races: Path, paceline: Paceline
) -> None:
    folder = races / "sessions" / "20270101-race"
    with locked(folder):
        result = paceline("resume", str(folder), folder=ridden)

    assert result.returncode == 4
    assert "is open in process" in result.stderr
