"""What to run, under which limits, and what came of it.

Knows commands, bytes and seconds; knows no tokens, models or scores.
"""

import os
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Literal, NamedTuple, Protocol

from pydantic import BaseModel, ConfigDict, Field

JobEnd = Literal["exited", "timed_out", "out_of_memory", "over_limit", "cancelled", "lost"]
"""How a job ended: by itself (any exit code), by a limit (`over_limit`: processes, or bytes or
files in its folder), by us; or unknown after a restart."""

Level = Literal["bubblewrap", "landlock", "none"]
"""How strongly jobs are kept in. `none`: only limited; nothing such a job says can be verified."""


Isolation = Level | Literal["container"]
"""Of any sandbox. `container`: on a machine of its own, kept in by whoever lends that."""


class JobSpec(BaseModel):
    """A command and its limits; everything a sandbox needs to run it once."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    job: str = Field(pattern=r"^[a-z0-9][a-z0-9._-]{0,79}$")
    """Unique in its session; also the idempotency key of the start."""
    argv: tuple[str, ...] = Field(min_length=1)
    folder: Path
    """Working folder. Without `folder_bytes`, stdout.txt and stderr.txt are written here."""
    environment: Mapping[str, str] = Field(default_factory=dict)
    """The whole environment of the process; nothing is inherited."""
    wall_seconds: float = Field(gt=0)
    memory_bytes: int = Field(default=4 << 30, gt=0)
    """Resident bytes of the whole process tree."""
    output_bytes: int = Field(default=1 << 20, gt=0)
    """Cap of each output file; what lies beyond is dropped."""
    readable: tuple[Path, ...] | None = ()
    """Files and folders the job may read and execute, besides its folder, Python and the system's
    programs. None = not kept in at all, limited only: for our own code that must see everything,
    never for what an agent wrote. Missing ones are skipped."""
    writable: tuple[Path, ...] = ()
    """Files and folders the job may also change, besides its folder. Made as folders if missing.
    Jobs that share these share a user id, so that each can change what another left there."""
    devices: tuple[Path, ...] = ()
    """Devices in /dev that it may use, such as an accelerator's. They stay whose they are; missing
    ones are skipped. Who has one may also ask which network interfaces there are (`bubblewrap`):
    torch does."""
    network: bool = False
    """False: no network but a loopback of its own (`bubblewrap`) or none at all (`landlock`)."""
    connects: bool = False
    """Whether it may connect to Unix sockets and change file modes even at level `landlock`, which
    cannot tell its own from those of others. At level `bubblewrap` it sees only its own, and
    always may. For programs we trust that far, such as our harness."""
    networks: bool = False
    """Whether it may give what it starts a network of its own, a loopback with nobody else on it,
    and make the user namespace that takes; only at level `bubblewrap`. For our harness, where it
    starts somebody's server."""
    cpu_seconds: int | None = Field(default=None, gt=0)
    """Of each process; with the wall clock and `processes` that bounds the tree."""
    processes: int = Field(default=1024, gt=0)
    """Processes and threads of the whole tree."""
    open_files: int = Field(default=1024, gt=0)
    file_bytes: int = Field(default=8 << 30, gt=0)
    """Cap of any one file: a bf16 weight file is 0.5 GB, a runaway log is more."""
    folder_bytes: int | None = Field(default=None, gt=0)
    """None: the job changes `folder` itself, without a cap. Else it works on a copy in memory of at
    most so many bytes, which replaces the content of `folder` when the job ends by itself; a job
    that is stopped changes nothing. Level `landlock` and `none` work in `folder` itself and watch
    its size instead."""
    folder_files: int = Field(default=20_000, gt=0)
    """Files and folders in `folder` where `folder_bytes` is given."""


class JobResult(NamedTuple):
    """How a job ended. `exit_code` is None unless it exited by itself; negative = signal.

    Of a job that was `lost`, `code` and `message` may say how.
    """

    end: JobEnd
    exit_code: int | None
    wall_seconds: float
    peak_memory_bytes: int | None
    stdout: str
    stderr_tail: str
    code: str = ""
    message: str = ""


class Job(Protocol):
    """A running job; survives as data through its folder."""

    spec: JobSpec

    async def result(self) -> JobResult:
        """Wait for the end. Never raises for what the job did; cancellation ends the job."""

    async def cancel(self) -> None:
        """Stop the whole process tree; `result` then reports `cancelled`."""


class Sandbox(Protocol):
    """A place where commands run."""

    name: str

    @property
    def level(self) -> Isolation:
        """How strongly jobs are kept in; found out by trying, never chosen by an agent."""
        ...

    confines: bool
    """Whether `readable` and `writable` are enforced here, and an engine kept from its harness."""

    async def start(self, spec: JobSpec) -> Job:
        """Start `spec` once.

        Raises:
            SandboxUnavailable: this machine cannot isolate as asked; the operator sees it.
            JobError: the command could not be started; recorded as an infrastructure fault.
        """


def command_spec(
    job: str,
    argv: Sequence[str],
    folder: Path,
    *,
    readable: Sequence[Path] = (),
    wall_seconds: float = 120.0,
) -> JobSpec:
    """Return the spec of an agent's command: no network, small limits, a workspace in memory.

    Args:
        job: see `JobSpec.job`.
        argv: such as `("sh", "-c", "python serve.py --check")`; looked up on the PATH below.
        folder: a throw-away copy of the workspace, holding nothing else. When the command ended by
            itself it holds what the command left; read it by `sandbox.read_back` only.
        readable: more that it may read, such as the weights.
        wall_seconds: limit of the whole command.
    """
    return JobSpec(
        job=job,
        argv=tuple(argv),
        folder=folder,
        environment={
            "PATH": os.pathsep.join((os.path.dirname(sys.executable), os.defpath)),  # noqa: PTH120
            "HOME": str(folder),
            "LANG": "C.UTF-8",
            "PYTHONDONTWRITEBYTECODE": "1",
        },
        wall_seconds=wall_seconds,
        readable=tuple(readable),
        cpu_seconds=60,
        memory_bytes=2 << 30,
        processes=128,
        open_files=256,
        file_bytes=64 << 20,
        folder_bytes=512 << 20,
    )
