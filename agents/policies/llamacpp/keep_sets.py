"""What the measured keep-sets say of the ones not measured yet.

Fewer rows of one strategy never miss fewer targets, so two measured sizes bound all between them.
"""

from collections import defaultdict
from math import log

from agents.policies.llamacpp.physics import Shape
from bench.configs.llamacpp import KeepStrategy, LlamaCppConfig, as_llamacpp
from tools.record.lineage import Lineage, Node

_GUESSED_SHARE = 0.02
"""Of targets missed at a quarter of the rows, before anybody measured a strategy; rare words thin
out with the square of the rows kept."""

_RISE_PER_SHARE = 10.0
"""A missed target costs ln(262144) minus what it would have cost: about 10 nats."""


class KeepSets:
    """Shares of missed targets by strategy and size."""

    def __init__(self, lineage: Lineage, shape: Shape) -> None:
        self._rows = shape.vocabulary
        self._known: defaultdict[KeepStrategy, dict[int, float]] = defaultdict(dict)
        for node in lineage.nodes.values():
            kept = as_llamacpp(node.config).weights.vocabulary
            if kept is not None and node.measured_seq:
                self._known[kept.strategy][kept.size] = _missed_share(node)

    def rise(self, config: LlamaCppConfig) -> float:
        """Return the expected rise of ln perplexity from missed targets."""
        kept = config.weights.vocabulary
        return _RISE_PER_SHARE * self.missed_share(kept.strategy, kept.size) if kept else 0.0

    def missed_share(self, strategy: KeepStrategy, size: int) -> float:
        """Return the expected share of targets outside the keep-set."""
        points = self._known.get(strategy) or self._others(strategy)
        if not points:
            fitted = strategy == "public_text"
            return 0.0 if fitted else _GUESSED_SHARE * (self._rows / 4 / size) ** 2
        below = max((known for known in points if known <= size), default=None)
        above = min((known for known in points if known >= size), default=self._rows)
        high = points.get(above, 0.0)
        if below is None:
            return high * above / size if high else _GUESSED_SHARE / 2 * (above / size - 1)
        if below == above or points[below] == high:
            return high
        way = log(size / below) / log(above / below)
        return points[below] + way * (high - points[below])

    def _others(self, strategy: KeepStrategy) -> dict[int, float]:
        """What the other strategies say of one nobody tried; a fitted set is unlike them all."""
        if strategy == "public_text":
            return {}
        return {
            size: share
            for other, points in self._known.items()
            if other != "public_text"
            for size, share in points.items()
        }


def _missed_share(node: Node) -> float:
    return max((one.missing_share for one in node.measurements), default=0.0)
