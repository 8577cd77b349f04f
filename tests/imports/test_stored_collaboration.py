"""The real collaboration, where it is stored beside the checkout: it is no part of the project."""

import json
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest

from orchestrator.imports.row_files import read_rows
from orchestrator.imports.values import moment_of
from orchestrator.rejudge import rejudge_session
from orchestrator.replay import inspect_record
from tests.imports.bucket_tree import bring_in, folded
from tools.record.lineage import Node
from tools.record.projection import Projection
from tools.record.sqlite_store import SqliteStore

ROOT = Path(__file__).parents[2]
STORED = ROOT.parent / "shared" / "replay"
CHART_SPEED, CHART_SECONDS = 0.2, 200.0

pytestmark = pytest.mark.skipif(
    not (STORED / "frontier.jsonl").is_file(),
    reason="the stored collaboration is not beside this checkout",
)


@pytest.fixture(scope="module")
def session(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("stored") / "session"
    done = bring_in(read_rows([STORED]), folder)
    assert (done.lost, done.problems) == (0, ())
    return folder


@pytest.fixture(scope="module")
def projection(session: Path) -> Projection:
    return folded(session)


def rows(name: str) -> list[dict[str, Any]]:
    return [json.loads(line) for line in (STORED / name).read_text().splitlines()]


def steps(kind: str) -> list[dict[str, Any]]:
    return [one for one in rows("frontier.jsonl") if one["frontier"] == kind]


@pytest.mark.parametrize(("kind", "count", "more"), [("raw", 63, 4), ("verified", 24, 1)])
def test_the_frontier_is_the_published_one(
    projection: Projection, kind: str, count: int, more: int
) -> None:
    front = projection.lineage.frontier(valid_only=kind == "verified")
    told = [(node.pace, node.reported.time) for node in front if node.reported]
    want = [(one["tps"], moment_of(one["at"], "at")) for one in steps(kind)]
    found = [pair for pair in told if pair[0] in {speed for speed, _ in want}]

    assert len(want) == count
    assert [speed for speed, _ in found] == [speed for speed, _ in want]
    assert max(abs(a - b) for (_, a), (_, b) in zip(found, want, strict=True)) <= 60
    assert len(told) == count + more


def test_what_the_frontier_has_more_is_finer_than_a_chart_or_later(projection: Projection) -> None:
    published = {one["tps"] for one in steps("raw")}
    front = projection.lineage.frontier()
    leads = {
        node.reported.source: node.pace - before.pace
        for before, node in pairwise(front)
        if node.reported and node.pace and before.pace and node.pace not in published
    }
    runs = [source for source in leads if source.startswith("runs/")]

    assert len(runs) == 1  # of 24 June, after the last stored row
    assert all(lead <= CHART_SPEED for source, lead in leads.items() if source not in runs)


def test_it_begins_with_the_well_known_steps(projection: Projection) -> None:
    assert projection.lineage.baseline_tokens_per_second == pytest.approx(44.0, abs=0.01)
    paces = [node.pace or 0 for node in projection.lineage.frontier()]

    for speed in (95.4, 118.3, 127.4, 247.2):
        assert min(abs(speed - pace) for pace in paces) < 0.1


def rulings(session: Path) -> Iterator[tuple[Node, dict[str, Any]]]:
    store = SqliteStore.open_read_only(session / "record.db")
    known = Projection.of(store.events())
    for event in store.events():
        if event.kind == "verdict_given":
            yield known.lineage.nodes[event.payload.attempt], event.payload.evidence
    store.close_reader()


def test_every_complete_verdict_agrees(session: Path) -> None:
    told = [(node, evidence) for node, evidence in rulings(session) if evidence["claimed"]]
    complete = [one for one in rows("verdicts.jsonl") if one["complete"]]
    for row in complete:
        (node, evidence) = next(
            (node, evidence)
            for node, evidence in told
            if node.agent == row["agent"] and abs(evidence["claimed"] - row["reported_tps"]) < 0.005
        )
        assert evidence["private"] == row["private_tps"]
        assert 100 * evidence["drift"] == pytest.approx(row["drift_pct"], abs=0.001)
        assert evidence["private_ppl"] == pytest.approx(row["private_ppl"], abs=1e-9)
        assert evidence["reported_ppl"] == pytest.approx(row["reported_ppl"], abs=1e-9)
        assert evidence["completed"] == row["completed"]
        assert evidence["outcome"] == node.verdict == row["verdict"]
        assert node.verdict_reason == (row["reason"] or "")

    assert len(complete) == 18


def test_partial_verdicts_are_there_with_what_is_not_known(session: Path) -> None:
    partial = [one for one in rows("verdicts.jsonl") if not one["complete"]]
    alone = [
        (node, evidence)
        for node, evidence in rulings(session)
        if node.reported and node.reported.source.startswith("verdicts.jsonl")
    ]

    assert len(alone) == len(partial) == 7
    assert all(node.pace is None for node, _ in alone)
    assert sorted(e["private"] for _, e in alone if e["private"]) == [470.0, 470.95]


def test_every_credit_with_a_file_is_an_edge_that_says_who_believes_it(
    projection: Projection,
) -> None:
    nodes = projection.lineage.nodes.values()
    edges = [parent for node in nodes for parent in node.parents]
    credited = [one for one in rows("credits.jsonl") if one["parent_filename"]]

    assert len(edges) == len(credited) == 65
    assert all(edge.inferred for edge in edges)


def test_the_record_keeps_every_invariant(session: Path) -> None:
    assert inspect_record(session).is_sound


def test_importing_it_again_changes_nothing(session: Path, projection: Projection) -> None:
    again = bring_in(read_rows([STORED]), session)

    assert again.events == {}
    assert folded(session).head_hash == projection.head_hash


def test_most_posted_records_lie_inside_the_noise(session: Path) -> None:
    found = rejudge_session(session, str(ROOT / "examples/rules/fast-gemma.toml")).reported

    assert found is not None
    assert found.counts["steps"] == 67
    assert found.counts["ties"] >= 50
    assert found.counts["never_verified"] == 67 - 24
    assert (len(found.drifted), found.examined) == (11, 20)
