"""Where the nodes of a lineage stand: one column per generation, one row per leaf.

A node shares the row of its first child, so the path listed first is a straight line, and the
rows of a subtree belong to nobody else: tree edges cannot cross a node. Linear in the nodes, no
recursion. Knows ids only.
"""

from collections.abc import Mapping, Sequence
from typing import NamedTuple


class Place(NamedTuple):
    """Column and row of a node, both from 0."""

    column: int
    row: int


def tidy(roots: Sequence[str], children: Mapping[str, Sequence[str]]) -> dict[str, Place]:
    """Place every node reachable from `roots`; children keep the order they come in."""
    places: dict[str, Place] = {}
    rows = 0
    waiting = [(root, 0) for root in reversed(roots)]
    while waiting:
        node, column = waiting.pop()
        places[node] = Place(column, rows)
        below = children.get(node, ())
        rows += not below
        waiting += [(child, column + 1) for child in reversed(below)]
    return places
