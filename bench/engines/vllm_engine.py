"""The `vllm` engine: vLLM's own server, in its own Python, on a GPU or a CPU.

Knows one config, one folder of weights and where vLLM is installed; knows no score and no prompt
file. What a lever does to the command line is `bench.vllm_options`; how the server is started,
`bench.engines.vllm_server`.
"""

from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

from bench.artefacts.hf_folder import HfFolder
from bench.configs.vllm import VllmConfig
from bench.engine_places import VllmPlace
from bench.engines import gpu
from bench.engines.completions_engine import CompletionsEngine
from bench.engines.http_line import HttpLine, Lost
from bench.engines.openai_client import OpenAiClient
from bench.engines.python_probe import Probe
from bench.engines.vllm_server import SERVED_NAME, VllmServer
from sandbox.errors import JobError

T = TypeVar("T")

_SECONDS_TO_END = 5
"""Of a server, once its engine has died."""


class VllmEngine(CompletionsEngine):
    """One vLLM server, one connection, one request at a time."""

    name = "vllm"

    def __init__(  # noqa: PLR0913  # each is one fact about the server
        self,
        config: VllmConfig,
        place: VllmPlace,
        found: Probe,
        *,
        folder: HfFolder,
        drafter: Path | None = None,
        cache_folder: Path,
        is_counted: bool = True,
    ) -> None:
        """Start the server on `folder` and wait until it serves.

        Args:
            config: every lever; `bench.vllm_options.check` has passed.
            place: where vLLM is.
            found: from `probe`.
            folder: the weights.
            drafter: the drafter's folder, where the config names one.
            cache_folder: of what is compiled.
            is_counted: see `CompletionsEngine`.

        Raises:
            JobError: `engine_died`, with its last words.
            JobTimeout: `engine_start_timeout`.
        """
        self.version, self.config = found.version, config
        self.artefact, self.artefact_bytes = folder.recipe_hash, folder.bytes
        self._used_before = gpu.used_bytes()
        self._peak_bytes: int | None = None
        self._server = VllmServer(
            config,
            place,
            found,
            model=folder.path,
            drafter=drafter,
            cache_folder=cache_folder,
        )
        self.start_seconds = self._server.start_seconds
        self._line = HttpLine(self._server.socket, request_seconds=place.request_seconds)
        client = OpenAiClient(self._line, SERVED_NAME)
        super().__init__(client, context_tokens=config.max_model_len, is_counted=is_counted)

    def cpu_seconds(self) -> float | None:
        """CPU seconds of all the server's processes that live; None once they are gone."""
        return self._server.process.cpu_seconds()

    def peak_memory_bytes(self) -> int | None:
        """Memory on the GPU, which vLLM takes at its start and keeps; resident without a GPU."""
        if self._server.process.exit_status is None:
            self._peak_bytes = self._memory_bytes() or self._peak_bytes
        return self._peak_bytes

    def lost(self, error: Lost) -> JobError:
        """Return the error with the server's last words."""
        return self._server.process.death(str(error))

    def _asked(self, question: Callable[[], T]) -> T:
        try:
            return super()._asked(question)
        except JobError as error:  # the front of an engine that died answers once more, and ends
            if error.code == "engine_rubbish" and self._server.process.wait(_SECONDS_TO_END):
                raise self.lost(Lost(str(error))) from error
            raise

    def close(self) -> None:
        """End the server and all its processes; safe to call twice."""
        self.peak_memory_bytes()
        self._server.process.close()
        self._line.close()  # last: another thread may read from it until the process ends

    def _memory_bytes(self) -> int | None:
        if self._used_before is None:
            return self._server.process.peak_memory_bytes()
        held = gpu.held_bytes(self._server.process.pids())
        if held is not None:
            return held
        used = gpu.used_bytes()
        return None if used is None else max(0, used - self._used_before)
