"""The JSON that scripts rely on."""

import csv
import io
import json
from pathlib import Path
from typing import Any

import pytest

from tests.cli.conftest import Paceline

ROW = (
    "rank rank_low rank_high attempt agent tokens_per_second ci_low ci_high n speedup "
    "perplexity verdict verified fingerprint "
    "value launches fresh single_speedup suspected_by inherits ruled_by reason"
)
NODE = (
    "attempt agent parents fingerprint state tokens_per_second perplexity verdict verified "
    "suspected_by on_frontier"
)


def read(paceline: Paceline, folder: Path, *words: str) -> Any:
    return json.loads(paceline(*words, "--format", "json", folder=folder).stdout)


def test_the_leaderboard_has_the_documented_shape(races: Path, paceline: Paceline) -> None:
    board = read(paceline, races, "leaderboard", "20270101-race")

    assert {"session", "challenge", "baseline", "rows", "suspects", "rejected"} <= board.keys()
    assert board["baseline"].keys() == {"tokens_per_second", "perplexity"}
    assert all(set(ROW.split()) <= row.keys() for row in board["rows"])
    assert [row["attempt"] for row in board["rows"]] == ["a0004", "a0002", "a0001", "a0000"]


def test_the_lineage_has_the_documented_shape(races: Path, paceline: Paceline) -> None:
    nodes = read(paceline, races, "lineage", "20270101-race")["nodes"]

    assert [node.keys() == set(NODE.split()) for node in nodes] == [True] * 7
    assert nodes[4]["parents"] == [
        {"attempt": "a0001", "kind": "builds-on"},
        {"attempt": "a0002", "kind": "merges"},
    ]
    assert [node["on_frontier"] for node in nodes] == [True, True, True, False, True, False, False]
    assert nodes[6]["tokens_per_second"] is None


def test_the_check_has_the_documented_shape(races: Path, paceline: Paceline) -> None:
    report = read(paceline, races, "replay", "20270101-race", "--check")

    assert report["chain_ok"] is report["folds_ok"] is True
    assert report["events"] == 37
    assert len(report["head_hash"]) == 64
    assert all(one.keys() == {"name", "ok", "detail"} for one in report["invariants"])


def test_the_global_format_is_the_default_of_a_verb(races: Path, paceline: Paceline) -> None:
    result = paceline("--format", "json", "board", "20270101-race", folder=races)

    assert len(json.loads(result.stdout)["messages"]) == 2


@pytest.mark.parametrize("verb", ["leaderboard", "lineage", "board", "doctor", "personas"])
def test_every_table_is_csv_too(verb: str, races: Path, paceline: Paceline) -> None:
    words = [verb, "20270101-race"] if verb != "personas" else [verb]
    rows = list(
        csv.DictReader(io.StringIO(paceline(*words, "--format", "csv", folder=races).stdout))
    )

    assert rows
    assert None not in rows[0]


SIMULATED = [
    "leaderboard",
    "leaderboard --format json",
    "leaderboard --format csv",
    "lineage",
    "lineage --format json",
    "lineage --format csv",
    "lineage --format dot",
    "lineage --format svg",
    "lineage frontier",
    "lineage path a0004",
    "lineage diff a0001 a0004",
    "attempt a0004",
    "attempt a0004 --format json",
    "replay",
]


@pytest.mark.parametrize("line", SIMULATED)
def test_a_simulated_session_says_so_in_every_view(
    line: str, races: Path, paceline: Paceline
) -> None:
    verb, *rest = line.split()
    simulated = paceline(verb, "20270102-simulated", *rest, folder=races).stdout.lower()

    assert "simulated" in simulated.replace("20270102-simulated", "")
