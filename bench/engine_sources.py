"""Where a launch gets its engines: the one place that knows which engines there are.

Knows how each is prepared and started; knows no prompt and no result. Each engine's file, and what
it imports, is loaded only when it is asked for.
"""

import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING, Literal, NamedTuple, Protocol

from bench.challenge import Challenge
from bench.configs.engine_config import EngineConfig
from bench.configs.llamacpp import LlamaCppConfig, as_llamacpp
from bench.configs.vllm import VllmConfig
from bench.engine_places import EnginePlaces
from bench.engines.engine import Engine
from bench.measurement import Side
from sandbox.errors import ConfigError

if TYPE_CHECKING:
    from bench.artefacts.artefact import Artefact

EngineName = Literal["llamacpp", "vllm", "openai", "transformers", "simulated", "reported"]
Submitted = Mapping[Side, Path]
"""Which sides are served by code of their own, and the folder of each; `bench.submission`."""
Starter = Callable[[], Engine]
"""Starts an engine whose weights are ready; called from the main thread, which outlives it."""


class EngineSource(Protocol):
    """Prepares and starts the engines of one launch."""

    model_sha256: str

    def clock(self) -> float:
        """Seconds on the clock that the launch's durations are told with."""

    def prepare(self, config: EngineConfig, side: Side, *, public_ids: Sequence[int]) -> Starter:
        """Make the weights of `config` ready, from the cache or by building them.

        Raises:
            ConfigError: the model cannot be found, or does not have what the config names.
            JobError: the weights could not be written.
        """

    def close(self) -> None:
        """Let go of the files handed out; engines are closed by whoever started them."""


def open_source(
    name: EngineName,
    challenge: Challenge,
    *,
    cache_folder: Path,
    seed: int,
    submitted: Submitted | None = None,
    places: EnginePlaces | None = None,
) -> EngineSource:
    """Return the source of the engines called `name`.

    Raises:
        ConfigError: the challenge's model is not there or not the pinned bytes; the engine is in
            none of `places`; or code is `submitted` where none is run.
    """
    if name == "llamacpp":
        return LlamaCppSource(challenge, cache_folder, submitted=submitted)
    if name in ("vllm", "transformers", "openai") and not submitted:
        return _outside(name, challenge, cache_folder, places or EnginePlaces())
    if submitted:
        raise ConfigError(
            "a simulated engine runs no code", code="simulated_challenge", hint="submit no files"
        )
    return SimulatedSource(challenge, seed=seed)


def _outside(
    name: EngineName, challenge: Challenge, cache_folder: Path, places: EnginePlaces
) -> EngineSource:
    from bench import outside_sources  # noqa: PLC0415  # loads numpy

    if name == "vllm":
        return outside_sources.VllmSource(challenge, cache_folder, places.vllm)
    if name == "transformers":
        return outside_sources.TransformersSource(challenge, cache_folder, places)
    return outside_sources.OpenAiSource(challenge, places)


class SimulatedSource:
    """Engines on paper that share a virtual clock."""

    def __init__(self, challenge: Challenge, *, seed: int) -> None:
        from bench.engines.simulated import VirtualClock  # noqa: PLC0415  # its one door

        self.model_sha256 = challenge.model.identity
        self._clock = VirtualClock()
        self._seed = seed

    def clock(self) -> float:
        """Seconds on the virtual clock."""
        return self._clock.seconds

    def prepare(self, config: EngineConfig, side: Side, *, public_ids: Sequence[int]) -> Starter:  # noqa: ARG002
        """Prepare nothing; each side has noise of its own."""
        from bench.engines.simulated import SimulatedEngine  # noqa: PLC0415  # its one door
        from bench.engines.simulated_e4b import SimulatedE4b  # noqa: PLC0415

        seed = f"{self._seed} {side}"
        if isinstance(config, VllmConfig):
            return lambda: SimulatedE4b(config, seed=seed, clock=self._clock)
        own = as_llamacpp(config)
        return lambda: SimulatedEngine(own, seed=seed, clock=self._clock)

    def close(self) -> None:
        """Nothing to let go of."""


class Submission(NamedTuple):
    """What serves the candidate when somebody judges it; everything else is served by ours."""

    server: str
    """Module of the server."""
    server_folder: Path | None
    """Where it is imported from, outside the project."""


class LlamaCppSource:
    """llama.cpp servers on weight files from a cache."""

    def __init__(
        self,
        challenge: Challenge,
        cache_folder: Path,
        *,
        submission: Submission | None = None,
        submitted: Submitted | None = None,
    ) -> None:
        """Find the model.

        Args:
            challenge: names the model.
            cache_folder: of weight files.
            submission: our own server's stand-in on the candidate's side.
            submitted: attempts' own code, behind the OpenAI-compatible contract.
        """
        from bench.artefacts.cache import ArtefactCache  # noqa: PLC0415  # loads gguf
        from bench.artefacts.model_file import locate  # noqa: PLC0415  # loads gguf

        self._start_seconds = challenge.protocol.screen.wall_seconds
        self._submission, self._submitted = submission, submitted or {}
        self._model = locate(challenge.model, cache_folder)
        self._stack = ExitStack()
        self._cache = ArtefactCache(cache_folder)
        self.model_sha256 = self._model.sha256

    def clock(self) -> float:
        """Seconds on the monotonic clock."""
        return time.perf_counter()

    def prepare(
        self,
        config: EngineConfig,
        side: Side,
        *,
        public_ids: Sequence[int],
        cores: Sequence[int] | None = None,
    ) -> Starter:
        """Find or build the weight file; see `EngineSource.prepare`.

        `cores` are CPU numbers other than the usual ones, for an engine that is not timed.
        """
        from bench.engines.llamacpp import LlamaCppEngine  # noqa: PLC0415  # its one door
        from bench.placement import engine_cores  # noqa: PLC0415

        config = as_llamacpp(config)
        artefact = self.artefact(config, public_ids=public_ids)
        cores, limit = cores or engine_cores(config.threads), self._start_seconds
        if folder := self._submitted.get(side):
            return self._start_of(folder, config, artefact, cores)
        submission = self._submission if side == "candidate" else None
        if submission is None:
            return lambda: LlamaCppEngine(config, artefact, cores=cores, start_seconds=limit)
        return lambda: LlamaCppEngine(
            config,
            artefact,
            cores=cores,
            start_seconds=limit,
            server=submission.server,
            server_folder=submission.server_folder,
            is_counted=False,
        )

    def _start_of(
        self, folder: Path, config: LlamaCppConfig, artefact: "Artefact", cores: Sequence[int]
    ) -> Starter:
        from bench.engines.submitted import SubmittedEngine  # noqa: PLC0415  # its one door

        limit, is_counted = self._start_seconds, self._submission is None
        return lambda: SubmittedEngine(
            config,
            artefact,
            folder=folder,
            cores=cores,
            start_seconds=limit,
            is_counted=is_counted,
        )

    def close(self) -> None:
        """Let the cache evict again."""
        self._cache.close()

    def artefact(self, config: EngineConfig, *, public_ids: Sequence[int]) -> "Artefact":
        """Return the weight file of `config`, built or found; see `EngineSource.prepare`."""
        from bench.artefacts.artefact import build  # noqa: PLC0415  # loads gguf

        return build(as_llamacpp(config), self._model, self._cache, public_ids=public_ids)
