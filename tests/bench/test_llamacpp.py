"""The real server on a tiny model of random weights: fractions of a second each."""

import contextlib
import math
import os
import select
import signal
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from bench.artefacts.artefact import Artefact, build
from bench.artefacts.cache import ArtefactCache
from bench.artefacts.model_file import ModelFile
from bench.config import Changes, apply_changes
from bench.configs.llamacpp import LlamaCppConfig
from bench.engines.llamacpp import CONTEXT_TOKENS, LlamaCppEngine
from sandbox.errors import ConfigError, JobError, JobTimeout
from tests.bench.tiny_model import FIRST_WORD, LAYERS, TOKENS, write_tiny_model

pytestmark = pytest.mark.enable_socket
PROMPT = (1, FIRST_WORD + 3, FIRST_WORD + 4, FIRST_WORD + 5)
ASCII = {"weights.vocabulary": {"strategy": "ascii", "size": 1100}}
DRAFTER = {
    "speculation": {
        "kind": "drafter",
        "drafter_layers": list(range(LAYERS)),
        "drafter_format": "bf16",
    }
}


class Workshop:
    """Builds and starts engines on one tiny model; each is closed at the end."""

    def __init__(self, folder: Path, stack: contextlib.ExitStack) -> None:
        self.model: ModelFile = write_tiny_model(folder / "tiny.gguf")
        self.cache = stack.enter_context(contextlib.closing(ArtefactCache(folder / "cache")))
        self._stack = stack

    def artefact(self, changes: Changes) -> Artefact:
        return build(apply_changes(LlamaCppConfig(), changes), self.model, self.cache)

    def start(self, changes: Changes, artefact: Artefact | None = None) -> LlamaCppEngine:
        config = apply_changes(LlamaCppConfig(), changes)
        engine = LlamaCppEngine(config, artefact or self.artefact(changes))
        return self._stack.enter_context(contextlib.closing(engine))


@pytest.fixture(scope="module")
def workshop(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Workshop]:
    with contextlib.ExitStack() as stack:
        yield Workshop(tmp_path_factory.mktemp("workshop"), stack)


@pytest.fixture(scope="module")
def engine(workshop: Workshop) -> LlamaCppEngine:
    return workshop.start({})


@pytest.fixture(scope="module")
def pruned(workshop: Workshop) -> LlamaCppEngine:
    return workshop.start(ASCII)


@pytest.mark.parametrize("count", [1, 2, 33, 200])
def test_exactly_as_many_tokens_come_as_were_asked_for(engine: LlamaCppEngine, count: int) -> None:
    assert len(engine.generate(PROMPT, max_tokens=count).token_ids) == count


def test_the_same_prompt_gives_the_same_tokens(workshop: Workshop, engine: LlamaCppEngine) -> None:
    first = engine.generate(PROMPT, max_tokens=40)

    assert engine.generate(PROMPT, max_tokens=40) == first
    assert workshop.start({}).generate(PROMPT, max_tokens=40) == first


def test_log_probabilities_over_all_tokens_sum_to_one(engine: LlamaCppEngine) -> None:
    values = [engine.logprobs(PROMPT, [target])[0] for target in range(len(TOKENS))]
    best = engine.generate(PROMPT, max_tokens=1).token_ids[0]

    assert math.fsum(math.exp(value or 0) for value in values) == pytest.approx(1, abs=1e-3)
    assert values[best] == max(value or 0 for value in values)


def test_end_of_text_is_a_target_like_any_other(engine: LlamaCppEngine) -> None:
    answers = engine.logprobs(PROMPT, [2, 0, FIRST_WORD])

    assert [isinstance(value, float) for value in answers] == [True] * 3


def test_half_a_character_is_a_target_like_any_other(engine: LlamaCppEngine) -> None:
    """The server holds back the probabilities of text that is not whole UTF-8 yet."""
    first, second = (3 + byte for byte in "\u00e9".encode())
    whole = engine.logprobs(PROMPT, [first, second, FIRST_WORD])

    assert [isinstance(value, float) for value in whole] == [True] * 3


