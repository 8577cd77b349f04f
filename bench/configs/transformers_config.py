"""The levers of the `transformers` engine, which is there to be right, not fast."""

from typing import Literal

from pydantic import Field

from bench.configs.engine_config import EngineConfig, narrowed


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
    """Return `config`; see `narrowed`."""
    return narrowed(config, TransformersConfig)
