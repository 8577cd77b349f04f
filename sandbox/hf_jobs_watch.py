"""Looks at remote jobs: one call for all that wait or run, and a thread for what each one prints.

Knows stages, log lines and use of memory; decides nothing about them.
"""

import asyncio
import contextlib
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import structlog

from sandbox.hf_jobs_options import session_labels
from sandbox.hub import Hub
from sandbox.hub_types import LIVE_STAGES, RemoteJob

log = structlog.get_logger()


class Watch:
    """The jobs of one session; however many wait for them, the Hub is asked once."""

    def __init__(self, hub: Hub, session: str, poll_seconds: float) -> None:
        self._hub, self._labels, self._poll_seconds = hub, session_labels(session), poll_seconds
        self._seen: dict[str, RemoteJob] = {}
        self._at = float("-inf")
        self._lock = asyncio.Lock()
        """Over the listing, so that those who wait share one."""

    async def look(self, job_id: str) -> RemoteJob:
        """Return the job as it was at most half a pause ago.

        Raises:
            HubRefused: the Hub does not tell.
        """
        async with self._lock:
            if time.monotonic() - self._at > self._poll_seconds / 2:
                live = await self._hub.jobs(self._labels, stages=LIVE_STAGES)
                self._seen = {one.id: one for one in live}
                self._at = time.monotonic()
        await self._stop_others(self._seen.get(job_id))
        # not among the live ones: it has ended, or is too new for the list
        return self._seen.get(job_id) or await self._hub.job(job_id)

    async def _stop_others(self, one: RemoteJob | None) -> None:
        """Stop what else is live as the same job: a launch may come through after it was given up.

        Of those that wait for the same job the caller's is the one that counts.
        """
        if one is None:
            return
        for other in list(self._seen.values()):
            if other is not one and other.labels.get("job") == one.labels.get("job"):
                log.warning("extra_remote_job_cancelled", remote=other.id, kept=one.id)
                self._seen.pop(other.id)
                await self._hub.cancel(other.id)


class Follower:
    """Writes what a running job prints to a file, and remembers what it used at most."""

    def __init__(self, hub: Hub, job_id: str, file: Path | None, cap_bytes: int) -> None:
        self.text = ""
        self.samples = 0
        self.peak_memory_bytes = self.peak_gpu_memory_bytes = 0
        self._gpu_use, self._is_settled = 0.0, False
        self._hub, self._job_id, self._file, self._cap = hub, job_id, file, cap_bytes
        self._threads = [self._thread(self._follow_log), self._thread(self._follow_use)]

    def start(self) -> None:
        """Begin; both threads end when the job does."""
        for thread in self._threads:
            thread.start()

    async def settle(self, seconds: float) -> None:
        """Wait for the last lines, not for ever: a stream may hang."""
        until = time.monotonic() + seconds
        while self._threads[0].is_alive() and time.monotonic() < until:  # noqa: ASYNC110
            await asyncio.sleep(0.02)
        self._is_settled = True

    def use(self) -> dict[str, float | int | None]:
        """Return what the job used, as far as it was seen."""
        return {
            "samples": self.samples,
            "peak_memory_bytes": self.peak_memory_bytes or None,
            "peak_gpu_memory_bytes": self.peak_gpu_memory_bytes or None,
            "mean_gpu_use_percent": self._gpu_use / self.samples if self.samples else None,
        }

    def _thread(self, follow: Callable[[], None]) -> threading.Thread:
        def guarded() -> None:
            # a log is for people: that it breaks off is no reason to lose the job
            try:
                follow()
            except Exception as error:  # noqa: BLE001 - whatever either library raises
                log.debug("remote_stream_ended", remote=self._job_id, error=repr(error))

        return threading.Thread(target=guarded, name=f"follow {self._job_id}", daemon=True)

    def _follow_log(self) -> None:
        size = 0
        with contextlib.ExitStack() as opened:
            out = opened.enter_context(self._file.open("w")) if self._file else None
            for line in self._hub.log_lines(self._job_id):
                size += len(line.encode(errors="replace")) + 1
                if size > self._cap or self._is_settled:
                    return
                self.text += f"{line}\n"
                if out is not None:
                    out.write(f"{line}\n")
                    out.flush()

    def _follow_use(self) -> None:
        for sample in self._hub.metrics(self._job_id):
            self.samples += 1
            self.peak_memory_bytes = max(
                self.peak_memory_bytes, _number(sample, "memory_used_bytes")
            )
            gpus = (sample.get("gpus") or {}).values()
            used = sum(_number(one, "memory_used_bytes") for one in gpus)
            self.peak_gpu_memory_bytes = max(self.peak_gpu_memory_bytes, used)
            self._gpu_use += max((_number(one, "utilization") for one in gpus), default=0)


def _number(sample: dict[str, Any], name: str) -> int:
    found = sample.get(name)
    return int(found) if isinstance(found, int | float) else 0
