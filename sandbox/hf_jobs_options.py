"""Where and how jobs run on HF Jobs: what the operator decides, as data."""

import hashlib
import re

from pydantic import BaseModel, ConfigDict, Field

from sandbox.hub_types import Volume

MOST_LABEL_CHARACTERS = 80
LABEL = "paceline"
"""The label that all our jobs carry, with the value 1."""
_NOT_IN_LABELS = re.compile(r"[^A-Za-z0-9_=-]")


class ModelVolume(BaseModel):
    """A model repository that every job sees, read-only."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    repository: str = Field(pattern=r"^[\w.-]+/[\w.-]+$")
    revision: str = "main"
    mount_path: str = Field(pattern=r"^/[\w./-]+$")


class HfJobsOptions(BaseModel):
    """The place of a session's jobs."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    namespace: str = Field(min_length=1)
    """User or organisation that owns and pays the jobs."""
    session: str = Field(min_length=1)
    """Told apart by it: unique in the namespace, the same after a restart."""
    bucket: str = Field(pattern=r"^[\w.-]+/[\w.-]+$")
    """NAMESPACE/NAME; made private when it is not there."""
    image: str = Field(pattern=r"^(local|.+@sha256:[0-9a-f]{64})$")
    """Pinned by digest, so that all jobs run in the same. `local`: this machine, for a fake Hub."""
    flavor: str = "a10g-small"
    python: str = "python3"
    """What stands for our interpreter in the image; for `local`, our own."""
    search_path: str = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
    """PATH in the container."""
    prepare: str = ""
    """A shell command that the container runs first, such as one that installs what the harness
    needs and the image lacks. It is trusted as the image is, and its time counts."""
    models: tuple[ModelVolume, ...] = ()
    keeps_cache: bool = False
    """Whether the folders that jobs may write to besides their own live in the bucket and outlast
    a job; else each job begins with empty ones."""
    scheduling_seconds: float = Field(default=1800, gt=0)
    """How long a job may wait for a machine: some wait for hours."""
    poll_seconds: float = Field(default=5.0, gt=0)
    """Between two looks; one call shows all jobs, and 1,000 calls in 5 minutes are free."""
    settle_seconds: float = Field(default=60.0, ge=0)
    """How long outputs of an ended job may take to appear in the bucket."""
    input_bytes: int = Field(default=256 << 20, gt=0)
    """Of all that one job may read; weights belong into `models`."""
    output_bytes: int = Field(default=256 << 20, gt=0)
    """Of all that one job may leave."""
    outlives: bool = False
    """Whether a job goes on, paid, when nobody waits for it any more, so that a resumed session
    takes it over; else it is cancelled then."""
    is_confining: bool = False
    """Whether the container's kernel has Landlock, so that an engine is kept from its harness;
    only a probe in it can say."""


def label(text: str) -> str:
    """Return `text` as a label's value; different texts stay different."""
    clean = _NOT_IN_LABELS.sub("-", text)
    if clean == text and len(text) <= MOST_LABEL_CHARACTERS:
        return text
    mark = hashlib.sha256(text.encode()).hexdigest()[:8]
    return f"{clean[: MOST_LABEL_CHARACTERS - 9]}-{mark}"


def session_labels(session: str) -> dict[str, str]:
    """Return the labels of all jobs of a session."""
    return {LABEL: "1", "session": label(session)}


def job_labels(session: str, job: str, try_number: int | None = None) -> dict[str, str]:
    """Return the labels of a job, or of one try of it."""
    found = {**session_labels(session), "job": label(job)}
    return found if try_number is None else {**found, "try": str(try_number)}


def model_volumes(options: HfJobsOptions) -> list[Volume]:
    """Return the volumes of the options' models."""
    return [
        Volume("model", one.repository, one.mount_path, revision=one.revision)
        for one in options.models
    ]
