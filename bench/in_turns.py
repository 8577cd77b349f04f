"""Candidate and baseline served in turns: a `Measurement`, or a `FreshLaunch` with the incumbent.

Knows a launch whose baseline runs, and what it is asked; knows no file but the reference's cache.
"""

from typing import NamedTuple

from bench.challenge import PromotionRule, StageProtocol
from bench.job import JobRequest, Tell
from bench.launch import Launch, tokens_per_second
from bench.measurement import (
    FreshLaunch,
    JobOutcome,
    KeptCheck,
    Measurement,
    Perplexity,
    RiderStage,
    Side,
)
from bench.noise import interval
from bench.pairs import OVERTIME
from bench.perplexity import LogProbs, Targets, make_targets, perplexity, score
from bench.reference import ReferenceKey, reference_logprobs
from bench.stamp import cpu_model

TIMED_SHARE = 0.5
"""Of a fresh launch's limit, for timing; loading three engines takes 2 to 4 s of its 60."""


def run(request: JobRequest, launch: Launch, tell: Tell) -> JobOutcome:
    """Return what `request` asks of a launch whose baseline and candidate run."""
    if request.stage == "fresh":
        found = fresh(request, launch, tell)
        return JobOutcome(status="measured", seconds=found.durations.total_seconds, fresh=found)
    whole = measure(request, request.stage, launch, tell)
    seconds = whole.durations.total_seconds
    return JobOutcome(status="measured", seconds=seconds, measurement=whole)


# --- a screen or a full: speed and perplexity


class _Scores(NamedTuple):
    candidate: Perplexity
    reference: Perplexity


def measure(request: JobRequest, name: RiderStage, launch: Launch, tell: Tell) -> Measurement:
    """Time the candidate beside the running baseline, then score text with both."""
    protocol, candidate = launch.loaded.challenge.protocol, launch.engines["candidate"]
    stage = {"screen": protocol.screen, "full": protocol.full}[name]
    launch.limit(stage.wall_seconds)
    tell("timing candidate and baseline in turns")
    timer = launch.time(stage, seed=request.seed)
    tell("scoring text")
    scores = _score(request, stage, launch)
    durations = launch.durations()
    speedup = interval(timer.ratios(), seed=request.seed)
    return Measurement(
        stage=name,
        simulated=candidate.simulated,
        samples=tuple(timer.samples),
        pair_ratios=timer.ratios(),
        tokens_per_second=tokens_per_second(timer.samples, "candidate"),
        baseline_tokens_per_second=tokens_per_second(timer.samples, "baseline"),
        speedup=speedup.estimate,
        speedup_low=speedup.low,
        speedup_high=speedup.high,
        perplexity=scores.candidate,
        reference_perplexity=scores.reference,
        output_digest=launch.digest(timer),
        peak_memory_bytes=candidate.peak_memory_bytes(),
        drafting=timer.drafting,
        kept_check=kept_check(launch),
        artefact=candidate.artefact,
        artefact_bytes=candidate.artefact_bytes,
        durations=durations,
        stamp=launch.stamp(),
        seed=request.seed,
    )


def kept_check(launch: Launch) -> KeptCheck | None:
    """Count what a reduced vocabulary lacks of all that a full job scores."""
    candidate = launch.engines["candidate"]
    if not candidate.config.has_reduced_vocabulary:
        return None
    every = make_targets(launch.passages)
    count = min(launch.loaded.challenge.protocol.full.perplexity_tokens, every.total())
    asked = [one for passage in every.between(0, count).passages for one in passage.targets]
    return KeptCheck(targets=len(asked), missing=candidate.lacks(asked))


def _score(request: JobRequest, stage: StageProtocol, launch: Launch) -> _Scores:
    at, challenge = launch.source.clock(), launch.loaded.challenge
    every = make_targets(launch.passages)
    count = min(stage.perplexity_tokens, every.total())
    targets = every.between(0, count)
    floor = challenge.guardrail.missing_target_logprob
    with launch.blame("baseline"):
        logprobs = _reference(request, launch, every, count)
        reference = perplexity(logprobs, targets, missing_logprob=floor)
    scored = reference
    if request.submission is not None or request.config != challenge.baseline:
        with launch.blame("candidate"):
            logprobs = score(launch.engines["candidate"], targets)
            scored = perplexity(logprobs, targets, missing_logprob=floor)
    launch.spent["perplexity_seconds"] = launch.source.clock() - at
    return _Scores(scored, reference)


def _reference(request: JobRequest, launch: Launch, every: Targets, count: int) -> LogProbs:
    baseline = launch.engines["baseline"]
    if baseline.simulated:  # from no cache, so that a second launch takes the same time
        return score(baseline, every.between(0, count))
    key = ReferenceKey(
        fingerprint=baseline.config.fingerprint(
            engine_version=baseline.version, model_sha256=launch.source.model_sha256
        ),
        artefact=baseline.artefact,
        version=baseline.version,
        cpu=cpu_model(),
    )
    folder = request.cache_folder / "reference"
    return reference_logprobs(baseline, every, count, key=key, folder=folder)


# --- a fresh launch: contender, incumbent and baseline in turns, speed only


def fresh(request: JobRequest, launch: Launch, tell: Tell) -> FreshLaunch:
    """Start the incumbent beside the two that run, and time all three."""
    challenge = launch.loaded.challenge
    held_by: Side = "baseline"
    is_ours = request.incumbent_submission is None and request.incumbent == challenge.baseline
    if request.incumbent is not None and not is_ours:
        tell("incumbent: weights and start")
        launch.start("incumbent", request.incumbent)
        held_by = "incumbent"
    launch.limit(challenge.promotion.wall_seconds)
    tell("timing contender, incumbent and baseline in turns")
    timer = launch.time(fresh_stage(challenge.promotion), seed=request.seed)
    durations = launch.durations()
    return FreshLaunch(
        simulated=launch.engines["candidate"].simulated,
        samples=tuple(timer.samples),
        ratios=timer.ratios(),
        incumbent_ratios=timer.ratios(held_by),
        contrasts=timer.ratios(over=held_by),
        baseline_tokens_per_second=tokens_per_second(timer.samples, "baseline"),
        output_digest=launch.digest(timer),
        incumbent_digest=launch.digest(timer, held_by),
        durations=durations,
        stamp=launch.stamp(),
        seed=request.seed,
    )


def fresh_stage(rule: PromotionRule) -> StageProtocol:
    """Return the stage that times as many undisturbed rounds as the rule says, and no more."""
    return StageProtocol(
        min_pairs=rule.rounds,
        max_pairs=rule.rounds,
        half_width=1.0,
        measure_seconds=TIMED_SHARE / OVERTIME * rule.wall_seconds,
        perplexity_tokens=1,
        wall_seconds=rule.wall_seconds,
    )
