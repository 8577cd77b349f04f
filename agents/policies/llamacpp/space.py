"""The levers of llama.cpp as the shared parts of the policies see them."""

from collections.abc import Sequence

from pydantic import JsonValue

from agents.policies.llamacpp.keep_sets import KeepSets
from agents.policies.llamacpp.physics import (
    Shape,
    doubt,
    megabytes_per_token,
    milliseconds_per_token,
    shape_of,
)
from bench.challenge import Challenge
from bench.configs.engine_config import EngineConfig
from bench.configs.llamacpp import LlamaCppConfig, as_llamacpp
from tools.record.lineage import Lineage

_KEPT = "weights.vocabulary"
_WHOLES = (_KEPT, "speculation")


def is_fitted(config: EngineConfig) -> bool:
    """Return whether `config` keeps the very tokens it is publicly scored on."""
    kept = config.weights.vocabulary if isinstance(config, LlamaCppConfig) else None
    return kept is not None and kept.strategy == "public_text"


class LlamaCppPaper:
    """Bytes, rates and keep-sets."""

    def __init__(self, shape: Shape, lineage: Lineage) -> None:
        self._shape = shape
        self._keep_sets = KeepSets(lineage, shape)

    def milliseconds(self, config: EngineConfig) -> float:
        """Return what bytes and rates say one token takes."""
        return milliseconds_per_token(as_llamacpp(config), self._shape)

    def doubt(self, config: EngineConfig) -> float:
        """Return the guessed rise of ln perplexity, missed targets included."""
        own = as_llamacpp(config)
        return doubt(own, self._shape) + self._keep_sets.rise(own)


class LlamaCppSpace:
    """See `LeverSpace`."""

    levers: tuple[str, ...] = (
        "weights.vocabulary",
        "weights.overrides",
        "weights.rounding",
        "threads",
        "flash_attention",
        "cache_type",
        "speculation",
        "memory_map",
        "poll",
        "batch_tokens",
    )
    fitted_means = "keeps the tokens of the public text it is scored on."
    fitted_question = (
        "Only private text can say what it is worth; what does a keep-set cost that never "
        "saw the passages?"
    )
    fitted_answer = "keeps the public text's own tokens"

    def __init__(self, challenge: Challenge) -> None:
        self.shape = shape_of(challenge)

    def paper(self, lineage: Lineage) -> LlamaCppPaper:
        """See `LeverSpace`."""
        return LlamaCppPaper(self.shape, lineage)

    def megabytes(self, config: EngineConfig) -> float:
        """See `LeverSpace`."""
        return megabytes_per_token(as_llamacpp(config), self.shape)

    def plain(self) -> EngineConfig:
        """Everything in bf16 on one thread."""
        return LlamaCppConfig()

    def is_fitted(self, config: EngineConfig) -> bool:
        """Whether it keeps the very tokens it is publicly scored on."""
        return is_fitted(config)

    def is_known_elsewhere(self, word: str) -> bool:
        """What a keep-set costs in perplexity is known by size: see `KeepSets`."""
        return word.startswith(_KEPT)

    def words(self, direction: str, parent: EngineConfig, config: EngineConfig) -> list[str]:
        """The direction's own words recur as they are."""
        del parent, config
        return direction.split()

    def phrases(self, words: Sequence[str]) -> list[str]:
        """Size and strategy of a keep-set are one."""
        keep = [word for word in words if word.startswith(f"{_KEPT}.")]
        return [word for word in words if word not in keep] + ([" ".join(keep)] if keep else [])

    def is_telling(self, word: str) -> bool:
        """A draft length means nothing without its kind, a size nothing without its strategy."""
        return word.startswith("speculation.kind") or not word.startswith(
            ("speculation.", f"{_KEPT}.")
        )

    def may_retire(self, words: Sequence[str]) -> bool:
        """A size alone would retire that size for every strategy."""
        sizes = sum(word.startswith(f"{_KEPT}.") for word in words)
        return bool(words) and sizes in (0, 2)

    def lever_of(self, path: str) -> str:
        """A kept vocabulary, a speculation or a list of overrides is taken whole or not at all."""
        return next((whole for whole in _WHOLES if path.startswith(whole)), path)

    def joined(self, path: str, mine: JsonValue, theirs: JsonValue) -> JsonValue | None:
        """No lever here holds several things."""
        del path, mine, theirs
        return None
