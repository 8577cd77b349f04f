"""The shipped challenges load, and their texts are what they claim to be."""

import json
import math
import re
import tomllib
from pathlib import Path
from typing import Any

import pytest

from bench.challenge import Challenge
from bench.challenge_files import load_challenge
from bench.configs.llamacpp import LlamaCppConfig
from bench.frozen import parse

ROOT = Path(__file__).parents[2]
SHIPPED = sorted((ROOT / "bench" / "challenges").glob("*/challenge.toml"))
ON_CPU = [path for path in SHIPPED if path.parent.name.endswith("-cpu")]
EXAMPLES = sorted((ROOT / "examples").glob("gemma-*/challenge.toml"))
TEXTS = ROOT / "bench" / "challenges" / "texts"
LAST_YEAR_OF_DEATH = 1924
"""More than a hundred years ago when the texts were chosen, in 2026."""


def read(name: str) -> list[dict[str, str]]:
    return [json.loads(line) for line in (TEXTS / name).read_text("utf-8").splitlines()]


PASSAGES, PROMPTS = read("passages.jsonl"), read("prompts.jsonl")


def load(path: Path) -> Challenge:
    return parse(Challenge, tomllib.loads(path.read_text("utf-8")), what=path.parent.name)


def windows(text: str, words: int) -> set[tuple[str, ...]]:
    spelt = re.findall(r"[a-z']+", text.lower())
    return {tuple(spelt[at : at + words]) for at in range(len(spelt) - words + 1)}


def test_four_challenges_ship() -> None:
    assert [path.parent.name for path in SHIPPED] == [
        "gemma-270m-cpu",
        "gemma-270m-gpu",
        "gemma-4-e4b-a10g",
        "smollm2-135m-cpu",
    ]


def test_the_folder_of_texts_is_no_challenge() -> None:
    assert not (TEXTS / "challenge.toml").exists()


@pytest.mark.parametrize("path", SHIPPED + EXAMPLES, ids=lambda path: path.parent.name)
def test_a_challenge_loads_and_is_named_after_its_folder(path: Path) -> None:
    assert path.parent.name == load(path).name


@pytest.mark.parametrize("path", ON_CPU + EXAMPLES, ids=lambda path: path.parent.name)
def test_a_challenge_finds_its_texts_beside_it(path: Path) -> None:
    challenge = load(path)

    assert (path.parent / challenge.prompts).resolve() == TEXTS / "prompts.jsonl"
    assert (path.parent / challenge.passages).resolve() == TEXTS / "passages.jsonl"


@pytest.mark.parametrize("path", ON_CPU, ids=lambda path: path.parent.name)
def test_the_baseline_is_the_default_config(path: Path) -> None:
    assert LlamaCppConfig() == load(path).baseline


@pytest.mark.parametrize(
    ("name", "vocabulary"), [("gemma-270m-cpu", 262_144), ("smollm2-135m-cpu", 49_152)]
)
def test_a_missing_target_scores_the_uniform_floor(name: str, vocabulary: int) -> None:
    challenge = load(ROOT / "bench" / "challenges" / name / "challenge.toml")

    assert math.isclose(-math.log(vocabulary), challenge.guardrail.missing_target_logprob)


@pytest.mark.parametrize("path", SHIPPED + EXAMPLES, ids=lambda path: path.parent.name)
def test_every_timed_request_of_a_job_has_a_prompt_of_its_own(path: Path) -> None:
    protocol = load(path).protocol
    needed = protocol.warmup_requests + protocol.full.max_pairs + protocol.digest_prompts

    assert needed <= len(load_challenge(path).prompts)


def test_every_line_says_id_text_and_source_and_nothing_else() -> None:
    assert all({"id", "text", "source"} == set(line) for line in PASSAGES + PROMPTS)


def test_ids_and_texts_are_unique() -> None:
    lines = PASSAGES + PROMPTS

    assert len(lines) == len({line["id"] for line in lines})
    assert len(lines) == len({line["text"] for line in lines})


@pytest.mark.parametrize("line", PASSAGES + PROMPTS, ids=lambda line: line["id"])
def test_typography_is_plain(line: dict[str, Any]) -> None:
    text = line["text"]

    assert text.isascii()
    assert text == " ".join(text.split())


@pytest.mark.parametrize("line", PASSAGES + PROMPTS, ids=lambda line: line["id"])
def test_a_source_names_author_work_year_and_edition(line: dict[str, Any]) -> None:
    source = r".+ \(1[5-8]\d\d-(\d{4})\), .+, 1[5-9]\d\d.*; (Project Gutenberg #\d+|inaugural .+)"
    named = re.fullmatch(source, line["source"])

    assert named, line["source"]
    assert int(named[1]) <= LAST_YEAR_OF_DEATH


def test_every_edition_is_listed_in_the_sources() -> None:
    listed = (TEXTS / "SOURCES.md").read_text("utf-8")
    editions = {line["source"].rsplit("#", 1)[-1] for line in PASSAGES + PROMPTS}
    numbers = {edition for edition in editions if edition.isdigit()}

    assert numbers == set(re.findall(r"#(\d+)\)", listed))


@pytest.mark.parametrize("line", PROMPTS, ids=lambda line: line["id"])
def test_a_prompt_is_twenty_to_sixty_words(line: dict[str, Any]) -> None:
    assert 20 <= len(line["text"].split()) <= 60


def test_passages_and_prompts_share_no_five_words_in_a_row() -> None:
    scored = set().union(*(windows(line["text"], 5) for line in PASSAGES))
    asked = set().union(*(windows(line["text"], 5) for line in PROMPTS))

    assert not scored & asked


def test_passages_and_prompts_come_from_different_works() -> None:
    works = [{line["source"].split(";")[0] for line in lines} for lines in (PASSAGES, PROMPTS)]

    assert not works[0] & works[1]


def test_the_example_config_is_one() -> None:
    data = tomllib.loads((ROOT / "examples" / "config.toml").read_text("utf-8"))

    assert parse(LlamaCppConfig, data, what="config") != LlamaCppConfig()


def test_token_ids_are_those_of_the_texts_they_stand_for() -> None:
    """Which ids: see tests/bench/test_llamacpp_models.py; here, that none was left out."""
    found = load_challenge("gemma-270m-gpu")

    assert [one.id for one in found.prompts] == [one["id"] for one in PROMPTS]
    assert [one.id for one in found.passages] == [one["id"] for one in PASSAGES]
    assert all(one.ids and one.ids[0] == 2 for one in (*found.prompts, *found.passages))


def test_the_questions_are_our_own_and_differ() -> None:
    found = load_challenge("gemma-4-e4b-a10g").prompts

    assert len({one.text for one in found}) == len(found) == 144
    assert {one.source for one in found} == {"written for this project, public domain (CC0)"}
