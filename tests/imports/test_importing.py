"""A collaboration becomes a session: once, in order, and nothing of it is lost."""

import asyncio
from pathlib import Path

import pytest

from orchestrator.imports.row_files import read_rows
from orchestrator.replay import inspect_record
from sandbox.errors import ConfigError
from tests.cli.race import race, write_record
from tests.imports.bucket_tree import (
    BASE,
    BEST,
    DEAD,
    DRIFTED,
    HEAD,
    INT4,
    bring_in,
    folded,
    index,
    post,
    read,
    result,
    small_bucket,
    verdict,
    write,
)
from tools.record.events import AttemptInvalidated, Draft
from tools.record.lineage import Node
from tools.record.sqlite_store import SqliteStore


@pytest.fixture
def bucket(tmp_path: Path) -> Path:
    return small_bucket(tmp_path / "bucket")


@pytest.fixture
def session(tmp_path: Path, bucket: Path) -> Path:
    bring_in(read(bucket), tmp_path / "session")
    return tmp_path / "session"


def by_file(session: Path) -> dict[str, Node]:
    nodes = folded(session).lineage.nodes.values()
    return {one.reported.source.removeprefix("results/"): one for one in nodes if one.reported}


def test_the_record_keeps_every_invariant(session: Path) -> None:
    report = inspect_record(session)

    assert [one for one in report.invariants if not one.ok] == []


def test_events_have_the_times_they_had_and_are_in_that_order(session: Path) -> None:
    store = SqliteStore.open_read_only(session / "record.db")
    events = list(store.events())
    store.close_reader()

    assert [one.time for one in events] == sorted(one.time for one in events)
    posted = next(one for one in events if one.key == f"import:result/{INT4}")
    assert (posted.time, posted.actor) == (1_780_928_460.5, "ada")


def test_the_stated_baseline_is_what_the_others_are_compared_with(session: Path) -> None:
    nodes = by_file(session)

    assert nodes[BASE].attempt == "a0000"
    assert nodes[BASE].is_baseline
    assert nodes[HEAD].estimate == pytest.approx(118.3 / 43.9)
    assert nodes[HEAD].perplexity_ratio == pytest.approx(2.007 / 2.302)


def test_without_a_baseline_speeds_are_known_and_speedups_are_not(
    tmp_path: Path, bucket: Path
) -> None:
    (bucket / "results" / BASE).unlink()
    bring_in(read(bucket), tmp_path / "session")
    node = by_file(tmp_path / "session")[HEAD]

    assert (node.pace, node.estimate, node.speedup) == (118.3, None, None)
    assert [one.pace for one in folded(tmp_path / "session").lineage.frontier()] == [
        *(95.4, 118.3, 250.0)
    ]


def test_stated_parents_become_edges(session: Path) -> None:
    nodes = by_file(session)
    parents = [(one.attempt, one.inferred) for one in nodes[DRIFTED].parents]

    assert parents == [(nodes[HEAD].attempt, None), (nodes[INT4].attempt, None)]


def test_messages_name_what_they_are_about(session: Path) -> None:
    board, nodes = folded(session).board, by_file(session)
    first, second, *_ = board.messages

    assert (first.refs, first.mentions) == ((nodes[INT4].attempt,), ("ada",))
    assert second.refs == (first.id,)
    assert board.inbox("ada", after=0)[0].id == first.id


def test_rulings_hold_and_carry_their_figures(session: Path) -> None:
    nodes = by_file(session)

    assert (nodes[DRIFTED].verdict, nodes[DRIFTED].verdict_reason) == ("invalid", "tps_drift")
    assert (nodes[BEST].verdict, nodes[BEST].verdict_by) == ("valid", "organiser")


def test_a_dead_end_is_neither_measured_nor_on_the_frontier(session: Path) -> None:
    node = by_file(session)[DEAD]
    lineage = folded(session).lineage

    assert (node.state, node.counts, node.pace) == ("negative", False, 82.8)
    assert node.attempt not in {one.attempt for one in lineage.frontier()}


