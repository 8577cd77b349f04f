from collections.abc import Sequence
from contextlib import nullcontext

import pytest

from bench.challenge import StageProtocol
from bench.configs.llamacpp import LlamaCppConfig, WeightRecipe
from bench.engines.engine import Generation
from bench.engines.simulated import SimulatedEngine, VirtualClock
from bench.measurement import Drafting, Side
from bench.pairs import PairTimer, Prompt, plan_prompts

PROMPTS = [Prompt(f"p{i}", (2, 300 + i)) for i in range(20)]


class DisturbedEngine(SimulatedEngine):
    """Loses its core to a neighbour in some requests, and drafts in all."""

    lost: frozenset[int] = frozenset()
    served = 0

    def generate(self, prompt_ids: Sequence[int], *, max_tokens: int) -> Generation:
        self.served += 1
        before = self._cpu_seconds
        generation = super().generate(prompt_ids, max_tokens=max_tokens)
        if self.served in self.lost:
            self._cpu_seconds = before + 0.5 * (self._cpu_seconds - before)
        return generation._replace(drafting=Drafting(drafted_tokens=4, accepted_tokens=1))


def make_stage(**changes: float) -> StageProtocol:
    usual = {"min_pairs": 3, "max_pairs": 8, "half_width": 0.001, "measure_seconds": 1000}
    return StageProtocol.model_validate(
        usual | {"perplexity_tokens": 1, "wall_seconds": 99} | changes
    )


def make_timer(*, lost: Sequence[int] = (), config: LlamaCppConfig = LlamaCppConfig()) -> PairTimer:  # noqa: B008
    clock = VirtualClock()
    candidate = DisturbedEngine(config, seed=1, clock=clock)
    candidate.lost = frozenset(lost)
    baseline = SimulatedEngine(LlamaCppConfig(), seed=2, clock=clock)
    engines = {"candidate": candidate, "baseline": baseline}
    return PairTimer(engines, output_tokens=8, min_cpu_share=0.9, blame=lambda _side: nullcontext())


def run(timer: PairTimer, *, least: int = 0, **stage: float) -> PairTimer:
    timer.run(PROMPTS, make_stage(**stage), least=least, seed=1)
    return timer


def test_a_pair_whose_core_was_taken_away_does_not_count_and_is_made_up_for() -> None:
    timer = run(make_timer(lost=[2, 5]))
    rejected = [sample.round for sample in timer.samples if sample.rejected == "cpu_taken_away"]

    assert rejected == [1, 4]
    assert len(timer.ratios()) == 8
    assert len(timer.samples) == 20


def test_timing_stops_when_the_ratio_is_known_well_enough() -> None:
    timer = run(make_timer(), half_width=0.5)

    assert len(timer.ratios()) == 3


def test_no_round_begins_after_the_seconds_are_spent() -> None:
    timer = run(make_timer(), measure_seconds=2.0, half_width=1e-6)

    assert len(timer.ratios()) == 5  # of 0.45 s


def test_with_too_few_pairs_timing_goes_on_for_a_while_but_not_for_ever() -> None:
    timer = run(make_timer(lost=range(1, 100)), measure_seconds=2.0)

    assert timer.ratios() == ()
    assert len(timer.samples) == 2 * 10


def test_every_digest_prompt_is_served_even_when_time_is_up() -> None:
    timer = run(make_timer(lost=range(1, 100)), least=5, measure_seconds=0.001)

    assert list(timer.emitted["candidate"]) == ["p0", "p1", "p2", "p3", "p4"]


def test_drafts_are_counted_over_the_candidates_requests() -> None:
    timer = run(make_timer(), max_pairs=3)

    assert timer.drafting == Drafting(drafted_tokens=12, accepted_tokens=3)


def test_a_ratio_is_candidate_speed_over_baseline_speed() -> None:
    faster = LlamaCppConfig(weights=WeightRecipe(head="q4_0"))

    assert min(run(make_timer(config=faster)).ratios()) > 1.2


@pytest.mark.parametrize("seed", range(5))
def test_a_plan_uses_every_prompt_at_most_once(seed: int) -> None:
    plan = plan_prompts(PROMPTS, digest_prompts=3, warmup_requests=2, seed=seed)
    served = [*plan.warmup, *plan.rounds]

    assert plan.rounds[:3] == tuple(PROMPTS[:3])
    assert sorted(served) == sorted(PROMPTS)


def test_both_sides_warm_up_on_prompts_that_are_not_timed() -> None:
    timer = make_timer()
    timer.warm_up(PROMPTS[:2])
    candidate: Side = "candidate"

    assert timer.samples == []
    assert getattr(timer._engines[candidate], "served") == 2  # noqa: B009


def test_three_sides_take_turns_forward_and_backward_and_count_only_whole_rounds() -> None:
    timer = make_timer(lost=[2])
    engines = timer._engines
    engines["incumbent"] = SimulatedEngine(LlamaCppConfig(), seed=3, clock=VirtualClock())
    timer.emitted["incumbent"] = {}
    run(timer, max_pairs=3)
    sides = [sample.side for sample in timer.samples]

    assert sides[:3] == ["candidate", "incumbent", "baseline"]
    assert sides[3:6] == ["baseline", "incumbent", "candidate"]
    assert len(timer.ratios()) == len(timer.ratios("incumbent")) == 3
    assert len(timer.samples) == 3 * 4
