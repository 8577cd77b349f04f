"""What the Hub tells and is told, as plain values; no library is needed to read them."""

from collections.abc import Mapping
from typing import Any, NamedTuple

LIVE_STAGES = ("SCHEDULING", "RUNNING")


class Volume(NamedTuple):
    """Something that a job sees as a folder."""

    kind: str
    """`bucket`, `model`, `dataset` or `space`; all but buckets are always read-only."""
    source: str
    """NAMESPACE/NAME."""
    mount_path: str
    path: str = ""
    """The folder within, which must not be empty: an empty one fails to mount."""
    read_only: bool = True
    revision: str = ""

    def fields(self) -> dict[str, object]:
        """Return it as the library's own takes it."""
        return {
            "type": self.kind,
            "source": self.source,
            "mount_path": self.mount_path,
            "path": self.path or None,
            "read_only": self.read_only,
            "revision": self.revision or None,
        }


class RemoteJob(NamedTuple):
    """A job of the Hub, as it was when asked."""

    id: str
    url: str
    stage: str
    message: str
    labels: Mapping[str, str]
    flavor: str
    created: float
    """Seconds since 1970; 0 = unknown."""
    scheduling_seconds: float | None
    running_seconds: float | None
    total_seconds: float | None

    @property
    def is_live(self) -> bool:
        """Return whether it waits or runs."""
        return self.stage in LIVE_STAGES

    @property
    def try_number(self) -> int:
        """Return which try of its job it is, as labelled."""
        text = self.labels.get("try", "")
        return int(text) if text.isdigit() else 1


class Hardware(NamedTuple):
    """A flavor and its price."""

    name: str
    usd_per_hour: float
    accelerator: str
    cpu: str
    ram: str


class BucketFile(NamedTuple):
    """A file in a bucket."""

    path: str
    size_bytes: int


def remote_job(info: Any) -> RemoteJob:
    """Return the library's `JobInfo` as a value."""
    spent = info.durations
    return RemoteJob(
        id=info.id,
        url=info.url,
        stage=str(getattr(info.status.stage, "value", info.status.stage)),
        message=info.status.message or "",
        labels=info.labels or {},
        flavor=str(getattr(info.flavor, "value", info.flavor) or ""),
        created=info.created_at.timestamp() if info.created_at else 0.0,
        scheduling_seconds=spent.scheduling_secs if spent else None,
        running_seconds=spent.running_secs if spent else None,
        total_seconds=spent.total_secs if spent else None,
    )
