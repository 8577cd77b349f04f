"""The published models end to end: located, built, pruned, served."""

import contextlib
import math
from collections.abc import Iterator

import pytest

from bench.artefacts.artefact import build
from bench.artefacts.cache import ArtefactCache
from bench.artefacts.model_file import ModelFile, locate
from bench.challenge_files import load_challenge
from bench.config import Changes, apply_changes
from bench.configs.llamacpp import LlamaCppConfig
from bench.engines.llamacpp import LlamaCppEngine
from sandbox.errors import ConfigError

pytestmark = [pytest.mark.engine, pytest.mark.enable_socket]
SHIPPED = {f"weights.{part}": "shipped" for part in ("head", "attention", "feed_forward")}
ASCII = SHIPPED | {"weights.vocabulary": {"strategy": "ascii", "size": 32_768}}
TEXT = "It was the best of times, it was the worst of times, it was the age of wisdom"


class Bench:
    """One published model and a cache."""

    def __init__(self, model: ModelFile, cache: ArtefactCache) -> None:
        self._model, self._cache = model, cache

    @contextlib.contextmanager
    def serving(self, changes: Changes) -> Iterator[LlamaCppEngine]:
        config = apply_changes(LlamaCppConfig(), changes)
        engine = LlamaCppEngine(config, build(config, self._model, self._cache))
        with contextlib.closing(engine):
            yield engine


@pytest.fixture(scope="module", params=["gemma-270m-cpu", "smollm2-135m-cpu"])
def bench(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Bench]:
    folder = tmp_path_factory.mktemp("cache")
    try:
        model = locate(load_challenge(request.param).challenge.model, folder)
    except ConfigError as error:
        pytest.skip(f"the model is not installed: {error}")
    with contextlib.closing(ArtefactCache(folder)) as cache:
        yield Bench(model, cache)


def test_as_shipped_predicts_a_known_sentence_about_as_well_as_the_reference(bench: Bench) -> None:
    losses = []
    for changes in ({}, SHIPPED):
        with bench.serving(changes) as engine:
            ids = engine.tokenize(TEXT)
            answers = engine.logprobs(ids[:1], ids[1:])
            losses.append(-math.fsum(answer or -math.inf for answer in answers) / len(answers))

    assert 0.5 < losses[0] < 4
    assert losses[1] == pytest.approx(losses[0], rel=0.1)


def test_a_pruned_vocabulary_goes_on_as_the_whole_one_does(bench: Bench) -> None:
    with bench.serving(SHIPPED) as whole, bench.serving(ASCII) as pruned:
        prompt = whole.tokenize(TEXT)
        expected = whole.generate(prompt, max_tokens=8)

        assert expected == pruned.generate(prompt, max_tokens=8)
        assert pruned.artefact_bytes < whole.artefact_bytes
