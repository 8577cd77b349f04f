"""A whole session in one process: real record, real toolbox, real policies, a made-up bench.

The made-up landscape follows the measured one in shape: the head is most of the bytes, few bits
break perplexity, late layers bear more, keep-sets miss targets, two threads are faster than one.
"""

import asyncio
import math
import tomllib
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from random import Random
from typing import Any, NamedTuple
from zlib import crc32

from agents.library import Rider, load_personas
from agents.model import Model
from agents.models.offline import OfflineModel
from agents.turn import take_turn
from bench import challenge as challenge_module
from bench import e4b_model
from bench.challenge import Challenge
from bench.configs.engine_config import EngineConfig
from bench.configs.llamacpp import LlamaCppConfig, as_llamacpp
from bench.configs.vllm import VllmConfig
from bench.guardrails import judge
from bench.measurement import JobOutcome, Stage
from tests.builders import START_TIME, make_measurement
from tools.job_request import job_request
from tools.limits import Limits
from tools.record.events import (
    FORMAT_VERSION,
    AgentJoined,
    AttemptProposed,
    JobEnded,
    JobStarted,
    SessionOpened,
    ToolCall,
    VerdictGiven,
)
from tools.record.lineage import Node, Run
from tools.record.recorder import Recorder
from tools.record.sqlite_store import SqliteStore
from tools.toolbox import Toolbox

JOB_SECONDS: dict[Stage, float] = {"screen": 7.0, "full": 21.0}
HEAD = {"bf16": 0, "f16": 0, "q8_0": 0.002, "shipped": 0.002, "q5_1": 0.03, "q5_0": 0.06}
BODY = {"bf16": 0, "f16": 0, "q8_0": 0.003, "shipped": 0.018, "q5_1": 0.06, "q5_0": 0.1}
FOUR_BITS = {"head": 0.33, "attention": 0.25, "feed_forward": 0.75}
MS_PER_MB = {"bf16": 0.046, "f16": 0.04, "q8_0": 0.075, "shipped": 0.08, "q4_0": 0.065}
MEGABYTES = {"bf16": 1.0, "f16": 1.0, "q8_0": 0.53, "shipped": 0.4, "q5_1": 0.38, "q5_0": 0.34}


class FakeClock:
    """Unix seconds that stand still until told otherwise."""

    def __init__(self) -> None:
        self.now = START_TIME

    def __call__(self) -> float:
        return self.now


class World(NamedTuple):
    """A session and everything around it."""

    recorder: Recorder
    toolbox: Toolbox
    clock: FakeClock
    challenge: Challenge

    async def call(self, agent: str, name: str, *, key: str = "", **arguments: Any) -> Any:
        key = key or f"{agent}/test/{self.recorder.projection.seq}"
        call = ToolCall(name=name, arguments=arguments)
        answer = await self.toolbox.call(agent, call, key=key, now=self.clock.now)
        return answer.result

    async def measured(self, attempt: str, **measurement: Any) -> None:
        """Let every waiting job of `attempt` end with a made-up measurement."""
        node = self.recorder.projection.lineage.nodes[attempt]
        for run in [run for run in node.runs if run.state != "ended"]:
            made = make_measurement(stage=run.stage, **measurement)
            seconds = JOB_SECONDS[run.stage]
            outcome = JobOutcome(status="measured", seconds=seconds, measurement=made)
            await end_job(self, node, run, outcome)


@asynccontextmanager
async def a_world(
    folder: Path,
    *,
    agents: Sequence[str] = ("ann", "bob"),
    limits: Limits | None = None,
    challenge: Challenge | None = None,
) -> AsyncIterator[World]:
    """Open a session with its baseline proposed and its job queued."""
    challenge = challenge or default_challenge()
    clock = FakeClock()
    store = SqliteStore.create(folder / "record.db", session="s1", clock=clock)
    recorder = Recorder(store, clock=clock)
    world = World(recorder, Toolbox(recorder, challenge, limits or Limits()), clock, challenge)
    await _open(world, agents)
    yield world
    await store.close()


