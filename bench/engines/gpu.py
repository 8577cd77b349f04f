"""What the GPU's own tool says: which device, and how much of its memory some processes hold."""

import shutil
import subprocess
from collections.abc import Iterable

from bench.vllm_options import Device

_SECONDS = 20
_DRIVER = "/usr/local/nvidia"
"""Where many containers keep the driver."""
_MIB = 1 << 20


def device() -> Device | None:
    """Return the first GPU; None where there is none, or it does not say."""
    fields = _asked("--query-gpu=name,compute_cap,memory.total")
    if not fields or len(fields[0]) != 3:  # noqa: PLR2004  # as many as asked for
        return None
    name, capability, memory = fields[0]
    major, _, minor = capability.partition(".")
    if not (major.isdigit() and minor.isdigit() and memory.isdigit()):
        return None
    return Device(name, (int(major), int(minor)), int(memory) * _MIB)


def used_bytes() -> int | None:
    """Return the memory in use on the first GPU, whoever uses it; None where nobody says."""
    fields = _asked("--query-gpu=memory.used")
    return int(fields[0][0]) * _MIB if fields and fields[0][0].isdigit() else None


def held_bytes(pids: Iterable[int]) -> int | None:
    """Return the memory `pids` hold; None where the tool does not tell of them (containers)."""
    wanted = {str(pid) for pid in pids}
    held = [
        int(memory)
        for pid, memory in _pairs(_asked("--query-compute-apps=pid,used_memory"))
        if pid in wanted and memory.isdigit()
    ]
    return sum(held) * _MIB if held else None


def _pairs(fields: list[list[str]]) -> list[tuple[str, str]]:
    return [(one[0], one[1]) for one in fields if len(one) == 2]  # noqa: PLR2004  # a pair


def _asked(question: str) -> list[list[str]]:
    tool = shutil.which("nvidia-smi") or f"{_DRIVER}/bin/nvidia-smi"
    command = (tool, question, "--format=csv,noheader,nounits")
    try:
        done = subprocess.run(
            command,
            capture_output=True,
            text=True,
            timeout=_SECONDS,
            check=True,
            env={"LD_LIBRARY_PATH": f"{_DRIVER}/lib64"},
        )
    except (OSError, subprocess.SubprocessError):
        return []
    return [[part.strip() for part in line.split(",")] for line in done.stdout.splitlines()]
