import json
import re
import stat
from pathlib import Path

import pytest

from bench.challenge_files import Text
from bench.verify.openings import OPENINGS
from bench.verify.write_pool import PoolRequest, main, whole_words
from tests.bench.verify_stand import write_verified_challenge

SEED = "00112233445566778899aabbccddeeff"


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_verified_challenge(tmp_path_factory.mktemp("pool"))


def write(folder: Path, out: str, *, seed: str = SEED, texts: int = 8) -> list[Text]:
    request = PoolRequest(
        challenge=str(folder),
        texts=texts,
        tokens=24,
        seed_hex=seed,
        cache_folder=folder / "cache",
        out=folder / out,
    )
    file = folder / "pool-request.json"
    file.write_text(request.model_dump_json())
    assert main(["--request", str(file)]) == 0
    return [Text.model_validate_json(line) for line in (folder / out).read_text().splitlines()]


@pytest.mark.enable_socket
def test_a_seed_writes_the_same_texts_again_and_another_one_others(folder: Path) -> None:
    first, again = write(folder, "a.jsonl"), write(folder, "b.jsonl")
    other = write(folder, "c.jsonl", seed=SEED[::-1])

    assert first == again
    assert not {text.text for text in first} & {text.text for text in other}


@pytest.mark.enable_socket
def test_texts_are_plain_numbered_and_for_their_owner_only(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    texts = write(folder, "d.jsonl")

    assert [text.id for text in texts] == [f"t00{i}" for i in range(1, 9)]
    assert all(re.fullmatch(r"[ -~]+", text.text) for text in texts)
    assert len({text.text for text in texts}) == 8
    assert stat.S_IMODE((folder / "d.jsonl").stat().st_mode) == 0o600
    assert "8 of 8 texts" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("content", "text"),
    [
        ("s were closed, and he lef", "were closed, and he"),
        (" then  left the\nroom wit", "then left the room"),
        ("", ""),
        ("word", ""),
    ],
)
def test_only_whole_words_after_the_opening_are_kept(content: str, text: str) -> None:
    assert whole_words(content) == text


def test_openings_are_many_short_and_different() -> None:
    assert len(set(OPENINGS)) == len(OPENINGS) >= 60
    assert all(3 <= len(opening.split()) <= 14 for opening in OPENINGS)
    assert all(opening.isascii() for opening in OPENINGS)


def test_a_broken_request_says_what_is_wrong(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = tmp_path / "request.json"
    file.write_text(json.dumps({"challenge": "x", "texts": 0}))

    assert main(["--request", str(file)]) == 2
    assert "error: request" in capsys.readouterr().err
