"""What every `Engine` must do; each implementation passes all of it."""

import itertools
import math
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from bench.artefacts.model_file import locate
from bench.challenge_files import load_challenge
from bench.config import CONFIGS
from bench.configs.engine_config import EngineConfig
from bench.configs.llamacpp import KeptVocabulary, LlamaCppConfig, WeightRecipe
from bench.configs.openai_endpoint import OpenAiConfig
from bench.configs.transformers_config import TransformersConfig
from bench.confinement import ROOT
from bench.engine_places import EnginePlaces, PythonPlace, VllmPlace
from bench.engine_sources import EngineName, EngineSource, Submitted, open_source
from bench.engines.engine import Engine
from sandbox.errors import ConfigError
from tests.bench import openai_stand

CHALLENGE = load_challenge("smollm2-135m-cpu").challenge
REAL = pytest.param("llamacpp", marks=[pytest.mark.engine, pytest.mark.enable_socket])
SUBMITTED = pytest.param("submitted", marks=[pytest.mark.engine, pytest.mark.enable_socket])
VLLM = pytest.param("vllm", marks=[pytest.mark.engine, pytest.mark.enable_socket])
OPENAI = pytest.param("openai", marks=[pytest.mark.engine, pytest.mark.enable_socket])
TORCH = os.environ.get("PACELINE_TRANSFORMERS_PYTHON", "")
TRANSFORMERS = pytest.param(
    "transformers",
    marks=[
        pytest.mark.engine,
        pytest.mark.enable_socket,
        pytest.mark.skipif(not TORCH, reason="PACELINE_TRANSFORMERS_PYTHON names no Python"),
    ],
)
OURS = {"simulated", "llamacpp", "submitted"}
"""Engines whose configs have the lever of a reduced vocabulary."""
STOCK = Path(__file__).parents[2] / "examples" / "submissions" / "stock"
SMALL = LlamaCppConfig(weights=WeightRecipe(vocabulary=KeptVocabulary(strategy="first", size=2048)))
IdsOf = Callable[[str], tuple[int, ...]]
TEXT = "It was the best of times, it was the worst of times, it was the age of"


