"""Does the rule for records keep its word? A simulation, with the tables of docs/statistics.md.

`python -m tests.performance.bench_statistics [--quick]`

The bound: with alpha_k = 0.05 * 6 / (pi^2 k^2) the chance of any false record in a session, however
long, is at most 5 % if each test is honest at its own alpha_k. What launches may show: out of k on
either side a true gain of g sigma stands g / sqrt(2 / k) standard errors, or g / sqrt(1 / k) where
both are timed in turns. Of n equal attempts the best looks about sqrt(2 ln n) sigma too good.

Attempts and their noise are *simulated*, or drawn from launches this project recorded; the rule is
the shipped code. Prints tables for people, then one line of JSON.
"""

import argparse
import json
import time
from collections.abc import Callable, Iterable, Sequence
from math import sqrt
from typing import NamedTuple

import numpy as np

from bench.challenge import PromotionRule
from bench.noise import components, minimum_detectable
from tests.performance.campaigns import Campaign, Outcome, World, promoted_gains
from tests.performance.recorded_noise import (
    REPLAY_FILE,
    first_tests,
    recorded_launches,
    recovered,
    resampled,
    session_of_tests,
)

ATTEMPTS = 450
POWER_AT_TEST = 10
SESSION_TESTS = 100
"""Ten times what a session of 450 equal attempts spends."""
GAINS = (1, 2, 3, 4)
DEFAULT = PromotionRule()
SHIPPED = PromotionRule(launches=4, prior_launch_sd=0.03)
"""As in the shipped challenges; a test compares."""
BOLD = PromotionRule(launches=8, trigger_sigmas=1.5)
IN_TURNS, APART = World("in turns", 0.02, is_apart=False), World("apart", 0.02, is_apart=True)
NOISY = World("in turns, sigma 3 %", 0.03, is_apart=False)
BARS = {
    "any_false_record_at_most": 0.05,
    "power_at_3_sigma_at_least": 0.70,
    "optimism_ratio_at_least": 10.0,
    "aa_false_records_at_most": 0.05,
    "published_within": 0.01,
}


class Figure(NamedTuple):
    """A number and its standard error over the simulated repetitions; 0 = exact."""

    value: float
    error: float = 0.0
    unit: str = ""

    def __str__(self) -> str:
        if self.unit == "%":
            return f"{100 * self.value:.1f} %"
        return f"{self.value:.3f}" if self.unit == "TPS" else f"{self.value:.3g}"


class Row(NamedTuple):
    label: str
    figures: tuple[Figure, ...]


class Table(NamedTuple):
    """A table of the document; `key` marks its place there."""

    key: str
    title: str
    columns: tuple[str, ...]
    rows: tuple[Row, ...]

    def figure(self, label: str, column: str) -> Figure:
        row = next(row for row in self.rows if row.label == label)
        return row.figures[self.columns.index(column) - 1]


def share(hits: Sequence[bool]) -> Figure:
    """Return a proportion; its error stays above zero when nothing was hit."""
    count, value = len(hits), sum(hits) / len(hits)
    return Figure(value, sqrt((value * (1 - value) + 1 / count) / count), "%")


def mean(values: Iterable[float]) -> Figure:
    found = np.fromiter(values, dtype=float)
    # The floor keeps an error above zero where a rare event never came.
    return Figure(float(found.mean()), sqrt((found.var() + 1 / found.size) / found.size))


def equal_campaigns(world: World, rule: PromotionRule, *, count: int, seed: int) -> list[Outcome]:
    rng = np.random.default_rng(seed)
    return [Campaign(rng, world, rule).ride([0.0] * ATTEMPTS) for _ in range(count)]


def naive_records(margin: float, *, count: int, seed: int) -> list[int]:
    """Return per campaign the records of `score > best + margin`, both single runs, in sigmas."""
    rng = np.random.default_rng(seed)
    found = []
    for runs in rng.standard_normal((count, ATTEMPTS)).tolist():
        best, records = runs[0], 0
        for run in runs[1:]:
            if run > best + margin:
                best, records = run, records + 1
        found.append(records)
    return found


