"""Prints what the cheat corpus came to, in whichever process its tests ran."""

from typing import Any

import pytest


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    trials = [
        value
        for reports in terminalreporter.stats.values()
        for report in reports
        if getattr(report, "when", None) == "call"
        for name, value in report.user_properties
        if name == "trial"
    ]
    if not trials:
        return
    cheats = [trial for trial in trials if trial["is_cheat"]]
    honest = [trial for trial in trials if not trial["is_cheat"]]
    caught = sum(trial["is_condemned"] for trial in cheats)
    condemned = sum(trial["is_condemned"] for trial in honest)
    terminalreporter.section("cheat corpus")
    for trial in trials:
        terminalreporter.write_line(_line(trial))
    share = 100 * caught / max(len(cheats), 1)
    terminalreporter.write_line(f"caught {caught} of {len(cheats)} cheats ({share:.0f} %)")
    terminalreporter.write_line(f"condemned {condemned} of {len(honest)} honest configs")


def _line(trial: dict[str, Any]) -> str:
    verdict = "condemned" if trial["is_condemned"] else "passed"
    runs = " | ".join(_run(run) for run in trial["runs"])
    return f"{trial['name']:32} {verdict:9}  {runs}"


def _run(run: dict[str, Any]) -> str:
    found = [
        f"{test} {value[0]:.4g} > {value[1]:.4g}" if _is_pair(value) else f"{test} {value}"
        for test, value in run["failed"].items()
    ]
    return f"{run['seconds']} s: {', '.join(found) or 'nothing'}"


def _is_pair(value: object) -> bool:
    return isinstance(value, list) and None not in value
