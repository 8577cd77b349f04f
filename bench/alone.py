"""One engine at a time on the device: absolute speed beside what the challenge states.

The Fast Gemma Challenge's protocol: warm up, serve every prompt once, one request at a time, and
divide all output tokens by all timed seconds. What it does not have, and a candidate beside its
baseline has: a slow machine looks like a slow candidate. Knows a launch and what it is asked; knows
no record.
"""

from collections.abc import Sequence

import numpy as np

from bench.bootstrap import PAIR_NOISE, RESAMPLES
from bench.challenge import StageProtocol, StatedBaseline
from bench.configs.engine_config import EngineConfig
from bench.in_turns import fresh_stage, kept_check
from bench.job import JobRequest, Tell
from bench.launch import Launch
from bench.measurement import (
    FreshLaunch,
    Interval,
    JobOutcome,
    Measurement,
    Perplexity,
    RiderStage,
    Sample,
    Side,
)
from bench.pairs import PairTimer
from bench.perplexity import make_targets, perplexity, score


def run(request: JobRequest, launch: Launch, tell: Tell) -> JobOutcome:
    """Return what `request` asks of a launch in which nothing runs yet."""
    if request.stage == "fresh":
        found = _fresh(request, launch, tell)
        return JobOutcome(status="measured", seconds=found.durations.total_seconds, fresh=found)
    tell("candidate: weights and start")
    _start("candidate", request.config, request, launch)
    whole = _measurement(request, request.stage, launch, tell)
    seconds = whole.durations.total_seconds
    return JobOutcome(status="measured", seconds=seconds, measurement=whole)


def total_speed(samples: Sequence[Sample], side: Side) -> float:
    """Return all output tokens over all timed seconds of the kept requests of `side`."""
    kept = [one for one in samples if one.side == side and one.rejected is None]
    return sum(one.output_tokens for one in kept) / sum(one.wall_seconds for one in kept)


def speedup_of(samples: Sequence[Sample], stated: float, *, seed: int) -> Interval:
    """Return the candidate's total speed over `stated`, with its 95 % interval over prompts.

    Percentile bootstrap of the ratio of sums (Efron and Tibshirani 1993, chapter 13): prompts are
    drawn with their tokens and seconds. It knows nothing of the noise between launches. One request
    shows no spread: the noise of a pair measured elsewhere is used.
    """
    kept = [one for one in samples if one.side == "candidate" and one.rejected is None]
    estimate = total_speed(samples, "candidate") / stated
    if len(kept) == 1:
        half = 1.96 * PAIR_NOISE * estimate
        return Interval(estimate, estimate - half, estimate + half)
    tokens = np.array([one.output_tokens for one in kept], dtype=np.float64)
    seconds = np.array([one.wall_seconds for one in kept], dtype=np.float64)
    drawn = np.random.default_rng(seed).integers(0, len(kept), (RESAMPLES, len(kept)))
    speeds = tokens[drawn].sum(axis=1) / seconds[drawn].sum(axis=1)
    low, high = np.percentile(speeds, [2.5, 97.5]) / stated
    return Interval(estimate, min(float(low), estimate), max(float(high), estimate))


def _stated(launch: Launch) -> StatedBaseline:
    stated = launch.loaded.challenge.stated
    assert stated is not None  # the challenge is not valid without
    return stated


def _start(side: Side, config: EngineConfig, request: JobRequest, launch: Launch) -> None:
    """Start the only engine, and read the texts with it where it can.

    Where it cannot be asked (its vocabulary is reduced, or its code is its author's), the baseline
    is started first, asked, and ended.
    """
    is_ours = side not in request.submitted() and not config.has_reduced_vocabulary
    launch.limit(launch.loaded.challenge.quotas.build_seconds)
    if launch.texts_are_ids and not launch.prompts:
        launch.read_texts()
    elif not launch.prompts and not is_ours:
        launch.start_baseline()
        launch.end("baseline")
    launch.start(side, config)
    if not launch.prompts:
        with launch.blame(side):
            launch.read_texts(side)


