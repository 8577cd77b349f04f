"""A verification where the device holds one engine, and one on texts that are token ids."""

import json
from collections.abc import Sequence
from contextlib import ExitStack
from pathlib import Path

import pytest

from bench.challenge import Challenge
from bench.challenge_files import Text, load_challenge
from bench.configs.engine_config import EngineConfig
from bench.configs.llamacpp import LlamaCppConfig, Speculation
from bench.engine_sources import LlamaCppSource, Starter
from bench.engines.engine import Engine
from bench.failures import Blamed
from bench.measurement import Side
from bench.pretokenise import main as pretokenise
from bench.verification import Finding, TestName, Verification
from bench.verify.draw import allot
from bench.verify.hearing import Hearing
from bench.verify.launch import Launch
from bench.verify.request import Claim, VerifyRequest
from bench.verify.verifier import hear, open_challenge, verify
from tests.bench.process_engine import STATED
from tests.bench.verify_stand import (
    TIMES,
    make_verify_request,
    write_submission,
    write_verified_challenge,
)

pytestmark = pytest.mark.enable_socket
LOOK_UP = LlamaCppConfig(speculation=Speculation(kind="ngram_simple", match_tokens=2))


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = write_verified_challenge(tmp_path_factory.mktemp("alone"))
    file = folder / "challenge.toml"
    text = file.read_text().replace("[protocol]", STATED)
    file.write_text(text.replace("perplexity_tokens = 20", "perplexity_tokens = 60"))
    return folder


class CountedSource(LlamaCppSource):
    """Counts at each start how many engines run then."""

    def __init__(self, challenge: Challenge, cache_folder: Path) -> None:
        super().__init__(challenge, cache_folder)
        self.engines, self.counts = list[Engine](), list[int]()

    def prepare(
        self,
        config: EngineConfig,
        side: Side,
        *,
        public_ids: Sequence[int],
        cores: Sequence[int] | None = None,
    ) -> Starter:
        start = super().prepare(config, side, public_ids=public_ids, cores=cores)

        def counted() -> Engine:
            self.engines.append(start())
            self.counts.append(sum(one.cpu_seconds() is not None for one in self.engines))
            return self.engines[-1]

        return counted


def judged(request: VerifyRequest) -> Verification:
    outcome = verify(request)
    assert outcome.status == "measured", outcome
    assert outcome.verification is not None
    return outcome.verification


def finding(found: Verification, test: TestName) -> Finding:
    return next(one for one in found.findings if one.test == test)


def as_ids(text: Text) -> Text:
    ids = tuple(1 + sum(word.encode()) % 200 for word in (text.text or "").split())
    return Text(id=text.id, source=text.source, token_ids=ids)


@pytest.mark.parametrize("config", [LlamaCppConfig(), LOOK_UP])
def test_an_honest_config_alone_passes(folder: Path, config: LlamaCppConfig) -> None:
    found = judged(make_verify_request(folder, config))

    assert set(found.failed) <= TIMES
    assert finding(found, "regret").status == "passed"
    assert finding(found, "canaries").status == "passed"
    assert (finding(found, "strict").status == "not_run") == (config != LOOK_UP)
    assert finding(found, "idle_work").status == "not_run"


def test_one_engine_at_a_time(folder: Path) -> None:
    request = make_verify_request(folder)
    request = request.model_copy(update={"texts": tuple(map(as_ids, request.texts))})
    loaded, rule = open_challenge(request)
    with ExitStack() as stack:
        source = CountedSource(loaded.challenge, request.cache_folder)
        stack.callback(source.close)
        launch = Launch(request, loaded, rule, source=source, stack=stack, blame=Blamed())
        hear(Hearing(launch, allot(request.texts, rule)), lambda _line: None)

    assert source.counts == [1, 1, 1, 1]  # the public texts are words: the reference reads them


def test_private_speed_alone_is_all_tokens_over_all_seconds(folder: Path) -> None:
    found = judged(make_verify_request(folder, claim=Claim(speedup=1000.0, low=999, high=1001)))

    assert found.speed is not None
    assert found.speed.baseline_tokens_per_second == 40.0
    assert found.speed.tokens_per_second == pytest.approx(40 * found.speed.speedup)
    assert finding(found, "private_speed").status == "failed"


def test_alone_too_what_was_served_is_looked_at(folder: Path) -> None:
    write_submission(
        folder,
        """
def change(asked, reply):
    tokens = reply.get("tokens") or []
    if len(tokens) > 4 and "completion_probabilities" not in reply:
        reply["tokens"] = [*tokens[:-3], *[(token + 7) % 200 + 3 for token in tokens[-3:]]]
    return reply
""",
    )
    found = judged(make_verify_request(folder, server="odd_server"))

    assert {"regret", "self_consistency"} & set(found.failed)


def test_private_texts_may_be_token_ids(tmp_path: Path) -> None:
    folder = write_verified_challenge(tmp_path)
    request = make_verify_request(folder)
    found = judged(request.model_copy(update={"texts": tuple(map(as_ids, request.texts))}))

    assert set(found.failed) <= TIMES
    assert found.perplexity is not None
    assert found.perplexity.tokens == 24


def test_private_targets_may_be_given(tmp_path: Path) -> None:
    folder = write_verified_challenge(tmp_path)
    request = make_verify_request(folder)

    def split(text: Text) -> Text:
        ids = as_ids(text).ids or ()
        return Text(id=text.id, source="own", context_token_ids=ids[:-2], target_token_ids=ids[-2:])

    found = judged(request.model_copy(update={"texts": tuple(map(split, request.texts))}))

    assert found.perplexity is not None
    assert found.perplexity.tokens == 2 * 3  # of the three texts that are drawn to be scored


def test_texts_become_the_ids_that_the_baseline_reads(tmp_path: Path) -> None:
    folder = write_verified_challenge(tmp_path)
    out, cache = folder / "ids.jsonl", ["--cache", str(folder / "cache")]
    texts = ["--texts", str(folder / "passages.jsonl"), "--out", str(out)]

    assert pretokenise(["--challenge", str(folder), *texts, *cache]) == 0
    rows = [json.loads(line) for line in out.read_text().splitlines()]
    assert [row["id"] for row in rows] == [one.id for one in load_challenge(folder).passages]
    assert all(row["token_ids"] and "text" not in row for row in rows)


def test_a_file_that_is_not_there_is_said_to_be(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    texts = ["--texts", str(tmp_path / "no.jsonl"), "--out", str(tmp_path / "out")]

    assert pretokenise(texts) == 2
    assert "bad_texts" in capsys.readouterr().err
