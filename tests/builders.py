"""Values with defaults, so that a test names only what it is about."""

import math
from collections.abc import Sequence
from typing import Any

from bench.configs.llamacpp import LlamaCppConfig
from bench.measurement import (
    Durations,
    FreshLaunch,
    JobOutcome,
    Measurement,
    Perplexity,
    RiderStage,
    Sample,
    Side,
    Stamp,
)
from bench.verification import Finding, PrivateSpeed, TestName, Verification
from tools.record.batch import Ask, Head, chain
from tools.record.canonical import NO_HASH, Canonical, canonical_payload
from tools.record.events import (
    FORMAT_VERSION,
    AgentJoined,
    AttemptInvalidated,
    AttemptProposed,
    AttemptReinstated,
    Draft,
    Event,
    JobEnded,
    JobRequested,
    JobStarted,
    MessagePosted,
    Parent,
    PromotionDecided,
    PromotionOpened,
    ReceiptIssued,
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
    config = fields.pop("config", LlamaCppConfig())
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
    stage: RiderStage = "full",
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
        durations=make_durations(),
        stamp=make_stamp(),
        seed=1,
    )


def make_fresh(
    *,
    speedup: float = 1.0,
    incumbent: float = 1.0,
    rounds: int = 4,
    spread: float = 0.01,
    simulated: bool = False,
    digest: str = "d" * 16,
) -> FreshLaunch:
    """Return a fresh launch whose ratios lie evenly within `spread` around the two speed-ups."""
    wobble = [1 + spread * (2 * i / max(rounds - 1, 1) - 1) for i in range(rounds)]
    sides: tuple[Side, ...] = ("baseline", "incumbent", "candidate")
    return FreshLaunch(
        simulated=simulated,
        samples=tuple(make_sample(side, i) for i in range(rounds) for side in sides),
        ratios=tuple(speedup * one for one in wobble),
        incumbent_ratios=tuple(incumbent * one for one in wobble),
        contrasts=(speedup / incumbent,) * rounds,
        baseline_tokens_per_second=50.0,
        output_digest=digest,
        incumbent_digest="e" * 16,
        durations=make_durations(),
        stamp=make_stamp(),
        seed=1,
    )


def make_verification(
    *failed: TestName, speedup: float | None = 1.5, simulated: bool = False
) -> Verification:
    """Return a verification in which the tests named failed and the others passed."""
    tests: tuple[TestName, ...] = ("completeness", "private_speed", "regret", "missing_targets")
    findings = tuple(
        Finding(test=name, status="failed" if name in failed else "passed", value=0.1, limit=0.2)
        for name in dict.fromkeys((*tests, *failed))
    )
    speed = speedup and PrivateSpeed(
        tokens_per_second=50.0 * speedup,
        baseline_tokens_per_second=50.0,
        speedup=speedup,
        low=0.98 * speedup,
        high=1.02 * speedup,
        rounds=10,
    )
    return Verification(
        findings=findings,
        numeric_class="test",
        speed=speed or None,
        drawn=("t001", "t002"),
        drawn_sha256="2" * 64,
        timings_sha256="3" * 64,
        output_digest="d" * 16,
        simulated=simulated,
        hardware={"cpu": "test"},
        seconds=60.0,
        seed=1,
    )


def make_durations() -> Durations:
    return Durations(
        build_seconds=0.0,
        load_seconds=1.0,
        measure_seconds=3.0,
        perplexity_seconds=1.0,
        total_seconds=5.0,
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
    parents: Sequence[str | Parent] = (),
    number: int = 1,
    **measured: Any,
) -> list[Draft]:
    """Return the drafts of one attempt from its proposal to its verdict."""
    verdict = measured.pop("verdict", "pending")
    fingerprint = measured.pop("fingerprint", f"f-{attempt}")
    config = measured.pop("config", LlamaCppConfig())
    outcome = measured.pop("outcome", None) or make_measured(**measured)
    proposed = make_attempt(attempt, parents=parents, fingerprint=fingerprint, config=config)
    job = f"job/{attempt}-{number}"
    stage = measured.get("stage", "full")
    return [
        Draft(agent, proposed, f"{agent}/propose/{attempt}"),
        Draft(agent, make_request(attempt, number=number, stage=stage), f"{job}/requested"),
        Draft("lane", make_started(attempt, number=number), f"{job}/started/1"),
        Draft("lane", make_ended(attempt, number=number, outcome=outcome), f"{job}/ended"),
        Draft("guardrail", make_verdict(attempt, verdict), f"verdict/{job}"),
    ]


