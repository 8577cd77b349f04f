"""What came of a case before the judge."""

from typing import NamedTuple

from pydantic import JsonValue

from bench.measurement import JobOutcome
from tests.cheats.corpus import Case

TWICE = 2
Summary = dict[str, JsonValue]


class Run(NamedTuple):
    """One verification and what failed in it; an engine that broke fails by its code."""

    outcome: JobOutcome
    failed: frozenset[str]


class Trial(NamedTuple):
    """A case with its runs, on other texts each."""

    case: Case
    runs: tuple[Run, ...]
    runs_to_condemn: int = TWICE

    @property
    def is_condemned(self) -> bool:
        """Whether enough independent runs failed; a cheat's by what should catch it."""
        guilty = [run.failed & (self.case.caught_by or run.failed) for run in self.runs]
        return sum(map(bool, guilty)) >= self.runs_to_condemn

    def summary(self) -> Summary:
        """Return what a report shows of it, in plain JSON."""
        return {
            "name": self.case.name,
            "is_cheat": self.case.is_cheat,
            "is_condemned": self.is_condemned,
            "runs": [_figures(run) for run in self.runs],
        }


def run_of(outcome: JobOutcome) -> Run:
    """Return the outcome with the names of what failed."""
    found = outcome.verification
    return Run(outcome, frozenset(found.failed if found else (outcome.code or outcome.status,)))


def _figures(run: Run) -> dict[str, JsonValue]:
    """Return the seconds it took, and every failed test with its figures."""
    findings = run.outcome.verification.findings if run.outcome.verification else ()
    failed: dict[str, JsonValue] = dict.fromkeys(sorted(run.failed), run.outcome.message or "")
    failed |= {one.test: one.detail for one in findings if one.status == "failed"}
    return {"seconds": round(run.outcome.seconds, 1), "failed": failed}
