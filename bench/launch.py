"""The engines of one launch: weights, start, timing in turns, digest, stamp.

Knows how a launch is put together and how long each part took; does not know what is made of the
samples. Times are told by the source's clock.
"""

import hashlib
from collections.abc import Sequence
from contextlib import ExitStack
from statistics import median

from bench.challenge import StageProtocol
from bench.challenge_files import LoadedChallenge
from bench.config import EngineConfig
from bench.engine_sources import EngineSource
from bench.engines.engine import Engine
from bench.failures import Blamed, Deadline
from bench.measurement import Durations, Sample, Side, Stamp
from bench.pairs import PairTimer, Prompt, plan_prompts, tokens_sha256
from bench.placement import harness_aside
from bench.stamp import load_average, take_stamp
from sandbox.errors import JobError

OWN_SHARE = 0.9
"""Of each limit, after which the job ends itself; the sandbox comes later and cannot say why."""


class Launch:
    """Engines by side, started one after another and closed with `stack`."""

    def __init__(
        self,
        loaded: LoadedChallenge,
        source: EngineSource,
        *,
        stack: ExitStack,
        blame: Blamed,
        deadline: Deadline,
    ) -> None:
        self.loaded, self.source, self.blame = loaded, source, blame
        self.engines: dict[Side, Engine] = {}
        self.passages: list[tuple[int, ...]] = []
        self.prompts: list[Prompt] = []
        self.spent: dict[str, float] = dict.fromkeys(Durations.model_fields, 0.0)
        self._stack, self._deadline = stack, deadline
        self._load_average_start, self._started = load_average(), source.clock()
        stack.callback(source.close)

    def start_baseline(self) -> None:
        """Start the baseline and make tokens of the challenge's texts.

        The full vocabulary's ids come from the baseline, whatever a candidate keeps of it.
        """
        challenge = self.loaded.challenge
        self.limit(challenge.quotas.build_seconds)
        self._start("baseline", challenge.baseline, public_ids=())
        tokenize, length = self.engines["baseline"].tokenize, challenge.protocol.prompt_tokens
        self.passages = [tokenize(text.text) for text in self.loaded.passages]
        self.prompts = [Prompt(one.id, tokenize(one.text)[:length]) for one in self.loaded.prompts]

    def start(self, side: Side, config: EngineConfig) -> None:
        """Build the weights of `config` and start its engine beside the others."""
        texts = (*self.passages, *(prompt.token_ids for prompt in self.prompts))
        self._start(side, config, public_ids=[i for ids in texts for i in ids])

    def limit(self, seconds: float) -> None:
        """End the engines when (nearly) as many seconds have passed from now on."""

        def end_engines() -> None:
            for engine in list(self.engines.values()):
                engine.close()

        self._deadline.set(OWN_SHARE * seconds, end_engines)

    def time(self, stage: StageProtocol, *, seed: int) -> PairTimer:
        """Serve the prompts on all sides in turns.

        Raises:
            JobError: `no_clean_pairs`: no round was left undisturbed.
        """
        protocol, at = self.loaded.challenge.protocol, self.source.clock()
        plan = plan_prompts(
            self.prompts,
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
            timer.run(plan.rounds, stage, least=protocol.digest_prompts, seed=seed)
        self.spent["measure_seconds"] = self.source.clock() - at
        if not timer.ratios():
            raise self._no_pairs(timer.samples)
        return timer

    def digest(self, timer: PairTimer, side: Side = "candidate") -> str:
        """Return the hash over the digest prompts' tokens of `side`, in the challenge's order."""
        count = self.loaded.challenge.protocol.digest_prompts
        fixed = [timer.emitted[side][text.id] for text in self.loaded.prompts[:count]]
        joined = "\n".join(map(tokens_sha256, fixed))
        return hashlib.sha256(joined.encode()).hexdigest()[:16]

    def durations(self) -> Durations:
        """Stop the clock: clear the deadline and return what each part took."""
        self._deadline.clear()
        self.spent["total_seconds"] = self.source.clock() - self._started
        return Durations(**self.spent)

    def stamp(self) -> Stamp:
        """Return where and with what the candidate was measured."""
        return take_stamp(
            self.engines["candidate"],
            model_sha256=self.source.model_sha256,
            load_average_start=self._load_average_start,
        )

    def _start(self, side: Side, config: EngineConfig, *, public_ids: Sequence[int]) -> None:
        with self.blame(side):
            at = self.source.clock()
            start = self.source.prepare(config, side, public_ids=public_ids)
            built = self.source.clock()
            engine = start()
        self._stack.callback(engine.close)
        self.engines[side] = engine
        self.spent["build_seconds"] += built - at
        self.spent["load_seconds"] += self.source.clock() - built

    def _no_pairs(self, samples: list[Sample]) -> JobError:
        """Blame the candidate only where the others had their cores and it had not."""
        lost = {sample.side for sample in samples if sample.rejected}
        self.blame.side = "candidate" if lost == {"candidate"} else None
        shares = sorted(
            (sample.cpu_seconds or 0.0) / sample.wall_seconds
            for sample in samples
            if sample.side == "candidate"
        )
        threads = self.engines["candidate"].config.threads
        return JobError(
            f"no pair was left undisturbed: the candidate's {threads} threads"
            f" got {shares[len(shares) // 2]:.2f} cores",
            code="no_clean_pairs",
            hint="use fewer threads, or measure on a quieter machine",
        )


def tokens_per_second(samples: list[Sample], side: Side) -> float:
    """Return the median over the kept requests of `side`."""
    return median(
        sample.output_tokens / sample.wall_seconds
        for sample in samples
        if sample.side == side and sample.rejected is None
    )
