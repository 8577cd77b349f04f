"""`export bucket`, as it is typed."""

import json
import shutil
from pathlib import Path

import pytest

from tests.cli.conftest import Paceline


@pytest.fixture
def folder(races: Path, tmp_path: Path) -> Path:
    shutil.copytree(races / "sessions", tmp_path / "sessions")
    return tmp_path


def test_a_session_is_written_into_a_folder_and_goes_on_from_there(
    folder: Path, paceline: Paceline
) -> None:
    words = ("export", "bucket", "20270101-race", "central")
    first = paceline(*words, folder=folder)
    second = paceline(*words, "--format", "json", folder=folder)
    data = json.loads(second.stdout)

    assert "10 files written to central, 0 were there" in first.stdout
    assert (data["written"], data["there"], data["verdicts"]) == (0, 10, "unchanged")
    assert (folder / "central" / "results" / "verification_status.json").is_file()


def test_the_bucket_of_a_ride_that_stands_still_is_followed_once(
    folder: Path, paceline: Paceline
) -> None:
    paceline("board", "20270101-race", "post", "hello", folder=folder)
    (folder / "central-zoe" / "message_board").mkdir(parents=True)
    (folder / "central-zoe" / "message_board" / "a.md").write_text("I ride elsewhere")
    result = paceline("export", "bucket", "20270101-race", "central", folder=folder)

    assert "outside agents" not in result.stdout


MISTAKES = [
    ("export bucket 20270101-race", "export bucket latest hf://buckets/ORG/NAME"),
    ("export bucket 20270101-race s3://x/y", "'s3://x/y' is no bucket"),
    ("export bucket 20270101-race hf://buckets/x", "names no bucket"),
    ("export bucket 20270101-race hf://buckets/x/y", "there is none. Make one"),
    ("export 20270101-race --traces --follow", "--follow belongs to"),
    ("export 20270101-race", "export bucket SESSION WHERE"),
]


@pytest.mark.parametrize(("line", "said"), MISTAKES)
def test_a_mistake_is_answered_in_one_sentence(
    line: str, said: str, folder: Path, paceline: Paceline
) -> None:
    nowhere = str(folder / "nowhere")
    result = paceline(*line.split(), folder=folder, HF_HOME=nowhere, HF_TOKEN="")

    assert result.returncode == 2
    assert said in result.stderr
    assert "Traceback" not in result.stderr
