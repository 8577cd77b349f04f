import json
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path

import pytest

from bench.__main__ import main
from bench.challenge_files import load_challenge
from bench.configs.llamacpp import KeptVocabulary, LayerFormat, LlamaCppConfig, WeightRecipe
from bench.engine_sources import SimulatedSource, Starter
from bench.engines.engine import Generation
from bench.engines.simulated import SimulatedEngine
from bench.guardrails import judge
from bench.harness import run_job
from bench.measurement import FreshLaunch, JobOutcome, Measurement, Side
from sandbox.errors import JobTimeout
from tests.bench.process_engine import FASTER, ProcessSource, make_request, write_challenge

ROOT = Path(__file__).parents[2]
SHIPPED = LlamaCppConfig(
    weights=WeightRecipe(head="shipped", attention="shipped", feed_forward="shipped")
)


@pytest.fixture
def challenge(tmp_path: Path) -> Path:
    return write_challenge(tmp_path)


def measured(outcome: JobOutcome) -> Measurement:
    assert outcome.status == "measured", outcome
    assert outcome.measurement is not None
    return outcome.measurement


def test_the_baseline_against_itself_is_as_fast_as_itself(challenge: Path) -> None:
    found = measured(run_job(make_request(challenge, LlamaCppConfig(), stage="full")))

    assert found.speedup_low < 1 < found.speedup_high
    assert found.perplexity == found.reference_perplexity
    assert found.simulated


def test_the_same_request_gives_the_same_outcome(challenge: Path) -> None:
    first, second = run_job(make_request(challenge)), run_job(make_request(challenge))

    assert first == second


def test_another_seed_is_another_launch(challenge: Path) -> None:
    launches = [measured(run_job(make_request(challenge, seed=seed))) for seed in range(8)]

    assert len({launch.speedup for launch in launches}) == 8
    assert 1 < len({launch.output_digest for launch in launches}) <= 3


def test_fewer_bytes_are_faster(challenge: Path) -> None:
    found = measured(run_job(make_request(challenge, SHIPPED, stage="full")))

    assert 1.15 < found.speedup_low < found.speedup_high < 1.4


def test_engines_take_turns_and_no_prompt_is_served_twice(challenge: Path) -> None:
    samples = measured(run_job(make_request(challenge, stage="full"))).samples
    sides = [sample.side for sample in samples]

    assert sides[:4] == ["candidate", "baseline", "baseline", "candidate"]
    for side in ("candidate", "baseline"):
        served = [sample.prompt for sample in samples if sample.side == side]
        assert len(served) == len(set(served)) == 9


def test_the_digest_does_not_depend_on_the_order_of_the_other_prompts(challenge: Path) -> None:
    launches = [measured(run_job(make_request(challenge, seed=seed))) for seed in range(3)]
    first_two = {tuple(one.prompt for one in launch.samples[:4]) for launch in launches}
    others = {tuple(one.prompt for one in launch.samples[4:]) for launch in launches}

    assert len(first_two) == 1
    assert len(others) == 3


def test_a_small_first_vocabulary_misses_targets_and_is_invalid(tmp_path: Path) -> None:
    vocabulary = KeptVocabulary(strategy="first", size=16_384)
    config = LlamaCppConfig(weights=WeightRecipe(vocabulary=vocabulary))
    request = make_request(tmp_path, config).model_copy(
        update={"challenge": "gemma-270m-cpu", "engine": "simulated", "stage": "full"}
    )
    found = measured(run_job(request))
    ruling = judge(found, load_challenge("gemma-270m-cpu").challenge.guardrail)

    assert 0.1 < found.perplexity.missing_targets / found.perplexity.tokens < 0.4
    assert ruling[:2] == ("invalid", "missing_targets")


@pytest.mark.parametrize(
    ("how", "status", "code"),
    [
        ("crash", "crashed", "engine_died"),
        ("rubbish", "rubbish", "engine_rubbish"),
        ("out_of_memory", "out_of_memory", "out_of_memory"),
    ],
)
@pytest.mark.parametrize(
    ("side", "fault"), [("candidate", "agent"), ("baseline", "infrastructure")]
)
def test_a_failing_engine_is_a_typed_outcome(
    challenge: Path, how: str, status: str, code: str, side: Side, fault: str
) -> None:
    source = ProcessSource(failing=side, how=how)
    outcome = run_job(make_request(challenge), source=source)

    assert (outcome.status, outcome.code, outcome.fault) == (status, code, fault)
    assert "Traceback" not in (outcome.message or "")


def test_an_engine_that_hangs_is_ended_at_the_deadline(tmp_path: Path) -> None:
    folder, started = write_challenge(tmp_path, wall_seconds=0.4), time.monotonic()
    outcome = run_job(make_request(folder), source=ProcessSource(failing="candidate", how="hang"))

    assert (outcome.status, outcome.code, outcome.fault) == ("timed_out", "deadline", "agent")
    assert time.monotonic() - started < 5


