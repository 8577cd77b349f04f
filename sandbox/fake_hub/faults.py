"""What goes wrong at the fake Hub, by seed or by order.

By seed: each kind has a share of the calls or jobs it can hit. By order: `then(kind, n)` makes the
next `n` chances of that kind go wrong, of those at one place if it names one. Knows kinds and
numbers; the routes and jobs ask it.
"""

import random
import threading
from collections import Counter
from typing import Literal, get_args

from pydantic import BaseModel, ConfigDict, Field

FaultKind = Literal[
    "rate_limited",
    "server_error",
    "dropped_answer",
    "slow_answer",
    "lost_launch",
    "unheard_launch",
    "cut_log",
    "late_echo",
    "stuck_scheduling",
    "image_pull",
]
"""Of calls: 429 with Retry-After; 500; the connection closes without an answer and nothing was
done; an answer that takes `slow_seconds`. Of launches: the job starts, its answer is lost; or the
call is lost and no job starts. Of logs: the stream ends in the middle. Of ended jobs: the next look
shows it running again. Of new jobs: it never leaves SCHEDULING; its image cannot be pulled."""

Share = Field(default=0.0, ge=0, le=1)


class Faults(BaseModel):
    """The share of chances that go wrong, by kind; the same seed draws the same numbers."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    seed: int = 0
    rate_limited: float = Share
    server_error: float = Share
    dropped_answer: float = Share
    slow_answer: float = Share
    lost_launch: float = Share
    unheard_launch: float = Share
    cut_log: float = Share
    late_echo: float = Share
    stuck_scheduling: float = Share
    image_pull: float = Share
    retry_after_seconds: int = 0
    """What a 429 asks for."""
    slow_seconds: float = 0.2
    """How long a slow answer takes."""


class FaultPlan:
    """Decides, one chance after another; may be asked from any thread."""

    def __init__(self, faults: Faults) -> None:
        self.faults = faults
        self.happened: Counter[str] = Counter()
        """Kind -> how often it went wrong."""
        self._ordered: list[tuple[FaultKind, str]] = []
        self._random = {
            kind: random.Random(f"{faults.seed}/{kind}") for kind in get_args(FaultKind)
        }
        self._lock = threading.Lock()

    def then(self, kind: FaultKind, count: int = 1, *, at: str = "") -> None:
        """Let the next `count` chances of `kind` go wrong, whatever the shares.

        Args:
            kind: of fault.
            count: how many.
            at: part of "METHOD /path" of the calls that count; empty: all do.
        """
        with self._lock:
            self._ordered += [(kind, at)] * count

    def strikes(self, kind: FaultKind, call: str = "") -> bool:
        """Return whether this chance goes wrong; `call` is "METHOD /path" where it is one."""
        share: float = self.faults.model_dump()[kind]
        with self._lock:
            drawn = self._random[kind].random() < share
            fitting = [one for one in self._ordered if one[0] == kind and one[1] in call]
            if fitting:
                self._ordered.remove(fitting[0])
                drawn = True
            self.happened[kind] += drawn
            return drawn