async def end_job(world: World, node: Node, run: Run, outcome: JobOutcome) -> None:
    """Write what the lane and the guardrail write."""
    recorder, job = world.recorder, run.job
    started = JobStarted(job=job, attempt=node.attempt, try_number=1)
    await recorder.append("lane", started, key=f"job/{job}/started/1")
    ended = JobEnded(
        job=job, attempt=node.attempt, outcome=outcome, spent_seconds=5.0, spent_usd=0.0
    )
    await recorder.append("lane", ended, key=f"job/{job}/ended")
    if outcome.measurement:
        ruling = judge(outcome.measurement, world.challenge.guardrail)
        verdict = VerdictGiven(
            attempt=node.attempt,
            verdict=ruling.state,
            reason=ruling.reason,
            evidence=ruling.evidence,
            by="guardrail",
        )
        await recorder.append("guardrail", verdict, key=f"verdict/{job}")


async def ride(
    world: World,
    riders: Sequence[Rider],
    *,
    seed: int,
    seconds: float = 480.0,
    wave_seconds: float = 4.0,
    together: bool = True,
) -> None:
    """Let all riders take turns in waves until the clock runs out, the lane at their side.

    Together they race for claims and slots, in an order that the disk has a say in; one after
    the other the same seed gives the same record.
    """
    model = OfflineModel(cores=2)
    await join(world, riders, seed)
    end, free_at, turn = world.clock.now + seconds, world.clock.now, 0
    cursors = dict.fromkeys((rider.agent_name for rider in riders), 0)
    while world.clock.now < end:
        free_at = await _run_lane(world, free_at, seed)
        turns = [
            _turn(world, rider, model, turn, cursors, end - world.clock.now) for rider in riders
        ]
        if together:
            await asyncio.gather(*turns)
        else:
            for one in turns:
                await one
        turn += 1
        world.clock.now += wave_seconds


async def join(world: World, riders: Sequence[Rider], seed: int) -> None:
    """Write down who rides."""
    for number, (agent, persona) in enumerate(riders):
        joined = AgentJoined(
            agent=agent,
            persona=persona.name,
            description=persona.description,
            model="offline",
            seed=seed * 1000 + number,
        )
        await world.recorder.append(agent, joined, key=f"join/{agent}")


def default_challenge() -> Challenge:
    """Return the challenge a run has unless told otherwise."""
    folder = Path(challenge_module.__file__).with_name("challenges")
    text = (folder / "gemma-270m-cpu" / "challenge.toml").read_text()
    return Challenge.model_validate(tomllib.loads(text))


def e4b_challenge(engine: str = "simulated") -> Challenge:
    """Return Gemma 4 E4B on an A10G, raced on `engine`, no day's quota of jobs."""
    folder = Path(challenge_module.__file__).with_name("challenges")
    data = tomllib.loads((folder / "gemma-4-e4b-a10g" / "challenge.toml").read_text())
    for quota in ("jobs_per_agent_per_day", "jobs_per_session_per_day"):
        data["quotas"].pop(quota, None)
    return Challenge.model_validate(data | {"engine": engine})


def default_riders(count: int = 20) -> list[Rider]:
    """Return the riders of a default run."""
    return load_personas(None, count=count, root=Path("nowhere"))


def outcome_of(config: EngineConfig, stage: Stage, *, seed: int) -> JobOutcome:
    """Return what the made-up bench says of one engine's config, the E4B model of the other's."""
    if isinstance(config, VllmConfig):
        return _on_paper(config, stage, seed=seed)
    return _made_up(as_llamacpp(config), stage, seed=seed)


def _on_paper(config: VllmConfig, stage: Stage, *, seed: int) -> JobOutcome:
    if words := e4b_model.objection(config):
        return JobOutcome(
            status="crashed", fault="agent", code="engine_died", message=words, seconds=1.0
        )
    speed = e4b_model.tokens_per_second(config) * e4b_model.launch_factor(config, seed)
    measurement = make_measurement(
        stage=stage,
        speedup=speed / 44.0,
        spread=0.003,
        baseline_tokens_per_second=44.0,
        perplexity=e4b_model.perplexity(config),
        reference_perplexity=e4b_model.REFERENCE_PERPLEXITY,
        simulated=True,
    )
    return JobOutcome(status="measured", seconds=JOB_SECONDS[stage], measurement=measurement)


def _made_up(config: LlamaCppConfig, stage: Stage, *, seed: int) -> JobOutcome:
    rng = Random(seed)
    missing = _missing_share(config)
    rise = _rise(config) + missing * 10 + rng.gauss(0, 0.001)
    launch = math.exp(rng.gauss(0, 0.015))
    measurement = make_measurement(
        stage=stage,
        speedup=_milliseconds(LlamaCppConfig()) / _milliseconds(config) * launch,
        spread=0.03 if stage == "screen" else 0.01,
        pairs=4 if stage == "screen" else 12,
        perplexity=10.17 * math.exp(rise),
        reference_perplexity=10.17,
        missing_targets=round(missing * 256),
    )
    return JobOutcome(status="measured", seconds=JOB_SECONDS[stage], measurement=measurement)


