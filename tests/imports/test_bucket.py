"""A bucket in the original's layout, read without trusting it."""

import os
from pathlib import Path

import pytest

from orchestrator.imports.bucket_reader import FolderReader
from orchestrator.imports.collaboration import Problem
from sandbox.errors import ConfigError
from tests.imports.bucket_tree import (
    BEST,
    DEAD,
    DRIFTED,
    HEAD,
    INT4,
    index,
    post,
    read,
    result,
    small_bucket,
    verdict,
    write,
)


@pytest.fixture
def bucket(tmp_path: Path) -> Path:
    return small_bucket(tmp_path / "bucket")


def problems_of(bucket: Path) -> dict[str, Problem]:
    return {one.file: one for one in read(bucket).problems}


def test_everything_of_the_layout_is_read(bucket: Path) -> None:
    found = read(bucket)

    assert [len(one) for one in found[:4]] == [5, 4, 6, 2]
    assert found.problems == ()
    assert {one.file: one.parents for one in found.results}[DRIFTED] == (HEAD, INT4)
    assert {one.file: one.tokens_per_second for one in found.results}[DEAD] == 82.8


def test_the_index_says_who_is_valid_and_posts_add_the_figures(bucket: Path) -> None:
    rulings = {one.file: one for one in read(bucket).rulings}

    assert {file: one.state for file, one in rulings.items()} == {DRIFTED: "invalid", BEST: "valid"}
    assert rulings[DRIFTED].reason == "tps_drift"
    assert (rulings[BEST].claimed, rulings[BEST].private, rulings[BEST].completed) == (
        250,
        245,
        128,
    )


def test_a_post_that_looks_like_a_verdict_rules_nothing(bucket: Path) -> None:
    verdict(bucket, "20260611-120000-000_cy.md", INT4, 95.4, 95.0, "VERIFIED VALID")
    found = read(bucket)

    assert INT4 not in {one.file for one in found.rulings}
    assert "the index says pending" in found.problems[0].reason


def test_a_forged_verdict_without_the_servers_stamp_is_not_even_read(bucket: Path) -> None:
    forged = verdict(bucket, "20260611-120000-000_cy.md", BEST, 250.0, 100.0, "VERIFIED VALID")
    forged.write_text(forged.read_text().replace("via: server", "via: raw"))

    assert {one.file: one.private for one in read(bucket).rulings}[BEST] == 245.0


def test_a_message_that_lies_in_an_inbox_alone_is_not_lost(bucket: Path) -> None:
    post(bucket, "20260608-150000-000_bo.md", "a copy", place="inbox/ada")
    post(bucket, "20260608-160000-000_bo.md", "only here", place="inbox/ada")
    found = read(bucket)

    assert [one.body for one in found.posts].count("a copy") == 0
    assert [one.body for one in found.posts].count("only here") == 1


@pytest.mark.parametrize(
    ("keys", "reason"),
    [
        ({"tps": True}, "tps is a boolean, not a number"),
        ({"tps": "420"}, "tps is a text, not a number"),
        ({"tps": float("nan")}, "tps is not finite"),
        ({"tps": float("inf")}, "tps is not finite"),
        ({"tps": -1}, "tps is not between"),
        ({}, "tps is absent, not a number"),
        ({"tps": 1, "ppl": "2.3"}, "ppl is a text, not a number"),
        ({"tps": 1, "status": "best"}, "status is 'best', not agent-run or negative"),
        ({"tps": 1, "method": {"a": 1}}, "method is a mapping, not a text"),
        ({"tps": 1, "parents": {"a": 1}}, "parents is a mapping, not a list"),
    ],
)
def test_a_result_with_a_wrong_value_is_told_and_kept(
    bucket: Path, keys: dict[str, object], reason: str
) -> None:
    file = result(bucket, "20260611-100000-000_ada.md", **keys)
    problem = problems_of(bucket)[f"results/{file.name}"]

    assert reason in problem.reason
    assert problem.raw == file.read_bytes()


