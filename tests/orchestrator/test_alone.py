"""A session on a device that holds one engine: what its jobs cost, are asked, and are worth."""

from collections.abc import AsyncIterator
from importlib.util import find_spec
from pathlib import Path

import pytest

from bench.challenge import Challenge
from bench.challenge_files import load_challenge
from bench.measurement import Stamp
from orchestrator.duties import expected_seconds
from orchestrator.engine_versions import engine_version
from sandbox.errors import ConfigError
from sandbox.local import LocalSandbox
from tests.builders import (
    make_attempt,
    make_ended,
    make_events,
    make_fresh,
    make_measured,
    make_measurement,
    make_opened,
    make_promotion,
    make_run,
    make_session,
    make_stamp,
)
from tests.orchestrator.tiny_race import tiny_challenge, write_challenge
from tools.job_request import job_request, reserved_seconds
from tools.jobs import Workplace, request_of
from tools.record.leaderboard import leaderboard
from tools.record.lineage import Lineage
from tools.record.node import machine_of
from tools.record.recorder import Recorder
from tools.record.sqlite_store import SqliteStore

E4B = load_challenge("gemma-4-e4b-a10g").challenge


def alone(challenge: Challenge) -> Challenge:
    protocol = challenge.protocol.model_copy(update={"alone": True})
    return challenge.model_copy(update={"protocol": protocol, "stated": E4B.stated})


@pytest.fixture
async def recorder(tmp_path: Path) -> AsyncIterator[Recorder]:
    store = SqliteStore.create(tmp_path / "record.db", session="s", clock=lambda: 1.0)
    recorder = Recorder(store, clock=lambda: 1.0)
    await recorder.append("organiser", make_opened(), key="open")
    yield recorder
    await store.close()


@pytest.fixture
def place(tmp_path: Path) -> Workplace:
    return Workplace(
        LocalSandbox(),
        alone(tiny_challenge()),
        attempts=tmp_path / "attempts",
        challenge_file=write_challenge(tmp_path / "challenge"),
        cache_folder=tmp_path / "cache",
    )


@pytest.mark.parametrize(("stage", "starts"), [("screen", 1), ("fresh", 2), ("private", 3)])
def test_engines_that_follow_each_other_are_each_given_time_to_start(
    stage: str, starts: int
) -> None:
    beside = E4B.model_copy(update={"protocol": E4B.protocol.model_copy(update={"alone": None})})
    more = reserved_seconds(E4B, stage) - reserved_seconds(beside, stage)  # type: ignore[arg-type]

    assert more == (starts - 1) * E4B.quotas.build_seconds


async def test_launches_of_a_promotion_take_turns_in_who_is_first(
    recorder: Recorder, place: Workplace
) -> None:
    for attempt in ("a0000", "a0001"):
        await recorder.append("ann", make_attempt(attempt), key=attempt)
    node = recorder.projection.lineage.nodes["a0001"]
    first = []
    for number in range(4):
        asked = job_request(node, "fresh", session="s", challenge=place.challenge)
        asked = asked.model_copy(update={"incumbent": "a0000", "purpose": "p1"})
        await recorder.append("organiser", asked, key=f"asked/{number}")
        request = request_of(place, recorder.projection.lineage, node, node.runs[-1])
        first.append(request["incumbent_first"])
        await recorder.append("lane", make_ended("a0001", number=number + 1), key=f"end/{number}")

    assert first == [False, True, False, True]


async def test_beside_its_baseline_nobody_is_first(recorder: Recorder, place: Workplace) -> None:
    await recorder.append("ann", make_attempt("a0001"), key="a0001")
    node = recorder.projection.lineage.nodes["a0001"]
    asked = job_request(node, "fresh", session="s", challenge=tiny_challenge())
    await recorder.append("organiser", asked, key="asked")
    beside = place._replace(challenge=tiny_challenge())

    assert "incumbent_first" not in request_of(
        beside, recorder.projection.lineage, node, node.runs[-1]
    )


def stated_outcome(speedup: float, *, middle: float) -> object:
    found = make_measurement(speedup=middle, baseline_tokens_per_second=44.0)
    own = tuple(one for one in found.samples if one.side == "candidate")
    update = {"samples": own, "speedup": speedup, "baseline_stated": True}
    return make_measured().model_copy(update={"measurement": found.model_copy(update=update)})


def folded(*runs: object) -> Lineage:
    lineage = Lineage()
    for event in make_events(make_session(*runs)):  # type: ignore[arg-type]
        lineage.apply(event)
    return lineage


def test_the_stated_baseline_is_the_yardstick() -> None:
    lineage = folded(
        make_run("a0000", outcome=stated_outcome(1.0, middle=1.0)),
        make_run("a0001", parents=["a0000"], outcome=stated_outcome(2.0, middle=2.2)),
    )
    node = lineage.nodes["a0001"]
    board = leaderboard(lineage, session="s", challenge="c")

    assert lineage.baseline_tokens_per_second == 44.0
    assert node.estimate == pytest.approx(2.0)  # the ratio of totals, not of the middle request
    assert node.speedup is not None
    assert node.speedup.estimate == pytest.approx(2.0, rel=1e-3)
    assert board.rows[0].attempt == "a0001"
    assert board.baseline.tokens_per_second == 44.0


def test_fresh_launches_alone_count_with_one_number_each() -> None:
    launches = [
        make_fresh(speedup=2.0 + 0.01 * n, rounds=1).model_copy(update={"baseline_stated": True})
        for n in range(3)
    ]
    lineage = folded(
        make_run("a0000", outcome=stated_outcome(1.0, middle=1.0)),
        make_run("a0001", parents=["a0000"], outcome=stated_outcome(2.0, middle=2.0)),
        make_promotion("a0001", "a0000", launches=launches),
    )

    assert [len(one.ratios) for one in lineage.nodes["a0001"].fresh] == [1, 1, 1]
    assert leaderboard(lineage, session="s", challenge="c").rows[0].value == "fresh"


def test_cards_tell_machines_apart() -> None:
    plain = make_stamp()
    card = Stamp.model_validate({**plain.model_dump(), "device": "NVIDIA A10G"})

    assert machine_of(plain) == "test/2"
    assert machine_of(card) == "test/2/NVIDIA A10G"
    assert "device" not in plain.model_dump()


@pytest.mark.parametrize(
    ("engine", "stated", "version"),
    [
        ("simulated", None, "simulated-1"),
        ("openai", None, "openai"),
        ("openai", "endpoint 7", "endpoint 7"),
        ("reported", None, "reported"),
    ],
)
def test_every_engine_has_a_version(engine: str, stated: str | None, version: str) -> None:
    challenge = E4B.model_copy(update={"engine": engine, "engine_version": stated})

    assert engine_version(challenge) == version


@pytest.mark.skipif(find_spec("vllm") is not None, reason="vllm is installed")
def test_an_engine_that_is_not_here_has_the_version_its_jobs_have() -> None:
    assert engine_version(E4B) == "vllm-0.22.0"
    with pytest.raises(ConfigError) as caught:
        engine_version(E4B.model_copy(update={"engine_version": None}))

    assert caught.value.code == "engine_missing"


def test_a_simulated_job_of_an_hour_is_not_waited_for() -> None:
    on_paper = E4B.model_copy(update={"engine": "simulated"})

    assert expected_seconds(Lineage(), "full", challenge=E4B) > 1000
    assert expected_seconds(Lineage(), "full", challenge=on_paper) <= 20
