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
are asked. A model that is paid for its turns wants 1 or 2."""
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

    def join(self, name: str, *, attempts_cap: int | None = None) -> None:
        """Add an agent."""
        self.riders[name] = Standing(name, attempts_cap)

    def apply(self, event: Event) -> None:
        """Take in an event that the projection contains already."""
        if event.kind == "job_ended":
            pair = self._known.lineage.job(event.payload.job)
            rider = self.riders.get(pair[1].requested_by) if pair else None
            if rider is not None:
                rider.outcome_seq, rider.fruitless = event.seq, 0
        elif event.kind in {"attempt_proposed", "job_requested"} and event.actor in self.riders:
            rider = self.riders[event.actor]
            rider.attempts += event.kind == "attempt_proposed"
            rider.fruits += 1

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
        idle = [self.riders[name] for name in names if not self.riders[name].is_busy]
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
        return any(r.turns == 0 or r.outcome_seq > r.cursor for r in self.riders.values())

    @property
    def is_fruitless(self) -> bool:
        """Whether nobody made anything of its last turns."""
        return all(rider.fruitless >= FRUITLESS_TURNS for rider in self.riders.values())

    @property
    def has_unlaunched(self) -> bool:
        """Whether somebody has still to ask for a job of an attempt it proposed."""
        owners = self._owners_of_unlaunched() & self.riders.keys()
        return any(self.riders[name].fruitless < FRUITLESS_TURNS for name in owners)

    @property
    def _is_capped(self) -> bool:
        cap = self._limits.attempts
        return cap is not None and len(self._known.lineage.nodes) > cap

    def _owners_of_unlaunched(self) -> set[str]:
        return {node.agent for node in self._known.lineage.nodes.values() if not node.runs}

    def _has_message(self, rider: Standing, now: float) -> bool:
        if now < rider.ended_at + self._inbox_pause_seconds:
            return False
        return bool(self._known.board.inbox(rider.name, after=rider.cursor))

    def _offers(self, idle: Iterable[Standing], now: float) -> list[str]:
        lineage = self._known.lineage
        waiting = len(lineage.jobs_waiting())
        # a busy agent may be about to fill the place that is seen to be free
        busy = sum(rider.is_busy for rider in self.riders.values())
        offers = (self._quotas.queued_jobs - waiting) * self._offers_per_place - busy
        if offers <= 0:
            return []
        fit = [rider for rider in idle if self._may_take(rider, now)]
        if self._is_capped:
            owners = self._owners_of_unlaunched()
            fit = [rider for rider in fit if rider.name in owners]
        fit.sort(key=lambda rider: (rider.attempts, rider.ended_at))
        return [rider.name for rider in fit[:offers]]

    def _may_take(self, rider: Standing, now: float) -> bool:
        if rider.attempts_cap is not None and rider.attempts >= rider.attempts_cap:
            return False
        pause = self._pause_seconds * min(2**rider.fruitless, LONGEST_PAUSE_FACTOR)
        if now < rider.ended_at + pause:
            return False
        live = len(self._known.lineage.live_jobs(rider.name))
        return live < self._quotas.pending_jobs_per_agent
