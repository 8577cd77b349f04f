"""What was read from several places about one thing, put together: each result once. Pure.

The same result is known by its file's name; a ruling or a step of a chart without one is matched by
agent and figure. What contradicts is told, and the file itself counts more than a row about it.
"""

from collections import defaultdict
from collections.abc import Iterable, Sequence
from datetime import UTC, datetime
from typing import NamedTuple, TypeVar

from orchestrator.imports.collaboration import (
    UNKNOWN_AGENT,
    ChartPoint,
    ChartStep,
    Collaboration,
    Credit,
    Problem,
    Result,
    Ruling,
    UnfiledRuling,
)
from orchestrator.imports.verdict_posts import reasoned

SAME_SPEED = 0.011
"""Tokens per second: two printings of one figure, to two digits."""
CHART_SPEED = 0.3
CHART_SECONDS = 240.0
"""How finely a chart can be read: +-0.2 tokens/s and +-3 minutes, and a minute's rounding."""
CHART_AT = datetime(2026, 6, 21, tzinfo=UTC).timestamp()
"""The chart, and the verdicts it shows, are those of 21 June 2026."""
CHART = "chart"
"""Reason of a ruling that is known by the chart's colour alone."""
CHART_WORDS = "known from the chart of 2026-06-21 alone: +-0.2 tokens/s, +-3 minutes"

T = TypeVar("T")


class Merged(NamedTuple):
    """Results with their rulings and credits, each once."""

    results: tuple[Result, ...]
    rulings: dict[str, Ruling]
    """By the result's file name."""
    credits: dict[str, tuple[Credit, ...]]
    """By the child's file name."""
    problems: tuple[Problem, ...]


def merge(found: Collaboration) -> Merged:
    """Return each result once, with what was ruled on it and whom it is credited to."""
    merging = _Merging(found)
    for step in found.steps:
        merging.chart(step)
    for unfiled in found.unfiled:
        merging.rule_unfiled(unfiled)
    merging.rule_out_unplotted(found.points, found.results)
    return merging.merged()


