"""Cheats that touch no server: taking credit for another's work, and voices that back a result.

Their like: work taken without naming its author, over which an agent left the Fast Gemma Challenge;
best-of-N postings of one result there, each post read as one more confirmation.
"""

from collections.abc import Callable

from bench.config import apply_changes
from bench.configs.llamacpp import LlamaCppConfig
from orchestrator.agenda import Agenda
from orchestrator.duties import Moment
from tests.builders import (
    make_ended,
    make_events,
    make_measured,
    make_message,
    make_request,
    make_run,
    make_session,
)
from tests.orchestrator.tiny_race import tiny_challenge
from tools.record.credit import confirmations, uncited_source
from tools.record.events import Draft, Parent, PromotionOpened
from tools.record.leaderboard import leaderboard
from tools.record.projection import Projection

LEAD = apply_changes(LlamaCppConfig(), {"weights.head": "q8_0", "threads": 2})
COPY = apply_changes(LEAD, {"poll": 7})
PUPPETS = ("polly", "petra", "pim")
Tell = Callable[[str, object], None]


def seen(*runs: list[Draft]) -> Projection:
    agents = ("ann", "mallory", *PUPPETS)
    return Projection.of(make_events(make_session(*runs, agents=agents)))


def original() -> list[list[Draft]]:
    return [
        make_run("a0000", agent="organiser"),
        make_run("a0001", agent="ann", parents=["a0000"], config=LEAD, speedup=2.0),
    ]


def report(tell: Tell, name: str, *, caught: bool, found: str) -> None:
    run = {"seconds": 0.0, "failed": {"record": found}}
    tell("trial", {"name": name, "is_cheat": True, "is_condemned": caught, "runs": [run]})


def test_a_copy_that_cites_nobody_never_holds_the_record(record_property: Tell) -> None:
    copy = make_run("a0002", agent="mallory", parents=["a0000"], config=COPY, speedup=2.4)
    known = seen(*original(), copy)
    step = Agenda(known, tiny_challenge(), Moment(1e9, None), can_verify=False).record_step()
    source = uncited_source(known.lineage, known.lineage.nodes["a0002"])
    report(record_property, "uncited copy", caught=source == "a0001", found=f"copies {source}")

    assert source == "a0001"
    assert isinstance(step, PromotionOpened)
    assert step.contender == "a0001"


def test_the_same_copy_with_its_source_named_is_honest() -> None:
    cited = make_run("a0002", agent="mallory", parents=["a0001"], config=COPY, speedup=2.4)
    known = seen(*original(), cited)

    assert uncited_source(known.lineage, known.lineage.nodes["a0002"]) is None


def voices() -> list[Draft]:
    """What sock puppets can do without a bench: posts, votes of confidence, edges."""
    drafts: list[Draft] = []
    for number, name in enumerate(PUPPETS, start=3):
        post = make_message("confirmed, 2.4x here as well", type="result", refs=("a0001",))
        drafts.append(Draft(name, post, f"{name}/post"))
        edge = Parent(attempt="a0001", kind="confirms")
        drafts += make_run(f"a{number:04}", agent=name, parents=[edge], speedup=1.0)
    return drafts


def slow_replicate() -> list[Draft]:
    request = make_request("a0001", number=2, stage="full", replicate=True)
    ended = make_ended("a0001", number=2, outcome=make_measured(speedup=1.2))
    return [Draft("polly", request, "polly/replicate"), Draft("lane", ended, "polly/ended")]


def test_voices_without_a_measurement_back_nothing(record_property: Tell) -> None:
    alone, backed = seen(*original()), seen(*original(), voices())
    rows = [
        {row.attempt: (row.rank, row.single_speedup, row.value, row.verified) for row in board.rows}
        for known in (alone, backed)
        for board in [leaderboard(known.lineage, session="s", challenge="tiny")]
    ]
    found = confirmations(backed.lineage)
    report(record_property, "sock puppets", caught=not found, found=f"{len(found)} confirmations")

    assert found == {}
    assert rows[0]["a0001"] == rows[1]["a0001"]


def test_a_replicate_that_falls_short_backs_nothing_either() -> None:
    assert confirmations(seen(*original(), slow_replicate()).lineage) == {}
