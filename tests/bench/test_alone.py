"""One engine at a time: absolute speed, stated baseline, contender and incumbent in succession."""

import json
from collections.abc import Sequence
from pathlib import Path

import pytest

from bench.__main__ import main
from bench.alone import speedup_of, total_speed
from bench.challenge_files import load_challenge
from bench.configs.llamacpp import KeptVocabulary, LlamaCppConfig, WeightRecipe
from bench.engine_sources import SimulatedSource, Starter
from bench.engines.engine import Engine
from bench.engines.simulated import SimulatedEngine
from bench.guardrails import judge
from bench.harness import JobRequest, run_job
from bench.measurement import FreshLaunch, JobOutcome, Measurement, Side
from tests.bench.process_engine import ProcessSource, make_request, write_alone, write_challenge
from tests.bench.tiny_model import write_tiny_model
from tests.builders import make_sample

PRUNED = LlamaCppConfig(
    weights=WeightRecipe(vocabulary=KeptVocabulary(strategy="ascii", size=131_072))
)


@pytest.fixture
def challenge(tmp_path: Path) -> Path:
    return write_alone(tmp_path)


class WatchedSource(SimulatedSource):
    """Simulated engines, and how many of them ran at once."""

    def __init__(self, folder: Path) -> None:
        super().__init__(load_challenge(folder).challenge, seed=1)
        self.running: list[Side] = []
        self.most, self.order = 0, list[Side]()

    def prepare(self, config: LlamaCppConfig, side: Side, *, public_ids: Sequence[int]) -> Starter:
        source = self

        class Counted(SimulatedEngine):
            def close(self) -> None:
                if side in source.running:
                    source.running.remove(side)

        def start() -> Engine:
            self.running.append(side)
            self.order.append(side)
            self.most = max(self.most, len(self.running))
            return Counted(config, seed=f"1 {side}", clock=self._clock)

        return start


def measured(outcome: JobOutcome) -> Measurement:
    assert outcome.status == "measured", outcome
    assert outcome.measurement is not None
    return outcome.measurement


def fresh(outcome: JobOutcome) -> FreshLaunch:
    assert outcome.status == "measured", outcome
    assert outcome.fresh is not None
    return outcome.fresh


def test_a_candidate_alone_is_compared_with_the_stated_baseline(challenge: Path) -> None:
    source = WatchedSource(challenge)
    found = measured(run_job(make_request(challenge, stage="full"), source=source))

    assert source.order == ["candidate"]
    assert found.baseline_stated
    assert found.baseline_tokens_per_second == 40.0
    assert {one.side for one in found.samples} == {"candidate"}
    assert len({one.prompt for one in found.samples}) == len(found.samples) == 9
    assert found.speedup == pytest.approx(found.tokens_per_second / 40.0)
    assert found.speedup_low < found.speedup < found.speedup_high


def test_speed_alone_is_all_tokens_over_all_seconds(challenge: Path) -> None:
    found = measured(run_job(make_request(challenge)))
    tokens = sum(one.output_tokens for one in found.samples)
    seconds = sum(one.wall_seconds for one in found.samples)

    assert found.tokens_per_second == pytest.approx(tokens / seconds)
    assert found.pair_ratios == pytest.approx(
        [one.output_tokens / one.wall_seconds / 40.0 for one in found.samples]
    )


def test_the_stated_perplexity_is_of_the_same_text(challenge: Path) -> None:
    found = measured(run_job(make_request(challenge)))
    rule = load_challenge(challenge).challenge.guardrail

    assert found.reference_perplexity.value == 10.0
    assert found.reference_perplexity.text_sha256 == found.perplexity.text_sha256
    assert judge(found, rule).reason != "texts_differ"


def test_a_pruned_candidate_has_its_texts_read_by_the_baseline_first(challenge: Path) -> None:
    source = WatchedSource(challenge)
    outcome = run_job(make_request(challenge, PRUNED), source=source)

    assert measured(outcome).kept_check is not None
    assert (source.order, source.most) == (["baseline", "candidate"], 1)


def test_texts_that_are_ids_need_no_other_engine(challenge: Path) -> None:
    for name in ("prompts", "passages"):
        file = challenge / f"{name}.jsonl"
        rows = [json.loads(line) for line in file.read_text().splitlines()]
        ids = [{"id": r["id"], "source": "s", "token_ids": list(r["text"].encode())} for r in rows]
        file.write_text("\n".join(map(json.dumps, ids)))
    source = WatchedSource(challenge)
    found = measured(run_job(make_request(challenge, PRUNED), source=source))

    assert source.order == ["candidate"]
    assert found.perplexity.tokens == 60


