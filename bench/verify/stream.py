"""The timed part: private, public and long requests in one shuffled stream.

A server cannot tell which request counts for what: the warm-up is drawn from the same texts and as
long as the others, and candidate and baseline take turns, A B B A. Pure but for `serve`.
"""

import random
from collections.abc import Callable, Sequence
from statistics import median
from typing import Literal, NamedTuple

from bench.measurement import Sample, Side
from bench.pairs import Prompt, tokens_sha256
from bench.verify.watched import Request, Watched

Kind = Literal["private", "public", "long", "served"]
"""served: long, but without the baseline beside it."""


class Round(NamedTuple):
    """One prompt, served by one side or both."""

    kind: Kind
    prompt: Prompt
    tokens: int


class Timed(NamedTuple):
    """One request of the stream."""

    number: int
    side: Side
    round: Round
    request: Request
    idle_cpu_seconds: float | None = None
    """That the candidate's process used while the baseline was served."""


def plan(rounds: Sequence[Round], *, seed: int) -> tuple[Round, ...]:
    """Return the rounds in an order drawn by `seed`."""
    shuffled = list(rounds)
    random.Random(f"stream {seed}").shuffle(shuffled)
    return tuple(shuffled)


def serve(
    rounds: Sequence[Round],
    engines: dict[Side, Watched],
    *,
    blame: Callable[[Side], object],
) -> list[Timed]:
    """Return every request of the stream; it ends where the candidate miscounts.

    Without a baseline among `engines` the candidate is served alone.
    """
    out: list[Timed] = []
    order: tuple[Side, ...] = ("candidate", "baseline")
    for number, one in enumerate(rounds):
        for side in order if number % 2 == 0 else order[::-1]:
            if side not in engines or (side == "baseline" and one.kind == "served"):
                continue
            before = engines["candidate"].engine.cpu_seconds()
            with blame(side):  # type: ignore[attr-defined]
                request = engines[side].generate(one.prompt.token_ids, tokens=one.tokens)
            after = engines["candidate"].engine.cpu_seconds()
            known = side == "baseline" and before is not None and after is not None
            idle = (after or 0.0) - (before or 0.0) if known else None
            out.append(Timed(number, side, one, request, idle))
        if engines["candidate"].miscount():
            break
    return out


def samples(
    timed: Sequence[Timed], threads: dict[Side, int], *, min_cpu_share: float
) -> tuple[Sample, ...]:
    """Return the stream as samples; a disturbed one is marked.

    A process that lost its core is slow for no fault of its own. One that used little of it and was
    quick nevertheless lost nothing: it had its answer ready, and counts.
    """
    usual = _usual_seconds(timed, threads, min_cpu_share)
    return tuple(
        Sample(
            side=one.side,
            round=one.number,
            prompt=one.round.prompt.id,
            output_tokens=len(one.request.token_ids),
            wall_seconds=one.request.wall_seconds,
            cpu_seconds=one.request.cpu_seconds,
            tokens_sha256=tokens_sha256(one.request.token_ids),
            rejected=None
            if _had_its_core(one, threads, min_cpu_share)
            or one.request.wall_seconds <= usual.get((one.side, one.round.tokens), 0.0)
            else "cpu_taken_away",
        )
        for one in timed
    )


def idle_cores(timed: Sequence[Timed]) -> float | None:
    """Return the cores that the candidate kept busy while the baseline was timed; None: unknown."""
    known = [one for one in timed if one.idle_cpu_seconds is not None]
    wall = sum(one.request.wall_seconds for one in known)
    return sum(one.idle_cpu_seconds or 0.0 for one in known) / wall if wall else None


def ratios(timed: Sequence[Timed], kept: Sequence[Sample], kind: Kind) -> tuple[float, ...]:
    """Return candidate over baseline speed of the rounds of a kind whose samples both count."""
    seconds = {
        (one.number, one.side): one.request.wall_seconds
        for one, sample in zip(timed, kept, strict=True)
        if sample.rejected is None and one.round.kind == kind
    }
    return tuple(
        seconds[number, "baseline"] / own
        for (number, side), own in sorted(seconds.items())
        if side == "candidate" and (number, "baseline") in seconds
    )


def of_kind(timed: Sequence[Timed], kept: Sequence[Sample], kind: Kind) -> tuple[Sample, ...]:
    """Return the samples of a kind, both sides, disturbed ones included."""
    pairs = zip(timed, kept, strict=True)
    return tuple(sample for one, sample in pairs if one.round.kind == kind)


def speeds(timed: Sequence[Timed], kept: Sequence[Sample], kind: Kind, side: Side) -> list[float]:
    """Return tokens per second of one side's counted requests of a kind."""
    return [
        sample.output_tokens / sample.wall_seconds
        for one, sample in zip(timed, kept, strict=True)
        if sample.rejected is None and one.round.kind == kind and one.side == side
    ]


def _had_its_core(one: Timed, threads: dict[Side, int], min_cpu_share: float) -> bool:
    cpu, wall = one.request.cpu_seconds, one.request.wall_seconds
    return cpu is None or cpu >= min_cpu_share * wall * threads[one.side]


def _usual_seconds(
    timed: Sequence[Timed], threads: dict[Side, int], min_cpu_share: float
) -> dict[tuple[Side, int], float]:
    """Return the median undisturbed seconds by side and length."""
    found: dict[tuple[Side, int], list[float]] = {}
    for one in timed:
        if _had_its_core(one, threads, min_cpu_share):
            key = one.side, one.round.tokens
            found.setdefault(key, []).append(one.request.wall_seconds)
    return {key: median(seconds) for key, seconds in found.items()}
