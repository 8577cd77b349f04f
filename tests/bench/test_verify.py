"""The verifier on a model of random weights: real servers, seconds each."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

from bench.challenge_files import load_challenge
from bench.configs.llamacpp import LlamaCppConfig, Speculation
from bench.measurement import JobOutcome
from bench.verification import Finding, TestName, Verification
from bench.verify.__main__ import main
from bench.verify.request import Claim, VerifyRequest
from bench.verify.verifier import verify
from tests.bench.process_engine import write_challenge
from tests.bench.verify_stand import (
    TIMES,
    make_verify_request,
    write_submission,
    write_verified_challenge,
)

pytestmark = pytest.mark.enable_socket
ROOT = Path(__file__).parents[2]
LOOK_UP = LlamaCppConfig(speculation=Speculation(kind="ngram_simple", match_tokens=2))


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_verified_challenge(tmp_path_factory.mktemp("stand"))


def judged(request: VerifyRequest) -> Verification:
    outcome = verify(request)
    assert outcome.status == "measured", outcome
    assert outcome.verification is not None
    return outcome.verification


def finding(found: Verification, test: TestName) -> Finding:
    return next(one for one in found.findings if one.test == test)


@pytest.mark.parametrize("config", [LlamaCppConfig(), LOOK_UP, LlamaCppConfig(cache_type_k="q8_0")])
def test_an_honest_config_passes(folder: Path, config: LlamaCppConfig) -> None:
    found = judged(make_verify_request(folder, config))

    assert set(found.failed) <= TIMES
    assert finding(found, "self_consistency").value == pytest.approx(0, abs=0.01)
    assert (finding(found, "strict").status == "not_run") == (config != LOOK_UP)


def test_a_verification_says_what_it_used(folder: Path) -> None:
    request = make_verify_request(folder)
    found = judged(request)

    assert found.drawn == tuple(text.id for text in request.texts)
    assert found.seed == 1
    assert (found.numeric_class, found.hardware["engine"]) == ("exact", "llamacpp")
    assert found.perplexity is not None
    assert found.perplexity.tokens == 24
    assert not any(text.text in found.model_dump_json() for text in request.texts)


def test_a_claim_far_above_the_private_speed_fails(folder: Path) -> None:
    claim = Claim(speedup=1e9, low=1e9, high=1e9)
    found = judged(make_verify_request(folder, claim=claim))

    assert "private_speed" in found.failed
    assert (finding(found, "private_speed").value or 1) < 0.2


CHEATS = {
    "completeness": """
def change(asked, reply):
    if asked.get("n_predict", 0) > 1: reply["tokens"] = reply["tokens"][:-1]
    return reply
""",
    "self_consistency": """
def change(asked, reply):
    if asked.get("n_predict", 0) > 1: reply["tokens"][2:] = [300] * len(reply["tokens"][2:])
    return reply
""",
    "score_path": """
def change(asked, reply):
    for answer in reply.get("completion_probabilities", []):
        answer["logprob"] += 0.9
    return reply
""",
    "shape_probe": """
def change(asked, reply):
    if asked.get("n_probs") and asked["n_predict"] > 1: reply["tokens"][1] = 301
    return reply
""",
    "private_perplexity": """
def change(asked, reply):
    for answer in reply.get("completion_probabilities", []):
        answer["logprob"] = float("nan")
    return reply
""",
}


@pytest.mark.parametrize("test", CHEATS)
def test_a_dishonest_server_is_found_out(folder: Path, test: TestName) -> None:
    write_submission(folder, CHEATS[test])
    found = judged(make_verify_request(folder, server="odd_server"))

    assert test in found.failed


def test_a_server_that_changes_nothing_passes(folder: Path) -> None:
    write_submission(folder, "")

    assert set(judged(make_verify_request(folder, server="odd_server")).failed) <= TIMES


@pytest.mark.parametrize(
    ("body", "status"),
    [
        ("def change(asked, reply): os._exit(3)", "crashed"),
        ("def change(asked, reply): return [1]", "rubbish"),
        (
            "def change(asked, reply): return reply | {'tokens': [10**6] * asked['n_predict']}",
            "rubbish",
        ),
        ("raise SystemExit('no')", "crashed"),
    ],
)
def test_a_candidate_that_fails_is_its_authors_failure(
    folder: Path, body: str, status: str
) -> None:
    write_submission(folder, body)
    outcome = verify(make_verify_request(folder, server="odd_server"))

    assert (outcome.status, outcome.fault) == (status, "agent")


def test_a_hard_failure_ends_it_early(folder: Path) -> None:
    write_submission(folder, CHEATS["private_perplexity"])
    found = judged(make_verify_request(folder, server="odd_server"))

    assert found.failed == ("private_perplexity",)
    assert finding(found, "regret").status == "not_run"


def test_a_challenge_without_verification_is_refused(folder: Path, tmp_path: Path) -> None:
    request = make_verify_request(folder)
    outcome = verify(request.model_copy(update={"challenge": str(write_challenge(tmp_path))}))

    assert (outcome.status, outcome.fault, outcome.code) == (
        *("refused", "infrastructure", "not_verified"),
    )


def test_a_request_file_becomes_a_result_file_and_one_line(folder: Path, tmp_path: Path) -> None:
    file = tmp_path / "request.json"
    file.write_text(make_verify_request(folder).model_dump_json())
    command = (sys.executable, "-m", "bench.verify", "--request", str(file))
    done = subprocess.run(command, capture_output=True, text=True, cwd=ROOT, check=False)

    assert done.returncode == 0, done.stderr
    assert done.stdout == (tmp_path / "result.json").read_text() + "\n"
    assert JobOutcome.model_validate_json(done.stdout).verification is not None
    assert "scoring private text" in done.stderr


@pytest.mark.parametrize(("text", "code"), [("{", 2), ('{"challenge": "x"}', 2)])
def test_a_broken_request_says_what_is_wrong(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], text: str, code: int
) -> None:
    file = tmp_path / "request.json"
    file.write_text(text)

    assert main(["--request", str(file)]) == code
    assert capsys.readouterr().err.startswith("error: request")


def test_a_failed_verification_still_ends_in_json(
    folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = tmp_path / "request.json"
    request = make_verify_request(folder).model_copy(update={"texts": ()})
    file.write_text(request.model_dump_json())

    assert main(["--request", str(file)]) == 5
    assert json.loads(capsys.readouterr().out)["code"] == "too_few_texts"


def test_the_reference_file_is_written_for_the_next_time(folder: Path) -> None:
    judged(make_verify_request(folder))

    assert load_challenge(folder).challenge.name == "small"
    assert len(json.loads((folder / "reference.json").read_text())) > 3
