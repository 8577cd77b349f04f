"""Who is due, in which order, and for how long nobody is."""

import pytest

from bench.challenge import Quotas
from orchestrator.roster import FRUITLESS_TURNS, Roster
from tests.builders import (
    make_attempt,
    make_ended,
    make_joined,
    make_message,
    make_opened,
    make_request,
)
from tools.limits import Limits
from tools.record.events import Draft, Event, ModelReplied, SessionResumed
from tools.record.projection import Projection

QUOTAS = Quotas(
    pending_jobs_per_agent=1,
    queued_jobs=2,
    message_bytes=1000,
    build_seconds=1,
    memory_bytes=1,
)
AGENTS = ("ann", "bob", "cid")


class Race:
    """Folds and a roster fed side by side."""

    def __init__(self, *, attempts: int | None = None, offers: int = 1) -> None:
        self.known = Projection()
        self.roster = Roster(
            self.known, quotas=QUOTAS, limits=Limits(attempts=attempts), offers_per_place=offers
        )
        self.add("organiser", make_opened())
        for name in AGENTS:
            self.add(name, make_joined(name))
            self.roster.join(name)

    def add(self, actor: str, payload: object) -> Event:
        from tests.builders import make_events  # noqa: PLC0415 - one event at a time

        event = make_events([Draft(actor, payload, "k")])[0]._replace(seq=self.known.seq + 1)
        self.known.apply(event)
        self.roster.apply(event)
        return event

    def turns(self, *agents: str, now: float = 0.0, times: int = 1) -> None:
        for agent in agents * times:
            self.roster.begin(agent)
            self.roster.end(agent, now=now, cursor=self.known.seq)


@pytest.fixture
def race() -> Race:
    return Race()


def test_everybody_takes_a_first_turn(race: Race) -> None:
    assert race.roster.due(0.0) == list(AGENTS)


def test_an_outcome_comes_before_a_message_and_a_message_before_a_free_place(race: Race) -> None:
    race.add("bob", make_attempt("a0001"))
    race.add("bob", make_request("a0001"))
    race.turns(*AGENTS)
    race.add("ann", make_message("look", mentions=("cid",)))
    race.add("lane", make_ended("a0001"))

    assert race.roster.due(10.0) == ["bob", "cid", "ann"]


def test_free_places_go_to_who_tried_least_and_waited_longest(race: Race) -> None:
    race.add("ann", make_attempt("a0001"))
    race.turns("ann", now=0.0)
    race.turns("cid", now=1.0)
    race.turns("bob", now=2.0)

    assert race.roster.due(50.0) == ["cid", "bob"]


def test_a_full_queue_offers_nothing(race: Race) -> None:
    for number, name in enumerate(("ann", "bob"), start=1):
        race.add(name, make_attempt(f"a000{number}"))
        race.add(name, make_request(f"a000{number}"))
    race.turns(*AGENTS)

    assert race.roster.due(50.0) == []


def test_who_made_nothing_of_a_place_is_asked_again_later_and_later(race: Race) -> None:
    race.turns("ann", now=100.0)
    first = [race.roster.has_news("ann", 100.0 + wait) for wait in (1.5, 2.5)]
    race.turns("ann", now=100.0, times=5)
    later = [race.roster.has_news("ann", 100.0 + wait) for wait in (2.5, 4.5)]

    assert first == [False, True]
    assert later == [False, True]


def test_a_message_alone_waits_out_the_pause(race: Race) -> None:
    for number, name in enumerate(("ann", "bob"), start=1):
        race.add(name, make_attempt(f"a000{number}"))
        race.add(name, make_request(f"a000{number}"))
    race.turns(*AGENTS, now=100.0)
    race.add("ann", make_message("hello", mentions=("cid",)))

    assert [race.roster.due(100.0 + wait) for wait in (1.0, 2.5)] == [[], ["cid"]]


def test_at_the_cap_only_owners_of_unlaunched_attempts_are_offered_a_place() -> None:
    race = Race(attempts=1)
    race.add("organiser", make_attempt("a0000"))
    race.add("bob", make_attempt("a0001"))
    race.turns(*AGENTS)

    assert race.roster.due(50.0) == ["bob"]
    assert race.roster.has_unlaunched


def test_a_quiet_session_is_fruitless_only_when_everybody_gave_up(race: Race) -> None:
    race.turns("ann", "bob", times=FRUITLESS_TURNS)
    assert not race.roster.is_fruitless

    race.turns("cid", times=FRUITLESS_TURNS)
    assert race.roster.is_fruitless


def test_turns_while_the_organisers_job_ran_do_not_count_as_fruitless(race: Race) -> None:
    """It may hold all the money; and until the baseline's end nobody knows which job would fit."""
    race.add("organiser", make_attempt("a0000"))
    race.add("organiser", make_request("a0000", stage="full"))
    race.turns(*AGENTS, times=FRUITLESS_TURNS)
    race.add("lane", make_ended("a0000"))
    assert not race.roster.is_fruitless

    race.turns(*AGENTS, times=FRUITLESS_TURNS)
    assert race.roster.is_fruitless


def test_busy_agents_are_never_due(race: Race) -> None:
    race.roster.begin("ann")

    assert race.roster.due(0.0) == ["bob", "cid"]


def test_a_paid_place_is_offered_twice_and_looked_at_less_often() -> None:
    race = Race()
    for name in AGENTS:
        race.roster.join(name, is_paid=True)
    race.turns(*AGENTS, now=100.0)
    race.add("ann", make_attempt("a0001"))
    race.add("ann", make_request("a0001"))

    assert race.roster.due(108.0) == []
    assert race.roster.due(112.0) == ["bob", "cid"]


def test_who_ran_into_a_cap_gets_no_turn_until_the_session_is_resumed(race: Race) -> None:
    refused = ModelReplied(turn=0, step=0, cursor=1, code="agent_usd_exhausted")
    race.turns(*AGENTS)
    race.add("ann", refused)

    assert race.roster.due(50.0) == ["bob", "cid"]
    assert not race.roster.is_spent

    for name in ("bob", "cid"):
        race.add(name, refused)
    assert race.roster.is_spent
    assert race.roster.due(50.0) == []

    race.add("organiser", SessionResumed(settings={}))
    assert race.roster.due(50.0) == ["ann", "bob"]


def test_a_refusal_that_may_pass_keeps_nobody_from_the_next_turn(race: Race) -> None:
    race.turns(*AGENTS)
    race.add("ann", ModelReplied(turn=0, step=0, cursor=1, code="usd_held"))

    assert "ann" in race.roster.due(50.0)
