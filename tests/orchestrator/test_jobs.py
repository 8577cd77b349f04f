"""One job: typed outcomes, one end, adoption after a kill. The jobs are real processes."""

import asyncio
import json
import sys
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from bench.challenge_files import load_challenge
from bench.configs.engine_config import EngineConfig
from bench.configs.llamacpp import LlamaCppConfig
from bench.configs.vllm import VllmConfig
from sandbox.local import LocalSandbox
from tests.builders import make_attempt, make_measured, make_opened
from tests.orchestrator.tiny_race import tiny_challenge, tiny_job, write_challenge
from tools.job_request import job_request
from tools.jobs import Workplace, end_unrun, run_job
from tools.record.events import JobEnded, JobStarted
from tools.record.lineage import Node, Run
from tools.record.recorder import Recorder
from tools.record.sqlite_store import SqliteStore


class Job:
    """A requested job and where it runs."""

    def __init__(self, recorder: Recorder, place: Workplace) -> None:
        self.recorder = recorder
        self.place = place

    async def request(self, batch_tokens: int = 99, *, attempt: str = "a0001") -> tuple[Node, Run]:
        return await self.propose(LlamaCppConfig(batch_tokens=batch_tokens), attempt)

    async def propose(self, config: EngineConfig, attempt: str = "a0001") -> tuple[Node, Run]:
        await self.recorder.append("ann", make_attempt(attempt, config=config), key=attempt)
        return await self.ask(self.recorder.projection.lineage.nodes[attempt])

    async def ask(self, node: Node, stage: Any = "screen") -> tuple[Node, Run]:
        request = job_request(node, stage, session="s", challenge=self.place.challenge)
        await self.recorder.append("ann", request, key=f"{request.job}/requested")
        return node, node.runs[-1]

    async def run(self, node: Node, run: Run, **options: Any) -> JobEnded:
        return await run_job(self.recorder, self.place, node, run, **options)

    async def kinds(self) -> list[str]:
        return [event.kind for event in await self.recorder.store.read(0)]


@pytest.fixture
async def job(tmp_path: Path) -> AsyncIterator[Job]:
    store = SqliteStore.create(tmp_path / "record.db", session="s", clock=lambda: 1.0)
    recorder = Recorder(store, clock=lambda: 1.0)
    await recorder.append("organiser", make_opened(), key="open")
    place = Workplace(
        LocalSandbox(),
        tiny_challenge(),
        attempts=tmp_path / "attempts",
        challenge_file=write_challenge(tmp_path / "challenge"),
        cache_folder=tmp_path / "cache",
        command=tiny_job,
    )
    yield Job(recorder, place)
    await store.close()


async def test_a_job_leaves_its_files_its_outcome_and_its_verdict(job: Job) -> None:
    ended = await job.run(*await job.request())
    folder = job.place.attempts / "a0001" / "a0001-1"

    assert ended.outcome.status == "measured"
    assert (await job.kinds())[-3:] == ["job_started", "job_ended", "verdict_given"]
    assert {"request.json", "result.json", "stdout.txt", "stderr.txt"} <= names_in(folder)
    assert (folder.parent / "config.json").is_file()
    assert job.recorder.projection.spend.reserved_seconds == 0.0


@pytest.mark.parametrize(
    ("batch_tokens", "status", "code"),
    [
        (101, "crashed", "crashed"),
        (103, "rubbish", "unreadable_result"),
        (104, "rubbish", "unreadable_result"),
        (105, "rubbish", "unreadable_result"),
        (106, "out_of_memory", "memory"),
    ],
)
async def test_a_job_that_fails_is_typed_and_the_agents_fault(
    job: Job, batch_tokens: int, status: str, code: str
) -> None:
    small = job.place.challenge.quotas.model_copy(update={"memory_bytes": 200_000_000})
    challenge = job.place.challenge.model_copy(update={"quotas": small})
    job.place = job.place._replace(challenge=challenge)
    outcome = (await job.run(*await job.request(batch_tokens))).outcome

    assert (outcome.status, outcome.code, outcome.fault) == (status, code, "agent")
    assert job.recorder.projection.lineage.nodes["a0001"].state == "failed"


async def test_a_job_that_hangs_is_stopped_at_its_limit(job: Job) -> None:
    quick = job.place.challenge.protocol.screen.model_copy(update={"wall_seconds": 0.3})
    protocol = job.place.challenge.protocol.model_copy(update={"screen": quick})
    quotas = job.place.challenge.quotas.model_copy(update={"build_seconds": 0.1})
    changes = {"protocol": protocol, "quotas": quotas}
    job.place = job.place._replace(challenge=job.place.challenge.model_copy(update=changes))
    ended = await job.run(*await job.request(102))

    assert (ended.outcome.status, ended.outcome.code) == ("timed_out", "wall_clock")
    assert ended.spent_seconds == pytest.approx(0.4)