def false_records(outcomes: dict[str, list[Outcome]], *, count: int) -> Table:
    """450 attempts of equal true speed, the rule asked after every run."""
    rows = []
    for margin in (0, 2, 3, 4, 5):
        found = naive_records(margin, count=count, seed=margin)
        label = f"score > best + {margin} sigma" if margin else "score > best"
        figures = (share([one > 0 for one in found]), mean(found), Figure(0))
        rows.append(Row(label, figures))
    for label, ridden in outcomes.items():
        any_record = share([one.records > 0 for one in ridden])
        records, tests = mean(one.records for one in ridden), mean(one.tests for one in ridden)
        rows.append(Row(label, (any_record, records, tests)))
    columns = ("rule", "chance of any false record", "false records", "tests spent")
    return Table("false-records", "450 attempts of equal true speed", columns, tuple(rows))


def power(*, count: int) -> Table:
    cases = (
        ("default rule, 5 launches, in turns", IN_TURNS, DEFAULT),
        ("shipped challenges, 4 launches, in turns", NOISY, SHIPPED),
        ("default rule, 5 launches, apart", APART, DEFAULT),
        ("shipped challenges, 4 launches, apart", APART, SHIPPED),
        ("8 launches, trigger 1.5, apart", APART, BOLD),
    )
    rows = []
    for seed, (label, world, rule) in enumerate(cases):
        rng = np.random.default_rng(seed)
        found = [
            promoted_gains(rng, world, rule, gain_sigmas=GAINS, test=POWER_AT_TEST)
            for _ in range(count)
        ]
        rows.append(Row(label, tuple(share(hits) for hits in zip(*found, strict=True))))
    columns = ("rule", *(f"{gain} sigma" for gain in GAINS))
    return Table("power", "promoted at the tenth test, by true gain", columns, tuple(rows))


def optimism(equal: list[Outcome], *, count: int) -> Table:
    """Reported minus true value of the champion, in sigmas, against taking the best run."""
    rng = np.random.default_rng(7)
    best_equal = rng.standard_normal((20 * count, ATTEMPTS)).max(axis=1)
    differing, best = [], []
    for _ in range(count):
        truths = IN_TURNS.sigma * rng.standard_normal(ATTEMPTS)
        runs = truths + IN_TURNS.sigma * rng.standard_normal(ATTEMPTS)
        best.append(float((runs - truths)[runs.argmax()] / IN_TURNS.sigma))
        differing.append(Campaign(rng, IN_TURNS, DEFAULT).ride(truths.tolist()).optimism)
    rows = (
        _optimism_row("equal true speeds", mean(best_equal), mean(o.optimism for o in equal)),
        _optimism_row("true speeds differ by 1 sigma", mean(best), mean(differing)),
    )
    columns = ("world", "best single run", "champion", "ratio")
    return Table("optimism", "reported minus true, sigmas", columns, rows)


def _optimism_row(label: str, best: Figure, champion: Figure) -> Row:
    # Simulation error can carry a champion's optimism below zero; then the ratio has no upper end.
    size = max(abs(champion.value), champion.error, 1e-9)
    ratio = best.value / size
    return Row(label, (best, champion, Figure(ratio, ratio * champion.error / size)))


def recorded(*, tests: int, sessions: int) -> Table:
    """Promotions between the baseline and itself, resampled from recorded launches."""
    launches, rows = recorded_launches(), []
    for name, rule in (("default rule", DEFAULT), ("shipped challenges", SHIPPED)):
        for swapped in (False, True):
            rng = np.random.default_rng(11 + swapped)
            firsts = resampled(launches, rng, rule, tests=tests, sides_swapped=swapped)
            firsts_share = first_tests(firsts, rule)
            first = Figure(firsts_share, sqrt(firsts_share * (1 - firsts_share) / tests), "%")
            ridden = [
                session_of_tests(
                    resampled(launches, rng, rule, tests=SESSION_TESTS, sides_swapped=swapped), rule
                )
                for _ in range(sessions)
            ]
            label = f"{name}, {'sides drawn' if swapped else 'as recorded'}"
            rows.append(Row(label, (first, share([one > 0 for one in ridden]))))
    columns = ("rule", "each the first of a session", f"any in a session of {SESSION_TESTS}")
    return Table("recorded", "promotions of equals on recorded noise", columns, tuple(rows))