def test_given_targets_alone_are_scored(tmp_path: Path) -> None:
    folder = write_challenge(tmp_path)
    row = {"id": "p", "context_token_ids": [2, 300, 301], "target_token_ids": [400, 401, 402, 403]}
    (folder / "passages.jsonl").write_text(json.dumps(row))
    found = measured(run_job(make_request(folder)))

    assert found.perplexity.tokens == found.reference_perplexity.tokens == 4


@pytest.mark.parametrize("incumbent_first", [None, True])
def test_contender_and_incumbent_never_run_at_once(
    challenge: Path, incumbent_first: bool | None
) -> None:
    source = WatchedSource(challenge)
    asked = make_request(challenge, LlamaCppConfig(poll=10)).model_copy(
        update={"stage": "fresh", "incumbent_first": incumbent_first}
    )
    found = fresh(run_job(asked, source=source))
    order: list[Side] = ["candidate", "incumbent"]

    assert source.most == 1
    assert source.order == (order[::-1] if incumbent_first else order)
    assert found.baseline_stated
    for side in order:
        assert len({one.prompt for one in found.samples if one.side == side}) == 4
    speeds = [total_speed(found.samples, side) for side in order]
    assert found.contrasts == pytest.approx((speeds[0] / speeds[1],))
    assert found.ratios == pytest.approx((speeds[0] / 40,))
    assert found.incumbent_ratios == pytest.approx((speeds[1] / 40,))


@pytest.mark.parametrize(
    ("side", "fault"), [("candidate", "agent"), ("incumbent", "infrastructure")]
)
def test_alone_too_each_answers_for_its_own_engine(challenge: Path, side: Side, fault: str) -> None:
    asked = make_request(challenge).model_copy(
        update={"stage": "fresh", "incumbent": LlamaCppConfig(poll=20)}
    )
    outcome = run_job(asked, source=ProcessSource(failing=side, how="crash"))

    assert (outcome.code, outcome.fault) == ("engine_died", fault)


def test_the_interval_of_totals_holds_the_estimate_and_one_request_is_wide() -> None:
    samples = [make_sample("candidate", i, tokens_per_second=40 + i % 5) for i in range(40)]
    found, single = (speedup_of(some, 40.0, seed=1) for some in (samples, samples[:1]))

    assert found.low < found.estimate < found.high
    assert found.high - found.low < 0.03
    assert single.high - single.low == pytest.approx(0.196)


def test_rejected_requests_count_nowhere() -> None:
    good = make_sample("candidate", 0, tokens_per_second=50)
    lost = make_sample("candidate", 1, tokens_per_second=1)
    samples = [good, lost.model_copy(update={"rejected": "cpu_taken_away"})]

    assert total_speed(samples, "candidate") == pytest.approx(50)


def test_people_are_told_that_the_baseline_is_stated(
    challenge: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    where = ["--challenge", str(challenge), "--engine", "simulated", "--cache", str(challenge)]

    assert main(where) == 0
    printed = capsys.readouterr().out
    assert "stated baseline tokens/s" in printed
    assert "9 requests of 9" in printed


@pytest.mark.enable_socket
def test_a_real_engine_alone(tmp_path: Path) -> None:
    folder = write_alone(tmp_path)
    model = write_tiny_model(folder / "tiny.gguf")
    file = folder / "challenge.toml"
    text = file.read_text().replace('engine = "simulated"', 'engine = "llamacpp"')
    text = text.replace("path:nowhere", f"path:{model.path}").replace("0" * 64, model.sha256)
    file.write_text(text.replace("min_cpu_share = 0.9", "min_cpu_share = 0.0"))
    request = JobRequest(
        challenge=str(folder), config=LlamaCppConfig(), stage="full", cache_folder=folder / "cache"
    )
    full, two = run_job(request), run_job(request.model_copy(update={"stage": "fresh"}))

    assert measured(full).tokens_per_second > 0
    assert not measured(full).simulated
    assert measured(full).durations.load_seconds > 0
    assert fresh(two).output_digest == fresh(two).incumbent_digest
