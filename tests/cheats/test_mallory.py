"""A cheat rides among honest agents, and the session itself catches it."""

import sys
from pathlib import Path

from agents.models.offline import OfflineModel
from orchestrator.opening import RunOptions
from orchestrator.session import run_session
from tests.orchestrator.test_session import assert_sound, told
from tests.orchestrator.tiny_race import tiny_parts, write_challenge
from tools.record.lineage import Node
from tools.record.projection import Projection

HERE = Path(__file__).parent
RIDERS = f"{HERE / 'mallory.md'},gita,ada,petra"


def fitted_job(request: Path) -> tuple[str, ...]:
    return (sys.executable, "-S", str(HERE / "fitted_job.py"), str(request))


async def ride(folder: Path) -> tuple[Projection, Path]:
    parts = tiny_parts(
        folder,
        model=OfflineModel(cores=2),
        command=fitted_job,
        judge_command=fitted_job,
        code=(HERE, HERE.with_name("orchestrator")),
    )
    options = RunOptions(
        agents=4,
        personas=RIDERS,
        challenge=str(write_challenge(folder / "challenge", is_real=True)),
        attempts=12,
        minutes=1,
        seed=3,
    )
    summary = await run_session(options, on_event=None, parts=parts)
    return assert_sound(summary.folder), summary.folder


def by(known: Projection, *, mallory: bool) -> list[Node]:
    """Return the attempts of the cheat, or those of all other riders."""
    return [
        node
        for node in known.lineage.nodes.values()
        if node.parents and (node.agent == "mallory") is mallory
    ]


def is_fitted(node: Node) -> bool:
    """Others may have built on it before it fell: what inherits it falls too."""
    kept = node.config.weights.vocabulary
    return kept is not None and kept.strategy == "public_text"


async def test_a_cheat_rides_with_others_and_is_caught(tmp_path: Path) -> None:
    known, _ = await ride(tmp_path)
    own = by(known, mallory=True)
    caught = [n for n in own if (n.verdict, n.verdict_by) == ("invalid", "verifier")]

    assert {node.verdict_reason for node in caught} == {"missing_targets"}
    assert all(map(is_fitted, caught))
    assert not {node.attempt for node in own} & set(known.records.history)
    assert [
        n for n in by(known, mallory=False) if n.verdict == "invalid" and not is_fitted(n)
    ] == []


async def test_what_a_cheat_posts_and_launches_is_ordinary(tmp_path: Path) -> None:
    known, folder = await ride(tmp_path)
    posts: dict[bool, set[str]] = {True: set(), False: set()}
    for event in told(folder):
        if event.kind == "message_posted" and event.actor != "organiser":
            posts[event.actor == "mallory"].add(event.payload.type)
    asked = {run.stage for node in by(known, mallory=True) for run in node.runs if run.is_riders}

    assert posts[True] >= {"introduction", "plan", "result"}
    assert posts[True] <= posts[False]
    assert asked <= {"screen", "full"}
