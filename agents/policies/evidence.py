"""What the measured attempts teach: how far each change missed what paper said of it.

Pure arithmetic over the lineage. A change is a `path=value` word of a direction; an attempt with
several new words teaches each of them an equal share.
"""

from collections import defaultdict
from collections.abc import Sequence
from math import exp, log
from typing import NamedTuple

from agents.policies.lever_space import LeverSpace
from bench.configs.engine_config import EngineConfig
from tools.record.lineage import Lineage, Node

_FAILURE = log(0.5)
"""A job that failed counts as half the speed: not worth nothing, but worth avoiding."""


class Forecast(NamedTuple):
    """What to expect of a config; both over the baseline."""

    speedup: float
    perplexity_ratio: float


class Lesson(NamedTuple):
    """What one measured attempt adds to its parent, as ln ratios."""

    speed: float
    perplexity: float
    paper_speed: float
    paper_perplexity: float


def is_at_fault(node: Node) -> bool:
    """Return whether `node` failed by itself, and not for want of a quiet machine."""
    faults = [run.outcome.fault for run in node.runs if run.outcome]
    return node.state == "failed" and "infrastructure" not in faults


def words_of(node: Node, lineage: Lineage, space: LeverSpace) -> list[str]:
    """Return what is new in `node`, in words that recur in other attempts."""
    parent = lineage.nodes.get(node.parents[0].attempt) if node.parents else None
    old = node.config if parent is None else parent.config
    return space.words(node.direction, old, node.config)


class Evidence:
    """Corrections to paper, learnt from every attempt measured beside its measured parent."""

    def __init__(self, lineage: Lineage, space: LeverSpace) -> None:
        self._lineage = lineage
        self._space = space
        self._on_paper = space.paper(lineage)
        self.lessons: defaultdict[str, list[Lesson]] = defaultdict(list)
        for node in lineage.nodes.values():
            parent = lineage.nodes.get(node.parents[0].attempt) if node.parents else None
            if parent is not None and node.measured_seq and parent.measured_seq:
                self._learn(parent, node)
            elif is_at_fault(node):
                self._learn_failure(node)

    def forecast(self, parent: Node, config: EngineConfig, words: Sequence[str]) -> Forecast:
        """Return what to expect of `config`, which differs from `parent` by `words`."""
        speed = log(parent.estimate or self._paper_speedup(parent.config))
        rise = log(parent.perplexity_ratio or exp(self._on_paper.doubt(parent.config)))
        paper = self._paper(parent.config, config)
        speed += paper[0] + self._correction(words, "speed")
        rise += paper[1] + self._correction(words, "perplexity")
        return Forecast(exp(speed), exp(rise))

    def tried(self, words: Sequence[str]) -> int:
        """Return how many lessons there are on `words`, the rarest counted."""
        return min((len(self.lessons.get(word, ())) for word in words), default=0)

    def _learn(self, parent: Node, node: Node) -> None:
        words = words_of(node, self._lineage, self._space)
        if not words or not node.estimate or not parent.estimate:
            return
        ratio, base = node.perplexity_ratio or 1.0, parent.perplexity_ratio or 1.0
        paper = self._paper(parent.config, node.config)
        n = len(words)
        speed, rise = log(node.estimate / parent.estimate), log(ratio / base)
        lesson = Lesson(speed / n, rise / n, paper[0] / n, paper[1] / n)
        for word in words:
            known = self._space.is_known_elsewhere(word)
            self.lessons[word].append(lesson._replace(perplexity=paper[1] / n) if known else lesson)

    def _learn_failure(self, node: Node) -> None:
        words = words_of(node, self._lineage, self._space)
        for word in words:
            self.lessons[word].append(Lesson(_FAILURE / len(words), 0.0, 0.0, 0.0))

    def _correction(self, words: Sequence[str], what: str) -> float:
        total = 0.0
        for word in words:
            lessons = self.lessons.get(word, ())
            if what == "speed":
                missed = sum(one.speed - one.paper_speed for one in lessons)
            else:
                missed = sum(one.perplexity - one.paper_perplexity for one in lessons)
            total += missed / (len(lessons) + 0.5)
        return total

    def _paper(self, old: EngineConfig, new: EngineConfig) -> tuple[float, float]:
        paper = self._on_paper
        faster = log(paper.milliseconds(old) / paper.milliseconds(new))
        return faster, paper.doubt(new) - paper.doubt(old)

    def _paper_speedup(self, config: EngineConfig) -> float:
        paper = self._on_paper
        return paper.milliseconds(self._space.plain()) / paper.milliseconds(config)
