"""A `JobSpec` made ready to travel: which files go along, where the job finds them, what it runs.

In the container lie, read-only, /paceline/harness (our code) and /paceline/input (what else the job
may read); /paceline/state takes the outputs. The job works in a folder of the container's own disk,
from which a shell copies them at the end: a mounted bucket knows no sockets, locks and renames.
Every path of this machine in arguments, environment and request is replaced. Pure but for reading
files; knows no Hub.
"""

import hashlib
import json
import os
import shlex
import sys
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, NamedTuple

from sandbox.errors import JobError
from sandbox.hf_jobs_options import HfJobsOptions
from sandbox.job import JobSpec
from sandbox.landlock import SYSTEM, runtime_paths
from sandbox.read_back import list_back

MOUNTS = "/paceline"
HARNESS, INPUT, STATE, CACHE = (
    f"{MOUNTS}/{name}" for name in ("harness", "input", "state", "cache")
)
SCRATCH = "/tmp/paceline"  # noqa: S108 - of the container
JOB, TEMPORARY = (f"{SCRATCH}/{name}" for name in ("job", "tmp"))
SENT, LEFT, EXIT = "sent", "left", "exit"
"""In the state folder: what the job begins with, what it left, its exit code (written last)."""
OWN_FILES = ("stdout.txt", "stderr.txt", "remote.json", "result.json")
"""In the job's folder, and not sent."""
UNPREPARED = 125
"""Exit code of a container that could not begin; the command itself may use it too."""
STATE_BYTES = 64 << 20
_ETC = ("/etc", "/proc", "/sys", "/dev")
_LIMITS = (("-c", "0"), ("-n", "{open_files}"), ("-f", "{file_blocks}"))
_BLOCK = 512


class Parcel(NamedTuple):
    """What travels."""

    harness: Mapping[str, Path]
    """Path below /paceline/harness -> file here."""
    inputs: Mapping[str, Path]
    """Path below /paceline/input -> file here."""
    state: Mapping[str, Path | bytes]
    """Path below the job's folder -> file here, or its content."""
    caches: int
    """How many folders it may write to besides its own."""
    command: tuple[str, ...]
    environment: Mapping[str, str]


def pack(spec: JobSpec, options: HfJobsOptions) -> Parcel:
    """Return `spec` ready to travel.

    Raises:
        JobError: `not_remote`, it asks for what only this machine has; `too_much_input`.
    """
    _refuse(spec)
    links = _linked_code(spec)
    code = {name: link.resolve() for name, link in links.items()}
    shown = [path for path in _shown(spec) if not _is_below(path, code.values())]
    root = Path(os.path.commonpath([path.parent for path in shown])) if shown else Path("/")
    paths = _Paths(
        [
            *((path, f"{INPUT}/{path.relative_to(root)}") for path in shown),
            *((target, f"{HARNESS}/{name}") for name, target in code.items()),
            *((link.parent, HARNESS) for link in links.values()),
            *((path, cache_path(n, options)) for n, path in enumerate(spec.writable)),
            (Path(spec.environment.get("TMPDIR") or spec.folder / "tmp"), TEMPORARY),
            (spec.folder, JOB),
        ]
    )
    inputs = {str(file.relative_to(root)): file for path in shown for file in _files(path)}
    _check_size(inputs.values(), options.input_bytes)
    return Parcel(
        harness={
            f"{name}/{file.relative_to(target)}": file
            for name, target in code.items()
            for file in _files(target)
        },
        inputs=inputs,
        state=_state(spec, paths),
        caches=len(spec.writable),
        command=_command(spec, options, paths),
        environment=_environment(spec, options, paths),
    )


def cache_path(number: int, options: HfJobsOptions) -> str:
    """Return where the job finds the `number`th folder it may write to."""
    return f"{CACHE if options.keeps_cache else f'{SCRATCH}/cache'}/{number}"


def digest(files: Mapping[str, Path]) -> str:
    """Return a name for the content of `files`, their paths included."""
    whole = hashlib.sha256()
    for path in sorted(files):
        content = hashlib.sha256(files[path].read_bytes()).hexdigest()
        whole.update(f"{path}\0{content}\n".encode())
    return whole.hexdigest()[:24]


class _Paths:
    """Paths here and in the container; the longest that fits counts."""

    def __init__(self, pairs: Iterable[tuple[Path, str]]) -> None:
        self._known: dict[str, str] = {}
        for path, remote in pairs:
            for name in (str(path), str(path.absolute()), str(path.resolve())):
                self._known.setdefault(name, remote)
        self._longest_first = sorted(self._known, key=len, reverse=True)

    def remote(self, text: str) -> str:
        """Return `text`, in the container's terms where it is a path that the job has there."""
        for here in self._longest_first:
            if text == here or text.startswith(f"{here}/"):
                return self._known[here] + text[len(here) :]
        return text

    def in_value(self, value: Any) -> Any:
        """Return JSON with each text that is a path replaced."""
        if isinstance(value, str):
            return self.remote(value)
        if isinstance(value, list):
            return [self.in_value(one) for one in value]
        if isinstance(value, dict):
            return {name: self.in_value(one) for name, one in value.items()}
        return value


def _refuse(spec: JobSpec) -> None:
    reason = None
    if spec.readable is None:
        reason = "it is not kept in, so what it reads is not known"
    elif spec.folder_bytes is not None:
        reason = "it changes a workspace of this machine"
    if reason is not None:
        raise JobError(
            f"job {spec.job!r} cannot run on HF Jobs: {reason}",
            code="not_remote",
            hint="Run it in the sandbox of this machine, or name what it reads",
        )


