"""The config of the `openai` engine: an endpoint that somebody else started and looks after."""

from typing import Literal

from pydantic import Field

from bench.configs.engine_config import EngineConfig, narrowed


class OpenAiConfig(EngineConfig):
    """Which endpoint is measured; its levers are not ours."""

    engine: Literal["openai"] = "openai"
    base_url: str = Field(default="http://127.0.0.1:8000/v1", pattern=r"^https?://[^@\s]+$")
    """No key in it: the operator says where one lies."""
    model: str = Field(default="", max_length=200)
    """Name it is served under; empty = the only one the endpoint lists."""
    max_model_len: int | None = Field(default=None, ge=16)
    """Longest prompt plus output of one request; None leaves it to the endpoint to refuse."""


def as_openai(config: EngineConfig) -> OpenAiConfig:
    """Return `config`; see `narrowed`."""
    return narrowed(config, OpenAiConfig)
