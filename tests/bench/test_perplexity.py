import json
import math
from collections.abc import Sequence
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bench.configs.llamacpp import LlamaCppConfig
from bench.engines.simulated import SimulatedEngine
from bench.perplexity import LogProbs, Targets, make_targets, perplexity, score
from bench.reference import ReferenceKey, reference_logprobs
from sandbox.errors import JobError

TARGETS = make_targets([(2, 300, 301, 302), (2,), (2, 400, 401)])
passage_lists = st.lists(st.lists(st.integers(0, 500), min_size=1, max_size=9), max_size=4)


class CountingEngine(SimulatedEngine):
    """Counts what it is asked."""

    asked = 0

    def logprobs(self, context_ids: Sequence[int], target_ids: Sequence[int]) -> LogProbs:
        self.asked += len(target_ids)
        return super().logprobs(context_ids, target_ids)


class OddEngine(CountingEngine):
    """Answers every question with the same thing."""

    answer: LogProbs = ()

    def logprobs(self, context_ids: Sequence[int], target_ids: Sequence[int]) -> LogProbs:
        return self.answer


def make_engine() -> CountingEngine:
    return CountingEngine(LlamaCppConfig(), seed=1)


def test_everything_before_a_target_is_its_context() -> None:
    assert TARGETS.passages == (((2,), (300, 301, 302)), ((2,), (400, 401)))
    assert TARGETS.between(2, 4).passages == (((2, 300, 301), (302,)), ((2,), (400,)))


@given(passage_lists, st.integers(0, 40), st.integers(0, 40))
def test_a_list_cut_anywhere_scores_the_same(ids: list[list[int]], one: int, two: int) -> None:
    targets, engine = make_targets(ids), make_engine()
    low, high = sorted((one, two))
    parts = [targets.between(0, low), targets.between(low, high), targets.between(high, 99)]

    assert sum((score(engine, part) for part in parts), ()) == score(engine, targets)


def test_perplexity_is_exp_of_the_mean_surprise() -> None:
    found = perplexity((-1.0, -2.0, -3.0, -4.0, -5.0), TARGETS, missing_logprob=-12)

    assert found.value == pytest.approx(math.exp(3))
    assert (found.tokens, found.missing_targets) == (5, 0)


def test_a_missing_target_scores_the_floor_and_is_counted() -> None:
    found = perplexity((-1.0, None, -1.0, None, -1.0), TARGETS, missing_logprob=-11)

    assert found.value == pytest.approx(math.exp(5))
    assert found.missing_targets == 2


def test_the_hash_tells_texts_apart() -> None:
    others = [TARGETS.between(0, 4), make_targets([(2, 300, 301), (2, 302, 400, 401)]), Targets(())]

    assert len({one.sha256() for one in (TARGETS, *others)}) == 4


@pytest.mark.parametrize("answer", [(-1.0,), (-1.0,) * 9, (float("nan"),) * 3, (0.5,) * 3])
def test_what_is_no_log_probability_is_rubbish(answer: LogProbs) -> None:
    engine = OddEngine(LlamaCppConfig(), seed=1)
    engine.answer = answer

    with pytest.raises(JobError) as caught:
        score(engine, TARGETS.between(0, 3))
    assert caught.value.code == "engine_rubbish"


def test_an_impossible_target_is_rubbish() -> None:
    with pytest.raises(JobError, match="not finite"):
        perplexity((-1.0, -math.inf, -1.0, -1.0, -1.0), TARGETS, missing_logprob=-12)


KEY = ReferenceKey(fingerprint="f", artefact="a", version="1", cpu="c")


def test_a_screen_uses_the_beginning_of_what_a_full_job_stored(tmp_path: Path) -> None:
    full, screen = make_engine(), make_engine()
    known = reference_logprobs(full, TARGETS, 5, key=KEY, folder=tmp_path)

    assert reference_logprobs(screen, TARGETS, 3, key=KEY, folder=tmp_path) == known[:3]
    assert (full.asked, screen.asked) == (5, 0)


def test_a_full_job_only_adds_what_the_screen_left_out(tmp_path: Path) -> None:
    engine = make_engine()
    reference_logprobs(engine, TARGETS, 2, key=KEY, folder=tmp_path)
    known = reference_logprobs(engine, TARGETS, 5, key=KEY, folder=tmp_path)

    assert engine.asked == 5
    assert known == score(make_engine(), TARGETS)


@pytest.mark.parametrize("part", ["fingerprint", "artefact", "version", "cpu"])
def test_another_machine_or_model_has_a_reference_of_its_own(part: str) -> None:
    parts = {"fingerprint": "f", "artefact": "a", "version": "1", "cpu": "c"} | {part: "other"}

    assert ReferenceKey(**parts).file_name(TARGETS) != KEY.file_name(TARGETS)


@pytest.mark.parametrize("content", ["", "{}", '{"logprobs": [null]}', "[1]"])
def test_a_damaged_reference_is_made_again(tmp_path: Path, content: str) -> None:
    (tmp_path / KEY.file_name(TARGETS)).write_text(content)
    known = reference_logprobs(make_engine(), TARGETS, 5, key=KEY, folder=tmp_path)

    assert json.loads((tmp_path / KEY.file_name(TARGETS)).read_text())["logprobs"] == list(known)


def test_a_reference_that_cannot_be_stored_is_still_used(tmp_path: Path) -> None:
    folder = tmp_path / "file"
    folder.write_text("in the way")

    assert len(reference_logprobs(make_engine(), TARGETS, 5, key=KEY, folder=folder)) == 5


def test_a_reference_without_a_target_is_no_reference(tmp_path: Path) -> None:
    engine = OddEngine(LlamaCppConfig(), seed=1)
    engine.answer = (None, -1.0, -1.0)

    with pytest.raises(JobError, match="lacks a target"):
        reference_logprobs(engine, TARGETS.between(0, 3), 3, key=KEY, folder=tmp_path)