async def test_a_broken_guardrail_makes_the_attempt_invalid(job: Job) -> None:
    await job.run(*await job.request(107))
    node = job.recorder.projection.lineage.nodes["a0001"]

    assert (node.verdict, node.verdict_reason) == ("invalid", "perplexity_above_cap")


@pytest.mark.parametrize(("speed", "is_plausible"), [(44.0, True), (400.0, False)])
async def test_what_paper_says_of_a_speed_is_evidence_and_no_ruling(
    job: Job, speed: float, is_plausible: bool
) -> None:
    outcome = make_measured(baseline_tokens_per_second=speed, perplexity=2.3, stage="screen")
    written = outcome.model_dump_json()
    script = "import pathlib, sys; pathlib.Path(sys.argv[1], 'result.json').write_text(sys.argv[2])"
    job.place = job.place._replace(
        challenge=load_challenge("gemma-4-e4b-a10g").challenge,
        command=lambda request: (sys.executable, "-c", script, str(request.parent), written),
    )
    await job.run(*await job.propose(VllmConfig()))
    ruled = (await job.recorder.store.read(0))[-1].payload

    assert (ruled.kind, ruled.verdict) == ("verdict_given", "pending")
    assert ruled.evidence["roofline"]["plausible"] is is_plausible
    assert 44 < ruled.evidence["roofline"]["suspect_above_tokens_per_second"] < 60


async def test_paper_knows_nothing_of_what_a_cpu_does_here(job: Job) -> None:
    await job.run(*await job.request())
    ruled = (await job.recorder.store.read(0))[-1].payload

    assert ruled.kind == "verdict_given"
    assert "roofline" not in ruled.evidence


async def test_a_screen_never_overrules_a_full_run(job: Job) -> None:
    node, run = await job.request(107)
    await job.run(*await job.ask(node, "full")) if run.state == "ended" else None
    await job.run(node, run)
    await job.run(*await job.ask(node, "full"))
    before = (await job.kinds()).count("verdict_given")
    await job.run(*await job.ask(node, "screen"))

    assert (await job.kinds()).count("verdict_given") == before == 2


async def test_a_complete_result_left_by_a_kill_is_adopted(job: Job) -> None:
    node, run = await job.request()
    started = JobStarted(job=run.job, attempt=node.attempt, try_number=1)
    await job.recorder.append("lane", started, key=f"job/{run.job}/started/1")
    folder = job.place.attempts / "a0001" / "a0001-1"
    await make(folder / "result.json", {"status": "refused", "code": "left", "seconds": 2.0})
    ended = await job.run(node, run)

    assert ended.outcome.code == "left"
    assert (await job.kinds()).count("job_started") == 1


async def test_half_a_result_left_by_a_kill_is_run_again_as_the_next_try(job: Job) -> None:
    node, run = await job.request()
    started = JobStarted(job=run.job, attempt=node.attempt, try_number=1)
    await job.recorder.append("lane", started, key=f"job/{run.job}/started/1")
    await make(job.place.attempts / "a0001" / "a0001-1" / "result.json", {"status": "meas"})
    ended = await job.run(node, run)

    assert ended.outcome.status == "measured"
    assert run.tries == 2
    assert (await job.kinds()).count("job_ended") == 1


async def test_a_machine_that_cannot_start_jobs_is_no_agents_fault(job: Job) -> None:
    job.place = job.place._replace(command=lambda _request: ("no-such-command",))
    node, run = await job.request()
    ended = await job.run(node, run)

    assert (ended.outcome.status, ended.outcome.fault) == ("crashed", "infrastructure")
    assert run.tries == 2


async def test_a_cancelled_job_ends_cancelled_and_a_second_end_changes_nothing(job: Job) -> None:
    node, run = await job.request(102)
    order = asyncio.Event()
    running = asyncio.create_task(job.run(node, run, cancelled=order))
    await job.recorder.store.wait(job.recorder.projection.seq, timeout_seconds=5)
    order.set()
    ended = await running
    again = await end_unrun(job.recorder, job.place, node, run, code="late", message="late")

    assert (ended.outcome.status, ended.outcome.fault) == ("cancelled", "budget")
    assert again.outcome.code == ended.outcome.code
    assert (await job.kinds()).count("job_ended") == 1


async def test_spending_never_passes_what_was_reserved(job: Job) -> None:
    node, run = await job.request()
    await make(
        job.place.attempts / "a0001" / "a0001-1" / "result.json",
        {"status": "refused", "seconds": 1e6},
    )
    await job.recorder.append(
        "lane", JobStarted(job=run.job, attempt=node.attempt, try_number=1), key="started"
    )
    ended = await job.run(node, run)

    assert ended.spent_seconds == 6.0
    assert ended.spent_usd == pytest.approx(0.006)


def names_in(folder: Path) -> set[str]:
    return {path.name for path in folder.iterdir()}


async def make(path: Path, data: dict[str, Any]) -> None:
    await asyncio.to_thread(path.parent.mkdir, parents=True)
    await asyncio.to_thread(path.write_text, json.dumps(data))
