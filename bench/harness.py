"""One launch: a candidate beside the baseline, from weights to a `Measurement`.

Build, start each engine in its own process, warm up, time in turns, score text, stamp. Knows the
challenge's public texts; knows no record, no rank and no private prompt. A job that fails comes
back as a typed `JobOutcome`, never as an exception.
"""

import hashlib
import time
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from pathlib import Path
from statistics import median
from typing import NamedTuple

from bench.challenge import StageProtocol
from bench.challenge_files import LoadedChallenge, load_challenge
from bench.config import EngineConfig
from bench.engine_sources import EngineName, EngineSource, open_source
from bench.engines.engine import Engine
from bench.failures import Blamed, Deadline, outcome_of
from bench.frozen import Frozen
from bench.measurement import Durations, JobOutcome, Measurement, Perplexity, Sample, Side, Stage
from bench.noise import interval
from bench.pairs import PairTimer, Prompt, plan_prompts, tokens_sha256
from bench.perplexity import LogProbs, Targets, make_targets, perplexity, score
from bench.placement import harness_aside
from bench.reference import ReferenceKey, reference_logprobs
from bench.stamp import cpu_model, load_average, take_stamp
from sandbox.errors import JobError

OWN_SHARE = 0.9
"""Of each limit, after which the job ends itself; the sandbox comes later and cannot say why."""

Tell = Callable[[str], None]
"""Takes a line of progress, for people."""


class JobRequest(Frozen):
    """What a job is asked to measure; the content of `request.json`."""

    challenge: str
    """Name, file or folder."""
    config: EngineConfig
    """The candidate; the baseline itself is legal (an A/A launch)."""
    stage: Stage = "screen"
    seed: int = 0
    cache_folder: Path
    """Shared by all sessions: weight files, reference log-probabilities."""
    engine: EngineName | None = None
    """Instead of the challenge's; `simulated` is labelled so in the measurement."""


def run_job(
    request: JobRequest, *, source: EngineSource | None = None, tell: Tell = lambda _line: None
) -> JobOutcome:
    """Run one launch and return what came of it; never raises but for bugs in the interpreter.

    Args:
        request: what to measure.
        source: where engines come from; None takes the one the request or challenge names.
        tell: called with lines of progress.
    """
    blame, deadline, started = Blamed(), Deadline(), time.monotonic()
    with ExitStack() as stack:
        stack.callback(deadline.clear)
        try:
            launch = _Launch(request, source, stack, blame, deadline)
            measurement = launch.measure(tell)
        except (Exception, KeyboardInterrupt) as error:  # noqa: BLE001  # the boundary: failures are data
            failed = outcome_of(error, side=blame.side, is_late=deadline.is_over)
            return failed.model_copy(update={"seconds": time.monotonic() - started})
    seconds = measurement.durations.total_seconds
    return JobOutcome(status="measured", seconds=seconds, measurement=measurement)


class _Scores(NamedTuple):
    candidate: Perplexity
    reference: Perplexity


