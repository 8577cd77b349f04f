"""Values with defaults, so that a test names only what it is about."""

from collections.abc import Sequence
from typing import Any

from bench.config import EngineConfig
from bench.measurement import (
    Durations,
    JobOutcome,
    Measurement,
    Perplexity,
    Sample,
    Side,
    Stage,
    Stamp,
)
from tools.record.batch import Ask, Head, chain
from tools.record.canonical import NO_HASH, Canonical, canonical_payload
from tools.record.events import (
    FORMAT_VERSION,
    AgentJoined,
    AttemptProposed,
    Draft,
    Event,
    JobEnded,
    JobRequested,
    JobStarted,
    MessagePosted,
    Parent,
    SessionOpened,
    VerdictGiven,
)

START_TIME = 1_800_000_000.0


class Clock:
    """Unix seconds that go on by one at each look."""

    def __init__(self, now: float = START_TIME) -> None:
        self.now = now

    def __call__(self) -> float:
        self.now += 1.0
        return self.now


def make_events(drafts: Sequence[Draft], *, session: str = "s") -> list[Event]:
    """Return `drafts` as a chained record, one second apart, without a store."""
    clock = Clock()
    ready = []
    for draft in drafts:
        payload, text = canonical_payload(draft.payload)
        ready.append(Canonical(draft.actor, payload.kind, payload, text, draft.key, clock()))
    asks = [Ask([one], None) for one in ready]
    return chain(asks, session=session, head=Head(0, NO_HASH), known={}).new_events


def make_event(
    payload: Any, *, seq: int = 1, actor: str = "ann", time: float | None = None
) -> Event:
    """Return one event, unchained."""
    when = START_TIME + seq if time is None else time
    return Event(seq, when, "s", actor, payload.kind, payload, f"key/{seq}", NO_HASH, NO_HASH)


def make_opened(**settings: Any) -> SessionOpened:
    return SessionOpened(
        format_version=FORMAT_VERSION,
        challenge={"name": "test"},
        settings=settings,
        model_sha256="0" * 64,
        engine_version="1",
    )


def make_joined(agent: str = "ann") -> AgentJoined:
    return AgentJoined(
        agent=agent, persona="climber", description="climbs", model="offline", seed=1
    )


def make_message(body: str = "hello", **fields: Any) -> MessagePosted:
    return MessagePosted(**{"type": "chat", "body": body, **fields})


def make_attempt(
    attempt: str = "a0001", *, parents: Sequence[str | Parent] = (), **fields: Any
) -> AttemptProposed:
    config = fields.pop("config", EngineConfig())
    return AttemptProposed(
        attempt=attempt,
        parents=tuple(one if isinstance(one, Parent) else Parent(attempt=one) for one in parents),
        config=config,
        fingerprint=fields.pop("fingerprint", f"f-{attempt}"),
        hypothesis=fields.pop("hypothesis", "it is faster"),
        direction=fields.pop("direction", "threads=2"),
    )


def make_request(attempt: str = "a0001", *, number: int = 1, **fields: Any) -> JobRequested:
    defaults = {"stage": "screen", "seed": 1, "reserved_seconds": 10.0, "reserved_usd": 0.0}
    return JobRequested(job=f"{attempt}-{number}", attempt=attempt, **{**defaults, **fields})


def make_started(attempt: str = "a0001", *, number: int = 1, try_number: int = 1) -> JobStarted:
    return JobStarted(job=f"{attempt}-{number}", attempt=attempt, try_number=try_number)


def make_ended(
    attempt: str = "a0001",
    *,
    number: int = 1,
    outcome: JobOutcome | None = None,
    spent_seconds: float = 5.0,
    spent_usd: float = 0.0,
) -> JobEnded:
    return JobEnded(
        job=f"{attempt}-{number}",
        attempt=attempt,
        outcome=outcome or make_measured(),
        spent_seconds=spent_seconds,
        spent_usd=spent_usd,
    )


def make_verdict(attempt: str = "a0001", verdict: str = "pending", **fields: Any) -> VerdictGiven:
    defaults = {"reason": "within_guardrail", "by": "guardrail"}
    return VerdictGiven(attempt=attempt, verdict=verdict, **{**defaults, **fields})


def make_measured(**fields: Any) -> JobOutcome:
    """Return a measured outcome; `fields` are those of `make_measurement`."""
    return JobOutcome(status="measured", seconds=5.0, measurement=make_measurement(**fields))


