"""One rider's view of one moment, and what a policy may answer with."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import cached_property
from math import log
from random import Random
from typing import NamedTuple

from pydantic import JsonValue

from agents.model import Observation
from agents.policies.evidence import Evidence, Forecast, words_of
from agents.policies.lever_space import LeverSpace
from agents.policies.survey import Survey
from bench.config import apply_changes, diff
from bench.configs.engine_config import EngineConfig
from sandbox.errors import ConfigError
from tools.directions import blocking_dead_end, direction_of
from tools.record.events import ToolCall
from tools.record.lineage import Node

BASELINE = "a0000"

_COOL = 0.5
"""Temperature up to which a rider listens to the sceptics."""


class Idea(NamedTuple):
    """Something worth trying: changes to a parent, and why."""

    parent: str
    changes: Mapping[str, JsonValue]
    why: str
    merges: tuple[str, ...] = ()


class Checked(NamedTuple):
    """An idea that may be proposed, with what to expect of it."""

    idea: Idea
    config: EngineConfig
    direction: str
    forecast: Forecast
    score: float


class Scene:
    """What a rider knows and can work out. Lives for one step."""

    def __init__(
        self, observation: Observation, survey: Survey, space: LeverSpace, *, cores: int
    ) -> None:
        self.observation = observation
        self.survey = survey
        self.space = space
        self.cores = cores
        self.agent = observation.agent
        self.lineage = observation.lineage
        self.board = observation.board
        self.keys = observation.persona.x_paceline

    @cached_property
    def evidence(self) -> Evidence:
        """What the measured attempts teach."""
        return Evidence(self.lineage, self.space)

    @cached_property
    def clean(self) -> list[Node]:
        """Measured attempts that count, fastest first; the baseline among them.

        Neither what was ruled invalid nor what is suspect of it.
        """
        nodes = [
            node
            for node in self.lineage.nodes.values()
            if node.measured_seq and node.counts and node.estimate
        ]
        return sorted(nodes, key=lambda node: -(node.estimate or 0))

    @property
    def cap(self) -> float:
        """The guardrail's cap on the perplexity ratio."""
        return self.observation.challenge.guardrail.perplexity_ratio_cap

    def parents(self, rng: Random, *, count: int = 3) -> list[Node]:
        """Return measured attempts to build on, as the persona's parent policy has it."""
        pool = self.clean
        if self.is_wary:
            pool = [node for node in pool if not self.is_fitted(node.config)]
        if self.keys.parent_policy == "frontier":
            pool = pool[: count + 1]
        elif self.keys.parent_policy == "recent":
            pool = sorted(pool[: 2 * count + 2], key=lambda node: -node.seq)
        elif self.keys.parent_policy == "baseline":
            root = [node for node in pool if not node.parents]
            # Even who starts from the baseline carries a find over once there are some.
            pool = root + pool[:1]
        chosen = pool[:count]
        if len(pool) > count and rng.random() < self.keys.temperature / 4:
            chosen[-1] = rng.choice(pool[count - 1 :])
        root_node = self.lineage.nodes.get(BASELINE)
        return chosen or ([root_node] if root_node else [])

    @property
    def is_wary(self) -> bool:
        """Cool heads keep off fitted keep-sets once somebody has asked what they are worth."""
        return bool(self.survey.questioned) and self.keys.temperature <= _COOL

    def megabytes(self, config: EngineConfig) -> float:
        """Return megabytes read per token."""
        return self.space.megabytes(config)

    def is_fitted(self, config: EngineConfig) -> bool:
        """Return whether `config` was made to suit the public texts."""
        return self.space.is_fitted(config)

    def words(self, node: Node) -> list[str]:
        """Return what is new in `node`, in words that recur."""
        return words_of(node, self.lineage, self.space)

    def choose(self, ideas: Iterable[Idea], rng: Random) -> Checked | None:
        """Return the best-looking idea that is new, unclaimed and no dead end."""
        checked = [good for idea in ideas if (good := self._check(idea, rng))]
        return max(checked, key=lambda one: one.score, default=None)

    def _check(self, idea: Idea, rng: Random) -> Checked | None:
        parent = self.lineage.nodes[idea.parent]
        try:
            config = apply_changes(parent.config, idea.changes)
        except ConfigError:
            return None
        direction = direction_of(diff(parent.config, config))
        if not direction or config in self.survey.configs:
            return None
        words = self.space.words(direction, parent.config, config)
        if not self._is_free(direction, " ".join(words)):
            return None
        if self.is_wary and self.is_fitted(config):
            return None
        if self.lineage.ban_on(config) is not None:
            return None
        forecast = self.evidence.forecast(parent, config, words)
        return Checked(idea, config, direction, forecast, self._score(words, forecast, rng))

    def _is_free(self, direction: str, words: str) -> bool:
        claim = self.board.claim_on(direction, now=self.observation.now)
        if claim and claim.agent != self.agent:
            return False
        return blocking_dead_end(words, self.board.dead_ends) is None

    def _score(self, words: Sequence[str], forecast: Forecast, rng: Random) -> float:
        heat = self.keys.temperature
        over = max(0.0, log(forecast.perplexity_ratio / self.cap))
        score = log(forecast.speedup) - (4.0 - 1.5 * heat) * over
        if self.evidence.tried(words) == 0:
            score += 0.05 + 0.15 * heat
        if any(path in word for word in words for path in self.keys.focus):
            score += 0.2
        return score + rng.gauss(0, 0.05 + 0.3 * heat)


Ideas = Callable[[Scene, Random], Iterable[Idea]]
"""A policy's search: what it would try next, in any order."""

Extra = Callable[[Scene, Random], list[ToolCall]]
"""A policy's other work this turn: questions, digests, checks; usually nothing."""