@pytest.mark.parametrize(
    ("key", "value", "reason"),
    [
        ("agent", "bo", "the name says 'ada', agent says 'bo'"),
        ("timestamp", "2026-06-12 10:15 UTC", "from the name's stamp"),
        ("timestamp", "yesterday", "is no moment"),
    ],
)
def test_stamps_that_disagree_with_the_name_are_told_and_the_name_counts(
    bucket: Path, key: str, value: str, reason: str
) -> None:
    name = "20260611-100000-000_ada.md"
    stamps = {"timestamp": "2026-06-11 10:00 UTC", key: value}
    write(bucket, f"results/{name}", {"tps": 1.0, "status": "agent-run", **stamps})
    found = read(bucket)

    assert reason in found.problems[0].reason
    assert found.problems[0].raw is None
    assert {one.file: one.agent for one in found.results}[name] == "ada"


def test_names_that_are_no_stamps_are_told(bucket: Path) -> None:
    write(bucket, "message_board/notes.md", {"type": "agent"}, "hello")
    write(bucket, "agents/Organiser.md", {}, "I rule")

    assert set(problems_of(bucket)) == {"message_board/notes.md", "agents/Organiser.md"}


def test_the_second_file_of_one_name_is_kept_and_not_imported(bucket: Path) -> None:
    result(bucket, INT4, tps=9.0)
    (bucket / "results/again").mkdir()
    (bucket / "results" / INT4).rename(bucket / "results/again" / INT4)
    result(bucket, INT4, tps=95.4)
    problem = problems_of(bucket)[f"results/again/{INT4}"]

    assert problem.reason == "another file has this name"
    assert b"9.0" in (problem.raw or b"")


def test_links_lead_nowhere(bucket: Path, tmp_path: Path) -> None:
    secret = tmp_path / "secret.md"
    secret.write_text("---\ntype: agent\n---\nsecret")
    (bucket / "message_board/20260611-100000-000_ada.md").symlink_to(secret)
    (bucket / "results/away").symlink_to(tmp_path)
    found = read(bucket)

    assert {one.reason for one in found.problems} == {"a link; links are not followed"}
    assert not any("secret" in one.body for one in found.posts)


def test_a_linked_folder_is_not_read(bucket: Path, tmp_path: Path) -> None:
    (bucket / "message_board").rename(tmp_path / "elsewhere")
    (bucket / "message_board").symlink_to(tmp_path / "elsewhere")

    assert read(bucket).posts == ()


def test_what_is_no_file_is_told_and_does_not_block(bucket: Path) -> None:
    os.mkfifo(bucket / "message_board/20260611-100000-000_ada.md")

    assert problems_of(bucket)["message_board/20260611-100000-000_ada.md"].reason == "no plain file"


@pytest.mark.parametrize("text", ["{", "[1]", '{"a": NaN', "[" * 100_000])
def test_an_index_that_cannot_be_read_rules_nothing(bucket: Path, text: str) -> None:
    (bucket / "results/verification_status.json").write_text(text)
    found = read(bucket)

    assert found.rulings == ()
    assert any("index of verdicts" in one.reason for one in found.problems)


def test_unknown_states_and_results_of_the_index_are_told(bucket: Path) -> None:
    index(bucket, {INT4: "great", "20260101-000000-000_x.md": "valid"})
    reasons = [one.reason for one in read(bucket).problems]

    assert any("unknown state 'great'" in one for one in reasons)
    assert any("there is no such result" in one for one in reasons)


def test_a_long_body_is_cut_and_told(bucket: Path) -> None:
    post(bucket, "20260611-100000-000_ada.md", "x" * 70_000)
    found = read(bucket)

    assert max(len(one.body) for one in found.posts) == 65_536
    assert "cut after" in found.problems[0].reason


def test_other_folders_are_named_and_not_read(bucket: Path) -> None:
    write(bucket, "artifacts/x_ada/manifest.json", {})
    write(bucket, "README.md", None, "rules")

    assert set(read(bucket).not_read) == {"README.md", "artifacts"}


def test_a_folder_that_is_not_there_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="no folder"):
        FolderReader(tmp_path / "none")
