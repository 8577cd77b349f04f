"""A config of which only the name is known: what an imported collaboration reported as measured."""

from typing import Literal

from pydantic import Field

from bench.configs.engine_config import EngineConfig


class ReportedConfig(EngineConfig):
    """Served by others and elsewhere; nothing here can run it."""

    engine: Literal["reported"] = "reported"
    method: str = Field(max_length=500)
    """As its author called it."""
