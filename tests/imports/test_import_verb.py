"""`import bucket` and `import rows`, as they are typed, and the verbs that look at the session."""

import json
from pathlib import Path

import pytest

from tests.cli.conftest import Paceline, paceline
from tests.imports.bucket_tree import BEST, small_bucket, write

__all__ = ["paceline"]


@pytest.fixture
def bucket(tmp_path: Path) -> Path:
    return small_bucket(tmp_path / "bucket")


def test_a_bucket_becomes_a_session_that_every_verb_reads(
    tmp_path: Path, bucket: Path, paceline: Paceline
) -> None:
    session = str(tmp_path / "session")
    done = paceline("import", "bucket", str(bucket), "--session", session)

    assert done.returncode == 0, done.stderr
    assert "6 attempts, 4 messages, 2 verdicts" in done.stdout
    for words, expected in {
        ("replay", session): "reports a0001: 95.4 tokens/s",
        ("replay", session, "--check"): "chain, folds and invariants hold",
        ("leaderboard", session): "[reported: measured by others, elsewhere]",
        ("lineage", session, "tree"): "250.0 tokens/s ruled valid",
        ("lineage", session, "frontier"): "2026-06-08 17:07",
        ("lineage", session, "frontier", "--verified"): "verified records",
        ("lineage", session, "path", "a0002"): "int4-head",
        ("lineage", session, "diff", "a0001", "a0002"): "int4-head",
        ("board", session): "trying your head",
        ("attempt", session, "a0004"): "invalid by organiser: tps_drift",
        ("replay", session, "--rules", "examples/rules/fast-gemma.toml"): "posted records",
    }.items():
        told = paceline(*words)
        assert (told.returncode, expected in told.stdout) == (0, True), (words, told)


def test_json_says_what_was_done(tmp_path: Path, bucket: Path, paceline: Paceline) -> None:
    words = ("import", "bucket", str(bucket), "--session", str(tmp_path / "s"), "--format", "json")
    first, second = (json.loads(paceline(*words).stdout) for _ in range(2))

    assert (first["new"]["attempt_proposed"], first["known_already"]) == (6, 0)
    assert (second["new_events"], second["known_already"]) == (0, first["new_events"] - 1)
    assert first["edges"] == {"stated": 4}


def test_a_file_that_cannot_be_read_is_told_and_ends_with_two(
    tmp_path: Path, bucket: Path, paceline: Paceline
) -> None:
    write(bucket, "results/20260611-100000-000_ada.md", {"tps": "fast"})
    done = paceline("import", "bucket", str(bucket), "--session", str(tmp_path / "s"))

    assert done.returncode == 2
    assert "1 problem, of which 1 could not be imported; 1 newly kept" in done.stdout
    assert "results/20260611-100000-000_ada.md: not imported: status is" in done.stderr


def test_rows_are_imported_from_several_files(tmp_path: Path, paceline: Paceline) -> None:
    row = {"filename": BEST, "agent": "cy", "tps": 1.5, "method": "m", "status": "agent-run"}
    (tmp_path / "board_rows.jsonl").write_text(json.dumps(row))
    (tmp_path / "points.jsonl").write_text('{"at": "2026-06-10T12:00Z", "tps": 1.5}')
    files = [str(tmp_path / name) for name in ("board_rows.jsonl", "points.jsonl")]
    done = paceline("import", "rows", *files, "--session", str(tmp_path / "s"))

    assert done.returncode == 0, done.stderr
    assert "1 agent, 1 attempt" in done.stdout


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        (("rows",), "'rows' takes files or folders"),
        (("bucket", "none"), "no folder 'none'"),
        (("bucket", "a", "b"), "takes DIR"),
        (("bucket", "x", "--as", "atif"), "belong to: import trace"),
        (("trace", "x", "--session", "y"), "belongs to: import bucket"),
        (("trees", "x"), "unknown action"),
    ],
)
def test_what_cannot_be_done_is_said(
    words: tuple[str, ...], expected: str, paceline: Paceline
) -> None:
    done = paceline("import", *words)

    assert done.returncode == 2
    assert expected in done.stderr
