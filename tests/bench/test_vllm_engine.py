"""The `vllm` engine on a stand that speaks vLLM's wire over a real socket, and fails on demand."""

import os
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from bench.artefacts.hf_folder import HfFolder
from bench.challenge_files import load_challenge
from bench.configs.vllm import VllmConfig
from bench.engine_places import EnginePlaces, VllmPlace
from bench.engine_sources import open_source
from bench.engines.python_probe import probe, python_environment
from bench.engines.vllm_engine import VllmEngine
from bench.engines.vllm_server import command, stated_seconds
from bench.failures import outcome_of
from bench.measurement import Drafting
from sandbox import landlock
from sandbox.errors import ConfigError, JobError, JobTimeout, PacelineError
from tests.bench.openai_stand import LOG, install_stand

pytestmark = pytest.mark.enable_socket
Start = Callable[..., VllmEngine]


@pytest.fixture
def start(tmp_path: Path) -> Iterator[Start]:
    site = install_stand(tmp_path / "site")
    model = tmp_path / "model"
    model.mkdir()
    (model / "tokenizer.json").write_text("{}")
    begun: list[VllmEngine] = []

    def start(fault: str = "", **facts: object) -> VllmEngine:
        environment = {"STAND_FAULT": fault, "STAND_CHILD": str(tmp_path / "cache" / "child")}
        place = VllmPlace(python=Path(sys.executable), site=site, environment=environment, **facts)
        engine = VllmEngine(
            VllmConfig(max_model_len=64),
            place,
            probe(place, "vllm", python_environment(place, tmp_path)),
            folder=HfFolder(model, "0" * 16, 1),
            cache_folder=tmp_path / "cache",
        )
        begun.append(engine)
        return engine

    yield start
    for engine in begun:
        engine.close()


def code_of(act: Callable[[], object]) -> str:
    with pytest.raises(PacelineError) as caught:
        act()
    return caught.value.code


def test_tokens_and_scores_come_over_the_socket(start: Start) -> None:
    engine = start()

    assert engine.generate((5, 6), max_tokens=3).token_ids == (2, 3, 4)
    assert engine.generate((5,), max_tokens=2, with_logprobs=True).logprobs == (-0.25, -0.25)
    assert engine.logprobs((5,), (6, 8)) == (-1.0, -1.0)
    assert [one and one.best for one in engine.ranked((5,), (6, 8))] == [-0.5, -0.5]
    assert engine.tokenize("a") == (1, 97)


def test_the_start_is_told_by_phase(start: Start) -> None:
    engine = start()

    assert engine.version == "0.26.0"
    assert engine.start_seconds["total"] > 0
    assert engine.start_seconds["capture_graphs"] == 7
    assert engine.start_seconds["compile"] == 42.1


def test_what_the_log_does_not_say_is_left_out() -> None:
    assert stated_seconds("") == {}
    assert stated_seconds(LOG) == {
        "weights_read": 2.13,
        "compile": 42.1,
        "capture_graphs": 7,
        "profile_and_warm_up": 83.9,
    }


def test_drafting_is_what_the_server_counted(start: Start) -> None:
    assert start().drafting() == Drafting(drafted_tokens=40, accepted_tokens=25)


def test_its_processes_are_seen(start: Start) -> None:
    engine = start()

    assert (engine.cpu_seconds() or 0) > 0
    assert (engine.peak_memory_bytes() or 0) > 1_000_000


@pytest.mark.parametrize("fault", ["no_token_ids", "one_too_many", "no_json"])
def test_an_answer_out_of_shape_is_refused(start: Start, fault: str) -> None:
    engine = start(fault)

    assert code_of(lambda: engine.generate((5, 6), max_tokens=3)) == "engine_rubbish"


@pytest.mark.parametrize("fault", ["nan", "another_token", "one_too_few", "no_json"])
def test_scores_about_something_else_are_refused(start: Start, fault: str) -> None:
    engine = start(fault)

    assert code_of(lambda: engine.logprobs((5, 6), (7, 8))) == "engine_rubbish"


def test_a_server_that_ignores_prompt_logprobs_is_never_scored(start: Start) -> None:
    engine = start("ignores_prompt_logprobs")

    assert code_of(lambda: engine.logprobs((5, 6), (7, 8))) == "no_prompt_logprobs"


def test_death_while_loading_has_last_words(start: Start) -> None:
    with pytest.raises(JobError, match="Engine core initialization failed") as caught:
        start("dies_loading")
    assert caught.value.code == "engine_died"


@pytest.mark.parametrize("fault", ["dies", "half_a_body"])
def test_death_amid_a_request_is_told(start: Start, fault: str) -> None:
    engine = start(fault)

    assert code_of(lambda: engine.generate((5,), max_tokens=2)) == "engine_died"


def test_an_engine_that_dies_behind_its_front_is_no_rubbish(
    start: Start, capfd: pytest.CaptureFixture[str]
) -> None:
    engine = start("engine_dies")
    with pytest.raises(JobError, match="illegal memory access") as caught:
        engine.generate((5,), max_tokens=2)

    assert caught.value.code == "engine_died"
    assert LOG.strip().splitlines()[-1] in capfd.readouterr().err, "a job keeps the log"