def make_invalidated(
    attempt: str = "a0001", *ingredient: str, by: str = "verifier", reason: str = "missing_targets"
) -> Draft:
    payload = AttemptInvalidated(attempt=attempt, reason=reason, ingredient=ingredient, by=by)
    return Draft(by, payload, f"invalidated/{attempt}/{by}")


def make_reinstated(attempt: str = "a0001", *, by: str = "person:ann") -> Draft:
    return Draft(by, AttemptReinstated(attempt=attempt, by=by), f"reinstated/{attempt}/{by}")


def make_private(
    attempt: str = "a0001", *, number: int = 2, verification: Verification | None = None
) -> list[Draft]:
    """Return the drafts of a private job from its request to its outcome."""
    job = f"{attempt}-{number}"
    request = make_request(attempt, number=number, stage="private", purpose="record")
    outcome = JobOutcome(status="measured", verification=verification or make_verification())
    return [
        Draft("organiser", request, f"job/{job}/requested"),
        Draft("lane", make_started(attempt, number=number), f"job/{job}/started/1"),
        Draft("lane", make_ended(attempt, number=number, outcome=outcome), f"job/{job}/ended"),
    ]


def make_verified(attempt: str = "a0001", *, number: int = 2, **fields: Any) -> list[Draft]:
    """Return the drafts of a passed verification; `fields` are those of `make_verification`."""
    job = f"{attempt}-{number}"
    valid = make_verdict(attempt, "valid", reason="verified", by="verifier")
    receipt = ReceiptIssued(attempt=attempt, job=job, receipt={"attempt": attempt})
    return [
        *make_private(attempt, number=number, verification=make_verification(**fields)),
        Draft("verifier", valid, f"verdict/{job}"),
        Draft("organiser", receipt, f"receipt/{attempt}/{job}"),
    ]


def make_promotion(
    contender: str = "a0001",
    incumbent: str = "a0000",
    *,
    test: int = 1,
    outcome: str | None = "promoted",
    launches: Sequence[FreshLaunch | JobOutcome] = (),
    first: int = 2,
) -> list[Draft]:
    """Return the drafts of a promotion; its jobs are numbered from `first`, None leaves it open."""
    pair = {"promotion": f"p{test}", "contender": contender, "incumbent": incumbent}
    alpha = 0.05 * 6 / (math.pi * test) ** 2
    opened = PromotionOpened(**pair, test=test, alpha=alpha, launches=len(launches) or 1)
    drafts = [Draft("organiser", opened, f"promotion/p{test}/opened")]
    for number, launch in enumerate(launches, start=first):
        asked = {"stage": "fresh", "incumbent": incumbent, "purpose": f"p{test}"}
        measured = isinstance(launch, FreshLaunch)
        done = JobOutcome(status="measured", fresh=launch) if measured else launch
        ended = make_ended(contender, number=number, outcome=done)
        job = f"job/{contender}-{number}"
        request = make_request(contender, number=number, **asked)
        drafts += [
            Draft("organiser", request, f"{job}/requested"),
            Draft("lane", make_started(contender, number=number), f"{job}/started/1"),
            Draft("lane", ended, f"{job}/ended"),
        ]
    if outcome:
        decided = PromotionDecided(**pair, outcome=outcome)
        drafts.append(Draft("organiser", decided, f"promotion/p{test}/decided"))
    return drafts


def make_session(
    *runs: Sequence[Draft], agents: Sequence[str] = ("ann", "bob"), **settings: Any
) -> list[Draft]:
    """Return the drafts of a session: opened, agents joined, then `runs` in their order."""
    opening = [Draft("organiser", make_opened(**settings), "open")]
    joins = [Draft(name, make_joined(name), f"join/{name}") for name in agents]
    return [*opening, *joins, *(draft for run in runs for draft in run)]
