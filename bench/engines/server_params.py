"""What the measured process is told: one weight file and one config; pure data."""

from pathlib import Path

from bench.configs.llamacpp import LlamaCppConfig
from bench.frozen import Frozen


class ServerParams(Frozen):
    """All the process is told."""

    config: LlamaCppConfig
    weights: Path
    drafter: Path | None
    context_tokens: int
    cores: tuple[int, ...] | None
    """CPU numbers to run on; None leaves the choice to the system."""
    parent: int
    """Process id of whoever started this."""
    server: str | None = None
    """Module that `bench.engines.outside_server` hands over to."""
    server_folder: Path | None = None
    """Where that module lies."""