def test_a_probability_that_is_no_number_is_rubbish(challenge: Path) -> None:
    source = ProcessSource(failing="candidate", how="nan", before=6)
    outcome = run_job(make_request(challenge), source=source)

    assert (outcome.status, outcome.fault) == ("rubbish", "agent")
    assert "nan" in (outcome.message or "")


def test_every_engine_is_closed_whatever_happens(challenge: Path) -> None:
    source = ProcessSource(failing="candidate", how="crash")
    run_job(make_request(challenge), source=source)

    assert [engine.peak_memory_bytes() for engine in source.engines] == [None, None]


def test_the_reference_is_asked_once_and_then_comes_from_disk(challenge: Path) -> None:
    measured(
        run_job(make_request(challenge), source=ProcessSource(failing="candidate", how="none"))
    )
    silent = ProcessSource(failing="baseline", how="nan", before=6)  # after warm-up and five rounds

    assert (
        measured(run_job(make_request(challenge), source=silent)).reference_perplexity.tokens == 20
    )


def test_a_config_the_model_cannot_have_is_refused(challenge: Path) -> None:
    override = LayerFormat(layers=(18,), tensors=("attn_q",), format="q4_0")
    config = LlamaCppConfig(weights=WeightRecipe(overrides=(override,)))
    outcome = run_job(make_request(challenge, config))

    assert (outcome.status, outcome.fault, outcome.code) == ("refused", "agent", "bad_layer")


def test_a_missing_challenge_is_nobodys_config(tmp_path: Path) -> None:
    outcome = run_job(make_request(tmp_path / "nowhere"))

    assert (outcome.status, outcome.fault) == ("refused", "infrastructure")
    assert outcome.code == "unknown_challenge"


class OddSource(SimulatedSource):
    """Simulated engines, one side of which does something a real one might."""

    def __init__(self, side: Side, oddity: type[SimulatedEngine]) -> None:
        super().__init__(load_challenge("gemma-270m-cpu").challenge, seed=1)
        self._side, self._oddity = side, oddity

    def prepare(self, config: LlamaCppConfig, side: Side, *, public_ids: Sequence[int]) -> Starter:
        if side != self._side:
            return super().prepare(config, side, public_ids=public_ids)
        return lambda: self._oddity(config, seed=1, clock=self._clock)


class Starved(SimulatedEngine):
    def cpu_seconds(self) -> float:
        return 0.5 * super().cpu_seconds()


class Interrupted(SimulatedEngine):
    def generate(self, prompt_ids: Sequence[int], *, max_tokens: int) -> Generation:
        raise KeyboardInterrupt


class Greedy(SimulatedEngine):
    def generate(self, prompt_ids: Sequence[int], *, max_tokens: int) -> Generation:
        raise MemoryError


class Buggy(SimulatedEngine):
    def generate(self, prompt_ids: Sequence[int], *, max_tokens: int) -> Generation:
        return Generation(("no",) * len({}[1]), None)


class Late(SimulatedEngine):
    def generate(self, prompt_ids: Sequence[int], *, max_tokens: int) -> Generation:
        raise JobTimeout("no answer within 120 s", code="engine_request_timeout")


@pytest.mark.parametrize(
    ("oddity", "status", "code"),
    [
        (Starved, "rubbish", "no_clean_pairs"),
        (Interrupted, "cancelled", "cancelled"),
        (Greedy, "out_of_memory", "out_of_memory"),
        (Buggy, "crashed", "internal_error"),
        (Late, "timed_out", "engine_request_timeout"),
    ],
)
@pytest.mark.parametrize(
    ("side", "fault"), [("candidate", "agent"), ("baseline", "infrastructure")]
)
def test_whatever_an_engine_does_becomes_an_outcome(
    challenge: Path, oddity: type[SimulatedEngine], status: str, code: str, side: Side, fault: str
) -> None:
    outcome = run_job(make_request(challenge), source=OddSource(side, oddity))

    assert (outcome.status, outcome.code, outcome.fault) == (status, code, fault)


def test_a_bug_of_ours_says_where_it_is(challenge: Path) -> None:
    outcome = run_job(make_request(challenge), source=OddSource("candidate", Buggy))

    assert (outcome.message or "").startswith("KeyError: 1 at ")
    assert "test_harness.py:" in (outcome.message or "")


