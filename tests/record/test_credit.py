"""Whose work it is: replicates that back an attempt, copies that do not say so."""

from typing import Any

import pytest

from bench.config import apply_changes
from bench.configs.llamacpp import LlamaCppConfig
from tests.builders import (
    make_ended,
    make_events,
    make_measured,
    make_message,
    make_request,
    make_run,
    make_session,
)
from tools.record.credit import confirmations, uncited_source
from tools.record.events import Draft, Parent
from tools.record.lineage import Lineage
from tools.record.projection import Projection

KEPT = {"strategy": "frequent", "size": 40_000}
LEAD = {"weights.head": "q8_0", "weights.vocabulary": KEPT, "threads": 2}


def lineage_of(*runs: list[Draft]) -> Lineage:
    return Projection.of(make_events(make_session(*runs))).lineage


def replicate(agent: str, *, speedup: float, number: int = 2, flag: bool = True) -> list[Draft]:
    request = make_request("a0001", number=number, stage="full", replicate=flag)
    ended = make_ended("a0001", number=number, outcome=make_measured(speedup=speedup))
    return [Draft(agent, request, f"r{number}"), Draft("lane", ended, f"e{number}")]


def test_a_measured_replicate_of_another_agent_backs_an_attempt() -> None:
    first = make_run("a0001", agent="ann", speedup=2.0)
    runs = [replicate("bob", speedup=1.95), replicate("eve", speedup=1.5, number=3)]

    assert confirmations(lineage_of(first, *runs)) == {"a0001": ["bob"]}


def test_neither_posts_nor_edges_nor_own_runs_back_anything() -> None:
    first = make_run("a0001", agent="ann", speedup=2.0)
    own = replicate("ann", speedup=2.0)
    post = [Draft("bob", make_message("I confirm a0001", refs=("a0001",)), "post")]
    edge = make_run("a0002", agent="bob", parents=[Parent(attempt="a0001", kind="confirms")])

    assert confirmations(lineage_of(first, own, post, edge)) == {}


def copied(
    changes: dict[str, Any], *, agent: str = "bob", parents: tuple[str, ...] = ("a0000",)
) -> str | None:
    lead = apply_changes(LlamaCppConfig(), LEAD)
    lineage = lineage_of(
        make_run("a0000", agent="organiser"),
        make_run("a0001", agent="ann", parents=["a0000"], config=lead),
        make_run("a0002", agent=agent, parents=parents, config=apply_changes(lead, changes)),
    )
    return uncited_source(lineage, lineage.nodes["a0002"])


@pytest.mark.parametrize(
    "changes",
    [
        {"poll": 3},
        {"batch_tokens": 1024, "micro_batch_tokens": 256},
        {"memory_map": False},
        {"weights.vocabulary.size": 40_500},
        {"speculation.match_tokens": 5},
    ],
)
def test_a_copy_but_for_inert_levers_is_found(changes: dict[str, Any]) -> None:
    assert copied(changes) == "a0001"


@pytest.mark.parametrize(
    "changes",
    [
        {"weights.vocabulary.size": 50_000},
        {"weights.vocabulary": None},
        {"threads": 1},
        {"speculation.kind": "ngram_mod"},
        {"poll": 3, "weights.attention": "q8_0"},
    ],
)
def test_a_change_that_matters_makes_it_ones_own(changes: dict[str, Any]) -> None:
    assert copied(changes) is None


def test_who_names_the_source_or_copies_itself_copies_nobody() -> None:
    assert copied({"poll": 3}, parents=("a0001",)) is None
    assert copied({"poll": 3}, parents=("a0000", "a0001")) is None
    assert copied({"poll": 3}, agent="ann") is None


def test_who_was_there_first_copied_nobody() -> None:
    lead = apply_changes(LlamaCppConfig(), LEAD)
    lineage = lineage_of(
        make_run("a0000", agent="organiser"),
        make_run("a0001", agent="ann", parents=["a0000"], config=lead),
        make_run("a0002", parents=["a0000"], agent="bob", config=apply_changes(lead, {"poll": 1})),
    )

    assert uncited_source(lineage, lineage.nodes["a0001"]) is None
    assert uncited_source(lineage, lineage.nodes["a0000"]) is None


def test_of_several_sources_the_nearest_is_named() -> None:
    lead = apply_changes(LlamaCppConfig(), LEAD)
    near, far = ({"poll": 9}, {"batch_tokens": 512, "memory_map": False})
    lineage = lineage_of(
        make_run("a0000", agent="organiser"),
        make_run("a0001", agent="ann", parents=["a0000"], config=apply_changes(lead, far)),
        make_run("a0002", agent="eve", parents=["a0001"], config=apply_changes(lead, near)),
        make_run("a0003", agent="bob", parents=["a0000"], config=apply_changes(lead, {"poll": 8})),
    )

    assert uncited_source(lineage, lineage.nodes["a0003"]) == "a0002"
