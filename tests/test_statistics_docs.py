"""The figures of docs/statistics.md keep the bars, and a command still finds them."""

import re
from pathlib import Path

import pytest

from bench.challenge_files import load_challenge
from tests.performance.bench_statistics import BARS, DEFAULT, SHIPPED, Table, measure, rendered
from tests.performance.recorded_noise import REPLAY_FILE

ROOT = Path(__file__).parent.parent
TEXT = (ROOT / "docs" / "statistics.md").read_text()
TABLES = re.findall(
    r"^<!-- begin (\S+) -->\n(.*?)\n<!-- end \1 -->", TEXT, re.MULTILINE | re.DOTALL
)
DOCUMENTED = dict(TABLES)
NOT_SIMULATED = ("components", "detectable")


def cells(table: str) -> dict[str, list[float]]:
    """Return the numbers of a table's rows by their labels; shares as fractions of one."""
    rows = [line.strip("| ").split(" | ") for line in table.splitlines()[2:]]
    return {label: [number(cell) for cell in figures] for label, *figures in rows}


def number(cell: str) -> float:
    value, is_share = cell.split(maxsplit=1)[0], cell.endswith("%")
    return float(value) / 100 if is_share else float(value)


@pytest.fixture(scope="module")
def quick() -> dict[str, Table]:
    return {table.key: table for table in measure(quick=True)}


def test_no_rule_of_ours_mints_false_records() -> None:
    ours = {k: v for k, v in cells(DOCUMENTED["false-records"]).items() if "this project" in k}

    assert len(ours) == 3
    assert all(row[0] <= BARS["any_false_record_at_most"] for row in ours.values())


def test_three_sigma_are_found_where_sides_take_turns() -> None:
    found = {k: v for k, v in cells(DOCUMENTED["power"]).items() if k.endswith("in turns")}

    assert len(found) == 2
    assert all(row[2] >= BARS["power_at_3_sigma_at_least"] for row in found.values())


def test_champions_are_ten_times_less_optimistic_than_the_best_run() -> None:
    rows = cells(DOCUMENTED["optimism"])

    assert all(row[2] >= BARS["optimism_ratio_at_least"] for row in rows.values())


def test_equals_are_not_promoted_on_recorded_noise() -> None:
    rows = cells(DOCUMENTED["recorded"])

    assert max(max(row) for row in rows.values()) <= BARS["aa_false_records_at_most"]


def test_the_published_figures_are_recovered() -> None:
    rows = cells(DOCUMENTED["published"])

    assert len(rows) >= 10
    for printed, found in rows.values():
        assert found == pytest.approx(printed, rel=BARS["published_within"])


@pytest.mark.parametrize("key", ["false-records", "power", "recorded"])
def test_the_quick_form_finds_what_is_documented(key: str, quick: dict[str, Table]) -> None:
    documented = cells(DOCUMENTED[key])

    assert set(documented) == {row.label for row in quick[key].rows}
    for row in quick[key].rows:
        for said, found in zip(documented[row.label], row.figures, strict=True):
            assert said == pytest.approx(found.value, abs=4.5 * found.error + 0.01)


def test_the_quick_form_finds_the_documented_optimism(quick: dict[str, Table]) -> None:
    documented = cells(DOCUMENTED["optimism"])

    for row in quick["optimism"].rows:
        for said, found in zip(documented[row.label][:2], row.figures[:2], strict=True):
            assert said == pytest.approx(found.value, abs=4.5 * found.error + 0.02)


@pytest.mark.parametrize("key", NOT_SIMULATED)
def test_what_is_not_simulated_is_documented_to_the_letter(
    key: str, quick: dict[str, Table]
) -> None:
    assert rendered(quick[key]) == DOCUMENTED[key]


def test_the_published_figures_are_recovered_anew(quick: dict[str, Table]) -> None:
    if not REPLAY_FILE.exists():
        pytest.skip("no ../shared/replay/noise.jsonl beside the checkout")

    assert rendered(quick["published"]) == DOCUMENTED["published"]


@pytest.mark.parametrize("name", ["gemma-270m-cpu", "smollm2-135m-cpu"])
def test_the_simulated_rules_are_the_shipped_ones(name: str) -> None:
    rule = load_challenge(name).challenge.promotion

    assert rule.model_dump() == {**SHIPPED.model_dump(), "wall_seconds": rule.wall_seconds}


def test_the_documented_rule_is_the_shipped_one() -> None:
    rows = re.findall(r"^\| `(\w+)` \|.*\| (\S+) \| (\S+) \|$", TEXT, re.MULTILINE)

    assert len(rows) == 6
    for field, default, shipped in rows:
        assert getattr(DEFAULT, field) == float(default)
        assert getattr(SHIPPED, field) == float(shipped)
