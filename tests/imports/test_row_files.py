"""Row files of a stored collaboration."""

import json
from pathlib import Path
from typing import Any

import pytest

from orchestrator.imports.merging import Merged, merge
from orchestrator.imports.row_files import read_rows
from orchestrator.imports.row_lines import window_end
from orchestrator.imports.values import moment_of
from sandbox.errors import ConfigError
from tests.imports.bucket_tree import small_bucket

ADA = "20260608-142100-500_ada.md"
BO = "20260609-142100-500_bo.md"


def rows(folder: Path, name: str, *lines: dict[str, Any] | str) -> Path:
    folder.mkdir(exist_ok=True)
    texts = [line if isinstance(line, str) else json.dumps(line) for line in lines]
    (folder / name).write_text("\n".join(texts) + "\n")
    return folder


def row(file: str, tps: float | None, **keys: Any) -> dict[str, Any]:
    agent = file.rsplit("_", 1)[1].removesuffix(".md")
    whole = {"filename": file, "agent": agent, "tps": tps, "ppl": 2.3, "method": "m"}
    return {**whole, "status": "agent-run", "verification": "pending", **keys}


def step(tps: float, at: str, **keys: Any) -> dict[str, Any]:
    return {"frontier": "raw", "at": at, "tps": tps, "agent": None, "filename": None, **keys}


def merged(folder: Path) -> Merged:
    return merge(read_rows([folder]))


def test_a_line_that_cannot_be_read_is_told_and_kept(tmp_path: Path) -> None:
    bad = ["{", "[]", '{"filename": 1}', '{"filename": "x", "tps": NaN}', "\x00", "x" * 300_000]
    found = read_rows([rows(tmp_path / "r", "board_rows.jsonl", *bad, row(ADA, 95.0))])

    assert [one.file for one in found.problems] == [
        f"board_rows.jsonl:{number}" for number in range(1, 7)
    ]
    assert all(one.raw is not None for one in found.problems)
    assert len(found.results) == 1


@pytest.mark.parametrize(
    ("key", "value"),
    [
        *(("tps", True), ("tps", "95"), ("ppl", -1), ("status", "best"), ("agent", "bo")),
        *(("verification", "great"), ("filename", "../x"), ("method", [1])),
    ],
)
def test_wrong_values_are_told(tmp_path: Path, key: str, value: Any) -> None:
    line = row(ADA, 95.0) | {key: value}
    found = read_rows([rows(tmp_path / "r", "board_rows.jsonl", line, row(BO, 95.0))])

    assert (len(found.results), len(found.problems)) == (1, 1)


def test_null_is_unknown(tmp_path: Path) -> None:
    found = read_rows([rows(tmp_path / "r", "extra_rows.jsonl", row(ADA, None, ppl=None))])

    assert (found.results[0].tokens_per_second, found.results[0].perplexity) == (None, None)


def test_a_verdict_without_a_file_finds_its_result_by_agent_and_figure(tmp_path: Path) -> None:
    folder = rows(tmp_path / "r", "board_rows.jsonl", row(ADA, 419.3412), row(BO, 419.34))
    verdict = {"agent": "ada", "method": "m", "result_filename": None, "reported_tps": 419.34}
    found = {"private_tps": 395.0, "verdict": "invalid", "complete": True}
    rows(folder, "verdicts.jsonl", verdict | found)
    rulings = merged(folder).rulings

    assert list(rulings) == [ADA]
    assert rulings[ADA].share_lost == pytest.approx(0.058044, abs=1e-6)


def test_a_verdict_known_second_hand_leaves_the_result_unknown(tmp_path: Path) -> None:
    line = {"agent": None, "method": "w", "result_filename": None, "reported_tps": 508.0}
    line |= {"private_tps": 470.0, "verdict": "invalid", "complete": False, "window": "2026-06-16"}
    folder = rows(tmp_path / "r", "verdicts.jsonl", line)
    (result,) = merged(folder).results

    assert (result.tokens_per_second, result.agent) == (None, "(unknown)")
    assert merged(folder).rulings[result.file].claimed == 508.0


def test_a_step_of_the_chart_is_a_result_of_unknown_author(tmp_path: Path) -> None:
    folder = rows(tmp_path / "r", "frontier.jsonl", step(247.2, "2026-06-09T17:27Z"))
    (result,) = merged(folder).results

    assert (result.agent, result.tokens_per_second) == ("(unknown)", 247.2)
    assert result.time == moment_of("2026-06-09 17:27 UTC", "at")
    assert "chart" in result.note


