"""The levers of the `transformers` engine, which is there to be right, not fast."""

from typing import Literal

from pydantic import Field

from bench.configs.engine_config import EngineConfig
from sandbox.errors import ConfigError


class TransformersConfig(EngineConfig):
    """How the reference scores: in which type and where."""

    engine: Literal["transformers"] = "transformers"
    dtype: Literal["float32", "bfloat16", "float16"] = "bfloat16"
    device: Literal["cpu", "cuda"] = "cpu"
    threads: int = Field(default=1, ge=1, le=64)
    """On the CPU."""
    max_model_len: int = Field(default=4096, ge=16, le=131_072)
    """Longest prompt plus output of one request."""

    @property
    def cpu_threads(self) -> int:
        """All of them where the CPU computes."""
        return self.threads if self.device == "cpu" else 0


def as_transformers(config: EngineConfig) -> TransformersConfig:
    """Return `config`, for code that knows the levers of this engine only.

    Raises:
        ConfigError: it is another engine's; whoever chose the engine sees it.
    """
    if not isinstance(config, TransformersConfig):
        raise ConfigError(
            f"engine {config.engine!r}: this needs a config of 'transformers'",
            code="other_engine",
            hint="name an engine that fits the challenge",
        )
    return config