def test_memory_is_recognised_in_cuda_s_words_and_in_vllm_s(start: Start) -> None:
    engine = start("dies")
    with pytest.raises(JobError) as amid:
        engine.generate((5,), max_tokens=2)
    with pytest.raises(JobError) as loading:
        start("no_room")

    for caught in (amid, loading):
        outcome = outcome_of(caught.value, side="candidate", is_late=False)
        assert (outcome.status, outcome.fault) == ("out_of_memory", "agent")


def test_a_server_that_is_never_healthy_is_given_up(start: Start) -> None:
    with pytest.raises(JobTimeout) as caught:
        start("never_healthy", start_seconds=1.0)
    assert caught.value.code == "engine_start_timeout"


def test_a_request_that_hangs_is_given_up(start: Start) -> None:
    engine = start("hangs", request_seconds=0.3)

    assert code_of(lambda: engine.generate((5,), max_tokens=2)) == "engine_request_timeout"


def test_nothing_survives_not_even_a_daemon(start: Start, tmp_path: Path) -> None:
    engine = start("has_children")
    child = int((tmp_path / "cache" / "child").read_text())
    assert Path(f"/proc/{child}").exists()

    engine.close()
    engine.close()

    assert not Path(f"/proc/{child}").exists()
    assert engine.cpu_seconds() is None


def test_a_context_that_cannot_fit_is_refused_before_it_is_sent(start: Start) -> None:
    engine = start()

    assert code_of(lambda: engine.generate(range(60), max_tokens=5)) == "context_too_long"
    assert code_of(lambda: engine.logprobs((), (1,))) == "no_context"
    assert engine.logprobs((1, 2), ()) == ()


def test_folders_that_cannot_be_searched_are_not_on_its_path(tmp_path: Path) -> None:
    environment = {"PATH": f"/usr/bin:{tmp_path}/gone:{tmp_path}"}
    place = VllmPlace(python=Path(sys.executable), environment=environment)

    assert python_environment(place, tmp_path)["PATH"] == f"/usr/bin:{tmp_path}"


def test_nothing_of_our_environment_reaches_it(
    start: Start, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HF_TOKEN", "canary-7f3a")
    engine = start()

    seen = [Path(f"/proc/{pid}/environ").read_bytes() for pid in engine._server.process.pids()]
    assert seen
    assert not any(b"canary-7f3a" in one for one in seen)
    assert all(b"HF_HUB_OFFLINE=1" in one for one in seen)


@pytest.mark.skipif(landlock.abi() == 0, reason="this kernel offers no Landlock")
def test_it_writes_nothing_outside_its_folders(start: Start, tmp_path: Path) -> None:
    """The daemon's file lies in its cache; beside it, it may not write."""
    start("has_children").close()
    (tmp_path / "cache" / "child").unlink()
    (tmp_path / "cache" / "child").symlink_to(tmp_path / "outside")
    start("has_children").close()

    assert not (tmp_path / "outside").exists()


def test_a_python_without_vllm_is_named(tmp_path: Path) -> None:
    place = VllmPlace(python=Path(sys.executable))
    environment = python_environment(place, tmp_path)

    assert code_of(lambda: probe(place, "vllm", environment)) == "missing_engine"
    gone = VllmPlace(python=tmp_path / "python")
    assert code_of(lambda: probe(gone, "vllm", environment)) == "missing_engine"


def test_a_folder_without_tokenizer_is_served_without(tmp_path: Path) -> None:
    place = VllmPlace(python=Path("/opt/python"), memory_share=0.5, load_format="dummy")
    said = command(VllmConfig(), place, "0.26.0", model=tmp_path, drafter=None)

    assert "--skip-tokenizer-init" in said
    assert said[said.index("--gpu-memory-utilization") + 1] == "0.45"
    assert said[said.index("--load-format") + 1] == "dummy"
    assert not any(word.startswith("--trust") for word in said)


REAL = os.environ.get("PACELINE_VLLM_PYTHON", "")


@pytest.mark.gpu
@pytest.mark.skipif(not REAL, reason="PACELINE_VLLM_PYTHON names no Python with vLLM")
def test_the_real_vllm_agrees_with_llama_cpp(tmp_path: Path) -> None:
    challenge = load_challenge("smollm2-135m-cpu").challenge
    place = VllmPlace(python=Path(REAL), environment={"VLLM_CPU_KVCACHE_SPACE": "1"})
    source = open_source(
        "vllm", challenge, cache_folder=tmp_path, seed=1, places=EnginePlaces(vllm=place)
    )
    try:
        config = VllmConfig(max_model_len=512, enforce_eager=True)
        engine = source.prepare(config, "candidate", public_ids=())()
        ids = engine.tokenize("It was the best of times, it was the worst of times")
        scored = engine.logprobs(ids[:1], ids[1:])
        engine.close()
    except ConfigError as error:
        pytest.skip(str(error))
    finally:
        source.close()

    assert -3.0 < sum(one or 0 for one in scored) / len(scored) < -0.5
