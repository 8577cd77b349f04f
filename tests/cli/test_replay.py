"""A session told again, and a record that lies found out."""

import json
import shutil
import sqlite3
from pathlib import Path

from orchestrator.replay import Told, inspect_record, tell_session
from tests.builders import make_events
from tests.cli.conftest import ROOT, Paceline
from tests.cli.race import race


def told(**options: float | None) -> tuple[list[Told], list[float]]:
    said: list[Told] = []
    pauses: list[float] = []
    tell_session(make_events(race()), say=said.append, sleep=pauses.append, **options)  # type: ignore[arg-type]
    return said, pauses


def test_a_telling_without_speed_does_not_wait() -> None:
    said, pauses = told()

    assert pauses == []
    assert [one.seq for one in said] == list(range(1, len(race()) + 1))


def test_speed_divides_the_pauses_of_the_record() -> None:
    _, pauses = told(speed=4.0)

    assert pauses == [0.25] * (len(race()) - 1)


def test_until_stops_after_that_event() -> None:
    said, _ = told(until=5)

    assert [one.seq for one in said] == [1, 2, 3, 4, 5]


def test_a_night_between_two_rides_is_not_waited_out() -> None:
    first, second, *_ = make_events(race())
    pauses: list[float] = []
    late = second._replace(time=first.time + 40_000)
    tell_session([first, late], say=lambda _: None, sleep=pauses.append, speed=2.0)

    assert pauses == [5.0]


def test_a_sound_record_passes(races: Path) -> None:
    report = inspect_record(races / "sessions" / "20270101-race")

    assert report.is_sound
    assert report.invariants[0].name == "file_intact"


def test_one_changed_number_fails_the_check_with_exit_code_3(
    races: Path, tmp_path: Path, paceline: Paceline
) -> None:
    folder = shutil.copytree(races / "sessions" / "20270101-race", tmp_path / "forged")
    with sqlite3.connect(folder / "record.db") as connection:
        connection.execute("UPDATE events SET payload = replace(payload, '34.8', '10.1')")
    connection.close()

    result = paceline("replay", str(folder), "--check", folder=tmp_path)

    assert result.returncode == 3
    assert "FAILS     chain: event" in result.stdout
    assert "does NOT hold" in result.stdout


def test_doctor_checks_a_session_too(races: Path, paceline: Paceline) -> None:
    result = paceline("doctor", "latest", folder=races)

    assert result.returncode == 0
    assert "chain, folds and invariants hold" in result.stdout


def test_the_recorded_ride_can_be_done_again(paceline: Paceline) -> None:
    result = paceline("replay", str(ROOT / "examples" / "first-ride"), "--rerun")

    assert result.returncode == 0
    assert "the same" in result.stdout


def test_other_rules_are_told_and_come_as_json(paceline: Paceline) -> None:
    ride, rules = ROOT / "examples" / "first-ride", ROOT / "examples" / "rules" / "original.toml"

    said = paceline("replay", str(ride), "--rules", str(rules))
    data = json.loads(
        paceline("replay", str(ride), "--rules", str(rules), "--format", "json").stdout
    )

    assert "the better score counts at once" in said.stdout
    assert data["counts"]["flips"] == 2
    assert data["records_now"][0]["attempt"] == "a0001"
