"""The engines of one launch: weights, start, timing in turns, digest, stamp.

Knows how a launch is put together and how long each part took; does not know what is made of the
samples. Times are told by the source's clock.
"""

import hashlib
from collections.abc import Sequence
from contextlib import ExitStack
from statistics import median

from bench.challenge import StageProtocol
from bench.challenge_files import Ids, LoadedChallenge, Text
from bench.configs.engine_config import EngineConfig
from bench.engine_sources import EngineSource
from bench.engines.engine import CountsDrafts, Engine, TellsStart
from bench.failures import Blamed, Deadline
from bench.measurement import Drafting, Durations, Sample, Side, Stamp
from bench.pairs import PairTimer, Prompt, plan_prompts, tokens_sha256
from bench.perplexity import Passage, passage_of
from bench.placement import harness_aside
from bench.stamp import load_average, take_stamp
from sandbox.errors import JobError

PARTS = tuple(name for name, field in Durations.model_fields.items() if field.is_required())
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
        self.passages: list[Passage] = []
        self.prompts: list[Prompt] = []
        self.spent: dict[str, float] = dict.fromkeys(PARTS, 0.0)
        self._phases: dict[str, float] | None = None
        self._stack, self._deadline = stack, deadline
        self._load_average_start, self._started = load_average(), source.clock()
        stack.callback(source.close)

    def start_baseline(self) -> None:
        """Start the baseline and make tokens of the challenge's texts.

        The full vocabulary's ids come from the baseline, whatever a candidate keeps of it.
        """
        self.limit(self.loaded.challenge.quotas.build_seconds)
        self._start("baseline", self.loaded.challenge.baseline, public_ids=())
        self.read_texts("baseline")

    def borrow(self, other: "Launch") -> None:
        """Take the running baseline of another launch, which ends it, and the texts it has read."""
        self.limit(self.loaded.challenge.quotas.build_seconds)
        self.engines["baseline"] = other.engines["baseline"]
        self.passages, self.prompts = other.passages, other.prompts

    @property
    def texts_are_ids(self) -> bool:
        """Whether no engine has to make tokens of any text."""
        return all(one.ids is not None for one in (*self.loaded.passages, *self.loaded.prompts))

    def read_texts(self, side: Side | None = None) -> None:
        """Make tokens of the texts that are not ids yet, with the engine of `side`."""
        length = self.loaded.challenge.protocol.prompt_tokens

        def ids(text: Text) -> Ids:
            given = text.ids
            if given is not None:
                return given
            assert side is not None
            assert text.text is not None
            return self.engines[side].tokenize(text.text)

        self.passages = [passage_of(text, ids(text)) for text in self.loaded.passages]
        self.prompts = [Prompt(text.id, ids(text)[:length]) for text in self.loaded.prompts]

    def start(self, side: Side, config: EngineConfig) -> None:
        """Build the weights of `config` and start its engine beside the others."""
        whole = [one.context + one.targets for one in self.passages]
        texts = (*whole, *(prompt.token_ids for prompt in self.prompts))
        self._start(side, config, public_ids=[i for ids in texts for i in ids])

    def end(self, side: Side) -> None:
        """End the engine of a side, so that another may have the device."""
        self.engines.pop(side).close()

    def limit(self, seconds: float) -> None:
        """End the engines when (nearly) as many seconds have passed from now on."""

        def end_engines() -> None:
            for engine in list(self.engines.values()):
                engine.close()

        self._deadline.set(OWN_SHARE * seconds, end_engines)

    def time(self, stage: StageProtocol, *, seed: int, stated: float | None = None) -> PairTimer:
        """Serve the prompts on all sides in turns.

        `stated` is the baseline's speed where a side runs alone.

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
            stated=stated,
        )
        with harness_aside(min(engine.config.cpu_threads for engine in self.engines.values())):
            timer.warm_up(plan.warmup)
            before = self._drafted()
            timer.run(plan.rounds, stage, least=protocol.digest_prompts, seed=seed)
        if before is not None and (after := self._drafted()) is not None:
            timer.drafting = Drafting(
                drafted_tokens=after.drafted_tokens - before.drafted_tokens,
                accepted_tokens=after.accepted_tokens - before.accepted_tokens,
            )
        self.spent["measure_seconds"] += self.source.clock() - at
        if not timer.known():
            raise self._no_pairs(timer.samples)
        return timer

    def _drafted(self) -> Drafting | None:
        """Ask the candidate for its totals, where it keeps some and guesses."""
        engine = self.engines.get("candidate")
        if not isinstance(engine, CountsDrafts) or not engine.config.speculates:
            return None
        with self.blame("candidate"):
            return engine.drafting()

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
        return Durations(**self.spent, start_seconds=self._phases)

    def stamp(self, side: Side = "candidate") -> Stamp:
        """Return where and with what the candidate was measured."""
        return take_stamp(
            self.engines[side],
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
        if side == "candidate" and isinstance(engine, TellsStart):
            self._phases = dict(engine.start_seconds)
        self.spent["build_seconds"] += built - at
        self.spent["load_seconds"] += self.source.clock() - built

    def _no_pairs(self, samples: list[Sample]) -> JobError:
        """Blame the candidate only where the others had their cores and it had not."""
        lost = {sample.side for sample in samples if sample.rejected}
        self.blame.side = "candidate" if lost == {"candidate"} else None
        side: Side = "candidate" if "candidate" in self.engines else next(iter(self.engines))
        shares = sorted(
            (sample.cpu_seconds or 0.0) / sample.wall_seconds
            for sample in samples
            if sample.side == side
        )
        threads = self.engines[side].config.cpu_threads
        return JobError(
            f"no pair was left undisturbed: the {side}'s {threads} threads"
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
