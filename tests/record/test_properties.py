"""What holds for every record that the rules can produce."""

import hashlib
import random
from collections.abc import Iterator
from typing import Any

import rfc8785
from hypothesis import given, settings
from hypothesis import strategies as st

from sandbox.errors import BudgetExhausted
from tests.builders import (
    make_attempt,
    make_ended,
    make_event,
    make_events,
    make_failed,
    make_measured,
    make_message,
    make_request,
    make_run,
    make_session,
    make_started,
    make_verdict,
)
from tools.record.canonical import Canonical, canonical_payload, event_hash
from tools.record.events import ClaimMade, Draft, Parent
from tools.record.invariants import check, summary
from tools.record.leaderboard import leaderboard
from tools.record.lineage import Lineage
from tools.record.projection import Projection
from tools.record.spend import Spend

AGENTS = ("ann", "bob", "eve")
QUICK = settings(max_examples=25, deadline=None)


def story(seed: int, *, length: int = 25) -> list[Draft]:
    """Return the drafts of a random session that keeps all the rules."""
    rng = random.Random(seed)
    drafts = make_session(agents=AGENTS, budget_usd=5.0)
    lineage, spend = Lineage(), Spend()
    for number, (actor, payload) in enumerate(acts(rng, lineage, spend, length)):
        drafts.append(Draft(actor, payload, f"{actor}/{number}"))
        event = make_event(payload, seq=len(drafts), actor=actor)
        lineage.apply(event)
        spend.apply(event)
    return drafts


def acts(
    rng: random.Random, lineage: Lineage, spend: Spend, length: int
) -> Iterator[tuple[str, Any]]:
    for step in range(length):
        agent = rng.choice(AGENTS)
        kind = rng.choice(["propose", "launch", "launch", "finish", "finish", "post", "claim"])
        if kind == "propose":
            known = sorted(lineage.nodes)
            parents = [
                Parent(attempt=p) for p in rng.sample(known, min(len(known), rng.choice([1, 2])))
            ]
            yield agent, make_attempt(f"a{len(known):04}", parents=parents)
        elif kind == "launch":
            yield from launch(rng, lineage, spend, agent)
        elif kind == "finish":
            yield from finish(rng, lineage)
        elif kind == "post":
            yield agent, make_message(f"post {step}", refs=tuple(sorted(lineage.nodes)[-1:]))
        else:
            yield agent, ClaimMade(direction=f"d{rng.randrange(4)}", expires_at=1.9e9)


def launch(
    rng: random.Random, lineage: Lineage, spend: Spend, agent: str
) -> Iterator[tuple[str, Any]]:
    free = [n for n in lineage.nodes.values() if all(run.state == "ended" for run in n.runs)]
    if not free:
        return
    node = rng.choice(free)
    try:
        spend.check_room(0.5, cap_usd=5.0)
    except BudgetExhausted:
        return
    number = len(node.runs) + 1
    stage = rng.choice(["screen", "full"])
    yield agent, make_request(node.attempt, number=number, stage=stage, reserved_usd=0.5)


def finish(rng: random.Random, lineage: Lineage) -> Iterator[tuple[str, Any]]:
    live = lineage.live_jobs()
    if not live:
        return
    node, run = live[0]
    number = int(run.job.rsplit("-", 1)[1])
    measured = make_measured(speedup=rng.uniform(0.5, 3.0), stage=run.stage)
    failed = make_failed(rng.choice(["crashed", "timed_out", "cancelled"]))
    outcome = rng.choice([measured, measured, failed])
    yield "lane", make_started(node.attempt, number=number)
    yield (
        "lane",
        make_ended(node.attempt, number=number, outcome=outcome, spent_usd=rng.uniform(0, 0.5)),
    )
    verdict = rng.choice(["pending", "pending", "invalid"])
    if outcome.measurement:
        yield "guardrail", make_verdict(node.attempt, verdict)


seeds = st.integers(min_value=0, max_value=10_000)


@QUICK
@given(seeds)
def test_a_random_session_keeps_every_invariant(seed: int) -> None:
    assert [one for one in check(make_events(story(seed))) if not one.ok] == []


@QUICK
@given(seeds, st.floats(0, 1))
def test_any_prefix_gives_a_valid_lineage(seed: int, share: float) -> None:
    events = make_events(story(seed, length=40))
    lineage = Projection.of(events[: int(share * len(events))]).lineage

    for name, node in lineage.nodes.items():
        assert {parent.attempt for parent in node.parents} <= set(lineage.ancestors(name))
        assert name not in lineage.ancestors(name)
        assert lineage.path(name)[-1] == name
        assert lineage.depth(name) >= len(lineage.path(name)) - 1
    speeds = [node.speedup.estimate for node in lineage.frontier() if node.speedup]
    assert speeds == sorted(speeds)


@QUICK
@given(seeds)
def test_refolding_is_identical(seed: int) -> None:
    events = make_events(story(seed))

    assert summary(Projection.of(events)) == summary(Projection.of(events))


@QUICK
@given(seeds, seeds)
def test_the_order_of_independent_attempts_does_not_move_the_leaderboard(
    seed: int, shuffle: int
) -> None:
    rng = random.Random(seed)
    speeds = [rng.uniform(0.5, 3.0) for _ in range(6)]
    runs = [make_run(f"a000{place}", speedup=speed) for place, speed in enumerate(speeds)]
    shuffled = random.Random(shuffle).sample(runs, len(runs))

    assert ranking(runs) == ranking(shuffled) == ranking(interleaved(runs, shuffle))


def ranking(runs: list[list[Draft]]) -> str:
    lineage = Projection.of(make_events(make_session(*runs))).lineage
    return leaderboard(lineage, session="s", challenge="c").model_dump_json()


def interleaved(runs: list[list[Draft]], seed: int) -> list[list[Draft]]:
    """Return the runs' drafts mixed, each run in its own order."""
    rng, queues, mixed = random.Random(seed), [list(run) for run in runs], []
    while queues := [queue for queue in queues if queue]:
        mixed.append(rng.choice(queues).pop(0))
    return [mixed]


@QUICK
@given(seeds)
def test_spent_and_reserved_never_pass_the_cap(seed: int) -> None:
    spend = Spend()
    for event in make_events(story(seed, length=60)):
        spend.apply(event)
        assert spend.spent_usd + spend.reserved_usd <= 5.0 + 1e-9
    accounts = spend.by_agent.values()
    assert abs(sum(one.spent_usd for one in accounts) - spend.spent_usd) < 1e-9


text = st.text(alphabet=st.characters(exclude_categories=["Cs"]))


@given(text, text, st.floats(1e-9, 1e15), text)
def test_the_hash_is_over_the_canonical_form_of_the_whole_event(
    actor: str, key: str, time: float, body: str
) -> None:
    payload, payload_json = canonical_payload(make_message(body))
    draft = Canonical(actor, "message_posted", payload, payload_json, key, time)
    whole = {
        "seq": 7,
        "time": time,
        "session": body,
        "actor": actor,
        "kind": "message_posted",
        "payload": payload.model_dump(mode="json"),
        "key": key,
        "previous_hash": "0" * 64,
    }

    expected = hashlib.sha256(rfc8785.dumps(whole)).hexdigest()
    assert event_hash(draft, seq=7, session=body, previous_hash="0" * 64) == expected
