"""How fast, on our clock: claim, public against private, roofline, shape of time, and cache."""

import math
import random
from collections.abc import Sequence
from statistics import median

from bench import cost_model
from bench.alone import speedup_of
from bench.bootstrap import PAIR_NOISE
from bench.measurement import Interval, Sample, Side
from bench.noise import interval
from bench.placement import harness_aside
from bench.student import t_quantile
from bench.verification import PrivateSpeed
from bench.verify.evidence import ONE_SIDED, Part
from bench.verify.hearing import Answer, Hearing
from bench.verify.likelihood import standard_error, thirds
from bench.verify.stream import (
    Kind,
    Round,
    Timed,
    idle_cores,
    of_kind,
    plan,
    ratios,
    samples,
    serve,
    speeds,
)
from bench.verify.watched import Watched
from sandbox.errors import JobError

LONG_ROUNDS = 3
"""Served prompts that the baseline serves too, so that long requests have a ratio of their own."""
TIMED_SCORED = 4
"""Timed requests whose tokens are scored like served ones: what is timed must be what is true."""
DROP_CAP = 0.05
"""Public over private speed, in ln: below this a difference of texts is no accusation."""
CACHE_CAP = 1.10
"""Speed on a repeated prompt over that on a new one."""
IDLE_CORES_CAP = 0.2
"""Cores a candidate may use while the baseline is timed (honest engines: 0.003 to 0.022). A process
that streams memory meanwhile halves the baseline and doubles its own speed-up."""
BANDWIDTH_ROOM = 1.5
"""How much better than the baseline a config may use memory. llama.cpp's bf16 kernel reads 19.8 of
the 26.7 GB/s of one core (reference machine), so 1.35 is all there is; rounded up."""


def time_stream(hearing: Hearing) -> None:
    """Serve the shuffled stream; keep its samples and tokens, and judge its times."""
    launch = hearing.launch
    if launch.is_alone:
        _stream(hearing, {"candidate": launch.candidate})
        return
    with launch.baseline() as baseline:
        engines: dict[Side, Watched] = {"candidate": launch.candidate, "baseline": baseline}
        _stream(hearing, engines)


def _stream(hearing: Hearing, engines: dict[Side, Watched]) -> None:
    launch, warmup, rounds = hearing.launch, _warmup(hearing), _rounds(hearing)
    threads = {side: one.engine.config.cpu_threads for side, one in engines.items()}
    with harness_aside(min(threads.values())):
        serve(warmup, engines, blame=launch.blame)
        timed = serve(rounds, engines, blame=launch.blame)
    min_share = launch.loaded.challenge.protocol.min_cpu_share
    kept = samples(timed, threads, min_cpu_share=min_share)
    hearing.samples += kept
    if launch.candidate.miscount():
        return
    _keep_answers(hearing, timed)
    _judge_speed(hearing, timed, kept)
    _judge_shape(hearing, timed, kept)
    _judge_roofline(hearing, kept)
    idle = idle_cores(timed)
    if idle is not None:
        hearing.add(Part("idle_work", idle, "cores", limit=IDLE_CORES_CAP))


def time_repeats(hearing: Hearing) -> None:
    """Serve each of some new prompts twice in direct succession."""
    launch, gains = hearing.launch, list[float]()
    protocol = launch.loaded.challenge.protocol
    least = protocol.min_cpu_share * launch.request.config.cpu_threads
    with launch.blame("candidate"), harness_aside(launch.request.config.cpu_threads):
        for prompt in launch.prompts(hearing.texts.repeated):
            first, again = (
                launch.candidate.generate(prompt.token_ids, tokens=protocol.output_tokens)
                for _ in range(2)
            )
            # A first request that lost its core makes the second look quick unjustly; a second that
            # lost it says nothing, unless it was quicker all the same.
            lost = [
                one.cpu_seconds is not None and one.cpu_seconds < least * one.wall_seconds
                for one in (first, again)
            ]
            if not lost[0] and not (lost[1] and again.wall_seconds > first.wall_seconds):
                gains.append(math.log(first.wall_seconds / again.wall_seconds))
    if gains:
        mean = math.fsum(gains) / len(gains)
        ratio, floor = math.exp(mean), math.exp(mean - _chance(gains))
        hearing.add(Part("cache", ratio, "ratio", limit=CACHE_CAP, noise=ratio - floor))


