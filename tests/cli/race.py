"""A small race for every view: records, a merge, a reject, a failure, posts, a dead end."""

import asyncio
import random
import tomllib
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from bench.config import apply_changes
from bench.configs.llamacpp import LlamaCppConfig
from tests.builders import (
    Clock,
    make_attempt,
    make_ended,
    make_event,
    make_failed,
    make_measured,
    make_message,
    make_opened,
    make_request,
    make_session,
    make_started,
    make_verdict,
)
from tools.record.events import DeadEndRecorded, Draft, Parent
from tools.record.projection import Projection
from tools.record.sqlite_store import SqliteStore

NASTY = "\x1b[31mred\x1b[0m [bold]loud[/bold] \x07\u202egnp\u200b :smile:"
CHALLENGE = Path(__file__).parents[2] / "bench/challenges/smollm2-135m-cpu/challenge.toml"


def proposed(
    attempt: str, agent: str, parents: Sequence[str], changes: dict[str, Any] | None = None
) -> Draft:
    edges = [
        Parent(attempt=parent, kind="merges" if number else "builds-on")
        for number, parent in enumerate(parents)
    ]
    payload = make_attempt(
        attempt,
        parents=edges,
        config=apply_changes(LlamaCppConfig(), changes or {}),
        hypothesis="fewer bytes per token",
        direction=", ".join(f"{path}={value}" for path, value in (changes or {}).items()),
    )
    return Draft(agent, payload, f"{agent}/propose/{attempt}")


def measured(attempt: str, agent: str, *, reason: str = "", **fields: Any) -> list[Draft]:
    job = f"job/{attempt}-1"
    verdict = make_verdict(attempt, "invalid", reason=reason) if reason else make_verdict(attempt)
    outcome = fields.pop("outcome", None) or make_measured(**fields)
    drafts = [
        Draft(agent, make_request(attempt, stage="full"), f"{job}/requested"),
        Draft("lane", make_started(attempt), f"{job}/started/1"),
        Draft("lane", make_ended(attempt, outcome=outcome), f"{job}/ended"),
    ]
    return [*drafts, Draft("guardrail", verdict, f"verdict/{job}")] if not outcome.fault else drafts


def race(*, simulated: bool = False) -> list[Draft]:
    """Six attempts by three agents: a0004 merges two parents and is the best."""
    opening = make_session(agents=("ada", "bob", "cleo"), minutes=7, attempts=40)
    rules = tomllib.loads(CHALLENGE.read_text())
    opened = make_opened(minutes=7, attempts=40).model_copy(update={"challenge": rules})
    hello = make_message(f"I am {NASTY}\nsecond line", type="introduction")
    told = make_message("a0004 is fast", type="result", refs=("a0004", "m5"))
    dead = DeadEndRecorded(direction="threads=64", reason="it dies", refs=("a0005",))
    both = {"threads": 2, "weights.head": "q8_0"}
    bad = {"perplexity": 34.8, "reason": "perplexity_above_cap"}
    return [
        Draft("organiser", opened, "open"),
        *opening[1:],
        Draft("ada", hello, "ada/0/0/0"),
        proposed("a0000", "organiser", []),
        *measured("a0000", "organiser", simulated=simulated),
        proposed("a0001", "ada", ["a0000"], {"threads": 2}),
        *measured("a0001", "ada", speedup=1.4, simulated=simulated),
        proposed("a0002", "bob", ["a0000"], {"weights.head": "q8_0"}),
        *measured("a0002", "bob", speedup=1.6, simulated=simulated),
        proposed("a0003", "cleo", ["a0001"], {"threads": 2, "weights.head": "q4_0"}),
        *measured("a0003", "cleo", speedup=3.6, simulated=simulated, **bad),
        proposed("a0004", "ada", ["a0001", "a0002"], both),
        *measured("a0004", "ada", speedup=2.4, simulated=simulated),
        proposed("a0005", "bob", ["a0002"], {"threads": 64}),
        *measured("a0005", "bob", outcome=make_failed()),
        proposed("a0006", "cleo", ["a0004"], {"poll": 0}),
        Draft("ada", told, "ada/3/0/0"),
        Draft("cleo", dead, "cleo/3/0/0"),
    ]


def folded(drafts: Sequence[Draft]) -> Projection:
    """The folds over `drafts`, without a store."""
    return Projection.of(
        make_event(draft.payload, seq=seq, actor=draft.actor)
        for seq, draft in enumerate(drafts, start=1)
    )


def write_record(folder: Path, drafts: Sequence[Draft]) -> Path:
    """Write a session folder through the real store; one second between two events."""
    folder.mkdir(parents=True)
    asyncio.run(_write(folder, drafts))
    return folder


async def _write(folder: Path, drafts: Sequence[Draft]) -> None:
    store = SqliteStore.create(folder / "record.db", session=folder.name, clock=Clock())
    for draft in drafts:
        await store.append([draft])
    await store.close()


def many_attempts(count: int, *, seed: int = 1) -> list[Draft]:
    """`count` measured attempts; parents are drawn near the newest so that depth grows."""
    rng = random.Random(seed)
    speeds = [1.0]
    drafts = make_session(agents=[f"rider-{number}" for number in range(20)])
    drafts += [proposed("a0000", "organiser", []), *measured("a0000", "organiser")]
    for number in range(1, count):
        parent = 0 if rng.random() < 0.2 else rng.randrange(max(0, number - 12), number)
        others = {parent, rng.randrange(max(0, number - 40), number)}
        names = [f"a{one:04d}" for one in (others if rng.random() < 0.2 else {parent})]
        speeds.append(min(4.0, max(0.6, speeds[parent] * rng.uniform(0.85, 1.25))))
        agent, attempt = f"rider-{number % 20}", f"a{number:04d}"
        reason = "perplexity_above_cap" if rng.random() < 0.15 else ""
        drafts.append(proposed(attempt, agent, names, {"poll": number % 101}))
        drafts += measured(attempt, agent, speedup=speeds[-1], reason=reason)
    return drafts
