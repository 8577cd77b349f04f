"""Who ruled what on one attempt, and which ruling counts. Pure.

guardrail < verifier < organiser < person:NAME; of the highest who ruled, the latest counts.
"""

from collections.abc import Iterable
from typing import NamedTuple

from bench.verification import Verification
from tools.record.events import VerdictState

_RANKS = {"guardrail": 0, "verifier": 1, "organiser": 2}
_PERSON = "person:"
_PERSONS_RANK = 3


class Ruling(NamedTuple):
    """One verdict that stands until it is outranked, outdated or taken back."""

    seq: int
    state: VerdictState
    reason: str
    by: str
    is_invalidation: bool = False
    """It can be taken back by a reinstatement; a guardrail's verdict cannot."""
    verification: Verification | None = None
    """valid: the passed verification it rests on; None when somebody ruled without one."""


def rank(by: str) -> int:
    """Return how much `by` weighs; whoever is unknown weighs as little as a guardrail."""
    return _PERSONS_RANK if by.startswith(_PERSON) else _RANKS.get(by, 0)


def counting(rulings: Iterable[Ruling]) -> Ruling | None:
    """Return the ruling that counts, None before the first."""
    return max(rulings, key=lambda one: (rank(one.by), one.seq), default=None)


def taken_back(rulings: Iterable[Ruling], *, by: str) -> frozenset[int]:
    """Return the invalidations that a reinstatement by `by` ends, by their events.

    An organiser or a person ends all of them, whoever made them; anybody else only those of its own
    rank or below.
    """
    own = rank(by)
    return frozenset(
        one.seq
        for one in rulings
        if one.is_invalidation and (own >= _RANKS["organiser"] or rank(one.by) <= own)
    )