class _Launch:
    """The steps of one launch, in order; times are told by the source's clock."""

    def __init__(
        self,
        request: JobRequest,
        source: EngineSource | None,
        stack: ExitStack,
        blame: Blamed,
        deadline: Deadline,
    ) -> None:
        self.request, self.blame, self.deadline, self.stack = request, blame, deadline, stack
        self.loaded: LoadedChallenge = load_challenge(request.challenge)
        challenge = self.loaded.challenge
        self.source = source or open_source(
            request.engine or challenge.engine,
            challenge,
            cache_folder=request.cache_folder,
            seed=request.seed,
        )
        stack.callback(self.source.close)
        stages = {"screen": challenge.protocol.screen, "full": challenge.protocol.full}
        self.stage: StageProtocol = stages[request.stage]
        self.engines: dict[Side, Engine] = {}
        self.spent: dict[str, float] = dict.fromkeys(Durations.model_fields, 0.0)

    def measure(self, tell: Tell) -> Measurement:
        load_average_start, started = load_average(), self.source.clock()
        challenge = self.loaded.challenge
        self._set_deadline(challenge.quotas.build_seconds)
        tell("baseline: weights and start")
        self._start("baseline", challenge.baseline, public_ids=())
        baseline = self.engines["baseline"]
        # The full vocabulary's ids come from the baseline, whatever the candidate kept of it.
        passages = [baseline.tokenize(text.text) for text in self.loaded.passages]
        length = challenge.protocol.prompt_tokens
        prompts = [
            Prompt(one.id, baseline.tokenize(one.text)[:length]) for one in self.loaded.prompts
        ]
        tell("candidate: weights and start")
        public_ids = [i for ids in (*passages, *(p.token_ids for p in prompts)) for i in ids]
        self._start("candidate", self.request.config, public_ids=public_ids)
        self._set_deadline(self.stage.wall_seconds)
        tell("timing candidate and baseline in turns")
        timer = self._time(prompts)
        tell("scoring text")
        scores = self._score(make_targets(passages))
        self.deadline.clear()
        self.spent["total_seconds"] = self.source.clock() - started
        return self._measurement(timer, scores, load_average_start)

    def _start(self, side: Side, config: EngineConfig, *, public_ids: Sequence[int]) -> None:
        with self.blame(side):
            at = self.source.clock()
            start = self.source.prepare(config, side, public_ids=public_ids)
            built = self.source.clock()
            engine = start()
        self.stack.callback(engine.close)
        self.engines[side] = engine
        self.spent["build_seconds"] += built - at
        self.spent["load_seconds"] += self.source.clock() - built

    def _set_deadline(self, seconds: float) -> None:
        def end_engines() -> None:
            for engine in list(self.engines.values()):
                engine.close()

        self.deadline.set(OWN_SHARE * seconds, end_engines)

    def _time(self, prompts: list[Prompt]) -> PairTimer:
        protocol, seed, at = self.loaded.challenge.protocol, self.request.seed, self.source.clock()
        plan = plan_prompts(
            prompts,
            digest_prompts=protocol.digest_prompts,
            warmup_requests=protocol.warmup_requests,
            seed=seed,
        )
        timer = PairTimer(
            self.engines,
            output_tokens=protocol.output_tokens,
            min_cpu_share=protocol.min_cpu_share,
            blame=self.blame,
        )
        with harness_aside(min(engine.config.threads for engine in self.engines.values())):
            timer.warm_up(plan.warmup)
            timer.run(plan.rounds, self.stage, least=protocol.digest_prompts, seed=seed)
        self.spent["measure_seconds"] = self.source.clock() - at
        if not timer.ratios():
            raise self._no_pairs(timer.samples)
        return timer

    def _no_pairs(self, samples: list[Sample]) -> JobError:
        """Blame the candidate only where the baseline had its core and the candidate did not."""
        lost = {sample.side for sample in samples if sample.rejected}
        self.blame.side = "candidate" if lost == {"candidate"} else None
        shares = sorted(
            (sample.cpu_seconds or 0.0) / sample.wall_seconds
            for sample in samples
            if sample.side == "candidate"
        )
        return JobError(
            f"no pair was left undisturbed: the candidate's {self.request.config.threads} threads"
            f" got {shares[len(shares) // 2]:.2f} cores",
            code="no_clean_pairs",
            hint="use fewer threads, or measure on a quieter machine",
        )

    def _score(self, every: Targets) -> _Scores:
        at, challenge = self.source.clock(), self.loaded.challenge
        count = min(self.stage.perplexity_tokens, every.total())
        targets = every.between(0, count)
        floor = challenge.guardrail.missing_target_logprob
        with self.blame("baseline"):
            logprobs = self._reference(every, count)
            reference = perplexity(logprobs, targets, missing_logprob=floor)
        scored = reference
        if self.request.config != challenge.baseline:
            with self.blame("candidate"):
                logprobs = score(self.engines["candidate"], targets)
                scored = perplexity(logprobs, targets, missing_logprob=floor)
        self.spent["perplexity_seconds"] = self.source.clock() - at
        return _Scores(scored, reference)

    def _reference(self, every: Targets, count: int) -> LogProbs:
        baseline = self.engines["baseline"]
        if baseline.simulated:  # from no cache, so that a second launch takes the same time
            return score(baseline, every.between(0, count))
        key = ReferenceKey(
            fingerprint=baseline.config.fingerprint(
                engine_version=baseline.version, model_sha256=self.source.model_sha256
            ),
            artefact=baseline.artefact,
            version=baseline.version,
            cpu=cpu_model(),
        )
        folder = self.request.cache_folder / "reference"
        return reference_logprobs(baseline, every, count, key=key, folder=folder)

    def _measurement(
        self, timer: PairTimer, scores: _Scores, load_average_start: float
    ) -> Measurement:
        ratios, candidate = timer.ratios(), self.engines["candidate"]
        speedup = interval(ratios, seed=self.request.seed)
        return Measurement(
            stage=self.request.stage,
            simulated=candidate.simulated,
            samples=tuple(timer.samples),
            pair_ratios=ratios,
            tokens_per_second=_tokens_per_second(timer.samples, "candidate"),
            baseline_tokens_per_second=_tokens_per_second(timer.samples, "baseline"),
            speedup=speedup.estimate,
            speedup_low=speedup.low,
            speedup_high=speedup.high,
            perplexity=scores.candidate,
            reference_perplexity=scores.reference,
            output_digest=self._digest(timer.emitted),
            peak_memory_bytes=candidate.peak_memory_bytes(),
            drafting=timer.drafting,
            artefact=candidate.artefact,
            artefact_bytes=candidate.artefact_bytes,
            durations=Durations(**self.spent),
            stamp=take_stamp(
                candidate,
                model_sha256=self.source.model_sha256,
                load_average_start=load_average_start,
            ),
            seed=self.request.seed,
        )

    def _digest(self, emitted: dict[str, tuple[int, ...]]) -> str:
        """Return the hash over the digest prompts' tokens, in the challenge's order."""
        count = self.loaded.challenge.protocol.digest_prompts
        fixed = [emitted[text.id] for text in self.loaded.prompts[:count]]
        joined = "\n".join(map(tokens_sha256, fixed))
        return hashlib.sha256(joined.encode()).hexdigest()[:16]


def _tokens_per_second(samples: list[Sample], side: Side) -> float:
    return median(
        sample.output_tokens / sample.wall_seconds
        for sample in samples
        if sample.side == side and sample.rejected is None
    )
