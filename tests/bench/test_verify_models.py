"""The verifier on a real model with few tokens: an honest config, and a fitted keep-set."""

import re
import shutil
from pathlib import Path

import pytest

from bench.artefacts.model_file import locate
from bench.challenge_files import SHIPPED, Text, load_challenge
from bench.config import Changes, apply_changes
from bench.measurement import JobOutcome
from bench.verify.draw import texts_needed
from bench.verify.openings import OPENINGS
from bench.verify.request import VerifyRequest
from bench.verify.verifier import verify
from sandbox.errors import ConfigError
from tests.bench.verify_stand import TIMES

pytestmark = [pytest.mark.engine, pytest.mark.enable_socket]
NAME = "smollm2-135m-cpu"
NUMBERS = """
[verification]
pool_tokens = 16
speed_rounds = 3
public_rounds = 2
perplexity_tokens = 40
served_prompts = 2
served_tokens = 24
repeated_prompts = 2
canaries = 4
"""
AS_SHIPPED: Changes = {
    f"weights.{part}": "shipped" for part in ("head", "attention", "feed_forward")
}
FITTED: Changes = {"weights.vocabulary": {"strategy": "public_text", "size": 8192}}


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    whole = tmp_path_factory.mktemp("short")
    shutil.copytree(SHIPPED / "texts", whole / "texts")
    shutil.copytree(SHIPPED / NAME, whole / NAME)
    file = whole / NAME / "challenge.toml"
    before, _, rest = file.read_text().partition("[verification]")
    _, _, after = rest.partition("[quotas]")
    text = re.sub(r"min_cpu_share = .*", "min_cpu_share = 0.0", before)
    file.write_text(f"{text}{NUMBERS}[quotas]{after}")
    try:
        locate(load_challenge(whole / NAME).challenge.model, whole / "cache")
    except ConfigError as error:
        pytest.skip(f"the model is not installed: {error}")
    return whole / NAME


def judge(folder: Path, changes: Changes) -> JobOutcome:
    challenge = load_challenge(folder).challenge
    assert challenge.verification is not None
    pairs = zip(OPENINGS[::2], OPENINGS[1::2], strict=False)
    texts = [Text(id=f"t{i}", text=" ".join(two), source="own") for i, two in enumerate(pairs)]
    request = VerifyRequest(
        challenge=str(folder),
        config=apply_changes(challenge.baseline, changes),
        claim=None,
        texts=tuple(texts[: texts_needed(challenge.verification)]),
        seed=1,
        cache_folder=folder.parent / "cache",
        reference_file=folder.parent / "reference.json",
    )
    return verify(request)


def test_as_shipped_passes(folder: Path) -> None:
    found = judge(folder, AS_SHIPPED).verification

    assert found is not None
    assert set(found.failed) <= TIMES
    assert found.numeric_class == "quantised"
    assert found.speed is not None


def test_a_keep_set_fitted_to_the_public_text_fails_at_once(folder: Path) -> None:
    found = judge(folder, FITTED).verification

    assert found is not None
    assert found.failed[0] == "missing_targets"
    assert {one.status for one in found.findings[2:]} == {"not_run"}


def test_a_keep_set_is_looked_up_in_every_drawn_text(folder: Path) -> None:
    """Of the forty scored targets it lacks one, as an honest one might."""
    larger: Changes = {"weights.vocabulary": {"strategy": "public_text", "size": 16_384}}
    found = judge(folder, larger).verification

    assert found is not None
    assert found.failed[0] == "missing_targets"
    assert found.findings[0].detail == (
        "missing_targets 0.025 <= 0.005 (noise 0.02): 1 of 40; "
        "missing_drawn 0.05556 <= 0.005 (noise 0.0102): 11 of 198"
    )
