"""Which colour a state or a verdict has in a terminal; words carry the same meaning."""

from tools.record.lineage import Node

VERDICT_STYLE = {
    "valid": "green",
    "pending": "cyan",
    "suspect": "yellow",
    "invalid": "red",
}


def node_style(node: Node) -> str:
    """Return the style of an attempt's result."""
    if node.verdict == "invalid":
        return VERDICT_STYLE["invalid"]
    if node.state == "measured":
        return VERDICT_STYLE[node.verdict]
    return "magenta" if node.state in ("failed", "cancelled") else "dim"