class _Merging:
    def __init__(self, found: Collaboration) -> None:
        self._problems: list[Problem] = []
        self._results: dict[str, Result] = {}
        self._rulings: defaultdict[str, list[Ruling]] = defaultdict(list)
        self._credits = found.credits
        self._matched: set[str] = set()
        for result in found.results:
            self._take(result)
        for ruling in found.rulings:
            self._rulings[ruling.file].append(ruling)

    def chart(self, step: ChartStep) -> None:
        """Take in a step of the frontier: of a known result, or a result of its own."""
        result = self._of_step(step)
        if result is None:
            result = Result(
                file=f"chart/{_minute(step.time)}/{step.tokens_per_second:g}",
                source=step.source,
                time=step.time,
                agent=step.agent or UNKNOWN_AGENT,
                method=step.method or "(not known)",
                status="agent-run",
                tokens_per_second=step.tokens_per_second,
                perplexity=step.perplexity,
                note=CHART_WORDS + ("" if step.agent else ", author unknown"),
            )
            self._results.setdefault(result.file, result)
        elif not result.has_real_time:
            self._results[result.file] = result._replace(time=step.time, has_real_time=True)
        if step.is_valid:
            ruling = Ruling(result.file, "valid", step.source, time=CHART_AT, reason=CHART)
            self._rulings[result.file].append(ruling)

    def rule_unfiled(self, unfiled: UnfiledRuling) -> None:
        """Match a ruling to its result by agent and figure; else its result is known by it."""
        ruling = unfiled.ruling
        found = self._with_figure(unfiled.agent, unfiled.method, ruling.claimed)
        if found is None:
            found = Result(
                file=f"verdict/{unfiled.ruling.source}",
                source=ruling.source,
                time=ruling.time or CHART_AT,
                agent=unfiled.agent or UNKNOWN_AGENT,
                method=unfiled.method,
                status="agent-run",
                tokens_per_second=ruling.claimed if unfiled.is_complete else None,
                perplexity=ruling.reported_perplexity,
                note="known by its verdict alone; when it was posted is not stored",
                has_real_time=False,
            )
            self._results[found.file] = found
        self._matched.add(found.file)
        self._rulings[found.file].append(ruling._replace(file=found.file))

    def rule_out_unplotted(self, points: Sequence[ChartPoint], results: Iterable[Result]) -> None:
        """What was not ruled on as far as we know, and was not plotted, was invalid by then."""
        if not points:
            return
        last = max(point.time for point in points)
        for result in {one.file: one for one in results}.values():
            speed = result.tokens_per_second
            if (
                speed is None
                or result.status == "negative"
                or result.time > last
                or self._rulings.get(result.file)
                or any(_is_near(point, result.time, speed) for point in points)
            ):
                continue
            ruling = Ruling(
                result.file, "invalid", "points.jsonl", CHART_AT, "import", "absent_from_chart"
            )
            self._rulings[result.file].append(ruling)

    def merged(self) -> Merged:
        """Return what came of it, in order of time."""
        credited: defaultdict[str, list[Credit]] = defaultdict(list)
        for credit in self._credits:
            if credit.child in self._results:
                credited[credit.child].append(credit)
            else:
                self._tell(credit.source, f"credits the unknown result {credit.child}")
        rulings = {}
        for file, several in self._rulings.items():
            if file not in self._results:
                self._tell(several[0].source, f"rules on the unknown result {file}")
            else:
                rulings[file] = self._one_ruling(several)
        return Merged(
            results=tuple(sorted(self._results.values(), key=lambda one: (one.time, one.file))),
            rulings=rulings,
            credits={file: tuple(_once(several)) for file, several in credited.items()},
            problems=tuple(self._problems),
        )

    def _take(self, result: Result) -> None:
        known = self._results.get(result.file)
        if known is None:
            self._results[result.file] = result
            return
        for field in ("tokens_per_second", "perplexity"):
            first, second = getattr(known, field), getattr(result, field)
            if first is not None and second is not None and abs(first - second) > SAME_SPEED:
                said = f"{field} {second:g} of {result.file} is {first:g} in {known.source}"
                self._tell(result.source, f"{said}; that counts")
        self._results[result.file] = known._replace(
            tokens_per_second=_first(known.tokens_per_second, result.tokens_per_second),
            perplexity=_first(known.perplexity, result.perplexity),
            description=known.description or result.description,
            body=known.body or result.body,
            parents=known.parents or result.parents,
            note="; ".join(dict.fromkeys(one for one in (known.note, result.note) if one)),
            has_real_time=known.has_real_time and result.has_real_time,
        )

    def _of_step(self, step: ChartStep) -> Result | None:
        if step.file is not None:
            if step.file not in self._results:
                self._tell(step.source, f"{step.file} is on the frontier, but there is no such row")
            return self._results.get(step.file)
        if step.agent is None:
            return None
        near = self._with_figure(step.agent, step.method or "", step.tokens_per_second)
        is_known = near is not None and (
            not near.has_real_time or abs(near.time - step.time) <= CHART_SECONDS
        )
        return near if is_known else None

    def _with_figure(self, agent: str, method: str, speed: float | None) -> Result | None:
        """Return the result of an agent with that speed, the one of that method first."""
        if speed is None:
            return None
        near = [
            one
            for one in self._results.values()
            if one.agent == agent
            and one.tokens_per_second is not None
            and abs(one.tokens_per_second - speed) <= SAME_SPEED
            and one.file not in self._matched
        ]
        return min(near, key=lambda one: (one.method != method, one.file), default=None)

    def _one_ruling(self, several: Sequence[Ruling]) -> Ruling:
        """Return the first, with what the others add; those that contradict it are told."""
        several = sorted(several, key=lambda one: one.reason == CHART)  # says least, comes last
        first = several[0]
        same = [one for one in several if one.state == first.state]
        for other in several:
            if other.state != first.state:
                said = f"{first.file} is {other.state} here and {first.state} in {first.source}"
                self._tell(other.source, f"{said}; that counts")
        for other in same[1:]:
            first = first._replace(
                time=first.time if first.time is not None else other.time,
                by=other.by if first.by == "organiser" else first.by,
                reason=first.reason or other.reason.removeprefix(CHART),
                claimed=_first(first.claimed, other.claimed),
                private=_first(first.private, other.private),
                drift=_first(first.drift, other.drift),
                reported_perplexity=_first(first.reported_perplexity, other.reported_perplexity),
                private_perplexity=_first(first.private_perplexity, other.private_perplexity),
                completed=_first(first.completed, other.completed),
            )
        return reasoned(first)

    def _tell(self, file: str, reason: str) -> None:
        self._problems.append(Problem(file, reason))


def _first(one: T | None, other: T | None) -> T | None:
    return other if one is None else one


def _is_near(point: ChartPoint, time: float, speed: float) -> bool:
    is_then = abs(point.time - time) <= CHART_SECONDS
    return is_then and abs(point.tokens_per_second - speed) <= CHART_SPEED


def _minute(time: float) -> str:
    return datetime.fromtimestamp(time, tz=UTC).strftime("%Y%m%d-%H%M")


def _once(several: Iterable[Credit]) -> list[Credit]:
    """Return one credit for each parent, the most confident."""
    levels = ("high", "medium", "low")
    sure = sorted(several, key=lambda one: levels.index(one.confidence))
    found: dict[tuple[str | None, str], Credit] = {}
    for one in sure:
        found.setdefault((one.parent, one.agent), one)
    return list(found.values())
