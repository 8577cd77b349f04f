"""How long a person waits: `--help`, looking verbs, and the picture of a large lineage.

    python -m tests.performance.bench_cli

Goals: `--help` below 0.4 s wall, the picture of 5,000 attempts well below 1 s. A table for people,
then one line of JSON.
"""

import json
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

from orchestrator.progress import panel_lines
from orchestrator.views.lineage_svg import lineage_svg
from orchestrator.views.lineage_tree import lineage_tree
from tests.cli.race import folded, many_attempts, race, write_record

ROOT = Path(__file__).parents[2]
RUNS = 10
ATTEMPTS = 5000


def median_seconds(work: Callable[[], object], *, runs: int = RUNS) -> float:
    work()
    times = []
    for _ in range(runs):
        began = time.perf_counter()
        work()
        times.append(time.perf_counter() - began)
    return statistics.median(times)


def verb(*words: str, folder: Path) -> Callable[[], object]:
    line = [sys.executable, "-m", "orchestrator", *words]
    environment = {"PYTHONPATH": str(ROOT)}
    return lambda: subprocess.run(
        line, cwd=folder, env=environment, check=True, capture_output=True
    )


def main() -> None:
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        write_record(folder / "sessions" / "one", race())
        measured = {
            f"{words}_seconds".replace("--", ""): median_seconds(verb(words, folder=folder))
            for words in ("--help", "board", "replay", "leaderboard", "lineage")
        }
    large = folded(many_attempts(ATTEMPTS))
    picture = lineage_svg(large.lineage, title="large")
    measured |= {
        "svg_seconds": median_seconds(lambda: lineage_svg(large.lineage, title="large"), runs=3),
        "tree_seconds": median_seconds(lambda: list(lineage_tree(large.lineage)), runs=3),
        "panel_seconds": median_seconds(lambda: panel_lines(large, None), runs=3),
    }
    for what, seconds in measured.items():
        print(f"{what:<22} {seconds * 1000:8.0f} ms")
    result = {"attempts": ATTEMPTS, "svg_bytes": len(picture), "runs": RUNS}
    print(json.dumps(result | {what: round(value, 4) for what, value in measured.items()}))


if __name__ == "__main__":
    main()
