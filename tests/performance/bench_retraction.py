"""How fast a ruling takes hold: `python -m tests.performance.bench_retraction`.

Physics: one walk over the descendants (a set look-up each), two attribute reads per config to see
whether it has the ingredient, a verdict worked out anew per heir; then best and frontier read one
cached number per attempt. About 5 us per attempt: 25 ms for 5,000 on one core of a small VM.

The lineage is that of the picture tests: 5,000 measured attempts whose depth grows, every second
one with a fitted keep-set that the first of them brought in. Timed: folding one invalidation and
its reinstatement, each with all that is read after it to go on; the whole leaderboard beside it.
"""

import gc
import json
import os
import time
from collections.abc import Callable
from statistics import median
from typing import Any, NamedTuple

from bench.config import apply_changes
from bench.configs.llamacpp import LlamaCppConfig
from tests.builders import make_event, make_invalidated, make_reinstated
from tests.cli.race import folded, many_attempts
from tools.record.events import Draft, Event
from tools.record.leaderboard import leaderboard
from tools.record.projection import Projection

ATTEMPTS = 5000
BAR_MS = 50
REPEATS = 7
FITTED = {"weights.vocabulary": {"strategy": "public_text", "size": 9000}}
WORDS = ("weights.vocabulary.strategy=public_text", "weights.vocabulary.size=9000")


def large() -> Projection:
    """Fold the lineage: all grow from the fitted a0001, every second one keeps its keep-set."""
    drafts = [_with_keep_set(draft) for draft in many_attempts(ATTEMPTS)]
    return folded(drafts)


def _with_keep_set(draft: Draft) -> Draft:
    payload = draft.payload
    if payload.kind != "attempt_proposed" or payload.attempt == "a0000":
        return draft
    number = int(payload.attempt[1:])
    parents = [one for one in payload.parents if one.attempt != "a0000"]
    born = parents or [payload.parents[0].model_copy(update={"attempt": "a0001"})] * (number > 1)
    config = apply_changes(
        LlamaCppConfig(), {"poll": number % 101, **(FITTED if number % 2 else {})}
    )
    changed = {"config": config, "parents": tuple(born) or payload.parents}
    return draft._replace(payload=payload.model_copy(update=changed))


def read_again(projection: Projection) -> int:
    """Look at everything that the next step of a ride looks at; return how many are suspect."""
    lineage = projection.lineage
    lineage.best()
    lineage.frontier()
    projection.records.incumbent(lineage)
    eligible = [node for node in lineage.nodes.values() if node.counts and node.best_stage]
    assert eligible
    return len(lineage.suspects())


class Spent(NamedTuple):
    """What one piece of work took. A busy neighbour stretches the wall time, not the CPU time."""

    wall_ms: float
    cpu_ms: float
    result: Any


def spent(work: Callable[[], Any]) -> Spent:
    gc.collect()
    wall, cpu = time.perf_counter(), time.process_time()
    result = work()
    return Spent((time.perf_counter() - wall) * 1000, (time.process_time() - cpu) * 1000, result)


def rehearse(projection: Projection, number: int) -> dict[str, Spent]:
    """Rule, take it back, and rank; return what each took."""
    lineage = projection.lineage
    rulings = {
        "invalidate": make_invalidated("a0001", *WORDS),
        "reinstate": make_reinstated("a0001"),
    }
    taken = {}
    for name, draft in rulings.items():
        event = make_event(draft.payload, seq=100_000 + number, actor=draft.actor)

        def ruled(event: Event = event) -> int:
            projection.apply(event)
            return read_again(projection)

        taken[name] = spent(ruled)
    taken["leaderboard"] = spent(lambda: leaderboard(lineage, session="s", challenge="c"))
    return taken


def main() -> None:
    load_before = os.getloadavg()[0]
    projection = large()
    read_again(projection)
    first = spent(lambda: leaderboard(projection.lineage, session="s", challenge="c"))
    runs = [rehearse(projection, number) for number in range(REPEATS)]
    heirs = runs[0]["invalidate"].result
    print(f"{ATTEMPTS} attempts, {heirs} heirs of the ingredient (median of {REPEATS}, ms)")
    print(f"{'':<12} {'wall':>8} {'worst':>8} {'CPU':>8}   bar")
    result: dict[str, Any] = {"attempts": ATTEMPTS, "heirs": heirs}
    for name, bar in (("invalidate", str(BAR_MS)), ("reinstate", "-"), ("leaderboard", "-")):
        walls, cpus = ([getattr(run[name], unit) for run in runs] for unit in ("wall_ms", "cpu_ms"))
        print(f"{name:<12} {median(walls):>8.1f} {max(walls):>8.1f} {median(cpus):>8.1f}   {bar}")
        result |= {f"{name}_ms": round(median(walls), 1), f"{name}_cpu_ms": round(median(cpus), 1)}
    result |= {"leaderboard_first_ms": round(first.wall_ms, 1), "cores": os.cpu_count()}
    print(json.dumps({**result, "load_before": load_before, "bars": {"invalidate_ms": BAR_MS}}))


if __name__ == "__main__":
    main()
