"""What a remote job left, brought back into its folder without being led anywhere else.

Names and sizes are checked before anything is fetched; files land in a folder of their own and are
moved from there, never through a link. Knows what the shell of `hf_jobs_parcel` wrote.
"""

import asyncio
import os
import tempfile
import time
from collections.abc import Collection, Mapping
from pathlib import Path, PurePosixPath
from typing import NamedTuple

import structlog

from sandbox.errors import JobError
from sandbox.hf_jobs_options import HfJobsOptions
from sandbox.hf_jobs_parcel import EXIT, LEFT, OWN_FILES
from sandbox.hub import Hub
from sandbox.hub_types import BucketFile
from sandbox.job import JobSpec

OF_SHELL = (EXIT, "stdout", "stderr")
"""What the shell around the command wrote."""
_DEEPEST = 64
_MOST_NAME_BYTES = 240
_LAST_CODE = 128
"""Of a shell: above it lies 128 + the number of a signal."""

log = structlog.get_logger()


class Left(NamedTuple):
    """What a job that ended by itself left."""

    exit_code: int
    stdout: bytes
    stderr: bytes


async def bring_back(
    hub: Hub,
    options: HfJobsOptions,
    spec: JobSpec,
    prefix: str,
    *,
    sent: Collection[str],
    wait_seconds: float,
) -> Left | None:
    """Write what the job left into `spec.folder`; None: it did not end by itself.

    Args:
        hub: where it ran.
        options: how much it may leave.
        spec: whose folder it is.
        prefix: of its state in the bucket.
        sent: paths that it began with; the request among them stays as it is here.
        wait_seconds: how long the exit code may take to appear.

    Raises:
        JobError: `unsafe_output` or `too_much_output`; recorded as an infrastructure fault.
        HubRefused: the bucket cannot be read.
    """
    listed = await _listed(hub, options, prefix, wait_seconds)
    if EXIT not in listed:
        return None
    # TMPDIR may lie on another disk, and only within one is a move atomic
    with tempfile.TemporaryDirectory(prefix=".outputs-", dir=spec.folder) as place:
        wanted = _wanted(listed, spec, options, sent)
        fetched = {path: Path(place, str(number)) for number, path in enumerate(wanted)}
        files = {f"{prefix}/{path}": file for path, file in fetched.items()}
        await hub.download(options.bucket, files)
        names = [name for name in OF_SHELL if name in fetched]
        own = {name: fetched[name].read_bytes() for name in names}
        await asyncio.to_thread(_place, spec.folder, fetched)
    code = int(own[EXIT].decode(errors="replace").strip() or 1)
    exit_code = code if code <= _LAST_CODE else _LAST_CODE - code
    return Left(exit_code, own.get("stdout", b""), own.get("stderr", b""))


async def _listed(
    hub: Hub, options: HfJobsOptions, prefix: str, wait_seconds: float
) -> dict[str, BucketFile]:
    """Return path below `prefix` -> file, once the exit code is among them or time is up."""
    until = time.monotonic() + wait_seconds
    while True:
        found = await hub.listing(options.bucket, prefix)
        listed = {one.path[len(prefix) + 1 :]: one for one in found}
        if EXIT in listed or time.monotonic() >= until:
            return listed
        await asyncio.sleep(min(options.poll_seconds, 2.0))


def _wanted(
    listed: Mapping[str, BucketFile],
    spec: JobSpec,
    options: HfJobsOptions,
    sent: Collection[str],
) -> list[str]:
    """Return which of the files are fetched, having checked them all."""
    own = [name for name in OF_SHELL if name in listed]
    left = [path for path in listed if path.startswith(f"{LEFT}/")]
    kept = [path for path in left if path[len(LEFT) + 1 :] not in sent]
    total = sum(listed[path].size_bytes for path in (*own, *kept))
    if len(kept) > spec.folder_files or total > options.output_bytes:
        raise JobError(
            f"job {spec.job!r} left {len(kept)} files of {total} bytes; allowed are"
            f" {spec.folder_files} and {options.output_bytes}",
            code="too_much_output",
            hint="Let it write less into its folder",
        )
    for path in kept:
        _check_name(path[len(LEFT) + 1 :], spec.job)
    return [*own, *kept]


def _check_name(path: str, job: str) -> None:
    parts = PurePosixPath(path).parts
    is_plain = path.isprintable() and not path.startswith("/") and "\\" not in path
    is_inside = ".." not in parts and "." not in path.split("/") and "" not in path.split("/")
    is_short = len(parts) <= _DEEPEST and all(len(p.encode()) <= _MOST_NAME_BYTES for p in parts)
    if not (parts and is_plain and is_inside and is_short):
        raise JobError(
            f"job {job!r} left a file called {path[:80]!r}, which is not fetched",
            code="unsafe_output",
            hint="Look at the job's bucket; somebody may be trying something",
        )


def _place(folder: Path, fetched: Mapping[str, Path]) -> None:
    """Move the files to where they belong; what a link here leads elsewhere is left out."""
    for path, file in fetched.items():
        inner = path.removeprefix(f"{LEFT}/")
        if inner == path or inner in set(OWN_FILES) - {"result.json"}:
            continue
        if _is_led_away(folder, inner):
            log.warning("output_left_out", path=inner, reason="a link lies on its way")
            continue
        target = folder / inner
        target.parent.mkdir(parents=True, exist_ok=True)
        file.replace(target)


def _is_led_away(folder: Path, path: str) -> bool:
    """Return whether something on the way to `path` is a link, or it is one, or no file."""
    parts = PurePosixPath(path).parts
    steps = [folder.joinpath(*parts[:count]) for count in range(1, len(parts) + 1)]
    is_folder_last = steps[-1].is_dir()
    return is_folder_last or any(
        step.is_symlink() or (os.path.lexists(step) and not step.is_dir() and step != steps[-1])
        for step in steps
    )
