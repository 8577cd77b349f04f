"""What another Python is made of, and what a server of it may have: variables, files, devices.

Asked by running it once, in the environment the engine will have; imports nothing of the package.
"""

import json
import os
import subprocess
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

from bench.confinement import Reach
from bench.engine_places import PythonPlace
from sandbox.errors import ConfigError
from sandbox.landlock import runtime_paths

_SECONDS = 60
_SYSTEM = (
    *("/opt", "/run/nvidia-persistenced", "/sys/bus", "/sys/kernel/mm", "/sys/module"),
    *("/etc/hosts", "/etc/host.conf", "/etc/resolv.conf", "/etc/ld.so.conf", "/etc/ld.so.conf.d"),
)
"""Read besides what any Python reads: drivers, their kernel modules, the machine's own name."""
_DEVICES = ("/dev/shm", "/dev/nvidia-caps", "/dev/dri", "/dev/kfd", "/dev/infiniband")  # noqa: S108
_QUESTION = """
import importlib.metadata, json, sys
try:
    version = importlib.metadata.version(sys.argv[1])
except importlib.metadata.PackageNotFoundError:
    version = ""
roots = [sys.prefix, sys.base_prefix, sys.exec_prefix, *sys.path]
print(json.dumps({"version": version, "paths": [root for root in roots if root]}))
"""


class Probe(NamedTuple):
    """What was found."""

    version: str
    """Of the package."""
    paths: tuple[Path, ...]
    """Prefixes of the interpreter, and all it imports from."""


def probe(place: PythonPlace, package: str, environment: Mapping[str, str]) -> Probe:
    """Return what `place` has of `package`.

    Raises:
        ConfigError: `missing_engine`: no such Python, or it has no such package; the operator
            sees it.
    """
    try:
        asked = subprocess.run(
            (str(place.python), "-c", _QUESTION, package),
            env=dict(environment),
            capture_output=True,
            text=True,
            timeout=_SECONDS,
            check=True,
        )
        found = json.loads(asked.stdout)
    except (OSError, subprocess.SubprocessError, ValueError) as error:
        raise ConfigError(
            f"{str(place.python)!r} cannot be run: {error}",
            code="missing_engine",
            hint=f"Name a Python that has {package}",
        ) from error
    if not found["version"]:
        raise ConfigError(
            f"{str(place.python)!r} has no package {package!r}",
            code="missing_engine",
            hint=f"Run: {place.python} -m pip install {package}; or name the folder it lies in",
        )
    return Probe(found["version"], tuple(Path(path).resolve() for path in found["paths"]))


def python_environment(place: PythonPlace, home: Path) -> dict[str, str]:
    """Return the variables of any server of `place`: nothing of ours, nothing from outside."""
    environment = {
        "PATH": f"{place.python.parent}:/usr/local/cuda/bin:/usr/local/bin:/usr/bin:/bin",
        **({"PYTHONPATH": str(place.site)} if place.site else {}),
        "HOME": str(home),
        "TMPDIR": str(home),
        "USER": "engine",  # a job's user is in no list of users, and torch asks for its name
        "LC_ALL": "C.UTF-8",
        "PYTHONUNBUFFERED": "1",
        "HF_HUB_OFFLINE": "1",
        "TRANSFORMERS_OFFLINE": "1",
        "HF_HUB_DISABLE_TELEMETRY": "1",
        "DO_NOT_TRACK": "1",
        **place.environment,
    }
    return environment | {"PATH": _searchable(environment["PATH"])}


def _searchable(path: str) -> str:
    """Return `path` without folders that a job's user may not search.

    With one of them a program that is nowhere is "not permitted" instead of "not found", and torch
    takes only the latter for an answer: it asks for nvcc.
    """
    return os.pathsep.join(one for one in path.split(os.pathsep) if os.access(one, os.X_OK))


def python_reach(
    place: PythonPlace,
    found: Probe,
    *,
    models: Sequence[Path],
    writable: Sequence[Path],
    files: Sequence[Path] = (),
) -> Reach | None:
    """Return what a server of `place` may touch; None where it is not to be confined.

    Args:
        place: what the operator said.
        found: from `probe`.
        models: folders of weights, whose links (the Hub's cache has them) lead out of them.
        writable: its own folder, and that of what it compiles.
        files: of ours that it runs.
    """
    if not place.is_confined:
        return None
    folders = [folder.resolve() for folder in models]
    linked = [link.resolve() for folder in folders for link in folder.iterdir()]
    devices = [*map(Path, _DEVICES), *Path("/dev").glob("nvidia*")]
    readable = (*runtime_paths(), *map(Path, _SYSTEM), *found.paths, *folders, *linked, *files)
    return Reach((*readable, *place.readable), (*writable, Path("/proc"), *devices))
