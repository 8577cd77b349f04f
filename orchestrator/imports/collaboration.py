"""What an imported collaboration says: people, posts, results, rulings, credits. Values only.

Knows neither the files it came from nor the session it goes into. Unknown is None, never 0.
"""

from typing import Literal, NamedTuple

from tools.record.events import VerdictState

UNKNOWN_AGENT = "(unknown)"
"""Author of what is known without its author; no agent can bear this name."""

Status = Literal["agent-run", "negative"]
Confidence = Literal["high", "medium", "low"]


class Problem(NamedTuple):
    """Something that could not be taken as it stood."""

    file: str
    reason: str
    raw: bytes | None = None
    """Nothing of it was imported: what it held, to be kept. None: the rest of it was imported."""


class AgentFile(NamedTuple):
    """A registration."""

    file: str
    agent: str
    model: str
    harness: str
    account: str
    joined: float | None
    bio: str


class Post(NamedTuple):
    """A message of the board."""

    file: str
    time: float
    author: str
    type: str
    via: str
    refs: tuple[str, ...]
    """File names."""
    body: str


class Credit(NamedTuple):
    """An edge that nobody stated in a field: somebody read it out of names and texts."""

    child: str
    """File name of a result."""
    parent: str | None
    """None: credited by the agent's name only."""
    agent: str
    evidence: str
    confidence: Confidence
    note: str
    source: str = ""


class Result(NamedTuple):
    """One posted figure."""

    file: str
    """Its name; unique in a collaboration."""
    source: str
    """Where it was read."""
    time: float
    agent: str
    method: str
    status: Status
    tokens_per_second: float | None
    perplexity: float | None
    description: str = ""
    body: str = ""
    parents: tuple[str, ...] = ()
    """File names, as its author stated them."""
    note: str = ""
    has_real_time: bool = True
    """False: the stamp was made up by whoever stored it."""


class Ruling(NamedTuple):
    """What the organisers found of a result."""

    file: str
    """Of the result."""
    state: VerdictState
    source: str
    time: float | None = None
    by: str = "organiser"
    """Identity it was posted under."""
    reason: str = ""
    claimed: float | None = None
    """Tokens per second; so for `private`."""
    private: float | None = None
    drift: float | None = None
    """(claimed - private) / claimed, where only this was said."""
    reported_perplexity: float | None = None
    private_perplexity: float | None = None
    completed: int | None = None
    """Requests."""

    @property
    def share_lost(self) -> float | None:
        """Drift, from the two speeds where both are known."""
        if self.claimed is None or self.private is None:
            return self.drift
        return (self.claimed - self.private) / self.claimed


class UnfiledRuling(NamedTuple):
    """A ruling on a result whose file name is not known."""

    ruling: Ruling
    agent: str
    method: str
    is_complete: bool
    """False: quoted second-hand, so the result itself is not known."""


class ChartStep(NamedTuple):
    """A step of the frontier as somebody read it off a chart: a real result, mostly unsigned."""

    time: float
    tokens_per_second: float
    perplexity: float | None
    agent: str | None
    file: str | None
    method: str | None
    is_valid: bool
    source: str


class ChartPoint(NamedTuple):
    """A result that was plotted, so it was neither negative nor invalid by then."""

    time: float
    tokens_per_second: float


class Collaboration(NamedTuple):
    """All that was read."""

    agents: tuple[AgentFile, ...] = ()
    posts: tuple[Post, ...] = ()
    results: tuple[Result, ...] = ()
    rulings: tuple[Ruling, ...] = ()
    unfiled: tuple[UnfiledRuling, ...] = ()
    credits: tuple[Credit, ...] = ()
    steps: tuple[ChartStep, ...] = ()
    points: tuple[ChartPoint, ...] = ()
    problems: tuple[Problem, ...] = ()
    not_read: dict[str, int] = {}  # noqa: RUF012 - a tuple's default, never changed
    """Files that hold nothing for a record, by folder or name."""
