"""One remote job as a `Job`: watched to its end, stopped at a limit, its outputs brought back.

Made by `sandbox.hf_jobs`; what its ends mean is told there. Knows stages and limits; launches
nothing.
"""

import asyncio
import contextlib
import json
import time
from collections.abc import Mapping
from typing import NamedTuple

import structlog

from sandbox.errors import HubRefused, JobError
from sandbox.hf_jobs_launch import KEEP, Launched, ran_out, state_prefix
from sandbox.hf_jobs_options import HfJobsOptions
from sandbox.hf_jobs_parcel import UNPREPARED
from sandbox.hf_jobs_results import Left, bring_back
from sandbox.hf_jobs_watch import Follower, Watch
from sandbox.hub import Hub
from sandbox.hub_types import Hardware, RemoteJob
from sandbox.job import JobEnd, JobResult, JobSpec

REMOTE_NAME = "remote.json"
CANCEL_SECONDS = 60.0
"""How long a cancelled job may take to end, before it counts as ended."""
RUN_GRACE_SECONDS = 60.0
"""Beyond its limit the platform itself ends a job; this much later we do."""
LOG_SECONDS = 2.0
STDERR_TAIL_BYTES = 4096
_PASSING = {"hub_unreachable", "rate_limited"}
_SECONDS_PER_HOUR = 3600

log = structlog.get_logger()


class Place(NamedTuple):
    """Where it runs, and what all jobs of the sandbox share."""

    hub: Hub
    options: HfJobsOptions
    watch: Watch
    hardware: Hardware
    delivered: set[str]
    """Remote jobs whose result was handed out."""


