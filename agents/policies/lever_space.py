"""What the shared parts of the policies ask of one engine's levers; `spaces.py` chooses.

Two protocols. A lever space knows the levers before anything is measured; paper is what can be
worked out of one config, with the help of what a lineage has shown.
"""

from collections.abc import Sequence
from typing import Protocol

from pydantic import JsonValue

from bench.configs.engine_config import EngineConfig
from tools.record.lineage import Lineage


class Paper(Protocol):
    """Speed and harm of any config, without measuring it."""

    def milliseconds(self, config: EngineConfig) -> float:
        """Return what one token should take."""

    def doubt(self, config: EngineConfig) -> float:
        """Return the guessed rise of ln perplexity over the baseline's."""


class LeverSpace(Protocol):
    """The levers of one engine, on the model of one challenge."""

    levers: tuple[str, ...]
    """Paths worth telling in a digest when nobody touched them."""
    fitted_means: str
    """What a config did that is fitted, after its attempt's name."""
    fitted_question: str
    """What its author is asked."""
    fitted_answer: str
    """What its author says."""

    def paper(self, lineage: Lineage) -> Paper:
        """Return paper that knows what the attempts of `lineage` have shown."""

    def megabytes(self, config: EngineConfig) -> float:
        """Return megabytes read per token."""

    def plain(self) -> EngineConfig:
        """Return the config that speed-ups on paper are over."""

    def is_fitted(self, config: EngineConfig) -> bool:
        """Return whether `config` was made to suit the public texts."""

    def is_known_elsewhere(self, word: str) -> bool:
        """Return whether paper itself learns what `word` does to perplexity."""

    def words(self, direction: str, parent: EngineConfig, config: EngineConfig) -> list[str]:
        """Return `direction`, which leads from `parent` to `config`, in words that recur."""

    def phrases(self, words: Sequence[str]) -> list[str]:
        """Return `words` with those as one that say something only together."""

    def is_telling(self, word: str) -> bool:
        """Return whether a word says enough by itself to be recorded as slow."""

    def may_retire(self, words: Sequence[str]) -> bool:
        """Return whether `words` say enough to be recorded as a dead end."""

    def lever_of(self, path: str) -> str:
        """Return the path that is taken over whole or not at all when `path` is."""

    def joined(self, path: str, mine: JsonValue, theirs: JsonValue) -> JsonValue | None:
        """Return a value of `path` that has both; None = one excludes the other."""