def test_forced_tokens_become_the_context_of_the_next(engine: LlamaCppEngine) -> None:
    together = engine.logprobs(PROMPT, [300, 400, 500])
    apart = [engine.logprobs((*PROMPT, 300, 400), [500])[0], engine.logprobs(PROMPT, [300])[0]]

    assert together[2] == pytest.approx(apart[0], abs=1e-2)
    assert together[0] == pytest.approx(apart[1], abs=1e-2)


def test_a_target_outside_the_vocabulary_is_none_and_never_skipped(pruned: LlamaCppEngine) -> None:
    outside = len(TOKENS) - 1
    answers = pruned.logprobs(PROMPT, [FIRST_WORD, outside, FIRST_WORD + 1])

    assert [value is None for value in answers] == [False, True, False]


def test_a_pruned_engine_speaks_the_full_vocabularys_ids(
    workshop: Workshop, pruned: LlamaCppEngine
) -> None:
    kept = workshop.artefact(ASCII).vocabulary or ()
    tokens = pruned.generate((1, len(TOKENS) - 1), max_tokens=50).token_ids

    assert set(tokens) <= set(kept)
    assert len(tokens) == 50


def test_pruning_only_renormalises(engine: LlamaCppEngine, pruned: LlamaCppEngine) -> None:
    targets = [FIRST_WORD, FIRST_WORD + 50]
    (a, b), (c, d) = ([e.logprobs(PROMPT, [t])[0] or 0 for t in targets] for e in (engine, pruned))

    assert c > a
    assert c - d == pytest.approx(a - b, abs=1e-2)


def test_a_pruned_engine_refuses_to_tokenize(pruned: LlamaCppEngine) -> None:
    with pytest.raises(ConfigError, match="Tokenize with the baseline engine"):
        pruned.tokenize("w1")


def test_text_begins_with_begin_of_text(engine: LlamaCppEngine) -> None:
    assert engine.tokenize("w1 w2")[0] == 1


def test_a_drafter_that_is_the_target_is_always_right(
    workshop: Workshop, engine: LlamaCppEngine
) -> None:
    generation = workshop.start(DRAFTER).generate(PROMPT, max_tokens=40)

    assert generation.drafting is not None
    assert generation.drafting.accepted_tokens == generation.drafting.drafted_tokens > 10
    assert generation.token_ids == engine.generate(PROMPT, max_tokens=40).token_ids


def test_a_drafter_with_another_vocabulary_is_an_error_not_a_silence(workshop: Workshop) -> None:
    foreign = workshop.artefact(DRAFTER | ASCII).drafter_path
    artefact = workshop.artefact(DRAFTER)._replace(drafter_path=foreign)

    with pytest.raises(JobError) as caught:
        workshop.start(DRAFTER, artefact).generate(PROMPT, max_tokens=40)

    assert caught.value.code in ("engine_rubbish", "engine_died")


@pytest.mark.parametrize(
    "kind", ["ngram_simple", "ngram_map_k", "ngram_map_k4v", "ngram_mod", "ngram_cache"]
)
def test_every_ngram_kind_serves_and_counts_its_drafts(workshop: Workshop, kind: str) -> None:
    changes = {"speculation": {"kind": kind, "match_tokens": 2, "draft_tokens": 4}}
    generation = workshop.start(changes).generate(PROMPT * 8, max_tokens=64)

    assert len(generation.token_ids) == 64
    assert generation.drafting is None or generation.drafting.drafted_tokens > 0


