from contextlib import nullcontext

import pytest

from bench.configs.llamacpp import LlamaCppConfig
from bench.engines.simulated import SimulatedEngine
from bench.pairs import Prompt
from bench.verify.stream import Kind, Round, Timed, plan, ratios, samples, serve, speeds
from bench.verify.watched import Request, Watched

THREADS = {"candidate": 1, "baseline": 1}
PROMPT = Prompt("p", (2, 300, 301))


def timed(number: int, side: str, seconds: float, *, cpu: float, kind: Kind = "private") -> Timed:
    request = Request(20, (1,) * 20, None, seconds, cpu)
    return Timed(number, side, Round(kind, PROMPT, 20), request)  # type: ignore[arg-type]


def rejections(*stream: Timed) -> list[bool]:
    kept = samples(stream, THREADS, min_cpu_share=0.9)  # type: ignore[arg-type]
    return [sample.rejected is not None for sample in kept]


def test_the_stream_is_shuffled_and_loses_nothing() -> None:
    rounds = [Round("private", PROMPT._replace(id=str(i)), 20) for i in range(9)]
    first = plan(rounds, seed=1)

    assert first != tuple(rounds)
    assert sorted(first) == sorted(rounds)
    assert first == plan(rounds, seed=1) != plan(rounds, seed=2)


def test_sides_take_turns_and_a_served_round_is_the_candidates_alone() -> None:
    engine = SimulatedEngine(LlamaCppConfig(), seed=1)
    sides = {side: Watched(engine, vocabulary=None) for side in THREADS}
    kinds: list[Kind] = ["private", "long", "served"]
    rounds = [Round(kind, PROMPT, 4) for kind in kinds]
    done = serve(rounds, sides, blame=lambda _side: nullcontext())  # type: ignore[arg-type]

    assert [one.side for one in done] == [
        *("candidate", "baseline", "baseline", "candidate", "candidate")
    ]


def test_a_slow_request_without_its_core_does_not_count() -> None:
    clean = [timed(i, "candidate", 1.0, cpu=1.0) for i in range(3)]

    assert rejections(*clean, timed(3, "candidate", 2.0, cpu=1.0)) == [False] * 3 + [True]


def test_a_quick_request_with_an_idle_core_counts() -> None:
    """Its answer was ready: that is what the other tests have to see."""
    clean = [timed(i, "candidate", 1.0, cpu=1.0) for i in range(3)]

    assert rejections(*clean, timed(3, "candidate", 0.01, cpu=0.001)) == [False] * 4


def test_a_ratio_needs_both_sides_of_a_round() -> None:
    stream = [
        timed(0, "candidate", 1.0, cpu=1.0),
        timed(0, "baseline", 2.0, cpu=2.0),
        timed(1, "baseline", 9.0, cpu=1.0),
        timed(1, "candidate", 1.0, cpu=1.0),
        timed(2, "candidate", 1.0, cpu=1.0, kind="public"),
        timed(2, "baseline", 1.5, cpu=1.5, kind="public"),
    ]
    kept = samples(stream, THREADS, min_cpu_share=0.9)  # type: ignore[arg-type]

    assert ratios(stream, kept, "private") == (2.0,)
    assert ratios(stream, kept, "public") == (1.5,)
    assert speeds(stream, kept, "private", "candidate") == [20.0, 20.0]


def test_times_are_the_verifiers_own() -> None:
    """A simulated engine says seconds went by; our clock knows that none did."""
    engine = SimulatedEngine(LlamaCppConfig(), seed=1)
    request = Watched(engine, vocabulary=None).generate((2, 300), tokens=50)

    assert engine.clock() > 1
    assert request.wall_seconds < 0.5


@pytest.mark.parametrize("came", [3, 5, 0])
def test_a_miscount_is_seen(came: int) -> None:
    watched = Watched(SimulatedEngine(LlamaCppConfig(), seed=1), vocabulary=None)
    watched.requests += [
        Request(4, (7,) * 4, None, 1.0, 1.0),
        Request(4, (7,) * came, None, 1.0, 1.0),
    ]

    assert watched.miscount() == abs(came - 4) / 4
