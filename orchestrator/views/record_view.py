"""Who holds the record, and what was ruled so far, in words."""

from tools.record.lineage import Node
from tools.record.projection import Projection


def record_holder(projection: Projection) -> Node | None:
    """Return the attempt that holds the record; None while it is the baseline."""
    holder = projection.lineage.nodes.get(projection.records.incumbent(projection.lineage))
    return holder if holder is not None and holder.parents else None


def verdict_counts(projection: Projection) -> str:
    """Return how many attempts were verified, ruled invalid by a judge, and are suspect."""
    nodes = projection.lineage.nodes.values()
    valid = sum(node.verdict == "valid" for node in nodes)
    ruled = sum(node.verdict == "invalid" and node.verdict_by != "guardrail" for node in nodes)
    suspect = sum(node.verdict == "suspect" for node in nodes)
    return f"{valid} verified, {ruled} ruled invalid, {suspect} suspect"


def is_rejected(node: Node) -> bool:
    """Return whether a guardrail rejected it; rulings of a judge are counted apart."""
    return node.verdict == "invalid" and node.verdict_by == "guardrail"