def recorded_components() -> Table:
    launches = recorded_launches()
    rows = []
    for label, weight in (("launches alone", 0.0), ("pooled with the prior", SHIPPED.prior_weight)):
        known = components([launches], prior_launch_sd=SHIPPED.prior_launch_sd, prior_weight=weight)
        levels = (known.within, known.launch, known.output_class, sqrt(known.timing_variance(4)))
        figures = (*(Figure(level, 0.0, "%") for level in levels), Figure(known.degrees))
        rows.append(Row(label, figures))
    columns = ("28 launches", "pair", "launch", "class", "launch of 4 rounds", "degrees")
    return Table("components", "noise of this project's engine", columns, tuple(rows))


def published() -> Table:
    """The nested model on a public challenge's repeated jobs, tokens per second."""
    rows = tuple(
        Row(
            f"{one.group}, {one.figure}",
            (Figure(one.published, 0, "TPS"), Figure(one.recovered, 0, "TPS")),
        )
        for one in (recovered() if REPLAY_FILE.exists() else ())
    )
    return Table("published", "published and recovered sd", ("what", "published", "model"), rows)


def detectable() -> Table:
    counts = (1, 2, 3, 4, 5, 8, 16)
    figures = tuple(Figure(minimum_detectable(1.0, count)) for count in counts)
    columns = ("launches on each side", *map(str, counts))
    rows = (Row("sigmas", figures),)
    return Table("detectable", "found with 80 % power at 5 %, one comparison", columns, rows)


def measure(*, quick: bool, tell: Callable[[str], None] = lambda _: None) -> list[Table]:
    """Return all tables; `quick` repeats a tenth as often and errs three times as much."""
    size = 0.1 if quick else 1.0
    tell("riding campaigns of equal attempts")
    outcomes = {
        "this project: default rule, in turns": equal_campaigns(
            IN_TURNS, DEFAULT, count=int(1200 * size), seed=1
        ),
        "this project: default rule, apart": equal_campaigns(
            APART, DEFAULT, count=int(400 * size), seed=2
        ),
        "this project: shipped challenges, in turns": equal_campaigns(
            NOISY, SHIPPED, count=int(800 * size), seed=3
        ),
    }
    tell("drawing gains")
    tables = [false_records(outcomes, count=int(5000 * size)), power(count=int(1500 * size))]
    tell("riding campaigns of attempts that differ")
    equal = outcomes["this project: default rule, in turns"]
    tables.append(optimism(equal, count=int(150 * size)))
    tell("resampling recorded launches")
    tables.append(recorded(tests=int(5000 * size), sessions=int(250 * size)))
    return [*tables, recorded_components(), published(), detectable()]


def rendered(table: Table) -> str:
    """Return the table as the document holds it."""
    lines = [" | ".join(table.columns), "|".join(["---"] * len(table.columns))]
    lines += [" | ".join((row.label, *map(str, row.figures))) for row in table.rows]
    return "\n".join(f"| {line} |" if "---" not in line else f"|{line}|" for line in lines)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true", help="a tenth of the repetitions")
    begun = time.perf_counter()
    tables = measure(quick=parser.parse_args().quick, tell=lambda what: print(f"... {what}"))
    for table in tables:
        print(f"\n{table.title}\n{rendered(table)}")
        if not table.rows:
            print(f"skipped: no {'/'.join(REPLAY_FILE.parts[-3:])} beside the checkout")
    figures = {
        table.key: {
            row.label: dict(zip(table.columns[1:], (f.value for f in row.figures), strict=True))
            for row in table.rows
        }
        for table in tables
    }
    seconds = round(time.perf_counter() - begun, 1)
    print(json.dumps({"simulated": True, "seconds": seconds, "bars": BARS, **figures}))


if __name__ == "__main__":
    main()
