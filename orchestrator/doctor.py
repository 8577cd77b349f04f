"""What this machine has, what it lacks, and the exact command for what is missing.

Looks only: nothing is installed, changed or measured. Versions come from the installed packages,
requirements from `pyproject.toml`, so that the two cannot disagree.
"""

import os
import re
import shlex
import shutil
import sys
import tempfile
import tomllib
from collections.abc import Callable, Iterator
from importlib import metadata, util
from pathlib import Path
from typing import NamedTuple

from bench.artefacts.model_file import locate
from bench.challenge import Challenge
from sandbox import cgroups, landlock, levels
from sandbox.errors import PacelineError, SandboxUnavailable
from sandbox.lane import device_lane

PROJECT = Path(__file__).resolve().parent.parent / "pyproject.toml"
MEMORY_BYTES = 2 << 30
"""A job with the bf16 reference and its candidate side by side peaks below this."""
CACHE_BYTES = 4 << 30
"""Weight files of one default session, with room to spare."""
TEMPORARY_BYTES = 100 << 20
EXTRAS = {"llm": "litellm", "gpu": "vllm"}


class Finding(NamedTuple):
    """One thing looked at. `ok` None = missing, but only needed for an extra."""

    name: str
    ok: bool | None
    detail: str
    command: str = ""
    """What to type to mend it."""


def examine(challenge: Challenge, *, cache_folder: Path) -> list[Finding]:
    """Return everything the default run needs, then the optional extras.

    Args:
        challenge: whose model is looked for.
        cache_folder: where weight files are kept; need not exist yet.
    """
    checks: list[tuple[str, Callable[[], Finding]]] = [
        ("python", _python),
        ("packages", _packages),
        ("engine", lambda: _engine(challenge)),
        ("model", lambda: _model(challenge, cache_folder)),
        ("cores", _cores),
        ("memory", _memory),
        ("cache", lambda: _cache(cache_folder)),
        ("temporary folder", _temporary_folder),
        ("lane", _lane),
        ("sandbox", isolation),
        ("private texts", private_texts),
    ]
    return [*(_guarded(name, check) for name, check in checks), *_extras()]


def _guarded(name: str, check: Callable[[], Finding]) -> Finding:
    try:
        return check()
    except PacelineError as error:
        found = re.match(r"Run: (.*)", error.hint)
        return Finding(name, ok=False, detail=str(error), command=found[1] if found else "")
    except OSError as error:
        return Finding(name, ok=False, detail=str(error))


def _python() -> Finding:
    version = ".".join(map(str, sys.version_info[:3]))
    return Finding("python", sys.version_info >= (3, 11), f"{version} at {sys.executable}")


def _requirements(extra: str | None = None) -> list[str]:
    project = tomllib.loads(PROJECT.read_text(encoding="utf-8"))["project"]
    found = project["optional-dependencies"][extra] if extra else project["dependencies"]
    return [str(one) for one in found]


def _install(requirements: list[str]) -> str:
    return shlex.join([sys.executable, "-m", "pip", "install", *requirements])


def _version_of(requirement: str) -> str | None:
    name = re.split(r"[<>=!\[; ]", requirement, maxsplit=1)[0]
    try:
        return metadata.version(name)
    except metadata.PackageNotFoundError:
        return None


def _packages() -> Finding:
    wanted = _requirements()
    missing = [one for one in wanted if _version_of(one) is None]
    if missing:
        return Finding(
            "packages", ok=False, detail=f"missing: {missing}", command=_install(missing)
        )
    return Finding("packages", ok=True, detail=f"all {len(wanted)} are installed")


def _engine(challenge: Challenge) -> Finding:
    if challenge.engine == "simulated":
        return Finding("engine", ok=True, detail="simulated: part of this project")
    (requirement,) = (one for one in _requirements() if one.startswith("xllamacpp"))
    version = _version_of(requirement)
    if version is None:
        return Finding(
            "engine", ok=False, detail="xllamacpp is missing", command=_install([requirement])
        )
    return Finding("engine", ok=True, detail=f"{challenge.engine}, xllamacpp {version}")


