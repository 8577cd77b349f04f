"""What the configs of all engines have in common: a name, a fingerprint, and three questions.

Knows no lever of any engine.
"""

import hashlib
from collections.abc import Mapping
from typing import Any, Self, TypeVar

import rfc8785

from bench.frozen import Frozen
from sandbox.errors import ConfigError

T = TypeVar("T", bound="EngineConfig")


class EngineConfig(Frozen):
    """The immutable thing an agent proposes: how one engine serves one model."""

    engine: str
    """Which of the engines' configs it is."""

    @property
    def cpu_threads(self) -> int:
        """Threads that must keep their cores while they are timed; 0 = the work is elsewhere."""
        return 0

    @property
    def has_reduced_vocabulary(self) -> bool:
        """Whether some tokens cannot be emitted or scored."""
        return False

    @property
    def speculates(self) -> bool:
        """Whether tokens are guessed ahead of the model."""
        return False

    @property
    def longest_step_tokens(self) -> int:
        """Tokens that one pass of the model can emit, at most."""
        return 1

    @property
    def is_sixteen_bit(self) -> bool:
        """Whether every weight and cache entry has 16 bits or more, as the reference's have."""
        return True

    def without_speculation(self) -> Self:
        """Return the same weights and settings, nothing guessed ahead."""
        return self

    def fingerprint(
        self, *, engine_version: str, model_sha256: str, files: Mapping[str, str] | None = None
    ) -> str:
        """Return 16 hex digits over the canonical config, the engine, the model, and the code.

        `files`: path -> SHA-256 of the code that serves instead of ours, where there is any.
        """
        whole: list[Any] = [self.model_dump(mode="json"), engine_version, model_sha256]
        whole += [dict(files)] if files else []
        return hashlib.sha256(rfc8785.dumps(whole)).hexdigest()[:16]


def narrowed(config: EngineConfig, kind: type[T]) -> T:
    """Return `config`, for code that knows the levers of one engine only.

    Raises:
        ConfigError: it is another engine's; whoever chose the engine sees it.
    """
    if not isinstance(config, kind):
        raise ConfigError(
            f"engine {config.engine!r}: this needs a config of"
            f" {kind.model_fields['engine'].default!r}",
            code="other_engine",
            hint="name an engine that fits the challenge",
        )
    return config
