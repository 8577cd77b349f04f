"""The lineage as a tree for people: every attempt under one main parent, the rest as side edges.

Knows the fold and its nodes; knows no picture and no terminal.
"""

from collections import defaultdict
from typing import NamedTuple

from tools.record.events import EdgeKind
from tools.record.lineage import Lineage, Node


class SideEdge(NamedTuple):
    """A second parent, or a relation other than descent."""

    parent: str
    child: str
    kind: EdgeKind


class Family(NamedTuple):
    """The main tree, its side edges and what stands out in it."""

    roots: list[str]
    children: dict[str, list[str]]
    """Main children, the way to the best first, then by speed."""
    side_edges: list[SideEdge]
    best_path: list[str]
    """From the baseline to the best attempt; empty before the first measurement."""
    frontier: frozenset[str]


def family(lineage: Lineage) -> Family:
    """Return the tree in which the best path is made of main edges."""
    best = lineage.best()
    path = lineage.path(best.attempt) if best else []
    main = _main_parents(lineage, path)
    return Family(
        roots=[name for name in lineage.nodes if name not in main],
        children=_ordered(lineage, main, path),
        side_edges=_side_edges(lineage, main),
        best_path=path,
        frontier=frozenset(node.attempt for node in lineage.frontier()),
    )


def _main_parents(lineage: Lineage, path: list[str]) -> dict[str, str]:
    """The parent furthest from the root, so that side edges run forward; the best path decides."""
    main = dict(zip(path[1:], path, strict=False))
    columns: dict[str, int] = {}
    for name, node in lineage.nodes.items():
        known = [parent.attempt for parent in node.parents if parent.attempt in columns]
        if known:
            main.setdefault(name, max(known, key=columns.__getitem__))
        columns[name] = 1 + columns[main[name]] if known else 0
    return main


def _ordered(
    lineage: Lineage,
    main: dict[str, str],
    path: list[str],
) -> dict[str, list[str]]:
    children: dict[str, list[str]] = defaultdict(list)
    for child, parent in main.items():
        children[parent].append(child)
    on_path = frozenset(path)

    def order(name: str) -> tuple[bool, bool, float]:
        node = lineage.nodes[name]
        return (name not in on_path, not counts(node), -(node.pace or 0.0))

    return {parent: sorted(names, key=order) for parent, names in children.items()}


def counts(node: Node) -> bool:
    """Return whether the attempt was measured and is neither invalid nor suspect."""
    return node.counts and node.state == "measured"


def _side_edges(lineage: Lineage, main: dict[str, str]) -> list[SideEdge]:
    return [
        SideEdge(parent.attempt, name, parent.kind)
        for name, node in lineage.nodes.items()
        for parent in node.parents
        if parent.attempt in lineage.nodes and parent.attempt != main.get(name)
    ]