def make_failed(status: str = "crashed", *, fault: str = "agent") -> JobOutcome:
    return JobOutcome(status=status, fault=fault, code="engine_died", message="it died")


def make_measurement(  # noqa: PLR0913  (a builder: every one has a default)
    *,
    speedup: float = 1.0,
    spread: float = 0.01,
    pairs: int = 8,
    stage: Stage = "full",
    baseline_tokens_per_second: float = 50.0,
    perplexity: float = 10.0,
    reference_perplexity: float = 10.0,
    missing_targets: int = 0,
    simulated: bool = False,
) -> Measurement:
    """Return a measurement whose pair ratios lie evenly within `spread` around `speedup`."""
    ratios = [speedup * (1 + spread * (2 * i / max(pairs - 1, 1) - 1)) for i in range(pairs)]
    samples = [
        sample
        for i, ratio in enumerate(ratios)
        for sample in (
            make_sample("baseline", i, tokens_per_second=baseline_tokens_per_second),
            make_sample("candidate", i, tokens_per_second=baseline_tokens_per_second * ratio),
        )
    ]
    return Measurement(
        stage=stage,
        simulated=simulated,
        samples=tuple(samples),
        pair_ratios=tuple(ratios),
        tokens_per_second=baseline_tokens_per_second * speedup,
        baseline_tokens_per_second=baseline_tokens_per_second,
        speedup=speedup,
        speedup_low=min(ratios),
        speedup_high=max(ratios),
        perplexity=make_perplexity(perplexity, missing_targets=missing_targets),
        reference_perplexity=make_perplexity(reference_perplexity),
        output_digest="d" * 16,
        peak_memory_bytes=None,
        artefact="r" * 16,
        artefact_bytes=1000,
        durations=Durations(
            build_seconds=0.0,
            load_seconds=1.0,
            measure_seconds=3.0,
            perplexity_seconds=1.0,
            total_seconds=5.0,
        ),
        stamp=make_stamp(),
        seed=1,
    )


def make_sample(side: Side, round_: int, *, tokens_per_second: float = 50.0) -> Sample:
    return Sample(
        side=side,
        round=round_,
        prompt=f"p{round_}",
        output_tokens=64,
        wall_seconds=64 / tokens_per_second,
        cpu_seconds=None,
        tokens_sha256="0" * 64,
    )


def make_perplexity(value: float = 10.0, *, missing_targets: int = 0) -> Perplexity:
    return Perplexity(
        value=value, tokens=256, missing_targets=missing_targets, text_sha256="1" * 64
    )


def make_stamp() -> Stamp:
    return Stamp(
        cpu="test",
        cores=2,
        memory_bytes=1,
        kernel="test",
        python="3.11",
        engine="llamacpp",
        engine_version="1",
        model_sha256="0" * 64,
        load_average_start=0.0,
        load_average_end=0.0,
    )


def make_run(
    attempt: str,
    *,
    agent: str = "ann",
    parents: Sequence[str] = (),
    number: int = 1,
    **measured: Any,
) -> list[Draft]:
    """Return the drafts of one attempt from its proposal to its verdict."""
    verdict = measured.pop("verdict", "pending")
    fingerprint = measured.pop("fingerprint", f"f-{attempt}")
    outcome = measured.pop("outcome", None) or make_measured(**measured)
    proposed = make_attempt(attempt, parents=parents, fingerprint=fingerprint)
    job = f"job/{attempt}-{number}"
    stage = measured.get("stage", "full")
    return [
        Draft(agent, proposed, f"{agent}/propose/{attempt}"),
        Draft(agent, make_request(attempt, number=number, stage=stage), f"{job}/requested"),
        Draft("lane", make_started(attempt, number=number), f"{job}/started/1"),
        Draft("lane", make_ended(attempt, number=number, outcome=outcome), f"{job}/ended"),
        Draft("guardrail", make_verdict(attempt, verdict), f"verdict/{job}"),
    ]


def make_session(
    *runs: Sequence[Draft], agents: Sequence[str] = ("ann", "bob"), **settings: Any
) -> list[Draft]:
    """Return the drafts of a session: opened, agents joined, then `runs` in their order."""
    opening = [Draft("organiser", make_opened(**settings), "open")]
    joins = [Draft(name, make_joined(name), f"join/{name}") for name in agents]
    return [*opening, *joins, *(draft for run in runs for draft in run)]
