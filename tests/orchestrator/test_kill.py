"""kill -9 at many points, then resume: nothing acknowledged is lost, nothing happens twice.

Real processes, a real record, real checkpoints, real jobs of 50 ms.
"""

import os
import random
import select
import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import pytest

from orchestrator.checkpoints import GroupCommitSaver
from orchestrator.session import open_record
from orchestrator.session_folder import CHECKPOINTS, RECORD
from sandbox.errors import RecordError
from tests.orchestrator.tiny_race import write_challenge
from tools.record.events import Event
from tools.record.invariants import check
from tools.record.projection import Projection

ROOT = Path(__file__).parents[2]
PATIENCE_SECONDS = 60.0


class Stable:
    """Starts riders of one session and kills them."""

    def __init__(self, folder: Path, *, attempts: int) -> None:
        self.folder = folder / "session"
        self._line = f"{self.folder} {write_challenge(folder / 'challenge')} {attempts}\n"
        self._server = subprocess.Popen(
            [sys.executable, "-m", "tests.orchestrator.tiny_race"],
            cwd=ROOT,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        assert self._server.stdin
        assert self._server.stdout
        self._requests, self._answers = self._server.stdin, self._server.stdout

    def start(self, verb: str) -> int:
        self._requests.write(f"{verb} {self._line}")
        self._requests.flush()
        return int(self._answers.readline())

    def kill(self, pid: int) -> int:
        with suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)
        return self.end()

    def end(self) -> int:
        ready, _, _ = select.select([self._answers], [], [], PATIENCE_SECONDS)
        assert ready, "the rider hangs"
        return int(self._answers.readline().removeprefix("ended "))

    def close(self) -> None:
        self._requests.close()
        self._server.wait(PATIENCE_SECONDS)
        self._answers.close()

    def events(self) -> list[Event]:
        store = open_record(self.folder)
        try:
            return list(store.events())
        finally:
            store.close_reader()

    def wait_for_events(self, count: int) -> None:
        """Return when there are `count` events, or when the rider has ended before that."""
        end = time.monotonic() + PATIENCE_SECONDS
        while time.monotonic() < end:
            with suppress(RecordError):
                if (self.folder / RECORD).exists() and len(self.events()) >= count:
                    return
            if select.select([self._answers], [], [], 0.005)[0]:
                return
        pytest.fail(f"no {count} events in time")


@pytest.fixture
def stable(tmp_path: Path, request: pytest.FixtureRequest) -> Iterator[Stable]:
    stable = Stable(tmp_path, attempts=request.param)
    yield stable
    stable.close()


def kill_and_resume(stable: Stable, *, kills: int, seed: int) -> list[Event]:
    """Kill at `kills` random points of the session, resume to the end, return the record."""
    rng = random.Random(seed)
    acknowledged: list[str] = []
    for number in range(kills):
        pid = stable.start("resume" if number else "run")
        stable.wait_for_events(len(acknowledged) + rng.randint(1, 25))
        time.sleep(rng.uniform(0.0, 0.1))
        seen = [event.hash for event in stable.events()]
        if stable.kill(pid) == 0:
            return stable.events()  # it was done already
        now = [event.hash for event in stable.events()]
        assert now[: len(acknowledged)] == acknowledged
        assert now[: len(seen)] == seen
        acknowledged = now
        assert turns_to_run_again(stable) <= 1
    stable.start("resume")
    assert stable.end() == 0
    assert [e.hash for e in stable.events()][: len(acknowledged)] == acknowledged
    return stable.events()


def turns_to_run_again(stable: Stable) -> int:
    """Return the most turns any agent has in the record beyond its checkpoint."""
    done: Counter[str] = Counter()
    if not (stable.folder / CHECKPOINTS).exists():
        return 0
    with_saver = GroupCommitSaver(stable.folder / CHECKPOINTS, keep=None)
    for found in with_saver.list(None):
        written = [value for _, name, value in found.pending_writes or () if name == "seats"]
        for seats in [found.checkpoint["channel_values"].get("seats", {}), *written]:
            for agent, seat in seats.items():
                done[agent] = max(done[agent], seat["turn"])
    with_saver.close()
    known = Projection.of(stable.events())
    return max((state.turn + 1 - done[name] for name, state in known.turns.items()), default=0)


def assert_nothing_happened_twice(events: list[Event]) -> None:
    assert [result for result in check(events) if not result.ok] == []
    counts = Counter((e.kind, e.payload.job) for e in events if e.kind.startswith("job_ended"))
    posts = Counter(e.payload.body for e in events if e.kind == "message_posted")
    assert max(counts.values()) == 1
    assert max(posts.values()) == 1
    known = Projection.of(events)
    assert known.lineage.live_jobs() == []
    assert known.spend.reserved_seconds == 0.0
    assert {node.state for node in known.lineage.nodes.values()} <= {"measured", "cancelled"}


@pytest.mark.parametrize("stable", [8], indirect=True)
def test_a_session_killed_four_times_ends_as_if_it_had_not_been(stable: Stable) -> None:
    events = kill_and_resume(stable, kills=4, seed=1)

    assert_nothing_happened_twice(events)
    assert len(Projection.of(events).lineage.nodes) == 9


@pytest.mark.parametrize("stable", [8], indirect=True)
def test_two_interrupts_end_a_session_at_once_and_it_can_be_resumed(stable: Stable) -> None:
    pid = stable.start("run")
    stable.wait_for_events(30)
    for _ in range(2):
        with suppress(ProcessLookupError):
            os.kill(pid, signal.SIGINT)
        time.sleep(0.02)
    stable.end()
    stable.start("resume")

    assert stable.end() == 0
    assert_nothing_happened_twice(stable.events())


@pytest.mark.slow
@pytest.mark.timeout(900)
@pytest.mark.parametrize("seed", range(8))
@pytest.mark.parametrize("stable", [30], indirect=True)
def test_a_session_killed_at_many_points_ends_as_if_it_had_not_been(
    stable: Stable, seed: int
) -> None:
    events = kill_and_resume(stable, kills=25, seed=seed)

    assert_nothing_happened_twice(events)
    assert len(Projection.of(events).lineage.nodes) >= 31