@pytest.fixture(scope="module", params=["simulated", REAL, SUBMITTED, VLLM, OPENAI, TRANSFORMERS])
def kind(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("cache")


@pytest.fixture(scope="module")
def config(kind: str, folder: Path) -> Iterator[EngineConfig]:
    if kind == "transformers":  # bfloat16 rounds one pass and one token at a time differently
        yield TransformersConfig(dtype="float32")
        return
    if kind != "openai":
        yield CONFIGS.get(kind, LlamaCppConfig)()
        return
    command = (sys.executable, openai_stand.__file__, str(weights(folder)))
    with subprocess.Popen(
        command, env={"PYTHONPATH": str(ROOT)}, stdout=subprocess.PIPE, text=True
    ) as process:
        assert process.stdout is not None
        port = int(process.stdout.readline())
        yield OpenAiConfig(base_url=f"http://127.0.0.1:{port}/v1")
        process.terminate()


def weights(folder: Path) -> Path:
    try:
        return locate(CHALLENGE.model, folder).path
    except ConfigError as error:
        pytest.skip(f"the model is not installed: {error}")


def places(kind: str, folder: Path) -> EnginePlaces:
    """Where the stand for vLLM is, which serves the same weights by llama.cpp."""
    if kind == "transformers":
        return EnginePlaces(transformers=PythonPlace(python=Path(TORCH)))
    if kind != "vllm":
        return EnginePlaces()
    site = openai_stand.install_stand(folder / "site")
    environment = {"STAND_WEIGHTS": str(weights(folder))}
    place = VllmPlace(
        python=Path(sys.executable), site=site, environment=environment, is_confined=False
    )
    return EnginePlaces(vllm=place)


@pytest.fixture(scope="module")
def source(kind: str, folder: Path) -> Iterator[EngineSource]:
    is_code = kind == "submitted"
    name: EngineName = "llamacpp" if is_code else kind  # type: ignore[assignment]
    submitted: Submitted = {"baseline": STOCK, "candidate": STOCK} if is_code else {}
    where = places(kind, folder)
    try:
        opened = open_source(
            name, CHALLENGE, cache_folder=folder, seed=1, submitted=submitted, places=where
        )
    except ConfigError as error:
        pytest.skip(f"the model is not installed: {error}")
    yield opened
    opened.close()


@pytest.fixture(scope="module")
def engine(source: EngineSource, config: EngineConfig) -> Iterator[Engine]:
    started = source.prepare(config, "baseline", public_ids=())()
    yield started
    started.close()


@pytest.fixture(scope="module")
def ids_of(engine: Engine, source: EngineSource) -> Iterator[IdsOf]:
    """What text becomes: by the engine, or beside a submission by ours."""
    if engine.name != "submitted":
        yield engine.tokenize
        return
    ours = source.prepare(LlamaCppConfig(), "incumbent", public_ids=())()
    yield ours.tokenize
    ours.close()


@pytest.fixture(scope="module")
def small_engine(source: EngineSource, kind: str) -> Iterator[Engine]:
    if kind not in OURS:
        pytest.skip("it keeps every row")
    started = source.prepare(SMALL, "candidate", public_ids=())()
    yield started
    started.close()


def test_it_says_what_it_is(engine: Engine, config: EngineConfig) -> None:
    assert engine.name
    assert engine.version
    assert engine.artefact
    assert engine.artefact_bytes > 1_000_000 or engine.name == "openai"
    assert engine.config == config
    assert engine.simulated == (engine.name == "simulated")


def test_text_becomes_the_same_ids_every_time(engine: Engine, ids_of: IdsOf) -> None:
    ids = ids_of(TEXT)

    assert ids == ids_of(TEXT)
    assert len(ids) > 10
    assert all(0 <= token < 262_144 for token in ids)


def test_longer_text_begins_like_the_shorter(engine: Engine, ids_of: IdsOf) -> None:
    assert ids_of(f"{TEXT} wisdom")[: len(ids_of(TEXT))] == ids_of(TEXT)


@pytest.mark.parametrize("count", [1, 7])
def test_exactly_the_asked_number_of_tokens_is_emitted(
    engine: Engine, count: int, ids_of: IdsOf
) -> None:
    assert len(engine.generate(ids_of(TEXT), max_tokens=count).token_ids) == count


def test_greedy_decoding_repeats_itself_within_a_launch(engine: Engine, ids_of: IdsOf) -> None:
    prompt = ids_of(TEXT)

    assert engine.generate(prompt, max_tokens=8) == engine.generate(prompt, max_tokens=8)


def test_the_clocks_only_go_forward(engine: Engine, ids_of: IdsOf) -> None:
    before, cpu_before = engine.clock(), engine.cpu_seconds()
    engine.generate(ids_of(TEXT), max_tokens=4)

    assert engine.clock() > before
    assert cpu_before is None or (engine.cpu_seconds() or 0) > cpu_before


def test_memory_holds_at_least_the_weights(engine: Engine) -> None:
    peak = engine.peak_memory_bytes()

    assert peak is None or peak > 0.5 * engine.artefact_bytes


def test_every_target_gets_a_log_probability(engine: Engine, ids_of: IdsOf) -> None:
    ids = ids_of(TEXT)
    answers = engine.logprobs(ids[:1], ids[1:])

    assert len(answers) == len(ids) - 1
    assert all(answer is not None and -40 < answer <= 1e-3 for answer in answers)


def test_what_it_lacks_is_what_it_gives_no_log_probability(
    engine: Engine, small_engine: Engine, ids_of: IdsOf
) -> None:
    ids = ids_of(TEXT)

    assert engine.lacks(ids) == 0
    assert small_engine.lacks(ids[1:]) == small_engine.logprobs(ids[:1], ids[1:]).count(None) > 0


def test_targets_asked_in_two_parts_score_the_same(engine: Engine, ids_of: IdsOf) -> None:
    ids = ids_of(TEXT)
    whole = engine.logprobs(ids[:1], ids[1:])
    parts = itertools.chain(engine.logprobs(ids[:1], ids[1:6]), engine.logprobs(ids[:6], ids[6:]))

    for one, other in zip(whole, parts, strict=True):
        assert math.isclose(one or 0, other or 0, abs_tol=0.05)


def test_no_targets_are_no_question(engine: Engine) -> None:
    assert engine.logprobs((1, 2), ()) == ()
    assert engine.ranked((1, 2), ()) == ()


def test_a_ranked_token_is_scored_as_it_is_alone(engine: Engine, ids_of: IdsOf) -> None:
    ids = ids_of(TEXT)
    ranked = engine.ranked(ids[:4], ids[4:])

    assert tuple(one and one.logprob for one in ranked) == engine.logprobs(ids[:4], ids[4:])


def test_no_token_ranks_above_the_likeliest(engine: Engine, ids_of: IdsOf) -> None:
    ids = ids_of(TEXT)

    assert all(
        one is not None and one.logprob <= one.best for one in engine.ranked(ids[:4], ids[4:])
    )


def test_what_was_decoded_greedily_ranks_first(engine: Engine, ids_of: IdsOf) -> None:
    """End-of-text is ignored by both, else it would rank above what was emitted."""
    prompt = ids_of(TEXT)
    served = engine.generate(prompt, max_tokens=12).token_ids

    assert all(one is not None and one.logprob == one.best for one in engine.ranked(prompt, served))


def test_asking_for_log_probabilities_changes_no_token(engine: Engine, ids_of: IdsOf) -> None:
    prompt = ids_of(TEXT)
    plain = engine.generate(prompt, max_tokens=8)
    probed = engine.generate(prompt, max_tokens=8, with_logprobs=True)

    assert plain.logprobs is None
    assert probed.token_ids == plain.token_ids
    said = probed.logprobs or ()
    assert [round(one, 3) for one in said] == [
        round(one.logprob, 3) for one in engine.ranked(prompt, plain.token_ids) if one is not None
    ]


def test_a_ranked_target_outside_the_kept_vocabulary_is_none(
    engine: Engine, small_engine: Engine, ids_of: IdsOf
) -> None:
    ids = ids_of(f"{TEXT} phenomenological hermeneutics")

    assert None in small_engine.ranked(ids[:1], ids[1:])


def test_a_target_outside_the_kept_vocabulary_is_none_and_not_skipped(
    engine: Engine, small_engine: Engine, ids_of: IdsOf
) -> None:
    ids = ids_of(f"{TEXT} phenomenological hermeneutics")
    answers = small_engine.logprobs(ids[:1], ids[1:])

    assert len(answers) == len(ids) - 1
    assert None in answers
    assert any(answer is not None for answer in answers)


def test_a_reduced_vocabulary_emits_full_ids_it_kept(
    engine: Engine, small_engine: Engine, ids_of: IdsOf
) -> None:
    emitted = small_engine.generate(ids_of(TEXT), max_tokens=8).token_ids

    assert all(0 <= token < 262_144 for token in emitted)
    assert None not in small_engine.logprobs(ids_of(TEXT)[:1], emitted)


def test_a_reduced_vocabulary_does_not_tokenize(small_engine: Engine) -> None:
    with pytest.raises(ConfigError) as caught:
        small_engine.tokenize(TEXT)
    assert caught.value.code in {"reduced_vocabulary", "no_tokenizer"}


def test_closing_twice_is_fine(source: EngineSource, config: EngineConfig) -> None:
    engine = source.prepare(config, "candidate", public_ids=())()
    engine.close()
    engine.close()