def test_the_frontier_leaves_out_what_was_ruled_invalid(session: Path) -> None:
    lineage = folded(session).lineage

    assert [one.pace for one in lineage.frontier()] == [95.4, 118.3, 250.0]
    assert [one.pace for one in lineage.frontier(valid_only=True)] == [250.0]


def test_importing_twice_changes_nothing(session: Path, bucket: Path) -> None:
    before = (session / "record.db").read_bytes(), folded(session).head_hash
    again = bring_in(read(bucket), session)

    assert (again.events, again.problems) == ({}, ())
    assert again.known > 20
    assert folded(session).head_hash == before[1]


def test_new_files_are_added_behind_what_is_there(session: Path, bucket: Path) -> None:
    between = "20260609-120000-000_ada.md"
    result(bucket, between, tps=180.0, parents=HEAD)
    post(bucket, "20260611-120000-000_bo.md", "see @ada", refs=between)
    added = bring_in(read(bucket), session)

    assert added.events == {"attempt_proposed": 1, "result_reported": 1, "message_posted": 1}
    node, posted = by_file(session)[between], folded(session).board.messages[-1]
    assert posted.refs == (node.attempt,)
    assert [one.pace for one in folded(session).lineage.frontier()] == [95.4, 118.3, 180.0, 250.0]
    assert inspect_record(session).is_sound


def test_a_verdict_that_changes_is_added_each_time(session: Path, bucket: Path) -> None:
    for state in ("invalid", "valid", "valid"):
        index(bucket, {BEST: state})
        bring_in(read(bucket), session)

        assert by_file(session)[BEST].verdict == state
    assert len(by_file(session)[BEST].rulings) == 3


def test_a_ruling_of_a_person_here_stays_and_is_not_answered_by_an_import(
    session: Path, bucket: Path
) -> None:
    invalidate(session, by_file(session)[BEST].attempt)
    again = bring_in(read(bucket), session)

    assert again.events == {}
    assert by_file(session)[BEST].verdict == "invalid"


def invalidate(session: Path, attempt: str) -> None:
    async def ruled() -> None:
        store = SqliteStore.open(session / "record.db", clock=lambda: 1.9e9)
        payload = AttemptInvalidated(attempt=attempt, reason="asked", by="person:kim")
        await store.append([Draft("human-kim", payload, "k1")])
        await store.close()

    asyncio.run(ruled())


def test_a_posted_result_never_changes(session: Path, bucket: Path) -> None:
    result(bucket, INT4, tps=500.0, ppl=2.006, method="int4", parents=BASE)
    again = bring_in(read(bucket), session)

    assert again.events == {}
    assert [one.reason for one in again.problems] == [
        "differs from what was imported before; that stays",
        "its edge to a0000 is not there: it was imported without it",
    ]
    assert by_file(session)[INT4].pace == 95.4


def test_a_parent_that_is_not_there_before_it_is_told(tmp_path: Path, bucket: Path) -> None:
    result(bucket, "20260601-120000-000_ada.md", tps=90.0, parents=[BEST, "x.md"])
    done = bring_in(read(bucket), tmp_path / "session")

    assert [one.reason for one in done.problems] == [
        f"its parent {BEST} is not there before it",
        "its parent x.md is not there before it",
    ]


def test_what_cannot_be_read_is_kept_beside_the_session(tmp_path: Path, bucket: Path) -> None:
    broken = write(bucket, "message_board/20260611-100000-000_ada.md", None, "---\nopen")
    broken.write_bytes(b"---\nopen: [\n---\nwith hf_" + b"a" * 30)
    done = bring_in(read(bucket), tmp_path / "session")
    again = bring_in(read(bucket), tmp_path / "session")
    (kept,) = (tmp_path / "session/unreadable").iterdir()

    assert (done.lost, done.kept, again.kept) == (1, 1, 0)
    assert kept.name.endswith("message_board_20260611-100000-000_ada.md")
    assert kept.read_bytes() == b"---\nopen: [\n---\nwith [redacted:hf]"


def test_secrets_in_posts_are_not_stored(tmp_path: Path, bucket: Path) -> None:
    post(bucket, "20260611-120000-000_bo.md", "my key is hf_" + "b" * 30)
    bring_in(read(bucket), tmp_path / "session")

    assert inspect_record(tmp_path / "session").is_sound
    assert "[redacted:hf]" in folded(tmp_path / "session").board.messages[-1].body


