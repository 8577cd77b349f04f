"""Times candidate and baseline in turns, A B B A, until the ratio is known well enough.

A neighbour that eats memory bandwidth slows all sides of a round alike, so ratios survive what
single timings do not. Three sides take turns the same way: A B C, C B A. One side alone is compared
with a stated speed. Knows engines and prompts; knows no weights, no perplexity and no record.
"""

import hashlib
import random
from collections.abc import Iterable, Sequence
from contextlib import AbstractContextManager
from typing import NamedTuple, Protocol

from bench.challenge import StageProtocol
from bench.engines.engine import Engine
from bench.measurement import Drafting, Sample, Side
from bench.noise import interval

WARMUP_TOKENS = 8
"""Enough to touch every weight and code path; a full request would cost a screen a second."""
TURNS: tuple[Side, ...] = ("candidate", "incumbent", "baseline")
"""Order of the sides in even rounds; odd rounds go backward."""
OVERTIME = 2.0
"""With fewer kept pairs than asked for, timing may go on to this multiple of its seconds."""


class Prompt(NamedTuple):
    """A tokenized prompt."""

    id: str
    token_ids: tuple[int, ...]


class Plan(NamedTuple):
    """Which prompt is served when; none is served twice by one engine."""

    warmup: tuple[Prompt, ...]
    rounds: tuple[Prompt, ...]


class Blame(Protocol):
    """Marks the side whose engine is at work, for whoever attributes failures."""

    def __call__(self, side: Side) -> AbstractContextManager[None]:
        """Return a context in which failures belong to `side`."""


def plan_prompts(
    prompts: Sequence[Prompt], *, digest_prompts: int, warmup_requests: int, seed: int
) -> Plan:
    """Return the plan: the fixed digest prompts first, the others in an order drawn by `seed`."""
    rest = list(prompts[digest_prompts:])
    random.Random(f"prompts {seed}").shuffle(rest)
    warmup = rest[:warmup_requests]
    return Plan(tuple(warmup), (*prompts[:digest_prompts], *rest[warmup_requests:]))


class PairTimer:
    """The timed part of one launch; `samples` and `drafting` grow as it goes."""

    def __init__(
        self,
        engines: dict[Side, Engine],
        *,
        output_tokens: int,
        min_cpu_share: float,
        blame: Blame,
        stated: float | None = None,
    ) -> None:
        """Take `stated`, tokens per second of the baseline, where it is not among `engines`."""
        self.samples: list[Sample] = []
        self.emitted: dict[Side, dict[str, tuple[int, ...]]] = {side: {} for side in engines}
        """By side: prompt id -> its tokens, of rejected samples too."""
        self.drafting: Drafting | None = None
        self._engines = engines
        self._output_tokens = output_tokens
        self._min_cpu_share = min_cpu_share
        self._blame = blame
        self._stated = stated
        self._own: Side = "candidate" if "candidate" in engines else next(iter(engines))

    def warm_up(self, prompts: Iterable[Prompt]) -> None:
        """Serve each prompt once on both sides, uncounted."""
        for prompt in prompts:
            for side, engine in self._engines.items():
                with self._blame(side):
                    engine.generate(prompt.token_ids, max_tokens=WARMUP_TOKENS)

    def run(self, rounds: Sequence[Prompt], stage: StageProtocol, *, least: int, seed: int) -> None:
        """Time rounds until the ratio is known to the stage's half-width, or time is up.

        Every round but those with a rejected sample counts. At least `least` rounds are run, so
        that the output digest covers its prompts; at most the stage's pairs and the prompts given.
        """
        clock = self._engines[self._own].clock
        started = clock()
        for number, prompt in enumerate(rounds):
            kept = len(self.known())
            if number >= least and self._is_enough(kept, stage, clock() - started, seed):
                return
            turns = [side for side in TURNS if side in self._engines]
            for side in turns if number % 2 == 0 else turns[::-1]:
                self.samples.append(self._timed(side, number, prompt))

    def ratios(self, of: Side = "candidate", *, over: Side = "baseline") -> tuple[float, ...]:
        """Return the speed of one side over another's in each kept round, in order."""
        rounds: dict[int, dict[Side, float]] = {}
        for sample in self.samples:
            if sample.rejected is None:
                rounds.setdefault(sample.round, {})[sample.side] = sample.wall_seconds
        whole = [times for _, times in sorted(rounds.items()) if len(times) == len(self._engines)]
        return tuple(times[over] / times[of] for times in whole)

    def speeds(self, of: Side) -> tuple[float, ...]:
        """Return tokens per second of each kept request of one side, in order."""
        kept = (one for one in self.samples if one.side == of and one.rejected is None)
        return tuple(one.output_tokens / one.wall_seconds for one in kept)

    def known(self) -> tuple[float, ...]:
        """Return what the stopping rule looks at: ratios, or what a side alone has over a speed."""
        if self._stated is None:
            return self.ratios()
        return tuple(speed / self._stated for speed in self.speeds(self._own))

    def _is_enough(self, kept: int, stage: StageProtocol, spent: float, seed: int) -> bool:
        if spent >= OVERTIME * stage.measure_seconds or kept >= stage.max_pairs:
            return True
        if kept < stage.min_pairs:
            return False
        if spent >= stage.measure_seconds:
            return True
        known = interval(self.known(), seed=seed)
        return (known.high - known.low) / 2 < stage.half_width * known.estimate

    def _timed(self, side: Side, number: int, prompt: Prompt) -> Sample:
        engine = self._engines[side]
        with self._blame(side):
            cpu_before, before = engine.cpu_seconds(), engine.clock()
            generation = engine.generate(prompt.token_ids, max_tokens=self._output_tokens)
            wall_seconds = engine.clock() - before
            cpu_after = engine.cpu_seconds()
        self.emitted[side][prompt.id] = generation.token_ids
        if side == "candidate":
            self._count(generation.drafting)
        cpu_seconds = None if cpu_after is None or cpu_before is None else cpu_after - cpu_before
        return Sample(
            side=side,
            round=number,
            prompt=prompt.id,
            output_tokens=len(generation.token_ids),
            wall_seconds=wall_seconds,
            cpu_seconds=cpu_seconds,
            tokens_sha256=tokens_sha256(generation.token_ids),
            rejected=self._objection(wall_seconds, cpu_seconds, engine.config.cpu_threads),
        )

    def _objection(
        self, wall_seconds: float, cpu_seconds: float | None, threads: int
    ) -> str | None:
        if cpu_seconds is None or cpu_seconds >= self._min_cpu_share * wall_seconds * threads:
            return None
        return "cpu_taken_away"

    def _count(self, drafting: Drafting | None) -> None:
        if drafting is not None:
            so_far = self.drafting or Drafting(drafted_tokens=0, accepted_tokens=0)
            self.drafting = Drafting(
                drafted_tokens=so_far.drafted_tokens + drafting.drafted_tokens,
                accepted_tokens=so_far.accepted_tokens + drafting.accepted_tokens,
            )


def tokens_sha256(token_ids: Iterable[int]) -> str:
    """Return the hash a `Sample` carries: over the comma-joined decimal ids."""
    return hashlib.sha256(",".join(map(str, token_ids)).encode()).hexdigest()
