"""The fake Hub's jobs: who may launch, what it costs, who is still running.

Knows accounts, prices and volumes; knows no HTTP.
"""

import threading
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from sandbox.fake_hub.bucket_store import BucketStore
from sandbox.fake_hub.container import Mount
from sandbox.fake_hub.fake_job import FakeJob, Fate, Order
from sandbox.fake_hub.faults import FaultPlan

DEFAULT_TIMEOUT_SECONDS = 30 * 60
"""The platform's own, for a job that asks for none."""


class Flavor(NamedTuple):
    """A kind of machine and its price."""

    name: str
    cpu: str
    ram: str
    usd_per_hour: float
    accelerator: str = ""


FLAVORS = (
    Flavor("cpu-basic", "2 vCPU", "16 GB", 0.01),
    Flavor("cpu-upgrade", "8 vCPU", "32 GB", 0.03),
    Flavor("t4-small", "4 vCPU", "15 GB", 0.40, "T4"),
    Flavor("l4x1", "8 vCPU", "30 GB", 0.80, "L4"),
    Flavor("a10g-small", "4 vCPU", "15 GB", 1.00, "A10G"),
    Flavor("a10g-large", "12 vCPU", "46 GB", 1.50, "A10G"),
)
"""Prices as of 2026-11, the A10G's rounded; the real ones are read from the real Hub."""


class Refused(Exception):
    """A launch that is answered with an HTTP status."""

    def __init__(self, status: int, message: str) -> None:
        super().__init__(message)
        self.status = status


class JobQueue:
    """All jobs of one fake Hub; may be used from any thread."""

    def __init__(
        self,
        folder: Path,
        buckets: BucketStore,
        plan: FaultPlan,
        *,
        models: Mapping[str, Path],
        scheduling_seconds: float,
        credit_usd: float | None,
    ) -> None:
        self._folder, self._buckets, self._plan = folder, buckets, plan
        self._models = models
        self._scheduling_seconds = scheduling_seconds
        self.credit_usd = credit_usd
        self.quota: int | None = None
        """Given: so many launches, then 429 with a message that names the quota."""
        self._jobs: dict[str, FakeJob] = {}
        self._lock = threading.Lock()

    def launch(self, namespace: str, body: Mapping[str, Any]) -> FakeJob:
        """Start a job.

        Raises:
            Refused: an unknown flavor, or no credit or quota left.
        """
        flavor = self._flavor(body)
        with self._lock:
            self._refuse(flavor)
            number = len(self._jobs) + 1
            order = Order(
                id=f"{int(time.time()):08x}{number:016x}",
                number=number,
                namespace=namespace,
                flavor=flavor.name,
                usd_per_hour=flavor.usd_per_hour,
                body={name: value for name, value in body.items() if name != "secrets"},
                timeout_seconds=float(body.get("timeoutSeconds") or DEFAULT_TIMEOUT_SECONDS),
            )
            job = FakeJob(order, self._fate(body), lambda: self._mounts(body.get("volumes") or ()))
            job.echoes = int(self._plan.strikes("late_echo"))
            self._jobs[order.id] = job
        scratch = self._folder / order.id
        scratch.mkdir(parents=True)
        job.start(scratch)
        return job

    def get(self, job: str) -> FakeJob | None:
        """Return the job of that id."""
        return self._jobs.get(job)

    def all(self) -> list[FakeJob]:
        """Return every job, the newest first, as the platform lists them."""
        with self._lock:
            return list(reversed(self._jobs.values()))

    def spent_usd(self) -> float:
        """Return what all jobs have cost so far."""
        return sum(job.usd() for job in self.all())

    def close(self) -> None:
        """End every job and wait until nothing of them runs."""
        jobs = self.all()
        for job in jobs:
            job.cancel()
        for job in jobs:
            job.join()

    def _flavor(self, body: Mapping[str, Any]) -> Flavor:
        named = {flavor.name: flavor for flavor in FLAVORS}
        found = named.get(body.get("flavor", ""))
        if found is None:
            raise Refused(400, f'"flavor" must be one of {", ".join(named)}')
        return found

    def _refuse(self, flavor: Flavor) -> None:
        spent = sum(job.usd() for job in self._jobs.values())
        if self.credit_usd is not None and spent >= self.credit_usd:
            raise Refused(
                402, f"Pre-paid credit balance is insufficient to run {flavor.name}. Add credits."
            )
        if self.quota is not None and len(self._jobs) >= self.quota:
            raise Refused(429, "Job quota exceeded for this namespace")

    def _fate(self, body: Mapping[str, Any]) -> Fate:
        if self._plan.strikes("stuck_scheduling"):
            return Fate(None)
        image = body.get("dockerImage", "")
        pulled = not self._plan.strikes("image_pull") and "no-such-image" not in image
        refusal = "" if pulled else f"Failed to pull image {image!r}: manifest unknown"
        return Fate(self._scheduling_seconds, refusal)

    def _mounts(self, volumes: Sequence[Mapping[str, Any]]) -> list[Mount]:
        return [self._mount(volume) for volume in volumes]

    def _mount(self, volume: Mapping[str, Any]) -> Mount:
        """Return where a volume lies.

        Raises:
            OSError: it does not exist; an empty prefix of a bucket does not either.
        """
        name = volume["source"]
        if volume["type"] == "bucket":
            source = self._buckets.mounted(name, volume.get("path") or "")
            read_only = bool(volume.get("readOnly"))
        else:
            if name not in self._models:
                raise FileNotFoundError(f"no {volume['type']} {name!r}")
            source, read_only = self._models[name] / (volume.get("path") or ""), True
        if not source.is_dir():
            raise FileNotFoundError(f"nothing at {name}/{volume.get('path') or ''}")
        return Mount(source, volume["mountPath"], read_only)
