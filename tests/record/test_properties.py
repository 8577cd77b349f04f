"""What holds for every record that the rules can produce."""

import hashlib
import math
import random
from collections.abc import Iterator
from typing import Any

import rfc8785
from hypothesis import example, given, settings
from hypothesis import strategies as st

from bench.config import words
from bench.configs.llamacpp import LlamaCppConfig
from bench.measurement import JobOutcome
from tests.builders import (
    make_attempt,
    make_ended,
    make_event,
    make_events,
    make_failed,
    make_fresh,
    make_invalidated,
    make_measured,
    make_message,
    make_reinstated,
    make_request,
    make_run,
    make_session,
    make_started,
    make_verdict,
    make_verification,
)
from tools.record.canonical import Canonical, canonical_payload, event_hash
from tools.record.events import (
    ClaimMade,
    Draft,
    Parent,
    PromotionDecided,
    PromotionOpened,
    ReceiptIssued,
)
from tools.record.invariants import check, summary
from tools.record.leaderboard import leaderboard
from tools.record.lineage import Lineage, Node
from tools.record.projection import Projection
from tools.record.records import Records
from tools.record.spend import Spend

AGENTS = ("ann", "bob", "eve")
QUICK = settings(max_examples=25, deadline=None)


INGREDIENTS = ((), ("threads=1",), ("threads=2",), ("threads=2", "poll=0"))
CONFIGS = tuple(
    LlamaCppConfig(threads=threads, poll=poll) for threads in (1, 2) for poll in (0, 50)
)


def story(seed: int, *, length: int = 25) -> list[Draft]:
    """Return the drafts of a random session that keeps all the rules."""
    rng = random.Random(seed)
    drafts = make_session(agents=AGENTS, budget_usd=5.0)
    lineage, spend, records = Lineage(), Spend(), Records()
    for number, (actor, payload) in enumerate(acts(rng, lineage, spend, records, length)):
        drafts.append(Draft(actor, payload, f"{actor}/{number}"))
        event = make_event(payload, seq=len(drafts), actor=actor)
        for fold in (lineage, spend, records):
            fold.apply(event)
    return drafts


def acts(
    rng: random.Random, lineage: Lineage, spend: Spend, records: Records, length: int
) -> Iterator[tuple[str, Any]]:
    usual = ["propose", "launch", "launch", "finish", "finish", "post", "claim"]
    for step in range(length):
        agent = rng.choice(AGENTS)
        kind = rng.choice([*usual, "rule", "promote", "decide", "verify"])
        if kind == "propose":
            known = sorted(lineage.nodes)
            parents = [
                Parent(attempt=p) for p in rng.sample(known, min(len(known), rng.choice([1, 2])))
            ]
            config = rng.choice(CONFIGS)
            yield agent, make_attempt(f"a{len(known):04}", parents=parents, config=config)
        elif kind == "launch":
            yield from launch(rng, lineage, spend, agent)
        elif kind == "finish":
            yield from finish(rng, lineage)
        elif kind == "rule":
            yield from rule(rng, lineage)
        elif kind == "promote":
            yield from promote(rng, lineage, spend, records)
        elif kind == "decide":
            yield from decide(rng, lineage, records)
        elif kind == "verify":
            yield from verify(rng, lineage, spend)
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
    if spend.committed.usd + 0.5 > 5.0:
        return
    number = len(node.runs) + 1
    stage = rng.choice(["screen", "full"])
    yield agent, make_request(node.attempt, number=number, stage=stage, reserved_usd=0.5)


def finish(rng: random.Random, lineage: Lineage) -> Iterator[tuple[str, Any]]:
    live = [pair for pair in lineage.live_jobs() if pair[1].is_riders]
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


def free_nodes(lineage: Lineage, spend: Spend) -> list[Node]:
    """Return attempts that may have a job of the organiser now."""
    if spend.spent_usd + spend.reserved_usd + 0.5 > 5.0:
        return []
    nodes = lineage.nodes.values()
    return [node for node in nodes if all(run.state == "ended" for run in node.runs)]


def rule(rng: random.Random, lineage: Lineage) -> Iterator[tuple[str, Any]]:
    by = rng.choice(["verifier", "organiser", "person:eve"])
    nodes = list(lineage.nodes.values())
    ruled = [node for node in nodes if any(one.is_invalidation for one in node.rulings)]
    if ruled and rng.random() < 0.5:
        yield "person:eve", make_reinstated(rng.choice(ruled).attempt, by="person:eve").payload
    elif nodes:
        words = rng.choice(INGREDIENTS)
        yield by, make_invalidated(rng.choice(nodes).attempt, *words, by=by).payload


