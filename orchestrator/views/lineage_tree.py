"""The lineage as a tree of text. Each attempt is printed once, under its main parent.

Under its other parents stands a line that points there, so a merge never repeats a subtree.
"""

from collections import defaultdict
from collections.abc import Iterator

from rich.text import Text

from orchestrator.views.clean import one_line
from orchestrator.views.family import Family, SideEdge, family
from orchestrator.views.speeds import speed_words
from orchestrator.views.styles import node_style
from tools.record.lineage import Lineage, Node

_Line = Node | SideEdge
_RELATION = {
    "builds-on": "builds on",
    "merges": "merges",
    "confirms": "confirms",
    "refutes": "refutes",
}


def lineage_tree(lineage: Lineage) -> Iterator[Text]:
    """Yield the tree line by line; works without recursion, so any depth is fine."""
    tree = family(lineage)
    side: dict[str, list[SideEdge]] = defaultdict(list)
    for edge in tree.side_edges:
        side[edge.parent].append(edge)
    for root in tree.roots:
        yield from _subtree(lineage, tree, side, root)


def _subtree(
    lineage: Lineage, tree: Family, side: dict[str, list[SideEdge]], root: str
) -> Iterator[Text]:
    waiting: list[tuple[_Line, str, str]] = [(lineage.nodes[root], "", "")]
    while waiting:
        line, indent, branch = waiting.pop()
        if isinstance(line, SideEdge):
            yield Text.assemble((indent + branch, "dim"), (_pointer(line), "dim italic"))
            continue
        yield Text.assemble((indent + branch, "dim"), _label(line, tree))
        inner = indent + {"": "", "├─ ": "│  ", "└─ ": "   "}[branch]
        below: list[_Line] = [lineage.nodes[name] for name in tree.children.get(line.attempt, ())]
        below += side[line.attempt]
        for number, child in enumerate(reversed(below)):
            waiting.append((child, inner, "├─ " if number else "└─ "))


def _label(node: Node, tree: Family) -> Text:
    best = bool(tree.best_path) and node.attempt == tree.best_path[-1]
    mark = " ★ best" if best else (" ● record" if node.attempt in tree.frontier else "")
    what = "baseline" if node.is_baseline else (one_line(node.direction, limit=60) or "no change")
    guessed = any(parent.inferred for parent in node.parents)
    return Text.assemble(
        (node.attempt, "bold" if node.attempt in tree.best_path else ""),
        " ",
        (_result(node), node_style(node)),
        f"  {one_line(node.agent, limit=24)}  ",
        (what, "dim"),
        (" (inferred edge)" * guessed, "dim italic"),
        (mark, "bold yellow"),
    )


def _result(node: Node) -> str:
    text = speed_words(node) if node.state == "measured" else node.state
    if node.reported is not None and node.verdict == "valid":
        return f"{text} ruled valid"
    if node.verified is not None:
        return f"{text} ✓ verified"
    if node.verdict == "suspect":
        return f"{text} ? suspect, inherits from {' '.join(sorted(node.suspected_by))}"
    if node.verdict != "invalid":
        return text
    by = "" if node.verdict_by == "guardrail" else f" by {one_line(node.verdict_by, limit=24)}"
    return f"{text} rejected{by}: {node.verdict_reason}"


def _pointer(edge: SideEdge) -> str:
    return f"↪ {edge.child} {_RELATION[edge.kind]} this too; drawn at its main parent"
