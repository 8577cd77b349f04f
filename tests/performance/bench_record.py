"""How fast the record is: `python -m tests.performance.bench_record [--quick]`.

Physics: a durable append is one share of an fsync (group commit) plus canonical JSON, two hashes'
worth of bytes, one row and one full-text entry: about 60 us of CPU on one core of a small VM, so
15,000 appends per second is the ceiling of one Python process. A refold is one row, one tuple, one
decoded payload where a fold needs it: about 4 us.

Each agent appends one post of about 430 bytes, waits until it is durable, then reads up to 50
events after its own cursor, through the same calls the agents use.
"""

import argparse
import asyncio
import itertools
import json
import os
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from statistics import median
from typing import NamedTuple

from tests.builders import make_joined, make_message, make_opened, make_run
from tools.record.events import ClaimMade, Draft, ModelReplied, ToolCall
from tools.record.projection import Projection
from tools.record.sqlite_store import SqliteStore

BARS = {"pairs_per_second_100": 8000, "append_p99_ms_100": 25, "refold_events_per_second": 150_000}
BODY = "weights.head=q4_0 on top of a0003 lost too much: perplexity above the cap. " * 4
REPEATS = 3


class Pairs(NamedTuple):
    """One run of one population."""

    per_second: float
    p50_ms: float
    p99_ms: float


async def pairs(folder: Path, *, agents: int, appends: int) -> Pairs:
    """Let `agents` append and read `appends` times each, all at once."""
    path = folder / f"{agents}-{time.monotonic_ns()}.db"
    store = SqliteStore.create(path, session="bench", clock=time.time)
    waits: list[float] = []

    async def agent(name: str) -> None:
        cursor = 0
        for number in range(appends):
            begun = time.perf_counter()
            await store.append([Draft(name, make_message(BODY), f"{name}/{number}")])
            waits.append(time.perf_counter() - begun)
            news = await store.read(cursor, limit=50)
            cursor = news[-1].seq

    begun = time.perf_counter()
    async with asyncio.TaskGroup() as group:
        for number in range(agents):
            group.create_task(agent(f"agent{number}"))
    seconds = time.perf_counter() - begun
    await store.close()
    waits.sort()
    p50, p99 = (waits[int(share * len(waits))] * 1000 for share in (0.5, 0.99))
    return Pairs(agents * appends / seconds, p50, p99)


def session_mix(events: int) -> Iterator[Draft]:
    """Yield a session's usual mix: per attempt 5 job events, 24 replies, 16 posts, 3 claims."""
    yield Draft("organiser", make_opened(), "open")
    yield from (Draft(f"agent{n}", make_joined(f"agent{n}"), f"join/{n}") for n in range(20))
    for attempt in itertools.islice(itertools.count(), events // 48):
        agent = f"agent{attempt % 20}"
        yield from make_run(f"a{attempt:04}", agent=agent, pairs=12, speedup=1 + attempt % 7 / 5)
        for number in range(24):
            call = ToolCall(name="post_message", arguments={"type": "plan", "body": BODY[:120]})
            calls = (call,) if number % 2 else ()
            reply = ModelReplied(
                turn=attempt, step=number % 4, cursor=5, text=BODY[:90], calls=calls
            )
            yield Draft(agent, reply, f"{agent}/{attempt}/{number}")
        for number in range(16):
            refs = (f"a{attempt:04}", f"m{1 + attempt * 7}")
            yield Draft(agent, make_message(BODY, refs=refs), f"post/{attempt}/{number}")
        for number in range(3):
            claim = ClaimMade(direction=f"threads={number}", expires_at=time.time() + 60)
            yield Draft(agent, claim, f"claim/{attempt}/{number}")


async def write_mix(path: Path, *, events: int) -> int:
    store = SqliteStore.create(path, session="bench", clock=time.time)
    drafts = session_mix(events)
    while chunk := list(itertools.islice(drafts, 1000)):
        await store.append(chunk)
    seq, _ = await store.head()
    await store.close()
    return seq


def refold(path: Path) -> float:
    """Return events per second from rows to a whole projection."""
    store = SqliteStore.open_read_only(path)
    begun = time.perf_counter()
    projection = Projection.of(store.events())
    seconds = time.perf_counter() - begun
    store.close_reader()
    return projection.seq / seconds


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true", help="a tenth of the work")
    size = 0.1 if parser.parse_args().quick else 1.0
    result: dict[str, float | None] = {"cores": os.cpu_count(), "load_before": os.getloadavg()[0]}
    print(f"{'agents':>8} {'pairs/s':>10} {'p50 ms':>8} {'p99 ms':>8}   (median of {REPEATS})")
    with tempfile.TemporaryDirectory(dir=".") as name:
        folder = Path(name)
        for agents, appends in ((20, 500), (100, 200), (1000, 20)):
            work = max(2, int(appends * size))
            runs = [asyncio.run(pairs(folder, agents=agents, appends=work)) for _ in range(REPEATS)]
            rate, p50, p99 = (round(median(column), 2) for column in zip(*runs, strict=True))
            result |= {f"pairs_per_second_{agents}": rate}
            result |= {f"append_p50_ms_{agents}": p50, f"append_p99_ms_{agents}": p99}
            print(f"{agents:>8} {rate:>10,.0f} {p50:>8.1f} {p99:>8.1f}")
        path = folder / "mix.db"
        events = asyncio.run(write_mix(path, events=int(50_000 * size)))
        rates = [refold(path) for _ in range(REPEATS)]
    result |= {"refold_events": events, "refold_events_per_second": round(median(rates))}
    result["refold_best_events_per_second"] = round(max(rates))
    print(f"refold of {events:,} events: {median(rates):,.0f} events/s (best {max(rates):,.0f})")
    print(json.dumps({**result, "bars": BARS}))


if __name__ == "__main__":
    main()
