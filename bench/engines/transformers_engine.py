"""The `transformers` engine: the model as its authors' code computes it, for scores one can trust.

Knows one config, one folder of weights and a Python that has torch; knows no score and no prompt
file. Slow: on a CPU a fifth of llama.cpp's speed.
"""

import json
import sys
import time
from collections.abc import Sequence
from pathlib import Path

from bench.artefacts.hf_folder import HfFolder
from bench.configs.transformers_config import TransformersConfig
from bench.engine_places import PythonPlace
from bench.engines import transformers_server
from bench.engines.completions_engine import CompletionsEngine
from bench.engines.http_line import HttpLine, Lost
from bench.engines.kept_process import KeptProcess, new_folder
from bench.engines.openai_client import OpenAiClient
from bench.engines.python_probe import Probe, python_environment, python_reach
from sandbox.errors import JobError

SOCKET_NAME = "s.sock"
PACKAGE = "transformers"


def own_place() -> PythonPlace:
    """Return our own Python, for where transformers is installed beside us."""
    return PythonPlace(python=Path(sys.executable))


class TransformersEngine(CompletionsEngine):
    """One server process, one connection, one request at a time."""

    name = "transformers"

    def __init__(
        self,
        config: TransformersConfig,
        place: PythonPlace,
        found: Probe,
        *,
        folder: HfFolder,
        cores: Sequence[int] | None = None,
        is_counted: bool = True,
    ) -> None:
        """Start the server on `folder` and wait until it serves.

        Args:
            config: every lever.
            place: a Python that has torch and transformers.
            found: from `probe`.
            folder: the weights.
            cores: CPU numbers to pin the process to; None leaves the choice to the system.
            is_counted: see `CompletionsEngine`.

        Raises:
            JobError: `engine_died`, with its last words.
            JobTimeout: `engine_start_timeout`.
        """
        self.version, self.config = found.version, config
        self.artefact, self.artefact_bytes = folder.recipe_hash, folder.bytes
        own, started = new_folder(), time.monotonic()
        params = own / "params.json"
        params.write_text(_params(config, folder.path, cores))
        self._process = KeptProcess(
            (str(place.python), transformers_server.__file__, str(params)),
            folder=own,
            environment=python_environment(place, own),
            reach=python_reach(
                place,
                found,
                models=[folder.path],
                writable=[own],
                files=[Path(transformers_server.__file__)],
            ),
        )
        try:
            self._process.wait_until_healthy(own / SOCKET_NAME, limit=place.start_seconds)
        except BaseException:
            self._process.close()
            raise
        self.start_seconds = {"total": time.monotonic() - started}
        self._line = HttpLine(own / SOCKET_NAME, request_seconds=place.request_seconds)
        client = OpenAiClient(self._line, PACKAGE)
        super().__init__(client, context_tokens=config.max_model_len, is_counted=is_counted)

    def cpu_seconds(self) -> float | None:
        """CPU seconds of the server's process; None once it is gone."""
        return self._process.cpu_seconds()

    def peak_memory_bytes(self) -> int | None:
        """High-water mark of resident bytes; what lies on a GPU is not among them."""
        return self._process.peak_memory_bytes()

    def lost(self, error: Lost) -> JobError:
        """Return the error with the server's last words."""
        return self._process.death(str(error))

    def close(self) -> None:
        """End the server; safe to call twice."""
        self._process.close()
        self._line.close()  # last: another thread may read from it until the process ends


def _params(config: TransformersConfig, model: Path, cores: Sequence[int] | None) -> str:
    return json.dumps(
        {
            "model": str(model),
            "dtype": config.dtype,
            "device": config.device,
            "threads": config.threads,
            "socket": SOCKET_NAME,
            "cores": list(cores or ()),
        }
    )