async def _turn(
    world: World, rider: Rider, model: Model, turn: int, cursors: dict[str, int], left: float
) -> None:
    end = await take_turn(
        rider.agent_name,
        rider.persona,
        model,
        world.toolbox,
        world.recorder,
        turn=turn,
        seen=cursors[rider.agent_name],
        seconds_left=left,
    )
    cursors[rider.agent_name] = end.cursor


async def _open(world: World, agents: Sequence[str]) -> None:
    recorder, challenge = world.recorder, world.challenge
    opened = SessionOpened(
        format_version=FORMAT_VERSION,
        challenge={"name": challenge.name},
        settings={},
        model_sha256=challenge.model.identity,
        engine_version="1",
    )
    await recorder.append("organiser", opened, key="open")
    config = challenge.baseline
    fingerprint = config.fingerprint(engine_version="1", model_sha256=challenge.model.identity)
    baseline = AttemptProposed(
        attempt="a0000",
        parents=(),
        config=config,
        fingerprint=fingerprint,
        hypothesis="the baseline",
        direction="",
    )
    await recorder.append("organiser", baseline, key="baseline")
    node = recorder.projection.lineage.nodes["a0000"]
    request = job_request(node, "full", session="s1", challenge=challenge)
    await recorder.append("organiser", request, key="job/a0000-1/requested")
    for number, agent in enumerate(agents):
        joined = AgentJoined(
            agent=agent, persona=agent, description="rides", model="test", seed=number
        )
        await recorder.append(agent, joined, key=f"join/{agent}")


async def _run_lane(world: World, free_at: float, seed: int) -> float:
    """End every job that fits before now; return when the lane is free again."""
    while waiting := world.recorder.projection.lineage.jobs_waiting():
        node, run = waiting[0]
        if free_at + JOB_SECONDS[run.stage] > world.clock.now:
            return free_at
        free_at += JOB_SECONDS[run.stage]
        outcome = outcome_of(node.config, run.stage, seed=crc32(f"{seed}/{run.job}".encode()))
        await end_job(world, node, run, outcome)
    return world.clock.now


def _rise(config: LlamaCppConfig) -> float:
    weights = config.weights
    rise = HEAD.get(weights.head, FOUR_BITS["head"])
    for name, group in (("attention", weights.attention), ("feed_forward", weights.feed_forward)):
        share = 0.35 if name == "attention" else 0.65
        rise += BODY.get(group, math.inf) * share if group in BODY else FOUR_BITS[name]
    for override in weights.overrides:
        four = override.format in ("q4_0", "q4_1")
        rise += sum((0.012 if n >= 14 else 0.08) * (1 if four else 0.4) for n in override.layers)
    return rise


def _missing_share(config: LlamaCppConfig) -> float:
    kept = config.weights.vocabulary
    if kept is None:
        return 0.0
    worst = {"first": 0.15, "ascii": 0.004, "frequent": 0.008, "public_text": 0.0}[kept.strategy]
    share: float = worst * (32_768 / kept.size) ** 2
    return min(1.0, share)


def _milliseconds(config: LlamaCppConfig) -> float:
    weights = config.weights
    rows = weights.vocabulary.size if weights.vocabulary else 262_144
    megabytes = {"head": rows * 1280 / 1e6, "attention": 59.0, "feed_forward": 141.0}
    formats = {"head": weights.head, "attention": weights.attention}
    formats["feed_forward"] = weights.feed_forward
    reading = sum(
        megabytes[g] * MEGABYTES.get(f, 0.29) * MS_PER_MB.get(f, 0.085) for g, f in formats.items()
    )
    squeezed = sum(len(o.layers) for o in weights.overrides)
    reading *= 1 - 0.01 * squeezed
    time = 1.5 + reading / (1.4 if config.threads > 1 else 1.0)
    time *= {"off": 1.05}.get(config.flash_attention, 1.0)
    time *= {"none": 1.0, "ngram_simple": 0.98, "drafter": 1.1}.get(config.speculation.kind, 1.06)
    return time * (1.05 if not config.repack else 1.0)
