"""Which colour a state or a verdict has in a terminal; words carry the same meaning."""

from tools.record.lineage import Node

VERDICT_STYLE = {
    "valid": "green",
    "pending": "cyan",
    "suspect": "yellow",
    "invalid": "red",
}


def verdict_mark(node: Node) -> str:
    """Return what stands behind an attempt's speed, so that no colour has to be seen."""
    if node.verified is not None:
        return " ✓"
    return {"suspect": " ?", "invalid": " ✗"}.get(node.verdict, "")


def node_style(node: Node) -> str:
    """Return the style of an attempt's result."""
    if not node.counts and node.state != "negative":
        return VERDICT_STYLE[node.verdict]
    if node.state == "measured":
        return VERDICT_STYLE[node.verdict]
    return "magenta" if node.state in ("failed", "cancelled", "negative") else "dim"
