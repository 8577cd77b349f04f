"""Engines that run in another Python than ours, or elsewhere: `vllm`, `transformers`, `openai`.

Knows how their weights are found and they are started; knows no prompt and no result. Weights are
folders: named by the challenge, or made of its GGUF file.
"""

import os
import re
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

from bench.artefacts.cache import ArtefactCache
from bench.artefacts.hf_folder import HfFolder
from bench.artefacts.model_folder import (
    checked_folder,
    find_repository,
    folder_sha256,
    is_pinned,
    locate_folder,
)
from bench.challenge import Challenge
from bench.configs.engine_config import EngineConfig
from bench.configs.openai_endpoint import as_openai
from bench.configs.transformers_config import as_transformers
from bench.configs.vllm import VllmConfig, as_vllm
from bench.engine_places import EnginePlaces, PythonPlace, VllmPlace
from bench.engine_sources import Starter
from bench.engines import gpu
from bench.engines.python_probe import Probe, probe, python_environment
from bench.measurement import Side
from bench.placement import engine_cores
from bench.vllm_options import check
from sandbox.errors import ConfigError

_BUILT = re.compile(r"built:([A-Za-z0-9][A-Za-z0-9._-]*)")


class _FolderSource:
    """What two of them share: a folder of weights, held in a cache."""

    def __init__(self, challenge: Challenge, cache_folder: Path, *, needs_weights: bool) -> None:
        self._cache = ArtefactCache(cache_folder)
        self._folder = locate_folder(challenge.model, self._cache, needs_weights=needs_weights)
        source = challenge.model
        self.model_sha256 = source.identity or folder_sha256(self._folder.path)

    def clock(self) -> float:
        """Seconds on the monotonic clock."""
        return time.perf_counter()

    def close(self) -> None:
        """Let the cache evict again."""
        self._cache.close()


class VllmSource(_FolderSource):
    """vLLM servers on folders of weights."""

    def __init__(self, challenge: Challenge, cache_folder: Path, place: VllmPlace | None) -> None:
        """Find vLLM, the device and the model.

        Raises:
            ConfigError: one of them is not there.
        """
        if place is None:
            raise _no_place("vllm")
        self._place, self._cache_folder = place, cache_folder
        self._found = _probed(place, "vllm")
        self._device = gpu.device()
        super().__init__(challenge, cache_folder, needs_weights=self._place.load_format != "dummy")

    def prepare(
        self,
        config: EngineConfig,
        side: Side,  # noqa: ARG002  # all sides alike
        *,
        public_ids: Sequence[int],  # noqa: ARG002  # every row is kept
    ) -> Starter:
        """Check the levers and find the folders; see `EngineSource.prepare`."""
        from bench.engines.vllm_engine import VllmEngine  # noqa: PLC0415  # its one door

        own = as_vllm(config)
        check(own, version=self._found.version, device=self._device)
        folder, drafter = self._weights(own), self._drafter(own)
        place, found, cache = self._place, self._found, _compiled(self._cache_folder)
        return lambda: VllmEngine(
            own, place, found, folder=folder, drafter=drafter, cache_folder=cache
        )

    def _weights(self, config: VllmConfig) -> HfFolder:
        return self._named(config.checkpoint) if config.checkpoint else self._folder

    def _drafter(self, config: VllmConfig) -> Path | None:
        name = config.speculation.model
        return self._named(name).path if name else None

    def _named(self, name: str) -> HfFolder:
        if built := _BUILT.fullmatch(name):
            if self._place.checkpoints is None:
                raise ConfigError(
                    f"checkpoint {name!r}: the operator named no folder of checkpoints",
                    code="model_missing",
                )
            return checked_folder(self._place.checkpoints / built[1])
        if not is_pinned(name):
            raise ConfigError(
                f"checkpoint {name!r} is named by no commit, so other bytes may come tomorrow",
                code="unpinned_checkpoint",
                hint="Write ORG/NAME@COMMIT, 40 hex digits",
            )
        return find_repository(name, self._cache_folder)


class TransformersSource(_FolderSource):
    """Servers of transformers on a folder of weights."""

    def __init__(self, challenge: Challenge, cache_folder: Path, places: EnginePlaces) -> None:
        """Find transformers and the model.

        Raises:
            ConfigError: one of them is not there.
        """
        from bench.engines.transformers_engine import own_place  # noqa: PLC0415

        self._place = places.transformers or own_place()
        self._found = _probed(self._place, "transformers")
        super().__init__(challenge, cache_folder, needs_weights=True)

    def prepare(
        self,
        config: EngineConfig,
        side: Side,  # noqa: ARG002  # all sides alike
        *,
        public_ids: Sequence[int],  # noqa: ARG002  # every row is kept
    ) -> Starter:
        """Take the folder as it is; see `EngineSource.prepare`."""
        from bench.engines.transformers_engine import TransformersEngine  # noqa: PLC0415

        own = as_transformers(config)
        cores = engine_cores(own.threads) if own.device == "cpu" else None
        return lambda: TransformersEngine(
            own, self._place, self._found, folder=self._folder, cores=cores
        )


class OpenAiSource:
    """Endpoints that somebody else runs."""

    def __init__(self, challenge: Challenge, places: EnginePlaces) -> None:
        """Take the challenge's word for what is served there."""
        self.model_sha256 = challenge.model.identity
        self._place = places.openai

    def clock(self) -> float:
        """Seconds on the monotonic clock."""
        return time.perf_counter()

    def prepare(
        self,
        config: EngineConfig,
        side: Side,  # noqa: ARG002  # all sides alike
        *,
        public_ids: Sequence[int],  # noqa: ARG002  # every row is kept
    ) -> Starter:
        """Prepare nothing; see `EngineSource.prepare`."""
        from bench.engines.openai_engine import OpenAiEngine  # noqa: PLC0415  # its one door

        own, place = as_openai(config), self._place
        if place is None:
            return lambda: OpenAiEngine(own)
        return lambda: OpenAiEngine(
            own, key_file=place.key_file, request_seconds=place.request_seconds
        )

    def close(self) -> None:
        """Nothing to let go of."""


def _probed(place: PythonPlace, package: str) -> Probe:
    with tempfile.TemporaryDirectory() as home:
        return probe(place, package, python_environment(place, Path(home)))


def _no_place(engine: str) -> ConfigError:
    return ConfigError(
        f"engine {engine!r}: nobody said where it is installed",
        code="missing_engine",
        hint="Name its Python in a file of places, --places FILE (docs/engines.md)",
    )


def _compiled(cache_folder: Path) -> Path:
    """Return the folder of graphs and kernels, one for each user that engines run as.

    What root's engine makes a job's user may not change, so a ride beside a verification would
    fail; and the engine of a verification should run no code that a job left.
    """
    return cache_folder / "vllm" / f"user-{os.geteuid()}"
