"""A receipt is checked by whoever has the file; private texts are published once, at the end."""

import json
from pathlib import Path

import pytest

from orchestrator.private_pool import commitment_of
from orchestrator.session_folder import locked
from tests.builders import make_message, make_session
from tests.cli.conftest import Paceline
from tests.cli.race import write_record
from tests.orchestrator.test_keys_and_receipts import KEY, TEXT
from tools.record.events import Draft, PoolCommitted, SessionStopped

TRUST = ("--trust", KEY.public_hex)


@pytest.fixture
def receipt(tmp_path: Path) -> Path:
    file = tmp_path / "receipt.json"
    file.write_bytes(TEXT)
    return file


def test_a_receipt_is_checked_on_a_bare_machine_and_nothing_is_made(
    receipt: Path, program: Paceline
) -> None:
    result = program("verify", "--receipt", "receipt.json", *TRUST, folder=receipt.parent)

    assert result.returncode == 0, result.stderr
    assert "a0007 by ann" in result.stdout
    assert f"the receipt holds; signed by {KEY.public_hex} (--trust)" in result.stdout
    assert list(receipt.parent.iterdir()) == [receipt]


def test_a_receipt_is_printed_as_data(receipt: Path, paceline: Paceline) -> None:
    result = paceline("verify", "--receipt", str(receipt), *TRUST, "--format", "json")
    said = json.loads(result.stdout)

    assert (said["signed_by"], said["receipt"]) == ("--trust", json.loads(TEXT))


def test_an_unknown_key_ends_with_the_option_to_add(receipt: Path, paceline: Paceline) -> None:
    result = paceline("verify", "--receipt", str(receipt))

    assert result.returncode == 3
    assert f"--trust {KEY.public_hex}" in result.stderr


WRONG = [
    (TEXT.replace(b"a0007", b"a0008"), "was altered"),
    (b"{}", "this is no receipt"),
    (b"what?", "cannot be read as JSON"),
]


@pytest.mark.parametrize(("content", "said"), WRONG, ids=[one[1] for one in WRONG])
def test_a_wrong_receipt_is_one_clear_sentence(
    receipt: Path, paceline: Paceline, content: bytes, said: str
) -> None:
    receipt.write_bytes(content)
    result = paceline("verify", "--receipt", str(receipt), *TRUST)

    assert result.returncode == 3
    assert said in result.stderr
    assert result.stderr.count("\n") == 1


SLIPS = [
    ("verify --receipt nowhere.json", 3, "nowhere.json"),
    ("verify --receipt x.json latest", 2, "not both"),
    ("verify latest --trust 00", 2, "--trust belongs to --receipt"),
    ("verify a b c", 2, "[SESSION] [ATTEMPT]"),
    ("verify 20270101-race a9999", 2, "unknown attempt 'a9999'"),
    ("export 20270101-race", 2, "--reveal"),
    ("export --reveal nowhere", 2, "no session 'nowhere'"),
]


@pytest.mark.parametrize(("line", "code", "said"), SLIPS, ids=[one[0] for one in SLIPS])
def test_a_slip_is_answered_in_one_sentence(
    line: str, code: int, said: str, races: Path, paceline: Paceline
) -> None:
    result = paceline(*line.split(), folder=races)

    assert result.returncode == code, result.stderr
    assert said in result.stderr
    assert "Traceback" not in result.stderr


LINES = [{"id": "t001", "text": "private", "source": "test"}]
SALT = "ab" * 32


def write_session(folder: Path, *, is_stopped: bool = True, is_committed: bool = True) -> str:
    """Write a session `s` with a set of its own in the private folder; return the commitment."""
    from bench.challenge_files import Text  # noqa: PLC0415 - only to hash

    commitment = commitment_of(SALT, [Text.model_validate(one) for one in LINES])
    drafts = make_session([Draft("ann", make_message(), "m")])
    if is_committed:
        pool = PoolCommitted(commitment=commitment, texts=1, public_key=KEY.public_hex)
        drafts.append(Draft("organiser", pool, "pool"))
    if is_stopped:
        drafts.append(Draft("organiser", SessionStopped(reason="attempts"), "stop"))
    write_record(folder / "sessions" / "s", drafts)
    private = folder / "private" / "sessions" / "s"
    private.mkdir(parents=True)
    kept = {"salt": SALT, "texts": LINES, "commitment": commitment}
    (private / "set.json").write_text(json.dumps(kept))
    (private / "set.json").chmod(0o600)
    return commitment


def reveal(paceline: Paceline, folder: Path) -> tuple[int, str]:
    result = paceline(
        "export", "--reveal", "s", folder=folder, PACELINE_PRIVATE_FOLDER=str(folder / "private")
    )
    return result.returncode, result.stdout + result.stderr


def test_a_closed_session_shows_its_texts_and_its_salt(tmp_path: Path, paceline: Paceline) -> None:
    commitment = write_session(tmp_path)
    code, said = reveal(paceline, tmp_path)
    published = json.loads((tmp_path / "sessions" / "s" / "revealed.json").read_text())

    assert code == 0, said
    assert f"hash to {commitment}" in said
    assert published == {"salt": SALT, "texts": LINES, "commitment": commitment}
    assert (tmp_path / "private" / "retired.txt").exists()


def test_a_session_that_never_ended_keeps_its_texts(tmp_path: Path, paceline: Paceline) -> None:
    write_session(tmp_path, is_stopped=False)
    code, said = reveal(paceline, tmp_path)

    assert (code, "has not ended" in said) == (2, True)
    assert not (tmp_path / "sessions" / "s" / "revealed.json").exists()


def test_a_session_that_rides_keeps_its_texts(tmp_path: Path, paceline: Paceline) -> None:
    write_session(tmp_path)
    with locked(tmp_path / "sessions" / "s"):
        code, said = reveal(paceline, tmp_path)

    assert (code, "is open in process" in said) == (4, True)


def test_a_session_without_private_texts_has_nothing_to_show(
    tmp_path: Path, paceline: Paceline
) -> None:
    write_session(tmp_path, is_committed=False)

    assert reveal(paceline, tmp_path)[0] == 2
