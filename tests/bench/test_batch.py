"""Several configs in one process: one baseline, starts at once, an outcome for each."""

import json
import threading
from collections.abc import Sequence
from pathlib import Path

import pytest

from bench.__main__ import main
from bench.batch import run_batch
from bench.challenge_files import LoadedChallenge, load_challenge
from bench.configs.llamacpp import LayerFormat, LlamaCppConfig, WeightRecipe
from bench.engine_sources import Starter
from bench.engines.engine import Generation
from bench.harness import JobRequest
from bench.measurement import JobOutcome, Side
from sandbox.errors import ConfigError, JobError
from tests.bench.process_engine import (
    FASTER,
    ProcessEngine,
    ProcessSource,
    make_request,
    write_alone,
    write_challenge,
)

BROKEN = LlamaCppConfig(
    weights=WeightRecipe(overrides=(LayerFormat(layers=(99,), tensors=("attn_q",), format="q4_0"),))
)


@pytest.fixture
def challenge(tmp_path: Path) -> Path:
    return write_challenge(tmp_path)


class Events:
    """What engines did, in order, whichever thread they did it in."""

    def __init__(self) -> None:
        self.all: list[str] = []
        self.failing: list[str] = []
        self._lock = threading.Lock()

    def note(self, event: str) -> bool:
        """Note an event; tell whether it is to fail, which it does once."""
        with self._lock:
            self.all.append(event)
            if event in self.failing:
                self.failing.remove(event)
                return True
        return False


class NotedEngine(ProcessEngine):
    def __init__(self, config: LlamaCppConfig, side: Side, events: Events) -> None:
        if events.note(f"start {side} {config.poll}"):
            raise JobError("no room beside the others", code="engine_died")
        self._side, self._events = side, events
        super().__init__(config, "none", 0)

    def generate(self, prompt_ids: Sequence[int], *, max_tokens: int) -> Generation:
        if self._events.note(f"serve {self._side} {self.config.poll}"):
            raise JobError("it died", code="engine_died")
        return super().generate(prompt_ids, max_tokens=max_tokens)


class NotedSource(ProcessSource):
    def __init__(self, events: Events) -> None:
        super().__init__(failing="candidate", how="none")
        self._events = events

    def prepare(self, config: LlamaCppConfig, side: Side, *, public_ids: Sequence[int]) -> Starter:
        def start() -> NotedEngine:
            engine = NotedEngine(config, side, self._events)
            self.engines.append(engine)
            return engine

        return start


def several(challenge: Path, *polls: int) -> list[JobRequest]:
    return [
        make_request(challenge, LlamaCppConfig(poll=poll), seed=number)
        for number, poll in enumerate(polls)
    ]


def batched(
    requests: Sequence[JobRequest], events: Events, *, start_together: int = 1
) -> dict[int, JobOutcome]:
    def source(_request: JobRequest, _loaded: LoadedChallenge) -> NotedSource:
        return NotedSource(events)

    return dict(run_batch(requests, start_together=start_together, sources=source))


def test_the_baseline_is_started_once(challenge: Path) -> None:
    events = Events()
    found = batched(several(challenge, 1, 2, 3), events)

    assert [one.status for one in found.values()] == ["measured"] * 3
    assert [one for one in events.all if one.startswith("start baseline")] == ["start baseline 50"]


def test_nothing_is_timed_while_a_candidate_starts(challenge: Path) -> None:
    events = Events()
    batched(several(challenge, 1, 2, 3, 4, 5), events, start_together=3)
    order = [one for one in events.all if one.startswith("start") or "candidate" in one]
    waves = [{"1", "2", "3"}, {"4", "5"}]

    assert {one.split()[2] for one in order[1:4]} == waves[0]
    later = [place for place, one in enumerate(order) if one.startswith("start candidate")][3:]
    served = [one.split()[2] for one in order[4 : later[0]]]
    assert set(served) == waves[0]
    assert served == sorted(served)
    assert later == [later[0], later[0] + 1]