class HfJob:
    """A remote job; made by `HfJobsSandbox.start`."""

    def __init__(
        self, spec: JobSpec, place: Place, found: Launched, sent: Mapping[str, object]
    ) -> None:
        """Watch `found`; `sent` are the files that the job began with."""
        self.spec = spec
        self.remote = found.job
        self._hub, self._options, self._watch, self._hardware, self._delivered = place
        self._is_adopted, self._sent = found.is_adopted, sent
        self._stages: list[tuple[str, float]] = []
        self._follower: Follower | None = None
        self._stopped_by: JobEnd | None = None
        self._why = ""
        self._ending = asyncio.Event()
        self._end = asyncio.create_task(self._run_to_end(), name=f"remote job {spec.job}")

    async def result(self) -> JobResult:
        """Wait for the end. Never raises for what the job did.

        Cancellation ends the job, unless the options say that it goes on without us.
        """
        try:
            return await asyncio.shield(self._end)
        except asyncio.CancelledError:
            if self._options.outlives:
                self._end.cancel()
            else:
                await asyncio.shield(self.cancel())
            raise

    async def cancel(self) -> None:
        """Stop the job; `result` then reports `cancelled`."""
        await self._stop("cancelled")
        await asyncio.wait([self._end], timeout=2 * CANCEL_SECONDS)

    async def _run_to_end(self) -> JobResult:
        self._write_remote()
        try:
            await self._watch_to_end()
            result = await self._ended()
        except JobError as error:
            log.warning(
                "remote_job_lost", job=self.spec.job, remote=self.remote.id, error=str(error)
            )
            result = self._result("lost", code=error.code, message=str(error))
        self._delivered.add(self.remote.id)
        self._write_remote()
        return result

    async def _watch_to_end(self) -> None:
        """Look until the job has ended; end it at a limit."""
        began = time.monotonic()
        running_since: float | None = None
        deadline = began + self._options.scheduling_seconds
        while self._seen(self.remote):
            if self.remote.stage == "RUNNING" and running_since is None:
                running_since = time.monotonic()
                deadline = running_since + self.spec.wall_seconds + RUN_GRACE_SECONDS
                self._follow()
            if time.monotonic() >= deadline:
                if self._stopped_by is not None:  # it does not end even so
                    return
                await self._stop(*_overdue(running_since, self._options.scheduling_seconds))
                deadline = time.monotonic() + CANCEL_SECONDS
            await self._pause(deadline)
            self.remote = await self._look()

    async def _look(self) -> RemoteJob:
        """Return the job as it is; as it was, while the Hub does not answer."""
        try:
            return await self._watch.look(self.remote.id)
        except HubRefused as error:
            if error.code not in _PASSING:
                raise
            log.warning("hub_does_not_answer", job=self.spec.job, error=str(error))
            return self.remote

    def _seen(self, now: RemoteJob) -> bool:
        """Note the stage; return whether the job goes on."""
        if not self._stages or self._stages[-1][0] != now.stage:
            self._stages.append((now.stage, round(time.time(), 3)))
        return now.is_live

    async def _pause(self, deadline: float) -> None:
        left = max(0.0, deadline - time.monotonic())
        with contextlib.suppress(TimeoutError):
            # an order to stop ends the pause, but not a second time
            wait = self._ending.wait() if self._stopped_by is None else asyncio.Event().wait()
            await asyncio.wait_for(wait, min(self._options.poll_seconds, left + 0.01))

    async def _stop(self, reason: JobEnd, why: str = "") -> None:
        """Cancel the remote job; the first reason counts."""
        if self._stopped_by is not None or self._end.done():
            return
        self._stopped_by, self._why = reason, why
        self._ending.set()
        try:
            await self._hub.cancel(self.remote.id)
        except HubRefused as error:
            # `sandbox.hf_jobs_reap` finds what is still there
            log.warning("cancel_failed", job=self.spec.job, remote=self.remote.id, error=str(error))

    def _follow(self) -> None:
        file = self.spec.folder / "stdout.txt"
        self._follower = Follower(self._hub, self.remote.id, file, self.spec.output_bytes)
        self._follower.start()

    async def _settled(self) -> None:
        if self._follower is not None:
            await self._follower.settle(LOG_SECONDS)

    async def _ended(self) -> JobResult:
        """Return how it ended, with all that it left in its folder."""
        await self._settled()
        stage = self.remote.stage
        left = None
        if stage in {"COMPLETED", "ERROR"} and self.remote.running_seconds is not None:
            wait = self._options.settle_seconds if stage == "COMPLETED" else 0.0
            left = await bring_back(
                self._hub,
                self._options,
                self.spec,
                state_prefix(self._options, self.spec.job, self.remote.try_number),
                sent={*self._sent, KEEP},
                wait_seconds=wait,
            )
        if left is not None:
            return self._exited(left)
        if self._follower is None and self.remote.running_seconds is not None:
            self._follow()  # it was over before we saw it run: what it printed says why
            await self._settled()
        end = ran_out(self.remote) if stage == "ERROR" else None
        if self._stopped_by is not None and stage != "COMPLETED":
            code = "scheduling_timeout" if self._stopped_by == "lost" else ""
            return self._result(self._stopped_by, code=code, message=self._why)
        if end == "timed_out":
            return self._result("timed_out")
        if end == "out_of_memory":
            return self._result("out_of_memory")
        code, message = _how_lost(self.remote, self._options.image)
        return self._result("lost", code=code, message=message)

    def _exited(self, left: Left) -> JobResult:
        cap = self.spec.output_bytes
        stdout, stderr = left.stdout[:cap], left.stderr[:cap]
        for name, content in (("stdout.txt", stdout), ("stderr.txt", stderr)):
            (self.spec.folder / name).write_bytes(content)
        result = self._result("exited", exit_code=left.exit_code)
        tail = stderr[-STDERR_TAIL_BYTES:].decode(errors="replace")
        return result._replace(stdout=stdout.decode(errors="replace"), stderr_tail=tail)

    def _result(
        self, end: JobEnd, *, exit_code: int | None = None, code: str = "", message: str = ""
    ) -> JobResult:
        said = self._follower.text if self._follower else ""
        return JobResult(
            end,
            exit_code,
            float(self.remote.running_seconds or 0),
            (self._follower.peak_memory_bytes or None) if self._follower else None,
            said,
            said[-STDERR_TAIL_BYTES:],
            code,
            message,
        )

    def _write_remote(self) -> None:
        """Leave what is known of the remote job beside its outputs."""
        running = self.remote.running_seconds
        usd = None if running is None else running * self._hardware.usd_per_hour / _SECONDS_PER_HOUR
        data = {
            "job_id": self.remote.id,
            "url": self.remote.url,
            "try": self.remote.try_number,
            "adopted": self._is_adopted,
            "flavor": self._hardware.name,
            "image": self._options.image,
            "usd_per_hour": self._hardware.usd_per_hour,
            "usd": usd,
            "durations": {
                "scheduling_seconds": self.remote.scheduling_seconds,
                "running_seconds": running,
                "total_seconds": self.remote.total_seconds,
            },
            "stages": [{"stage": stage, "seen_at": at} for stage, at in self._stages],
            "message": self.remote.message,
            "use": self._follower.use() if self._follower else None,
        }
        draft = self.spec.folder / f"{REMOTE_NAME}.part"
        draft.write_text(json.dumps(data, indent=1))
        draft.replace(self.spec.folder / REMOTE_NAME)


def _overdue(running_since: float | None, scheduling_seconds: float) -> tuple[JobEnd, str]:
    if running_since is not None:
        return "timed_out", ""
    return "lost", (
        f"no machine within {scheduling_seconds:.0f} s of waiting; try another flavor or later"
    )


def _how_lost(remote: RemoteJob, image: str) -> tuple[str, str]:
    """Return code and message."""
    said = remote.message or "no reason given"
    lower = said.lower()
    if remote.stage == "COMPLETED":
        text = "it completed, but its outputs are not in the bucket"
        return "outputs_missing", text
    if remote.stage in {"CANCELED", "DELETED"}:
        text = "somebody cancelled it on the Hub; resume runs it again"
        return "cancelled_remotely", text
    if "image" in lower and ("pull" in lower or "manifest" in lower):
        text = f"the image {image!r} cannot be pulled ({said}); check its name and digest"
        return "image_pull", text
    if f"exit code: {UNPREPARED}" in lower:
        return "not_prepared", "the container could not be prepared; the job's log says why"
    if "mount" in lower or "volume" in lower:
        text = f"a volume could not be mounted ({said}); check the bucket and the model's name"
        return "mount_failed", text
    return "remote_error", f"the platform ended it: {said}"