def test_a_step_with_an_author_dates_a_result_whose_stamp_was_made_up(tmp_path: Path) -> None:
    bucket = small_bucket(tmp_path / "r")
    made_up = {"path": "results/20260610-120000-000_cy.md", "stamp": "synthetic"}
    rows(bucket, "PROVENANCE.jsonl", made_up)
    steps = rows(
        tmp_path / "s", "frontier.jsonl", step(250.0, "2026-06-09T01:02Z", agent="cy", method="mtp")
    )
    times = {one.file: one.time for one in merge(read_rows([bucket, steps])).results}

    assert times["20260610-120000-000_cy.md"] == moment_of("2026-06-09 01:02 UTC", "at")


def test_what_nobody_plotted_was_invalid_by_then(tmp_path: Path) -> None:
    folder = rows(
        tmp_path / "r",
        "extra_rows.jsonl",
        row(ADA, 95.0, verification=None),
        row(BO, 500.0, verification=None),
    )
    points = [{"at": "2026-06-08T14:22Z", "tps": 95.2}, {"at": "2026-06-19T14:22Z", "tps": 1.0}]
    rows(folder, "points.jsonl", *points)
    rulings = merged(folder).rulings

    assert {file: (one.state, one.by) for file, one in rulings.items()} == {
        BO: ("invalid", "import")
    }


def test_credits_say_where_they_were_read_and_the_surest_counts(tmp_path: Path) -> None:
    folder = rows(tmp_path / "r", "board_rows.jsonl", row(ADA, 95.0), row(BO, 99.0))
    edge = {"child_filename": BO, "parent_agent": "ada", "parent_filename": ADA}
    rows(
        folder,
        "credits.jsonl",
        edge | {"evidence": "method-name", "confidence": "low"},
        edge | {"evidence": "text", "confidence": "high"},
        edge | {"evidence": "text", "confidence": "sure"},
    )
    found = merged(folder)

    assert [(one.evidence, one.confidence) for one in found.credits[BO]] == [("text", "high")]
    assert len(read_rows([folder]).problems) == 1


def test_a_run_folder_is_a_result_that_nobody_posted(tmp_path: Path) -> None:
    run = tmp_path / "runs" / "one"
    run.mkdir(parents=True)
    (run / "summary.json").write_text('{"tps": 508.2, "ppl": null, "job_id": "6a3b65f3d530f385"}')
    (run / "manifest.json").write_text('{"name": "w188", "model_id": "org/model", "env": {}}')
    found = read_rows([tmp_path])

    assert found.problems == ()
    assert (found.results[0].method, found.results[0].perplexity) == ("w188", None)
    assert found.results[0].time == 0x6A3B65F3


@pytest.mark.parametrize("text", ["{", "[]", '{"tps": true, "job_id": "6a3b65f3"}', '{"tps": 1}'])
def test_a_damaged_run_is_told(tmp_path: Path, text: str) -> None:
    run = tmp_path / "runs" / "one"
    run.mkdir(parents=True)
    (run / "summary.json").write_text(text)
    rows(tmp_path, "board_rows.jsonl", row(ADA, 95.0))

    assert [one.file for one in read_rows([tmp_path]).problems][-1] == "runs/one/summary.json"


@pytest.mark.parametrize("name", ["none.jsonl", "other.jsonl", "notes"])
def test_what_holds_no_rows_is_refused(tmp_path: Path, name: str) -> None:
    rows(tmp_path, "other.jsonl", "{}")
    (tmp_path / "notes").mkdir()

    with pytest.raises(ConfigError):
        read_rows([tmp_path / name])


@pytest.mark.parametrize(
    ("window", "end"),
    [
        ("2026-06-11 15:23..19:22 UTC", "2026-06-11 19:22"),
        ("2026-06-13 18:56 UTC", "2026-06-13 18:56"),
        ("2026-06-13", "2026-06-13 23:59"),
        ("later", None),
        (None, None),
        ("2026-99-13", None),
    ],
)
def test_a_window_ends_when_it_says(window: Any, end: str | None) -> None:
    assert window_end(window) == (None if end is None else moment_of(end, "end"))