@pytest.mark.parametrize(
    "changes",
    [
        {"flash_attention": "off", "memory_map": False, "repack": False, "poll": 0},
        {"cache_type_k": "q8_0", "cache_type_v": "q4_0", "batch_tokens": 32},
        {"cache_type_k": "bf16", "cache_type_v": "q5_1", "micro_batch_tokens": 32, "threads": 2},
    ],
)
def test_levers_that_change_no_weights_all_serve(workshop: Workshop, changes: Changes) -> None:
    assert len(workshop.start(changes).generate(PROMPT, max_tokens=8).token_ids) == 8


def test_a_quantised_value_cache_without_flash_attention_is_refused_early() -> None:
    with pytest.raises(ConfigError, match="needs flash_attention"):
        apply_changes(LlamaCppConfig(), {"flash_attention": "off", "cache_type_v": "q8_0"})


def test_a_context_that_cannot_fit_is_refused(engine: LlamaCppEngine) -> None:
    with pytest.raises(ConfigError, match=f"exceed {CONTEXT_TOKENS}"):
        engine.generate((1,) * CONTEXT_TOKENS, max_tokens=1)


def test_an_idle_connection_is_no_death(engine: LlamaCppEngine) -> None:
    engine.generate(PROMPT, max_tokens=1)
    engine._server._line._used -= 60  # as if a minute had passed
    engine._server._line._connection.sock.close()

    assert len(engine.generate(PROMPT, max_tokens=1).token_ids) == 1


def test_a_deep_temporary_folder_is_no_obstacle(
    workshop: Workshop, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    deep = tmp_path / ("d" * 120)
    deep.mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(deep))

    assert len(workshop.start({}).generate(PROMPT, max_tokens=3).token_ids) == 3


def test_clock_memory_and_cpu_are_those_of_the_process(engine: LlamaCppEngine) -> None:
    before = engine.cpu_seconds() or 0
    engine.generate(PROMPT, max_tokens=200)

    assert (engine.cpu_seconds() or 0) > before
    assert 10_000_000 < (engine.peak_memory_bytes() or 0) < 4_000_000_000


def test_a_killed_engine_is_a_typed_error(workshop: Workshop) -> None:
    engine = workshop.start({})
    os.kill(engine._server._process.pid, signal.SIGKILL)

    with pytest.raises(JobError, match="exit status -9") as caught:
        engine.generate(PROMPT, max_tokens=2)

    assert caught.value.code == "engine_died"
    engine.close()
    engine.close()
    assert engine.cpu_seconds() is None


def test_a_file_that_is_no_model_ends_with_the_servers_own_words(
    workshop: Workshop, tmp_path: Path
) -> None:
    (tmp_path / "bad.gguf").write_bytes(b"GGUF" + bytes(100))
    bad = workshop.artefact({})._replace(path=tmp_path / "bad.gguf")

    with pytest.raises(JobError, match=r"bad\.gguf") as caught:
        workshop.start({}, bad)

    assert caught.value.code == "engine_died"


def test_a_slow_start_is_a_timeout(workshop: Workshop) -> None:
    with pytest.raises(JobTimeout) as caught:
        LlamaCppEngine(LlamaCppConfig(), workshop.artefact({}), start_seconds=0.001)

    assert caught.value.code == "engine_start_timeout"


ORPHAN = """
import sys, pathlib
from bench.artefacts.artefact import Artefact
from bench.configs.llamacpp import LlamaCppConfig
from bench.engines.llamacpp import LlamaCppEngine
path = pathlib.Path(sys.argv[1])
engine = LlamaCppEngine(LlamaCppConfig(), Artefact(path, "x", 1, None, None, path))
print(engine._server._process.pid, flush=True)
sys.stdin.read()
"""


def test_the_server_dies_with_its_parent(workshop: Workshop) -> None:
    command = [sys.executable, "-c", ORPHAN, str(workshop.model.path)]
    parent = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    assert parent.stdout is not None
    server = os.pidfd_open(int(parent.stdout.readline()))
    parent.kill()
    parent.communicate()

    ended, _, _ = select.select([server], [], [], 5)
    os.close(server)

    assert ended
