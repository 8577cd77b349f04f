"""Who has a reason to act, in which order. A fold over the record, and nothing else.

Reasons, best first: a first turn, the outcome of a job one asked for, a message to oneself, a free
place in the queue. Places are offered fairly (fewest attempts, then longest idle) and not again at
once to who did nothing with one, so that nobody spins.
"""

from collections.abc import Collection, Iterable
from dataclasses import dataclass

from bench.challenge import Quotas
from tools.limits import Limits
from tools.record.events import Event
from tools.record.projection import Projection

INBOX_PAUSE_SECONDS = 2.0
"""Between an agent's last turn and one for a message alone: two agents may answer each other."""
OFFER_PAUSE_SECONDS = 1.0
"""Between an agent's last turn and a free place; doubles, twice, with turns that made no job."""
LONGEST_PAUSE_FACTOR = 4
OFFERS_PER_PLACE = 20
"""Riders of the offline model draw lots for a free place (agents.policies.pacing), so all of them
are asked."""
PAID_OFFERS_PER_PLACE = 2
"""A model that is paid for its turns makes something of nearly each; the second one is for slow
providers, or the lane would idle while one agent thinks."""
PAID_PAUSE_FACTOR = 5
"""Longer pauses where looking again costs money: two agents that thank each other do so six times
a minute, not thirty."""
FRUITLESS_TURNS = 8
"""Turns without a proposal or a job, of every agent, after which a quiet session has stopped: half
a minute of refusals, each turn a new draw."""


@dataclass(slots=True)
class Standing:
    """One agent, as far as being next goes."""

    name: str
    attempts_cap: int | None = None
    attempts: int = 0
    turns: int = 0
    cursor: int = 0
    outcome_seq: int = 0
    """Of the latest outcome of a job it asked for."""
    ended_at: float = float("-inf")
    fruitless: int = 0
    fruits: int = 0
    """Proposals and jobs since its last turn began."""
    is_busy: bool = False
    is_paid: bool = False
    """Looking without doing anything costs money."""


