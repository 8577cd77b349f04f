"""What to run, under which limits, and what came of it.

Knows commands, bytes and seconds; knows no tokens, models or scores.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Literal, NamedTuple, Protocol

from pydantic import BaseModel, ConfigDict, Field

JobEnd = Literal["exited", "timed_out", "out_of_memory", "cancelled", "lost"]
"""How a job ended: by itself (any exit code), by a limit, by us; or unknown after a restart."""


class JobSpec(BaseModel):
    """A command and its limits; everything a sandbox needs to run it once."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    job: str = Field(pattern=r"^[a-z0-9][a-z0-9._-]{0,79}$")
    """Unique in its session; also the idempotency key of the start."""
    argv: tuple[str, ...] = Field(min_length=1)
    folder: Path
    """Working folder; stdout.txt and stderr.txt are written here."""
    environment: Mapping[str, str] = Field(default_factory=dict)
    """The whole environment of the process; nothing is inherited."""
    wall_seconds: float = Field(gt=0)
    memory_bytes: int = Field(default=4 << 30, gt=0)
    """Resident bytes of the whole process tree."""
    output_bytes: int = Field(default=1 << 20, gt=0)
    """Cap of each output file; what lies beyond is dropped."""
    readable: tuple[Path, ...] | None = None
    """Files and folders the job may read and execute, besides its folder. None = not confined. Whom
    it matters to asks the sandbox first whether it `confines`: where it cannot, jobs run free."""
    writable: tuple[Path, ...] = ()
    """Files and folders a confined job may also change, besides its folder."""


class JobResult(NamedTuple):
    """How a job ended. `exit_code` is None unless it exited by itself; negative = signal."""

    end: JobEnd
    exit_code: int | None
    wall_seconds: float
    peak_memory_bytes: int | None
    stdout: str
    stderr_tail: str


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
    confines: bool
    """Whether `readable` and `writable` are enforced here."""

    async def start(self, spec: JobSpec) -> Job:
        """Start `spec` once.

        Raises:
            SandboxUnavailable: this machine cannot isolate as asked; the operator sees it.
            JobError: the command could not be started; recorded as an infrastructure fault.
        """