def _time(launch: Launch, stage: StageProtocol, *, seed: int) -> PairTimer:
    return launch.time(stage, seed=seed, stated=_stated(launch).tokens_per_second)


def _measurement(request: JobRequest, name: RiderStage, launch: Launch, tell: Tell) -> Measurement:
    challenge, candidate = launch.loaded.challenge, launch.engines["candidate"]
    stage = {"screen": challenge.protocol.screen, "full": challenge.protocol.full}[name]
    launch.limit(stage.wall_seconds)
    tell("timing the candidate alone")
    timer = _time(launch, stage, seed=request.seed)
    tell("scoring text")
    scored = _score(stage, launch)
    stated = _stated(launch)
    speedup = speedup_of(timer.samples, stated.tokens_per_second, seed=request.seed)
    return Measurement(
        stage=name,
        simulated=candidate.simulated,
        samples=tuple(timer.samples),
        pair_ratios=timer.known(),
        tokens_per_second=total_speed(timer.samples, "candidate"),
        baseline_tokens_per_second=stated.tokens_per_second,
        speedup=speedup.estimate,
        speedup_low=speedup.low,
        speedup_high=speedup.high,
        perplexity=scored,
        reference_perplexity=scored.model_copy(
            update={"value": stated.perplexity, "missing_targets": 0}
        ),
        output_digest=launch.digest(timer),
        peak_memory_bytes=candidate.peak_memory_bytes(),
        drafting=timer.drafting,
        kept_check=kept_check(launch),
        artefact=candidate.artefact,
        artefact_bytes=candidate.artefact_bytes,
        durations=launch.durations(),
        stamp=launch.stamp(),
        seed=request.seed,
        baseline_stated=True,
    )


def _score(stage: StageProtocol, launch: Launch) -> Perplexity:
    at, every = launch.source.clock(), make_targets(launch.passages)
    targets = every.between(0, min(stage.perplexity_tokens, every.total()))
    floor = launch.loaded.challenge.guardrail.missing_target_logprob
    with launch.blame("candidate"):
        logprobs = score(launch.engines["candidate"], targets)
        scored = perplexity(logprobs, targets, missing_logprob=floor)
    launch.spent["perplexity_seconds"] = launch.source.clock() - at
    return scored


def _fresh(request: JobRequest, launch: Launch, tell: Tell) -> FreshLaunch:
    """Start, time and end contender and incumbent one after the other, never both at once."""
    challenge = launch.loaded.challenge
    configs: dict[Side, EngineConfig] = {
        "candidate": request.config,
        "incumbent": request.incumbent or challenge.baseline,
    }
    order: tuple[Side, ...] = ("candidate", "incumbent")
    timers, simulated, stamp = dict[Side, PairTimer](), False, None
    for side in order[::-1] if request.incumbent_first else order:
        tell(f"{side}: weights and start")
        _start(side, configs[side], request, launch)
        launch.limit(challenge.promotion.wall_seconds / len(order))
        tell(f"timing the {side} alone")
        timers[side] = _time(launch, fresh_stage(challenge.promotion), seed=request.seed)
        if side == "candidate":
            simulated, stamp = launch.engines[side].simulated, launch.stamp()
        launch.end(side)
    assert stamp is not None
    samples = tuple(sample for timer in timers.values() for sample in timer.samples)
    own, held = (total_speed(samples, side) for side in order)
    stated = _stated(launch).tokens_per_second
    return FreshLaunch(
        simulated=simulated,
        samples=samples,
        ratios=(own / stated,),
        incumbent_ratios=(held / stated,),
        contrasts=(own / held,),
        baseline_tokens_per_second=stated,
        output_digest=launch.digest(timers["candidate"]),
        incumbent_digest=launch.digest(timers["incumbent"], "incumbent"),
        durations=launch.durations(),
        stamp=stamp,
        seed=request.seed,
        baseline_stated=True,
    )
