from pathlib import Path

import pytest

from bench.challenge_files import list_challenges, load_challenge
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
    error = refusal("gemma-270m-gpu")

    assert "did you mean 'gemma-270m-cpu'?" in str(error)
    assert error.code == "unknown_challenge"


def test_a_name_like_no_other_lists_the_known() -> None:
    assert "known are: gemma-270m-cpu, smollm2-135m-cpu" in str(refusal("zzz"))


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
