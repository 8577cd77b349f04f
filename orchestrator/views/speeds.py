"""An attempt's speed in one word or two: over the baseline, or as others reported it."""

from datetime import UTC, datetime

from orchestrator.views import figures
from tools.record.events import Parent
from tools.record.lineage import Lineage, Node

REPORTED = "[reported: measured by others, elsewhere]"


def speed_words(node: Node) -> str:
    """Return `2.41x`, or `118.3 tokens/s` of a reported result; a dash where it is unknown."""
    if node.reported is None:
        return figures.ratio(node.estimate)
    speed = node.reported.tokens_per_second
    return figures.UNKNOWN if speed is None else f"{figures.tokens(speed)} tokens/s"


def session_label(lineage: Lineage, *, simulated: str = "[simulated: no model was run]") -> str:
    """Return what is to be known of every figure of a session; empty where it was measured here."""
    if lineage.simulated_jobs:
        return simulated
    return REPORTED if lineage.reported_results else ""


def edge_words(parent: Parent) -> str:
    """Return `builds-on`, and who believes it where the author did not say so."""
    why = parent.inferred
    if why is None:
        return parent.kind
    return f"{parent.kind}, inferred from {why.evidence}, {why.confidence} confidence"


def moment(seconds: float) -> str:
    """Return `2026-06-12 10:15`, UTC."""
    return datetime.fromtimestamp(seconds, tz=UTC).strftime("%Y-%m-%d %H:%M")
