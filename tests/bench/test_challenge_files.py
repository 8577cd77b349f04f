import json
from pathlib import Path

import pytest

from bench.challenge import ModelSource
from bench.challenge_files import Text, list_challenges, load_challenge, read_texts
from bench.frozen import parse
from sandbox.errors import ConfigError
from tests.bench.process_engine import write_challenge


@pytest.mark.parametrize("name", list_challenges())
def test_a_shipped_challenge_is_whole(name: str) -> None:
    loaded = load_challenge(name)

    assert loaded.challenge.name == name
    assert loaded.prompts
    assert loaded.passages


def test_a_challenge_is_found_by_folder_and_by_file(tmp_path: Path) -> None:
    folder = write_challenge(tmp_path)

    assert load_challenge(folder) == load_challenge(str(folder / "challenge.toml"))
    assert load_challenge(folder).folder == tmp_path


def refusal(where: str | Path) -> ConfigError:
    with pytest.raises(ConfigError) as caught:
        load_challenge(where)
    return caught.value


def test_an_unknown_name_names_the_nearest() -> None:
    error = refusal("smollm-135m-cpu")

    assert "did you mean 'smollm2-135m-cpu'?" in str(error)
    assert error.code == "unknown_challenge"


def test_a_name_like_no_other_lists_the_known() -> None:
    assert "known are: gemma-270m-cpu, gemma-270m-gpu, " in str(refusal("zzz"))


@pytest.mark.parametrize(
    ("file", "text", "message"),
    [
        ("challenge.toml", "name = ", "challenge"),
        ("challenge.toml", "nam = 'x'", "unknown field 'nam'; did you mean 'name'?"),
        ("prompts.jsonl", "", "are empty"),
        ("prompts.jsonl", "{", "prompts.jsonl, line 1"),
        ("prompts.jsonl", '{"id": "a", "text": " ", "source": "s"}', "prompts.jsonl, line 1: text"),
        (
            "passages.jsonl",
            '{"id": "a", "text": "t", "source": "s"}\n' * 2,
            "line 2: id 'a' is used",
        ),
        ("prompts.jsonl", '{"id": "a", "text": "t", "source": "s"}', "has 1 prompts, its protocol"),
    ],
)
def test_a_broken_file_says_where(tmp_path: Path, file: str, text: str, message: str) -> None:
    write_challenge(tmp_path)
    original = (tmp_path / file).read_text() if "nam" in text else ""
    (tmp_path / file).write_text(f"{text}\n{original}")

    assert message in str(refusal(tmp_path))


def test_texts_that_are_not_there_are_named(tmp_path: Path) -> None:
    (write_challenge(tmp_path) / "passages.jsonl").unlink()

    assert "passages.jsonl" in str(refusal(tmp_path))


ONE_FORM = "give one of text, token_ids, context_token_ids with targets"


@pytest.mark.parametrize(
    ("line", "ids"),
    [
        ({"token_ids": [2, 7, 9]}, (2, 7, 9)),
        ({"context_token_ids": [2, 7], "target_token_ids": [9]}, (2, 7, 9)),
        ({"text": "words"}, None),
    ],
)
def test_a_text_is_words_or_token_ids(line: dict[str, object], ids: tuple[int, ...] | None) -> None:
    text = parse(Text, {"id": "a", "source": "s", **line}, what="line")

    assert text.ids == ids
    assert text.model_dump(mode="json") == {"id": "a", "source": "s", **line}


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ({}, ONE_FORM),
        ({"text": "words", "token_ids": [1]}, ONE_FORM),
        ({"target_token_ids": [1]}, "go together"),
        ({"token_ids": []}, "at least 1 item"),
        ({"token_ids": [-1]}, "greater than or equal to 0"),
    ],
)
def test_a_text_in_two_forms_or_none_is_refused(line: dict[str, object], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        parse(Text, {"id": "a", "source": "s", **line}, what="line")


def test_two_texts_of_the_same_content_are_one_whatever_their_form() -> None:
    split = Text(id="a", source="s", context_token_ids=(1,), target_token_ids=(2, 3))

    assert split.content == Text(id="b", source="t", token_ids=(1, 2, 3)).content


def test_the_original_challenges_own_lines_can_be_read(tmp_path: Path) -> None:
    file = tmp_path / "ppl.jsonl"
    scored = {"id": 7, "context_token_ids": [2, 5], "target_token_ids": [6], "score_start": 2}
    audited = {"id": "q1", "index": 0, "prompt_token_ids": [2, 3], "generated_text": "so"}
    file.write_text(f"{json.dumps(scored)}\n{json.dumps(audited)}\n")

    assert read_texts(file) == (
        Text(id="7", source="ppl.jsonl", context_token_ids=(2, 5), target_token_ids=(6,)),
        Text(id="q1", source="ppl.jsonl", token_ids=(2, 3)),
    )


def changed(tmp_path: Path, old: str, new: str) -> Path:
    file = write_challenge(tmp_path) / "challenge.toml"
    file.write_text(file.read_text().replace(old, new))
    return tmp_path


STATED = "[stated]\ntokens_per_second = 40\nperplexity = 10\nsource = 'own'\n"


@pytest.mark.parametrize(
    ("new", "message"),
    [
        ("[protocol]\nalone = true", "alone needs \\[stated\\]"),
        (STATED + "[protocol]\nalone = true", "as many perplexity_tokens as a full"),
    ],
)
def test_alone_there_must_be_one_yardstick(tmp_path: Path, new: str, message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        load_challenge(changed(tmp_path, "[protocol]", new))


@pytest.mark.parametrize(
    ("source", "sha256", "identity", "is_pinned"),
    [
        ("hub-repo:o/n@" + "a" * 40, "", "a" * 40, True),
        ("hub-repo:o/n@main", "", "o/n@main", False),
        ("hub-repo:o/n@main", "b" * 64, "b" * 64, True),
        ("path:f", "b" * 64, "b" * 64, True),
    ],
)
def test_weights_are_known_by_hash_else_commit(
    source: str, sha256: str, identity: str, *, is_pinned: bool
) -> None:
    model = ModelSource(source=source, sha256=sha256, title="t", licence="l")

    assert (model.identity, model.is_pinned) == (identity, is_pinned)


@pytest.mark.parametrize("source", ["path:f", "dir:d", "hub-repo:o/n"])
def test_only_a_repository_needs_no_hash(source: str) -> None:
    with pytest.raises(ConfigError, match="sha256 may be left out"):
        parse(ModelSource, {"source": source, "title": "t", "licence": "l"}, what="model")


def test_an_old_challenge_says_nothing_of_what_it_does_not_know() -> None:
    told = load_challenge("gemma-270m-cpu").challenge.model_dump(mode="json")

    assert not {"stated", "engine_version"} & told.keys()
    assert "alone" not in told["protocol"]
    assert "perplexity_cap" not in told["guardrail"]
    assert "jobs_per_agent_per_day" not in told["quotas"]