def test_a_session_that_was_ridden_here_takes_no_imports(tmp_path: Path, bucket: Path) -> None:
    write_record(tmp_path / "ridden", race())

    with pytest.raises(ConfigError, match="was ridden here"):
        bring_in(read(bucket), tmp_path / "ridden")


def test_a_folder_of_other_things_is_left_alone(tmp_path: Path, bucket: Path) -> None:
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine/thesis.txt").write_text("years of work")

    with pytest.raises(ConfigError, match="holds no session"):
        bring_in(read(bucket), tmp_path / "mine")


def test_nothing_to_import_makes_no_session(tmp_path: Path) -> None:
    (tmp_path / "empty/results").mkdir(parents=True)

    with pytest.raises(ConfigError, match="nothing could be imported"):
        bring_in(read(tmp_path / "empty"), tmp_path / "session")
    assert not (tmp_path / "session").exists()


def test_an_import_that_was_cut_short_is_completed(tmp_path: Path, bucket: Path) -> None:
    whole = tmp_path / "whole"
    bring_in(read(bucket), whole)
    (bucket / "results" / BEST).rename(tmp_path / "away.md")
    bring_in(read(bucket), tmp_path / "part")
    (tmp_path / "away.md").rename(bucket / "results" / BEST)
    bring_in(read(bucket), tmp_path / "part")
    names = {file: one.attempt for file, one in by_file(whole).items()}

    assert {file: one.attempt for file, one in by_file(tmp_path / "part").items()} == names


def test_ten_thousand_messages_at_one_moment_are_imported(tmp_path: Path) -> None:
    folder = tmp_path / "bucket/message_board"
    folder.mkdir(parents=True)
    for number in range(10_000):
        name = f"20260611-100000-{number % 1000:03d}_ada{number // 1000}.md"
        (folder / name).write_text(f"---\ntype: agent\n---\n\npost {number}\n")
    done = bring_in(read(tmp_path / "bucket"), tmp_path / "session")

    assert done.events["message_posted"] == 10_000
    assert len(folded(tmp_path / "session").board.messages) == 10_000


def test_agents_named_like_words_of_the_record_do_no_harm(tmp_path: Path, bucket: Path) -> None:
    for name in ("open", "join", "import", "propose", "job", "a0001", "human-kim", "unknown"):
        result(bucket, f"20260611-100000-000_{name}.md", tps=50.0)
        post(bucket, f"20260611-100000-001_{name}.md", "hello", refs="a0001 m1 x")
    bring_in(read(bucket), tmp_path / "session")

    assert inspect_record(tmp_path / "session").is_sound
    assert folded(tmp_path / "session").board.messages[-1].refs == ()


def test_rows_and_bucket_come_to_one_result(tmp_path: Path, bucket: Path) -> None:
    rows = tmp_path / "board_rows.jsonl"
    rows.write_text(
        f'{{"filename": "{INT4}", "agent": "ada", "tps": 95.4, "ppl": 2.0057, "method": "int4", '
        '"status": "agent-run", "verification": "valid", "description": "d"}\n'
    )
    done = bring_in(read_rows([bucket, rows]), tmp_path / "session")

    assert done.events["attempt_proposed"] == 6
    assert by_file(tmp_path / "session")[INT4].verdict == "valid"


def test_a_contradicting_row_is_told_and_the_file_counts(tmp_path: Path, bucket: Path) -> None:
    verdict(bucket, "20260611-120000-000_judge.md", BEST, 250.0, 245.0, "VERIFIED VALID")
    rows = tmp_path / "extra_rows.jsonl"
    rows.write_text(
        f'{{"filename": "{BEST}", "agent": "cy", "tps": 251.0, "method": "m", '
        '"status": "agent-run", "verification": "invalid"}\n'
    )
    done = bring_in(read_rows([bucket, rows]), tmp_path / "session")

    assert by_file(tmp_path / "session")[BEST].pace == 250.0
    assert by_file(tmp_path / "session")[BEST].verdict == "valid"
    assert len(done.problems) == 2
