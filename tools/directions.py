"""Directions: what is new in a config, in the one wording that claims and dead ends share.

A direction is `path=value` words, sorted and joined by spaces, e.g. `threads=2 weights.head=q8_0`.
"""

from collections.abc import Mapping

from bench.config import Changes, word
from tools.record.board import DeadEnd


def direction_of(changes: Changes) -> str:
    """Return the direction of `changes`; values are compact JSON, strings without quotes."""
    return " ".join(sorted(word(path, value) for path, value in changes.items()))


def normal(direction: str) -> str:
    """Return `direction` with its words sorted and single spaces, whoever typed it."""
    return " ".join(sorted(direction.split()))


def blocking_dead_end(direction: str, dead_ends: Mapping[str, DeadEnd]) -> DeadEnd | None:
    """Return a dead end all of whose changes `direction` would make again, if there is one."""
    exact = dead_ends.get(direction)
    if exact or not dead_ends:
        return exact
    words = frozenset(direction.split())
    return next((end for known, end in dead_ends.items() if words.issuperset(known.split())), None)
