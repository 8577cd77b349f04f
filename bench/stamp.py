"""Where and with what: the machine and engine a measurement was made on. Reads only the kernel."""

import os
import sys
from pathlib import Path

from bench.engines.engine import Engine, OnDevice
from bench.measurement import Stamp

SIMULATED_MEMORY_BYTES = 24 << 30
"""Of the machine the cost model was calibrated on."""


def load_average() -> float:
    """Return the machine's load over the last minute."""
    return os.getloadavg()[0]


def cpu_model() -> str:
    """Return the processor's name with family and model numbers: "AMD EPYC" alone is many."""
    facts: dict[str, str] = {}
    try:
        for line in Path("/proc/cpuinfo").read_text().splitlines():
            name, _, value = line.partition(":")
            facts.setdefault(name.strip(), value.strip())
    except OSError:
        return os.uname().machine
    numbers = "/".join(facts.get(name, "?") for name in ("cpu family", "model", "stepping"))
    return f"{facts.get('model name', os.uname().machine)} {numbers}"


def take_stamp(engine: Engine, *, model_sha256: str, load_average_start: float) -> Stamp:
    """Return the stamp of this machine; a simulated engine gets the fixed one of its model."""
    simulated = engine.simulated
    return Stamp(
        cpu="simulated" if simulated else cpu_model(),
        cores=2 if simulated else len(os.sched_getaffinity(0)),
        memory_bytes=SIMULATED_MEMORY_BYTES if simulated else _memory_bytes(),
        kernel="simulated" if simulated else os.uname().release,
        python="simulated" if simulated else sys.version.split()[0],
        engine=engine.name,
        engine_version=engine.version,
        model_sha256=model_sha256,
        load_average_start=0.0 if simulated else load_average_start,
        load_average_end=0.0 if simulated else load_average(),
        device=engine.device if isinstance(engine, OnDevice) else None,
    )


def _memory_bytes() -> int:
    return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
