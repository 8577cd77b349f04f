"""The shipped examples serve the real model: measured, and judged as any attempt is."""

import re
import shutil
from pathlib import Path

import pytest

from bench.artefacts.model_file import locate
from bench.challenge_files import SHIPPED, Text, load_challenge
from bench.configs.llamacpp import LlamaCppConfig, WeightRecipe
from bench.harness import JobRequest, run_job
from bench.measurement import JobOutcome
from bench.verify.draw import texts_needed
from bench.verify.openings import OPENINGS
from bench.verify.request import VerifyRequest
from bench.verify.verifier import verify
from sandbox.errors import ConfigError
from tests.bench.test_verify_models import NAME, NUMBERS
from tests.bench.verify_stand import TIMES

pytestmark = [pytest.mark.engine, pytest.mark.enable_socket]
EXAMPLES = Path(__file__).parents[2] / "examples" / "submissions"
AS_SHIPPED = LlamaCppConfig(
    weights=WeightRecipe(head="shipped", attention="shipped", feed_forward="shipped")
)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    whole = tmp_path_factory.mktemp("served")
    shutil.copytree(SHIPPED / "texts", whole / "texts")
    shutil.copytree(SHIPPED / NAME, whole / NAME)
    file = whole / NAME / "challenge.toml"
    before, _, rest = file.read_text().partition("[verification]")
    text = re.sub(r"min_cpu_share = .*", "min_cpu_share = 0.0", before)
    file.write_text(f"{text}{NUMBERS}[quotas]{rest.partition('[quotas]')[2]}")
    try:
        locate(load_challenge(whole / NAME).challenge.model, whole / "cache")
    except ConfigError as error:
        pytest.skip(f"the model is not installed: {error}")
    return whole / NAME


def screen(folder: Path, submission: Path | None) -> JobOutcome:
    return run_job(
        JobRequest(
            challenge=str(folder),
            config=AS_SHIPPED,
            cache_folder=folder.parent / "cache",
            submission=submission,
        )
    )


@pytest.fixture(scope="module")
def ours(folder: Path) -> JobOutcome:
    return screen(folder, None)


@pytest.mark.parametrize("name", ["stock", "patched-loop"])
def test_an_example_serves_the_very_tokens_of_our_server(
    folder: Path, ours: JobOutcome, name: str
) -> None:
    found = screen(folder, EXAMPLES / name).measurement

    assert found is not None
    assert ours.measurement is not None
    assert found.output_digest == ours.measurement.output_digest
    assert found.perplexity == ours.measurement.perplexity
    assert (found.peak_memory_bytes or 0) > 0.5 * found.artefact_bytes


@pytest.mark.parametrize(
    ("code", "status"),
    [
        ("raise SystemExit('cannot')", "crashed"),
        ("Model.generate = lambda *_, **__: ([1], [None])", "rubbish"),
    ],
)
def test_code_that_does_not_serve_is_its_authors_fault(
    folder: Path, tmp_path: Path, code: str, status: str
) -> None:
    broken = shutil.copytree(EXAMPLES / "stock", tmp_path / "broken")
    served = (broken / "serve.py").read_text()
    before, guard, after = served.partition("if __name__")
    (broken / "serve.py").write_text(f"{before}{code}\n{guard}{after}")

    outcome = screen(folder, broken)

    assert (outcome.fault, outcome.status) == ("agent", status)


def judged(folder: Path, submission: Path) -> JobOutcome:
    rule = load_challenge(folder).challenge.verification
    assert rule is not None
    pairs = zip(OPENINGS[::2], OPENINGS[1::2], strict=False)
    texts = [Text(id=f"t{i}", text=" ".join(two), source="own") for i, two in enumerate(pairs)]
    return verify(
        VerifyRequest(
            challenge=str(folder),
            config=AS_SHIPPED,
            claim=None,
            texts=tuple(texts[: texts_needed(rule)]),
            seed=1,
            cache_folder=folder.parent / "cache",
            reference_file=folder.parent / "reference.json",
            submission=submission,
        )
    )


def test_an_honest_submission_passes_the_judge(folder: Path) -> None:
    outcome = judged(folder, EXAMPLES / "patched-loop")

    assert outcome.verification is not None, outcome
    assert set(outcome.verification.failed) <= TIMES


def test_a_submission_that_serves_other_tokens_is_found_out(folder: Path, tmp_path: Path) -> None:
    """It scores what it is given honestly, and decodes the same three tokens for everybody."""
    cheat = shutil.copytree(EXAMPLES / "stock", tmp_path / "cheat")
    text = (cheat / "model.py").read_text()
    start = text.index("        asked = ")
    loop = "        return ([260, 550, 282] * count)[:count], [-0.1] * count\n"
    (cheat / "model.py").write_text(text[:start] + loop + text[start:])

    found = judged(folder, cheat).verification

    assert found is not None
    assert {"regret", "self_consistency"} <= set(found.failed)
