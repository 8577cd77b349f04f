"""Pruner: which rows of the tied head are worth reading at all.

Learns per strategy where the guardrail bites: the smallest size that passed, the largest that did
not, and looks between them.
"""

from collections.abc import Iterable
from random import Random

from agents.policies.llamacpp.levers import SIZES, kept
from agents.policies.llamacpp.physics import shape_of
from agents.policies.scene import Idea, Scene
from bench.configs.llamacpp import as_llamacpp

_STRATEGIES = ("ascii", "public_text", "frequent", "first")
_ROUND = 1024
_TOO_SMALL = ("missing_targets", "private_perplexity")
"""Reasons, of the guardrail or of a verification, that speak of the size of a keep-set."""


def ideas(scene: Scene, rng: Random) -> Iterable[Idea]:
    """Yield keep-sets of every strategy that may still pass."""
    passed, failed = _known(scene)
    rows = shape_of(scene.observation.challenge).vocabulary
    for parent in scene.parents(rng):
        now = as_llamacpp(parent.config).weights.vocabulary
        for strategy in _STRATEGIES:
            low, high = failed.get(strategy, 0), passed.get(strategy, rows)
            for size in _sizes(low, high, bold=scene.keys.temperature):
                if now and now.strategy == strategy and now.size <= size:
                    continue
                share = size / rows
                why = f"keep {size} {strategy} rows, {share:.0%} of the head"
                yield Idea(parent.attempt, kept(strategy, size), f"{why}; {_bounds(low, high)}")


def _known(scene: Scene) -> tuple[dict[str, int], dict[str, int]]:
    passed: dict[str, int] = {}
    failed: dict[str, int] = {}
    for node in scene.lineage.nodes.values():
        vocabulary = as_llamacpp(node.config).weights.vocabulary
        if vocabulary is None or not node.measured_seq:
            continue
        strategy, size = vocabulary.strategy, vocabulary.size
        if node.counts:
            passed[strategy] = min(size, passed.get(strategy, size))
        elif node.verdict_reason in _TOO_SMALL:
            failed[strategy] = max(size, failed.get(strategy, size))
    return passed, failed


def _sizes(low: int, high: int, *, bold: float) -> list[int]:
    between = [size for size in SIZES if low < size < high]
    middle = (low + high) // 2 // _ROUND * _ROUND
    if low and not between and low < middle < high:
        return [middle]
    return between if low else between[: 6 + round(3 * bold)]


def _bounds(low: int, high: int) -> str:
    return f"{high} is known to pass" + (f", {low} to fail" if low else "")
