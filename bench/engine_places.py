"""Where engines that are not ours run: a Python of their own, or somebody else's address.

Said by the operator, never by a rider; knows paths and limits, no lever and no score. It may lie in
a request file, so it holds no key: only the file where one lies.
"""

import tomllib
from pathlib import Path
from typing import Literal

from pydantic import Field

from bench.frozen import Frozen, parse
from sandbox.errors import ConfigError


class PythonPlace(Frozen):
    """A Python with the engine's packages, apart from ours."""

    python: Path
    """Its interpreter."""
    site: Path | None = None
    """A folder of packages put before its own, where they lie apart."""
    is_confined: bool = True
    """Whether Landlock keeps the server's processes to what they need, where the kernel has it."""
    environment: dict[str, str] = Field(default_factory=dict)
    """Variables besides ours, such as `CUDA_VISIBLE_DEVICES`."""
    readable: tuple[Path, ...] = ()
    """What it reads besides Python, the system and the model, such as a driver kept elsewhere."""
    start_seconds: float = Field(default=900, gt=0)
    """Limit for becoming healthy; a first start compiles."""
    request_seconds: float = Field(default=300, gt=0)


class VllmPlace(PythonPlace):
    """Where vLLM is installed."""

    checkpoints: Path | None = None
    """Folder of the folders that a config may name as `built:NAME`."""
    memory_share: float = Field(default=1.0, gt=0, le=1)
    """Times a config's `gpu_memory_utilization`: several engines on one card share it."""
    load_format: Literal["auto", "dummy"] = "auto"
    """dummy: random weights, so that speed is real and text is not."""

    @property
    def lane(self) -> str:
        """Name of the device, for the machine-wide lock: each GPU is timed apart."""
        device = self.environment.get("CUDA_VISIBLE_DEVICES", "0")
        return f"gpu{device.replace('/', '-')}"  # of a part of a GPU (MIG) the name has slashes


class OpenAiPlace(Frozen):
    """How an endpoint is reached that somebody else runs."""

    key_file: Path | None = None
    """File of the key that is sent as bearer; None = none is needed."""
    request_seconds: float = Field(default=300, gt=0)


class EnginePlaces(Frozen):
    """All of them; None = the engine cannot be had, or needs no place."""

    vllm: VllmPlace | None = None
    transformers: PythonPlace | None = None
    openai: OpenAiPlace | None = None


def read_places(file: Path) -> EnginePlaces:
    """Return what a TOML file says: tables `vllm`, `transformers`, `openai`.

    Raises:
        ConfigError: not readable, or a field it does not have; the operator sees it.
    """
    try:
        data = tomllib.loads(file.read_text())
    except (OSError, ValueError) as error:
        raise ConfigError(f"{str(file)!r} cannot be read: {error}", code="bad_places") from error
    kinds: dict[str, type[Frozen]] = {
        "vllm": VllmPlace,
        "transformers": PythonPlace,
        "openai": OpenAiPlace,
    }
    read = {
        name: parse(kinds[name], table, what=f"places {str(file)!r}: {name}")
        if name in kinds
        else table
        for name, table in data.items()
    }
    return parse(EnginePlaces, read, what=f"places {str(file)!r}")
