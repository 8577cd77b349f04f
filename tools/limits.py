"""What a session may use up, and what one agent is granted."""

from typing import NamedTuple

from pydantic import Field

from bench.frozen import Frozen


class Limits(Frozen):
    """Caps of a whole session; None = no cap. The clock on the wall is the supervisor's."""

    attempts: int | None = Field(default=None, ge=1)
    """Nodes of the lineage, the baseline not counted."""
    seconds: float | None = Field(default=None, gt=0)
    """Device seconds, reserved and spent together."""
    usd: float | None = Field(default=None, ge=0)
    """Dollars, reserved and spent together; 0 = only what costs nothing."""


class Grant(NamedTuple):
    """What one agent may do; the session's limits hold besides."""

    tools: tuple[str, ...] | None = None
    """Verbs it may use; None = all."""
    disallowed: tuple[str, ...] = ()
    attempts: int | None = None
    """Attempts it may propose; None = the session's limit."""

    def allows(self, verb: str) -> bool:
        """Return whether the agent may use `verb`."""
        return verb not in self.disallowed and (self.tools is None or verb in self.tools)


EVERYTHING = Grant()
