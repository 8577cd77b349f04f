"""Starts `vllm serve` in its own Python, waits until it serves, tells what the start went into.

It serves on a Unix socket in a folder of its own: no port that could be taken. Knows the command
line, the environment and the log; knows no tokens. Graphs and kernels are compiled into one folder
that all launches share. Offline, without plugins, without statistics sent home.
"""

import re
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path

from bench.configs.vllm import VllmConfig
from bench.engine_places import VllmPlace
from bench.engines.kept_process import KeptProcess, new_folder
from bench.engines.python_probe import Probe, python_environment, python_reach
from bench.vllm_options import arguments, speculative_config
from sandbox.errors import JobError, JobTimeout

SOCKET_NAME = "s.sock"
SERVED_NAME = "served"
"""The model's name on the wire."""
TOKENIZER = "tokenizer.json"
_OUT_OF_MEMORY = re.compile(r"No available memory for the cache|Free memory on device")
_MARKS = {
    "import": "Initializing a V1 LLM engine",
    "load_weights": "Loading weights took",
    "initialise": "Starting vLLM server on",
}
"""The end of each phase, as the log tells it."""
_SAID = {
    "weights_read": r"Loading weights took (\d+\.?\d*) s",
    "compile": r"\(compilation: (\d+\.?\d*) s",
    "capture_graphs": r"Graph capturing finished in (\d+\.?\d*) s",
    "profile_and_warm_up": r"init engine \(.*?\) took (\d+\.?\d*) s",
}
"""Seconds that the log states."""


class VllmServer:
    """One `vllm serve` and all its processes."""

    def __init__(
        self,
        config: VllmConfig,
        place: VllmPlace,
        found: Probe,
        *,
        model: Path,
        drafter: Path | None,
        cache_folder: Path,
    ) -> None:
        """Start it and wait until it is healthy.

        Args:
            config: every lever, checked before.
            place: where vLLM is.
            found: what is there.
            model: folder of the weights.
            drafter: folder of the drafter's, where the config names one.
            cache_folder: of what is compiled.

        Raises:
            JobError: `engine_died`, with its last words.
            JobTimeout: `engine_start_timeout`.
        """
        self.start_seconds: dict[str, float] = {}
        folder = new_folder()
        self.socket = folder / SOCKET_NAME
        cache_folder.mkdir(parents=True, exist_ok=True)
        self.process = KeptProcess(
            command(config, place, found.version, model=model, drafter=drafter),
            folder=folder,
            environment=_environment(place, folder, cache_folder),
            reach=python_reach(
                place,
                found,
                models=[one for one in (model, drafter) if one is not None],
                writable=[folder, cache_folder],
            ),
        )
        try:
            self._wait(place.start_seconds)
        except BaseException:
            self.process.close()
            raise

    def _wait(self, limit: float) -> None:
        ends: dict[str, float] = {}
        try:
            spent = self.process.wait_until_healthy(
                self.socket, limit=limit, look=lambda now: self._look(ends, now)
            )
        except JobTimeout:
            raise
        except JobError as error:
            raise _explained(error) from None
        self.start_seconds = _phases(ends, spent) | stated_seconds(self._logged())

    def _look(self, ends: dict[str, float], spent: float) -> None:
        text = self._logged()
        for phase, mark in _MARKS.items():
            if phase not in ends and mark in text:
                ends[phase] = spent

    def _logged(self) -> str:
        with suppress(OSError):
            return self.process.log.read_text(errors="replace")
        return ""


def command(
    config: VllmConfig, place: VllmPlace, version: str, *, model: Path, drafter: Path | None
) -> tuple[str, ...]:
    """Return the whole command line; its working folder is the server's own."""
    guessing = speculative_config(config.speculation, None if drafter is None else str(drafter))
    has_tokenizer = (model / TOKENIZER).exists() and not config.skip_tokenizer_init
    return (
        *(str(place.python), "-m", "vllm.entrypoints.cli.main", "serve", str(model)),
        *("--uds", SOCKET_NAME, "--served-model-name", SERVED_NAME, "--seed", "0"),
        *("--generation-config", "vllm", "--disable-uvicorn-access-log"),
        *("--gpu-memory-utilization", f"{config.gpu_memory_utilization * place.memory_share:.4g}"),
        *(() if has_tokenizer else ("--skip-tokenizer-init",)),
        *(() if place.load_format == "auto" else ("--load-format", place.load_format)),
        *arguments(config, version),
        *(() if guessing is None else ("--speculative-config", guessing)),
    )


def stated_seconds(log: str) -> dict[str, float]:
    """Return what parts of the start took, as far as the log says it."""
    found = {part: re.search(pattern, log) for part, pattern in _SAID.items()}
    return {part: float(match[1]) for part, match in found.items() if match}


def _environment(place: VllmPlace, folder: Path, cache: Path) -> dict[str, str]:
    compiled = {
        "VLLM_CACHE_ROOT": "vllm",
        "VLLM_CONFIG_ROOT": "vllm-config",
        "TORCHINDUCTOR_CACHE_DIR": "inductor",
        "TRITON_CACHE_DIR": "triton",
        "TORCH_EXTENSIONS_DIR": "extensions",
        "CUDA_CACHE_PATH": "cuda",
        "FLASHINFER_WORKSPACE_BASE": "flashinfer",
        "XDG_CACHE_HOME": "xdg",
        "PYTHONPYCACHEPREFIX": "bytecode",
    }
    return {
        "VLLM_NO_USAGE_STATS": "1",
        "VLLM_PLUGINS": "",
        "VLLM_RPC_BASE_PATH": ".",  # of its own sockets: their paths have at most 107 bytes
        **{name: str(cache / part) for name, part in compiled.items()},
        **python_environment(place, folder),
    }


def _phases(ends: Mapping[str, float], total: float) -> dict[str, float]:
    phases, at = dict[str, float](), 0.0
    for phase, end in sorted(ends.items(), key=lambda one: one[1]):
        phases[phase], at = end - at, end
    return {**phases, "serve": total - at, "total": total}


def _explained(death: JobError) -> JobError:
    """Say `out of memory` where vLLM says it in other words, for whoever classifies failures."""
    if _OUT_OF_MEMORY.search(str(death)):
        return JobError(f"out of memory: {death}", code=death.code)
    return death