def test_programs_get_the_outcome_in_this_process_too(
    challenge: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = challenge / "request.json"
    file.write_text(make_request(challenge).model_dump_json())

    assert main(["--request", str(file)]) == 0
    assert JobOutcome.model_validate_json(capsys.readouterr().out).status == "measured"


@pytest.mark.parametrize(
    ("toml", "code", "said"),
    [
        ("threads = 1\n[weights]\nhead = 'q8_0'", 0, "simulated tokens/s"),
        ("[[weights.overrides]]\nlayers=[99]\ntensors=['attn_q']\nformat='q4_0'", 5, "layer 99"),
        ("thread = 1", 2, "did you mean 'threads'"),
        ("thread", 2, "config"),
    ],
)
def test_a_config_file_is_measured_or_explained(
    challenge: Path, capsys: pytest.CaptureFixture[str], toml: str, code: int, said: str
) -> None:
    file = challenge / "config.toml"
    file.write_text(toml)
    where = ["--challenge", str(challenge), "--engine", "simulated", "--cache", str(challenge)]

    assert main([str(file), *where]) == code
    printed = capsys.readouterr()
    assert said in printed.out + printed.err


Q8 = LlamaCppConfig(weights=WeightRecipe(head="q8_0"))


def fresh(challenge: Path, **changes: object) -> FreshLaunch:
    asked = make_request(challenge, SHIPPED).model_copy(update={"stage": "fresh", **changes})
    outcome = run_job(asked)
    assert outcome.status == "measured", outcome
    assert outcome.fresh is not None
    return outcome.fresh


def test_a_fresh_launch_times_contender_incumbent_and_baseline_together(challenge: Path) -> None:
    found = fresh(challenge, incumbent=Q8)
    rounds = [tuple(one.prompt for one in found.samples if one.round == n) for n in range(4)]

    assert all(len(set(served)) == 1 and len(served) == 3 for served in rounds)
    assert len(found.ratios) == len(found.incumbent_ratios) == len(found.contrasts) == 4
    for whole, held, contrast in zip(
        found.ratios, found.incumbent_ratios, found.contrasts, strict=True
    ):
        assert whole == pytest.approx(held * contrast)


@pytest.mark.parametrize("incumbent", [None, LlamaCppConfig()])
def test_where_the_baseline_holds_the_record_two_engines_are_enough(
    challenge: Path, incumbent: LlamaCppConfig | None
) -> None:
    found = fresh(challenge, incumbent=incumbent)

    assert {sample.side for sample in found.samples} == {"candidate", "baseline"}
    assert set(found.incumbent_ratios) == {1.0}
    assert found.contrasts == found.ratios


def test_the_same_fresh_request_gives_the_same_launch(challenge: Path) -> None:
    assert fresh(challenge, incumbent=Q8) == fresh(challenge, incumbent=Q8)


@pytest.mark.parametrize(
    ("side", "fault"), [("candidate", "agent"), ("incumbent", "infrastructure")]
)
def test_only_the_contender_answers_for_its_own_engine(
    challenge: Path, side: Side, fault: str
) -> None:
    asked = make_request(challenge).model_copy(update={"stage": "fresh", "incumbent": Q8})
    outcome = run_job(asked, source=ProcessSource(failing=side, how="crash"))

    assert (outcome.code, outcome.fault) == ("engine_died", fault)


def test_people_may_ask_for_a_fresh_launch(
    challenge: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    where = ["--challenge", str(challenge), "--engine", "simulated", "--cache", str(challenge)]

    assert main([*where, "--stage", "fresh"]) == 0
    assert "simulated contender over incumbent" in capsys.readouterr().out


def run_process(*arguments: str) -> subprocess.CompletedProcess[str]:
    command = (sys.executable, "-m", "bench", *arguments)
    return subprocess.run(command, capture_output=True, text=True, cwd=ROOT, check=False)


def test_a_request_file_becomes_a_result_file_and_one_line(challenge: Path) -> None:
    file = challenge / "request.json"
    file.write_text(make_request(challenge).model_dump_json())
    done = run_process("--request", str(file))
    result = (challenge / "result.json").read_text()

    assert (done.returncode, done.stdout, done.stderr) == (0, result + "\n", "")
    assert JobOutcome.model_validate_json(result) == run_job(make_request(challenge))


def test_people_get_progress_a_table_and_then_json(challenge: Path) -> None:
    arguments = ("--challenge", str(challenge), "--stage", "screen", "--engine", "simulated")
    done = run_process(*arguments, "--cache", str(challenge / "cache"))
    *table, last = done.stdout.splitlines()

    assert json.loads(last)["status"] == "measured"
    assert table[0].startswith("weight file")
    assert any(line.startswith("simulated tokens/s") for line in table)
    assert "timing" in done.stderr


@pytest.mark.parametrize("text", ["{", '{"challenge": "x", "config": {"thread": 1}}'])
def test_a_broken_request_says_what_is_wrong(tmp_path: Path, text: str) -> None:
    file = tmp_path / "request.json"
    file.write_text(text)
    done = run_process("--request", str(file))

    assert done.returncode == 2
    assert done.stderr.startswith("error: request")
    assert done.stdout == ""


def test_a_failed_job_still_ends_in_json(tmp_path: Path) -> None:
    file = tmp_path / "request.json"
    file.write_text(make_request(tmp_path / "nowhere", FASTER).model_dump_json())
    done = run_process("--request", str(file))

    assert (done.returncode, json.loads(done.stdout)["status"]) == (5, "refused")