class Roster:
    """All agents of a session."""

    def __init__(
        self,
        known: Projection,
        *,
        quotas: Quotas,
        limits: Limits,
        pause_seconds: float = OFFER_PAUSE_SECONDS,
        inbox_pause_seconds: float = INBOX_PAUSE_SECONDS,
        offers_per_place: int = OFFERS_PER_PLACE,
    ) -> None:
        self.riders: dict[str, Standing] = {}
        self._known = known
        self._quotas = quotas
        self._limits = limits
        self._pause_seconds = pause_seconds
        self._inbox_pause_seconds = inbox_pause_seconds
        self._offers_per_place = offers_per_place

    @property
    def is_spent(self) -> bool:
        """Whether nobody may take another turn."""
        return bool(self.riders) and not any(map(self._may_pay, self.riders.values()))

    def join(self, name: str, *, attempts_cap: int | None = None, is_paid: bool = False) -> None:
        """Add an agent."""
        self.riders[name] = Standing(name, attempts_cap, is_paid=is_paid)

    def apply(self, event: Event) -> None:
        """Take in an event that the projection contains already."""
        if event.kind == "job_ended":
            self._note_outcome(event)
        elif event.kind in {"attempt_proposed", "job_requested"} and event.actor in self.riders:
            rider = self.riders[event.actor]
            rider.attempts += event.kind == "attempt_proposed"
            rider.fruits += 1

    def _note_outcome(self, event: Event) -> None:
        pair = self._known.lineage.job(event.payload.job)
        rider = self.riders.get(pair[1].requested_by) if pair else None
        if rider is not None:
            rider.outcome_seq, rider.fruitless = event.seq, 0
        elif pair:  # the organiser's: it held lane and money, and says what a job takes
            for each in self.riders.values():
                each.fruitless = 0

    def begin(self, name: str) -> None:
        """Note that a turn begins."""
        rider = self.riders[name]
        rider.is_busy, rider.fruits = True, 0

    def end(self, name: str, *, now: float, cursor: int) -> None:
        """Note that a turn ended."""
        rider = self.riders[name]
        rider.is_busy, rider.ended_at, rider.cursor = False, now, cursor
        rider.turns += 1
        rider.fruitless = 0 if rider.fruits else rider.fruitless + 1

    def due(self, now: float, *, among: Collection[str] | None = None) -> list[str]:
        """Return who could act at `now`, most urgent first."""
        names = self.riders if among is None else among
        riders = (self.riders[name] for name in names)
        idle = [rider for rider in riders if not rider.is_busy and self._may_pay(rider)]
        first = [rider.name for rider in idle if rider.turns == 0]
        outcome = [r.name for r in idle if r.turns and r.outcome_seq > r.cursor]
        inbox = [r.name for r in idle if r.turns and self._has_message(r, now)]
        offers = self._offers(idle, now)
        return list(dict.fromkeys((*first, *outcome, *inbox, *offers)))

    def has_news(self, name: str, now: float) -> bool:
        """Return whether one agent could act at `now`."""
        return bool(self.due(now, among=(name,)))

    @property
    def has_unseen_outcomes(self) -> bool:
        """Whether somebody has not yet seen how its job ended, or not acted at all."""
        riders = (rider for rider in self.riders.values() if self._may_pay(rider))
        return any(rider.turns == 0 or rider.outcome_seq > rider.cursor for rider in riders)

    @property
    def is_fruitless(self) -> bool:
        """Whether nobody made anything of its last turns."""
        riders = self.riders.values()
        return all(r.fruitless >= FRUITLESS_TURNS for r in riders if self._may_pay(r))

    @property
    def has_unlaunched(self) -> bool:
        """Whether somebody has still to ask for a job of an attempt it proposed."""
        names = self._owners_of_unlaunched() & self.riders.keys()
        owners = [self.riders[name] for name in names if self._may_pay(self.riders[name])]
        return any(owner.fruitless < FRUITLESS_TURNS for owner in owners)

    @property
    def _is_capped(self) -> bool:
        cap = self._limits.attempts
        return cap is not None and len(self._known.lineage.nodes) > cap

    def _may_pay(self, rider: Standing) -> bool:
        """Who ran into a cap gets no more turns in this ride."""
        return rider.name not in self._known.spend.ran_out

    def _owners_of_unlaunched(self) -> set[str]:
        return {node.agent for node in self._known.lineage.nodes.values() if not node.runs}

    def _has_message(self, rider: Standing, now: float) -> bool:
        if now < rider.ended_at + _pause(rider, self._inbox_pause_seconds):
            return False
        return bool(self._known.board.inbox(rider.name, after=rider.cursor))

    def _offers(self, idle: Iterable[Standing], now: float) -> list[str]:
        left = {paid: self._offers_left(is_paid=paid) for paid in (False, True)}
        if max(left.values()) <= 0:
            return []
        fit = [rider for rider in idle if self._may_take(rider, now)]
        if self._is_capped:
            owners = self._owners_of_unlaunched()
            fit = [rider for rider in fit if rider.name in owners]
        fit.sort(key=lambda rider: (rider.attempts, rider.ended_at))
        offers = []
        for rider in fit:
            if left[rider.is_paid] > 0:
                left[rider.is_paid] -= 1
                offers.append(rider.name)
        return offers

    def _offers_left(self, *, is_paid: bool) -> int:
        """Return how many may be asked; a busy agent may be about to fill what seems free."""
        places = self._quotas.queued_jobs - len(self._known.lineage.jobs_waiting())
        busy = sum(rider.is_busy for rider in self.riders.values() if rider.is_paid == is_paid)
        per_place = PAID_OFFERS_PER_PLACE if is_paid else self._offers_per_place
        return places * per_place - busy

    def _may_take(self, rider: Standing, now: float) -> bool:
        if rider.attempts_cap is not None and rider.attempts >= rider.attempts_cap:
            return False
        pause = _pause(rider, self._pause_seconds) * min(2**rider.fruitless, LONGEST_PAUSE_FACTOR)
        if now < rider.ended_at + pause:
            return False
        live = len(self._known.lineage.live_jobs(rider.name))
        return live < self._quotas.pending_jobs_per_agent


def _pause(rider: Standing, seconds: float) -> float:
    return seconds * (PAID_PAUSE_FACTOR if rider.is_paid else 1)
