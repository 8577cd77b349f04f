"""Recorded noise: launches of this project's engine against itself, and a public challenge's jobs.

`data/aa_launches.json` holds 28 real launches of one config on both sides, so whatever its ratios
show is noise. The other records are read from `../shared/replay` beside the checkout where that
folder is present; they are not ours to ship.
"""

import json
from collections.abc import Iterable
from math import sqrt
from pathlib import Path
from statistics import fmean
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from bench.challenge import PromotionRule
from bench.noise import Components, Launch, components
from bench.promotion import contrast_noise, decide

ROOT = Path(__file__).parents[2]
AA_FILE = Path(__file__).parent / "data" / "aa_launches.json"
REPLAY_FILE = ROOT.parent / "shared" / "replay" / "noise.jsonl"
RELEARNT = {*range(1, 11), 20, 40, 80}
"""Tests after which a session of a hundred tests learns its noise anew; each would be slow."""

Floats = npt.NDArray[np.float64]


class Recovered(NamedTuple):
    """One published figure, and what the nested model makes of the same values."""

    group: str
    figure: str
    published: float
    recovered: float


def recorded_launches(file: Path = AA_FILE) -> list[Launch]:
    stored = json.loads(file.read_text())["launches"]
    return [Launch(tuple(one["ratios"]), one["output_digest"]) for one in stored]


def resampled(
    launches: Iterable[Launch],
    rng: np.random.Generator,
    rule: PromotionRule,
    *,
    tests: int,
    sides_swapped: bool,
) -> list[list[list[float]]]:
    """Return contrasts of so many tests: launches are drawn, then pairs of each.

    `sides_swapped`: a coin decides which of the two equal engines is called the contender, so a
    launch disturbed to the contender's harm may also be one to its advantage.
    """
    pool = np.log(np.array([launch.ratios for launch in launches]))
    shape = (tests, rule.launches)
    launch = rng.integers(0, len(pool), (*shape, 1))
    logs: Floats = pool[launch, rng.integers(0, pool.shape[1], (*shape, rule.rounds))]
    signs = rng.choice((-1.0, 1.0), (*shape, 1)) if sides_swapped else 1.0
    found: list[list[list[float]]] = np.exp(logs * signs).tolist()
    return found


def first_tests(tests: list[list[list[float]]], rule: PromotionRule) -> float:
    """Return the share promoted, each as the first test of its own session."""
    known = contrast_noise([], rule)
    return fmean(decide(one, test=1, known=known, rule=rule).is_promoted for one in tests)


def session_of_tests(tests: list[list[list[float]]], rule: PromotionRule) -> int:
    """Return how many are promoted when one session tests them all in a row."""
    known, promoted = contrast_noise([], rule), 0
    for number, contrasts in enumerate(tests, start=1):
        promoted += decide(contrasts, test=number, known=known, rule=rule).is_promoted
        if number in RELEARNT:
            known = contrast_noise(tests[:number], rule)
    return promoted


def fitted(values: Iterable[float], classes: Iterable[str], machines: Iterable[str]) -> Components:
    """Return the components of one config's single-valued launches, by themselves."""
    rows = zip(values, classes, machines, strict=True)
    launches = [Launch((value,), of_class, machine) for value, of_class, machine in rows]
    return components([launches], prior_launch_sd=1.0, prior_weight=0.0)


def recovered(file: Path = REPLAY_FILE) -> list[Recovered]:
    """Return every published figure that the file's own values allow to recompute, in TPS."""
    groups = {row["group"]: row for row in map(json.loads, file.read_text().splitlines())}
    rows = [
        Recovered(name, "between its launches", group["sd"], _plain(group["tps"]))
        for name, group in groups.items()
        if group["tps"]
    ]
    classed = groups["noise-507"]
    known = fitted(classed["tps"], classed["output_class"], [""] * classed["n"])
    within = known.launch * classed["mean"]
    rows.append(Recovered("noise-507", "within output class", classed["within_class_sd"], within))
    return rows + _buckets(groups) + _one_shot(groups)


def _plain(values: list[float]) -> float:
    """Return the sd between launches of which nothing but the value is known, in their unit."""
    known = fitted(values, [""] * len(values), [""] * len(values))
    return known.launch * fmean(values)


def _buckets(groups: dict[str, Any]) -> list[Recovered]:
    """Two launches in one bucket and one in another; `machine` is the level of the bucket."""
    outer, inner = groups["osoi-drafterft-between-buckets"], groups["itaca-380"]
    places = ["inner" if value in inner["tps"] else "other" for value in outer["tps"]]
    known = fitted(outer["tps"], [""] * outer["n"], places)
    # The published figure is the plain sd of three values, two of which share a bucket; what the
    # components say such a sample should show is its expectation.
    unshared = (1 - (1**2 + 2**2) / 3**2) * 3 / 2
    expected = sqrt(known.launch**2 + known.machine**2 * unshared)
    return [
        Recovered("itaca-380", "within bucket", inner["sd"], known.launch * outer["mean"]),
        Recovered("itaca-380", "between buckets", outer["sd"], expected * outer["mean"]),
    ]


def _one_shot(groups: dict[str, Any]) -> list[Recovered]:
    """Published as two figures and their sum; single values are not stored."""
    within, between = groups["lawine-within"], groups["lawine-between"]
    mean = within["mean"]
    known = Components(0.0, within["sd"] / mean, 0.0, between["sd"] / mean, degrees=9)
    total = sqrt(known.single_sd**2 + known.machine**2) * mean
    return [Recovered("lawine", "one launch of any session", 4.876, total)]