def _linked_code(spec: JobSpec) -> dict[str, Path]:
    """Return the links to packages in the folders of PYTHONPATH that lie in the job's own."""
    found: dict[str, Path] = {}
    for text in spec.environment.get("PYTHONPATH", "").split(os.pathsep):
        folder = Path(text)
        if text and folder.is_dir() and folder.is_relative_to(spec.folder):
            found |= {one.name: one for one in sorted(folder.iterdir()) if one.is_symlink()}
    return found


def _shown(spec: JobSpec) -> list[Path]:
    """Return what the job may read and does not have anyway: Python and the system it has."""
    has = [*runtime_paths(), *map(Path, (*SYSTEM, *_ETC)), spec.folder]
    whole = {path.absolute() for path in spec.readable or () if path.exists()}
    return sorted(path for path in whole if not _is_below(path, has) and path != Path("/"))


def _is_below(path: Path, folders: Iterable[Path]) -> bool:
    return any(
        path.is_relative_to(name) or path.resolve().is_relative_to(name)
        for one in folders
        for name in (one.absolute(), one.resolve())
    )


def _files(path: Path) -> list[Path]:
    if path.is_file():
        return [path]
    listed = list_back(path, max_files=100_000).files
    return [path / one.path for one in listed if "__pycache__" not in one.path]


def _check_size(files: Iterable[Path], most_bytes: int) -> None:
    sizes = {file: file.stat().st_size for file in files}
    total = sum(sizes.values())
    if total > most_bytes:
        largest = max(sizes, key=sizes.__getitem__)
        raise JobError(
            f"a job would read {total} bytes of this machine, more than {most_bytes}; the largest"
            f" file is {largest.name!r}",
            code="too_much_input",
            hint="Let the challenge name a model repository (hub-repo:), which jobs mount",
        )


def _state(spec: JobSpec, paths: _Paths) -> dict[str, Path | bytes]:
    """Return the files of the job's folder; those named on the command line with paths replaced."""
    named = {Path(text) for text in spec.argv if text.endswith(".json")}
    found: dict[str, Path | bytes] = {}
    total = 0
    for one in list_back(spec.folder, max_files=spec.folder_files).files:
        file = spec.folder / one.path
        if one.path in OWN_FILES or "__pycache__" in one.path:
            continue
        total += one.size_bytes
        found[one.path] = file
        if file in named:
            data = paths.in_value(json.loads(file.read_bytes()))
            found[one.path] = json.dumps(data, indent=1, sort_keys=True).encode()
    if total > STATE_BYTES:
        raise JobError(
            f"the folder of job {spec.job!r} holds {total} bytes, more than {STATE_BYTES}",
            code="too_much_input",
        )
    return found


def _environment(spec: JobSpec, options: HfJobsOptions, paths: _Paths) -> dict[str, str]:
    """Return the job's environment: what the spec says and nothing else."""
    found = {
        name: os.pathsep.join(map(paths.remote, text.split(os.pathsep)))
        for name, text in spec.environment.items()
    }
    if "PATH" in found:
        found["PATH"] = options.search_path
    return found


def _command(spec: JobSpec, options: HfJobsOptions, paths: _Paths) -> tuple[str, ...]:
    argv = [options.python if text == sys.executable else paths.remote(text) for text in spec.argv]
    folders = [JOB, TEMPORARY, *(cache_path(n, options) for n in range(len(spec.writable)))]
    numbers = {"open_files": spec.open_files, "file_blocks": max(1, spec.file_bytes // _BLOCK)}
    limits = "".join(
        f"ulimit {flag} {value.format_map(numbers)} 2>/dev/null; " for flag, value in _LIMITS
    )
    if spec.cpu_seconds is not None:
        limits += f"ulimit -t {spec.cpu_seconds}; "
    script = _SCRIPT.format(
        folders=shlex.join(folders),
        prepare=options.prepare or ":",
        unprepared=UNPREPARED,
        limits=limits,
        cap=spec.output_bytes,
        job=JOB,
        scratch=SCRATCH,
        state=STATE,
        sent=f"{STATE}/{SENT}",
        left=f"{STATE}/{LEFT}",
        exit=f"{STATE}/{EXIT}",
    )
    return ("/bin/sh", "-c", script, "job", *argv)


_SCRIPT = """\
mkdir -p {folders} {left}
{{ {prepare}; }} || exit {unprepared}
cp -R {sent}/. {job}/ || exit {unprepared}
mkfifo {scratch}/o {scratch}/e || exit {unprepared}
exec 3>&1 4>&2
tee {scratch}/stdout < {scratch}/o >&3 & out=$!
tee {scratch}/stderr < {scratch}/e >&4 & err=$!
( {limits}cd {job} && exec "$@" 3>&- 4>&- ) > {scratch}/o 2> {scratch}/e
code=$?
( sleep 1; kill "$out" "$err" ) > /dev/null 2>&1 & late=$!
wait "$out" "$err"
kill "$late" 2> /dev/null
cp -R {job}/. {left}/ 2> /dev/null
for name in stdout stderr; do head -c {cap} {scratch}/$name > {state}/$name; done
printf %s "$code" > {exit}
exit "$code"
"""
"""A POSIX shell is all it needs of the image. Output goes to the log and to files, cut at the cap;
a process left behind that holds the pipes open is waited for 1 s. The exit code comes last: where
it is, all is there."""