def completeness(hearing: Hearing) -> Part:
    """Return whether every request so far brought as many tokens as asked for."""
    asked = hearing.launch.candidate.requests
    came, wanted = (
        sum(len(one.token_ids) for one in asked),
        sum(one.asked_tokens for one in asked),
    )
    worst = hearing.launch.candidate.miscount()
    return Part("completeness", worst, "share", limit=0.0, detail=f"{came} of {wanted} tokens")


def _warmup(hearing: Hearing) -> list[Round]:
    tokens = hearing.launch.loaded.challenge.protocol.output_tokens
    prompts = hearing.launch.prompts(hearing.texts.warmup)
    return [Round("private", prompt, tokens) for prompt in prompts]


def _rounds(hearing: Hearing) -> tuple[Round, ...]:
    launch, rule = hearing.launch, hearing.launch.rule
    rng, public = random.Random(f"public {launch.request.seed}"), launch.loaded.prompts
    drawn = rng.sample(public, min(rule.public_rounds, len(public)))
    short = launch.loaded.challenge.protocol.output_tokens
    served = launch.prompts(hearing.texts.served)
    rounds = [Round("private", one, short) for one in launch.prompts(hearing.texts.timed)]
    rounds += [Round("public", one, short) for one in launch.prompts(drawn)]
    rounds += [Round("long", one, rule.served_tokens) for one in served[:LONG_ROUNDS]]
    rounds += [Round("served", one, rule.served_tokens) for one in served[LONG_ROUNDS:]]
    return plan(rounds, seed=launch.request.seed)


def _keep_answers(hearing: Hearing, timed: list[Timed]) -> None:
    own = [one for one in timed if one.side == "candidate"]
    hearing.served = [_answer(one) for one in own if one.round.kind in ("long", "served")]
    hearing.timed = [_answer(one) for one in own if one.round.kind == "private"][:TIMED_SCORED]


def _answer(one: Timed) -> Answer:
    return Answer(one.round.prompt, one.request.token_ids)


def _judge_speed(hearing: Hearing, timed: list[Timed], kept: tuple[Sample, ...]) -> None:
    request, stated = hearing.launch.request, hearing.launch.loaded.challenge.stated
    private = _private(hearing, timed, kept)
    own = _speedup(hearing, timed, kept, "private")
    assert own is not None
    if hearing.launch.is_alone and stated is not None:
        usual = stated.tokens_per_second
        fast = own.estimate * usual
    else:
        usual = median(speeds(timed, kept, "private", "baseline"))
        fast = median(speeds(timed, kept, "private", "candidate"))
    hearing.speed = PrivateSpeed(
        tokens_per_second=fast,
        baseline_tokens_per_second=usual,
        speedup=own.estimate,
        low=own.low,
        high=own.high,
        rounds=len(private),
    )
    if request.claim is not None:
        ratio = own.estimate / request.claim.speedup
        hearing.add(
            Part(
                "private_speed",
                ratio,
                "ratio",
                limit=1 - hearing.launch.rule.speed_drift_cap,
                is_floor=True,
                noise=ratio * (math.exp(ONE_SIDED * _error(own)) - 1),
                detail=f"private {own.estimate:.3f}, claimed {request.claim.speedup:.3f}",
            )
        )
    shown = _speedup(hearing, timed, kept, "public")
    if shown is None:
        return  # all disturbed: nothing to compare
    drop = math.log(shown.estimate / own.estimate)
    noise = ONE_SIDED * math.hypot(_error(own), _error(shown))
    # Beyond its noise, and beyond the cap: whichever asks for more.
    hearing.add(Part("public_drop", drop, "ln ratio", limit=max(DROP_CAP, noise)))