def test_a_candidate_that_fails_does_not_end_the_others(challenge: Path) -> None:
    requests = [make_request(challenge, one) for one in (FASTER, BROKEN, LlamaCppConfig())]
    found = dict(run_batch(requests, start_together=3))

    assert [found[number].status for number in range(3)] == ["measured", "refused", "measured"]
    assert (found[1].fault, found[1].code) == ("agent", "bad_layer")


def test_who_does_not_start_beside_others_is_tried_by_itself(challenge: Path) -> None:
    events = Events()
    events.failing.append("start candidate 2")
    found = batched(several(challenge, 1, 2), events, start_together=2)

    assert list(found) == [0, 1]
    assert {one.status for one in found.values()} == {"measured"}
    assert events.all.count("start candidate 2") == 2


def test_by_itself_a_failure_is_the_candidates_own(challenge: Path) -> None:
    events = Events()
    events.failing += ["start candidate 2", "start candidate 2"]
    found = batched(several(challenge, 1, 2), events, start_together=2)

    assert (found[1].status, found[1].fault) == ("crashed", "agent")


def test_a_baseline_that_dies_is_started_again(challenge: Path) -> None:
    events = Events()
    events.failing.append("serve baseline 50")
    found = batched(several(challenge, 1, 2), events)

    assert {one.status for one in found.values()} == {"measured"}
    assert events.all.count("start baseline 50") == 2


def test_a_baseline_that_never_starts_is_nobodys_config(challenge: Path) -> None:
    events = Events()
    events.failing += ["start baseline 50"] * 6
    found = batched(several(challenge, 1, 2), events)

    assert {(one.status, one.fault) for one in found.values()} == {("crashed", "infrastructure")}


def test_a_batch_has_one_challenge(challenge: Path) -> None:
    requests = [make_request(challenge), make_request(challenge / "challenge.toml")]
    with pytest.raises(ConfigError, match="a batch of 2 challenges"):
        list(run_batch(requests))


def test_alone_there_is_no_baseline_to_share(tmp_path: Path) -> None:
    requests = several(write_alone(tmp_path), 1, 2)
    found = dict(run_batch(requests, start_together=4))

    assert all(one.measurement and one.measurement.baseline_stated for one in found.values())


def test_no_request_is_no_outcome() -> None:
    assert list(run_batch([])) == []


def test_the_command_line_gives_each_request_a_line(
    challenge: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = challenge / "requests.jsonl"
    lines = [{"config": FASTER.model_dump(mode="json")}, {"config": BROKEN.model_dump(mode="json")}]
    file.write_text("\n".join(map(json.dumps, lines)))
    where = ["--challenge", str(challenge), "--engine", "simulated", "--cache", str(challenge)]

    assert main(["--batch", str(file), *where]) == 5
    printed = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert [one["number"] for one in printed] == [0, 1]
    assert JobOutcome.model_validate(printed[0]["outcome"]).status == "measured"


@pytest.mark.parametrize("text", ["", "{", "[1]", '{"config": {"thread": 1}}'])
def test_a_broken_batch_says_what_is_wrong(
    challenge: Path, capsys: pytest.CaptureFixture[str], text: str
) -> None:
    file = challenge / "requests.jsonl"
    file.write_text(text)

    assert main(["--batch", str(file), "--engine", "simulated"]) == 2
    assert "requests" in capsys.readouterr().err


def test_a_shared_baseline_is_measured_as_well_as_its_own(challenge: Path) -> None:
    asked = make_request(challenge, LlamaCppConfig(), stage="full")
    found = [one.outcome.measurement for one in run_batch([asked, asked])]

    assert load_challenge(challenge).challenge.baseline == asked.config
    assert all(one and one.speedup == pytest.approx(1, abs=0.05) for one in found)
