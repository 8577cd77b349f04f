"""What the session has reserved and spent, as a fold over its jobs.

Knows device seconds and dollars; knows no cap but the one it is asked about.
"""

from collections import defaultdict
from collections.abc import Callable
from dataclasses import dataclass
from typing import NamedTuple

from sandbox.errors import BudgetExhausted
from tools.record.events import Event


@dataclass(slots=True)
class Account:
    """One agent's share."""

    reserved_seconds: float = 0.0
    spent_seconds: float = 0.0
    reserved_usd: float = 0.0
    spent_usd: float = 0.0
    jobs: int = 0


class _Reservation(NamedTuple):
    agent: str
    seconds: float
    usd: float


class Spend:
    """Reserved at the request of a job, settled at its outcome."""

    def __init__(self) -> None:
        self.spent_seconds = 0.0
        self.spent_usd = 0.0
        self.by_agent: defaultdict[str, Account] = defaultdict(Account)
        self._open: dict[str, _Reservation] = {}
        self._known_jobs: set[str] = set()
        self.rules: dict[str, Callable[[Event], None]] = {
            "job_requested": self._reserve,
            "job_ended": self._settle,
        }

    @property
    def reserved_seconds(self) -> float:
        """Device seconds held for jobs without an outcome."""
        return sum(one.seconds for one in self._open.values())

    @property
    def reserved_usd(self) -> float:
        """Dollars held for jobs without an outcome."""
        return sum(one.usd for one in self._open.values())

    def apply(self, event: Event) -> None:
        """Take in the next event; kinds that cost nothing are ignored."""
        if rule := self.rules.get(event.kind):
            rule(event)

    def check_room(self, usd: float, *, cap_usd: float | None) -> None:
        """Return when `usd` more may be reserved.

        Raises:
            BudgetExhausted: spent + reserved + `usd` would pass the cap; the session stops.
        """
        committed = self.spent_usd + self.reserved_usd
        if cap_usd is not None and committed + usd > cap_usd:
            raise BudgetExhausted(
                f"${usd:.4f} more would pass the budget: ${committed:.4f} of ${cap_usd:.4f} used",
                hint="raise --budget-usd and resume",
            )

    def _reserve(self, event: Event) -> None:
        payload = event.payload
        if payload.job in self._known_jobs:
            return
        self._known_jobs.add(payload.job)
        held = _Reservation(event.actor, payload.reserved_seconds, payload.reserved_usd)
        self._open[payload.job] = held
        account = self.by_agent[held.agent]
        account.jobs += 1
        account.reserved_seconds += held.seconds
        account.reserved_usd += held.usd

    def _settle(self, event: Event) -> None:
        payload = event.payload
        held = self._open.pop(payload.job, None)
        if held is None:
            return
        self.spent_seconds += payload.spent_seconds
        self.spent_usd += payload.spent_usd
        account = self.by_agent[held.agent]
        account.reserved_seconds -= held.seconds
        account.reserved_usd -= held.usd
        account.spent_seconds += payload.spent_seconds
        account.spent_usd += payload.spent_usd