def _speedup(
    hearing: Hearing, timed: list[Timed], kept: tuple[Sample, ...], kind: Kind
) -> Interval | None:
    """Return the speed over the baseline's on prompts of a kind, as the harness works it out."""
    found = _ratios(hearing, timed, kept, kind)
    if not found:
        return None
    seed, stated = hearing.launch.request.seed, hearing.launch.loaded.challenge.stated
    if not hearing.launch.is_alone or stated is None:
        return interval(found, seed=seed)
    return speedup_of(of_kind(timed, kept, kind), stated.tokens_per_second, seed=seed)


def _ratios(
    hearing: Hearing, timed: list[Timed], kept: tuple[Sample, ...], kind: Kind
) -> tuple[float, ...]:
    """Return the ratios of a kind's rounds; alone, of each request over the stated baseline."""
    stated = hearing.launch.loaded.challenge.stated
    if not hearing.launch.is_alone or stated is None:
        return ratios(timed, kept, kind)
    own = speeds(timed, kept, kind, "candidate")
    return tuple(one / stated.tokens_per_second for one in own)


def _judge_shape(hearing: Hearing, timed: list[Timed], kept: tuple[Sample, ...]) -> None:
    private = [math.log(one) for one in _ratios(hearing, timed, kept, "private")]
    long = [math.log(one) for one in ratios(timed, kept, "long")]
    if long:  # alone there are none: nothing would tell a long request's own cost from a cheat's
        lost = median(private) - median(long)
        hearing.add(Part("timing_shape", lost, "ln ratio", noise=_noise(private, long)))
    first, last = thirds(private)
    moved = abs(math.fsum(first) / len(first) - math.fsum(last) / len(last))
    noise = _noise(first, last)
    hearing.add(Part("timing_shape", moved, "ln ratio", measure="timing_drift", noise=noise))


def _judge_roofline(hearing: Hearing, kept: tuple[Sample, ...]) -> None:
    """Compare the fastest request with what memory allows; rejected samples count too."""
    launch, candidate = hearing.launch, hearing.launch.candidate.engine
    threads = candidate.config.cpu_threads
    at_best = launch.rule.device_bytes_per_second
    memory = cost_model.CORE_BYTES_PER_SECOND * threads if threads else at_best
    if memory is None:
        return
    if not launch.is_alone:
        usual = _best(kept, "baseline") * launch.reference.artefact_bytes
        share = threads / launch.reference.config.cpu_threads if threads else 1.0
        memory = max(memory, BANDWIDTH_ROOM * usual * share)
    bound = memory / candidate.artefact_bytes
    steps = launch.request.config.longest_step_tokens
    fastest = _best(kept, "candidate")
    hearing.add(
        Part(
            "roofline",
            fastest / bound,
            "ratio",
            limit=float(steps),
            detail=f"{fastest:.1f} tokens/s, bound {bound:.1f} a step of at most {steps}",
        )
    )


def _best(kept: tuple[Sample, ...], side: Side) -> float:
    return max(one.output_tokens / one.wall_seconds for one in kept if one.side == side)


def _private(hearing: Hearing, timed: list[Timed], kept: tuple[Sample, ...]) -> tuple[float, ...]:
    found = _ratios(hearing, timed, kept, "private")
    if not found:
        # As in the harness: blame the candidate only where the baseline had its core.
        lost = {sample.side for sample in kept if sample.rejected}
        hearing.launch.blame.side = "candidate" if lost == {"candidate"} else None
        raise JobError(
            "no private round was left undisturbed",
            code="no_clean_pairs",
            hint="verify again on a quieter machine",
        )
    return found


def _noise(one: Sequence[float], other: Sequence[float]) -> float:
    """Return what chance alone may put between two means, one-sided 95 %."""
    return math.hypot(_chance(one), _chance(other))


def _chance(values: Sequence[float]) -> float:
    """Return how far chance may take a mean of ln ratios, one-sided 95 %; few know little."""
    usual = ONE_SIDED * PAIR_NOISE / math.sqrt(len(values))
    if len(values) == 1:
        return usual
    return max(usual, t_quantile(0.95, len(values) - 1) * standard_error(values))


def _error(known: Interval) -> float:
    """Return the standard error on the ln scale that a 95 % interval stands for."""
    return math.log(known.high / known.low) / (2 * 1.96)
