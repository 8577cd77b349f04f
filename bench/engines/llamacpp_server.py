"""The measured process: llama.cpp's own server inside xllamacpp, on a private socket.

    python -m bench.engines.llamacpp_server --params FILE.json

Knows one weight file and one config; knows no prompt, no score and no other file. It prints
`ready` once it serves, and dies with its parent: by signal from the kernel, and when its standard
input ends.
"""

import argparse
import ctypes
import os
import signal
import sys
from pathlib import Path
from typing import Any

import xllamacpp

from bench.configs.llamacpp import CacheType, LlamaCppConfig, Speculation
from bench.engines.server_params import ServerParams
from bench.engines.server_process import READY, SOCKET_NAME

_PR_SET_PDEATHSIG = 1
_WARNINGS_ONLY = 2


def main() -> None:
    """Serve until the parent is gone."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--params", type=Path, required=True)
    params = ServerParams.model_validate_json(parser.parse_args().params.read_text())
    _die_with(params.parent)
    if params.cores:
        os.sched_setaffinity(0, params.cores)
    server = xllamacpp.Server(common_params(params))
    sys.stdout.write(f"{READY} {server.listening_address}\n")
    sys.stdout.flush()
    sys.stdin.buffer.read()
    os._exit(0)


def common_params(params: ServerParams) -> Any:
    """Return llama.cpp's parameters for `params`: what no lever names is set for one plain slot."""
    config, native = params.config, xllamacpp.CommonParams()
    native.model.path = str(params.weights)
    native.hostnames = [SOCKET_NAME]
    native.n_ctx, native.n_parallel = params.context_tokens, 1
    native.n_batch, native.n_ubatch = config.batch_tokens, config.micro_batch_tokens
    native.n_threads_http = 1
    native.verbosity = _WARNINGS_ONLY
    native.ui = native.endpoint_slots = False
    native.fit_params = False  # it would load the model twice to size it
    native.cache_ram_mib = native.n_ctx_checkpoints = 0  # no prompt state outlives its slot
    native.swa_full = True  # else a sliding-window model recomputes the whole context per request
    native.no_extra_bufts = not config.repack
    native.load_mode = _load_mode(config)
    native.flash_attn_type = _flash_attention(config)
    native.cache_type_k = _cache_type(config.cache_type_k)
    native.cache_type_v = _cache_type(config.cache_type_v)
    for threads in (native.cpuparams, native.cpuparams_batch):
        threads.n_threads, threads.poll = config.threads, config.poll
    _speculate(native.speculative, config, params.drafter)
    return native


def _speculate(native: Any, config: LlamaCppConfig, drafter: Path | None) -> None:
    speculation = config.speculation
    if speculation.kind == "none":
        return
    types = xllamacpp.common_speculative_type
    name = "DRAFT_SIMPLE" if speculation.kind == "drafter" else speculation.kind.upper()
    native.types = [types[f"COMMON_SPECULATIVE_TYPE_{name}"]]
    native.draft.n_max = speculation.draft_tokens
    if speculation.kind == "drafter":
        _draft_with(native.draft, config, drafter)
    elif speculation.kind == "ngram_mod":
        mod = native.ngram_mod
        mod.n_match, mod.n_max, mod.n_min = speculation.match_tokens, speculation.draft_tokens, 1
    elif speculation.kind != "ngram_cache":
        _look_up(native, speculation)


def _draft_with(native: Any, config: LlamaCppConfig, drafter: Path | None) -> None:
    native.mparams.path = str(drafter)
    for threads in (native.cpuparams, native.cpuparams_batch):
        threads.n_threads, threads.poll = config.threads, config.poll


def _look_up(native: Any, speculation: Speculation) -> None:
    table = {
        "ngram_simple": native.ngram_simple,
        "ngram_map_k": native.ngram_map_k,
        "ngram_map_k4v": native.ngram_map_k4v,
    }[speculation.kind]
    table.size_n, table.size_m = speculation.match_tokens, speculation.draft_tokens


def _load_mode(config: LlamaCppConfig) -> Any:
    modes = xllamacpp.llama_load_mode
    return modes.LLAMA_LOAD_MODE_MMAP if config.memory_map else modes.LLAMA_LOAD_MODE_NONE


def _flash_attention(config: LlamaCppConfig) -> Any:
    kinds = xllamacpp.llama_flash_attn_type
    name = {"auto": "AUTO", "on": "ENABLED", "off": "DISABLED"}[config.flash_attention]
    return kinds[f"LLAMA_FLASH_ATTN_TYPE_{name}"]


def _cache_type(name: CacheType) -> Any:
    return xllamacpp.ggml_type[f"GGML_TYPE_{name.upper()}"]


def _die_with(parent: int) -> None:
    """Ask the kernel to kill this process when the thread that started it ends."""
    ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
    if os.getppid() != parent:  # it died before we asked
        os._exit(1)


if __name__ == "__main__":
    main()