def promote(
    rng: random.Random, lineage: Lineage, spend: Spend, records: Records
) -> Iterator[tuple[str, Any]]:
    """Open a promotion, or launch once for the open one."""
    free = free_nodes(lineage, spend)
    if not free:
        return
    if records.open is None:
        test, pair = records.tests + 1, rng.choices(sorted(lineage.nodes), k=2)
        alpha = 0.05 * 6 / (math.pi * test) ** 2
        names = {"promotion": f"p{test}", "contender": pair[0], "incumbent": pair[1]}
        yield "organiser", PromotionOpened(**names, test=test, alpha=alpha, launches=2)
        return
    promotion = records.open
    node = lineage.nodes[promotion.contender]
    if node in free:
        fresh = make_fresh(speedup=rng.uniform(0.9, 2.0), incumbent=rng.uniform(0.9, 2.0))
        asked = {"incumbent": promotion.incumbent, "purpose": promotion.id}
        outcome = JobOutcome(status="measured", fresh=fresh)
        yield from one_job(rng, node, outcome, stage="fresh", **asked)


def decide(rng: random.Random, lineage: Lineage, records: Records) -> Iterator[tuple[str, Any]]:
    promotion = records.open
    if promotion is None or any(run.stage == "fresh" for _, run in lineage.live_jobs()):
        return
    outcome = rng.choice(["promoted", "refused", "abandoned"])
    pair = {"contender": promotion.contender, "incumbent": promotion.incumbent}
    yield "organiser", PromotionDecided(promotion=promotion.id, outcome=outcome, **pair)


def verify(rng: random.Random, lineage: Lineage, spend: Spend) -> Iterator[tuple[str, Any]]:
    free = free_nodes(lineage, spend)
    if not free:
        return
    node = rng.choice(free)
    found = make_verification(*rng.choice([(), (), ("regret",)]), speedup=rng.uniform(0.9, 2.0))
    outcome = JobOutcome(status="measured", verification=found)
    yield from one_job(rng, node, outcome, stage="private", purpose="audit")
    if not found.failed:
        yield "verifier", make_verdict(node.attempt, "valid", by="verifier")
        yield (
            "organiser",
            ReceiptIssued(attempt=node.attempt, job=node.runs[-1].job, receipt={}),
        )


def one_job(
    rng: random.Random, node: Node, outcome: JobOutcome, **asked: Any
) -> Iterator[tuple[str, Any]]:
    number = len(node.runs) + 1
    done = rng.choice([outcome, outcome, outcome, make_failed()])
    if asked["stage"] == "private":
        done = outcome
    yield "organiser", make_request(node.attempt, number=number, reserved_usd=0.5, **asked)
    yield "lane", make_started(node.attempt, number=number)
    yield "lane", make_ended(node.attempt, number=number, outcome=done, spent_usd=0.1)


seeds = st.integers(min_value=0, max_value=10_000)


@QUICK
@given(seeds)
def test_a_random_session_keeps_every_invariant(seed: int) -> None:
    assert [one for one in check(make_events(story(seed))) if not one.ok] == []


@QUICK
@example(3174, 1.0)  # here the private score of a verified attempt is not its public one
@given(seeds, st.floats(0, 1))
def test_any_prefix_gives_a_valid_lineage(seed: int, share: float) -> None:
    events = make_events(story(seed, length=40))
    lineage = Projection.of(events[: int(share * len(events))]).lineage

    for name, node in lineage.nodes.items():
        assert {parent.attempt for parent in node.parents} <= set(lineage.ancestors(name))
        assert name not in lineage.ancestors(name)
        assert lineage.path(name)[-1] == name
        assert lineage.depth(name) >= len(lineage.path(name)) - 1
    standing = [node.estimate or 0.0 for node in lineage.frontier()]
    assert standing == sorted(standing)


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


@QUICK
@given(seeds, st.sampled_from(INGREDIENTS))
def test_an_invalidation_taken_back_restores_everything(
    seed: int, ingredient: tuple[str, ...]
) -> None:
    drafts = story(seed, length=40)
    before = Projection.of(make_events(drafts))
    nodes = before.lineage.nodes.values()
    clean = [one.attempt for one in nodes if not any(r.is_invalidation for r in one.rulings)]
    if not clean:
        return
    target = random.Random(seed).choice(clean)
    ruling = make_invalidated(target, *ingredient, by="person:eve")
    after = Projection.of(make_events([*drafts, ruling, make_reinstated(target, by="person:eve")]))

    assert board(after) == board(before)
    assert standings(after) == standings(before)
    assert after.lineage.all_bans == before.lineage.all_bans


def board(projection: Projection) -> str:
    return leaderboard(projection.lineage, session="s", challenge="c").model_dump_json()


def standings(projection: Projection) -> list[object]:
    lineage = projection.lineage
    nodes = [(one.verdict, one.verdict_by, one.verified) for one in lineage.nodes.values()]
    front = [node.attempt for node in lineage.frontier()]
    best = lineage.best()
    return [nodes, front, best and best.attempt, projection.records.incumbent(lineage)]


@QUICK
@given(seeds)
def test_suspects_are_the_carriers_below_an_invalid_attempt(seed: int) -> None:
    lineage = Projection.of(make_events(story(seed, length=60))).lineage

    for node in lineage.suspects():
        assert node.suspected_by <= set(lineage.ancestors(node.attempt))
        assert set(node.suspicions.values()) <= set(lineage.all_bans)
        inherited = {one for ban in node.suspicions.values() for one in ban.ingredient}
        assert inherited <= words(node.config)
        assert node not in lineage.frontier()
        assert node is not lineage.best()


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