def _model(challenge: Challenge, cache_folder: Path) -> Finding:
    model = locate(challenge.model, cache_folder)
    megabytes = model.path.stat().st_size / 1e6
    detail = f"{challenge.model.title}, {megabytes:.0f} MB, SHA-256 {model.sha256[:16]} as pinned"
    return Finding("model", ok=True, detail=detail)


def _cores() -> Finding:
    free = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    if free == 1:
        return Finding("cores", ok=True, detail="1: timings will be noisy, 2 are better")
    return Finding("cores", ok=True, detail=f"{free}")


def _memory() -> Finding:
    available = _available_memory_bytes()
    if available is None:
        return Finding("memory", ok=True, detail="unknown on this system")
    detail = f"{available / 1e9:.1f} GB available, a job needs {MEMORY_BYTES / 1e9:.1f} GB"
    return Finding("memory", available >= MEMORY_BYTES, detail)


def _available_memory_bytes() -> int | None:
    try:
        text = Path("/proc/meminfo").read_text(encoding="ascii")
    except OSError:
        return None
    found = re.search(r"^MemAvailable: +(\d+) kB", text, re.MULTILINE)
    return int(found[1]) * 1024 if found else None


def _cache(folder: Path) -> Finding:
    existing = next(one for one in (folder, *folder.resolve().parents) if one.is_dir())
    free = shutil.disk_usage(existing).free
    writable = os.access(existing, os.W_OK)
    state = "" if writable else ", but it is not writable"
    detail = f"{free / 1e9:.1f} GB free of {CACHE_BYTES / 1e9:.1f} GB wanted at {folder}{state}"
    return Finding("cache", ok=writable and free >= CACHE_BYTES, detail=detail)


def _temporary_folder() -> Finding:
    folder = tempfile.gettempdir()
    with tempfile.NamedTemporaryFile(dir=folder):
        free = shutil.disk_usage(folder).free
    detail = f"{folder}, {free / 1e9:.1f} GB free"
    return Finding("temporary folder", ok=free >= TEMPORARY_BYTES, detail=detail)


def _lane() -> Finding:
    with device_lane(timeout_seconds=0, on_wait=lambda _holder: None):
        return Finding("lane", ok=True, detail="free: no timed job runs on this machine")


def isolation() -> Finding:
    """Return how strongly jobs are kept in on this machine; found out by trying."""
    try:
        level = levels.checked_level(None)
    except SandboxUnavailable as error:
        return Finding("sandbox", ok=False, detail=str(error))
    missing = levels.why_not("bubblewrap")
    weaker = f"; bubblewrap would be stronger: {missing}" if missing else ""
    held = f"held by {cgroups.in_use()}" if cgroups.in_use() else f"looked at: {cgroups.why_not()}"
    detail = f"jobs are kept in at level {level}{weaker}; memory and processes are {held}"
    return Finding("sandbox", ok=True, detail=detail)


def private_texts(landlock_abi: int | None = None) -> Finding:
    """Return whether candidates can be kept from what they are verified with.

    Args:
        landlock_abi: None = the kernel's; 0 = as on a kernel without Landlock.
    """
    version = landlock.abi() if landlock_abi is None else landlock_abi
    if version:
        detail = f"candidates can be kept from them by Landlock, ABI {version}"
        return Finding("private texts", ok=True, detail=detail)
    detail = (
        f"candidates cannot be kept from them, so nothing is verified. {landlock.HOW_TO_GET_IT}"
    )
    return Finding("private texts", ok=None, detail=detail)


def _extras() -> Iterator[Finding]:
    for extra, module in EXTRAS.items():
        if util.find_spec(module) is not None:
            yield Finding(f"extra {extra}", ok=True, detail=f"{module} is installed")
        else:
            command = _install(_requirements(extra))
            detail = f"{module} is not installed; the default run does without"
            yield Finding(f"extra {extra}", ok=None, detail=detail, command=command)
