"""The lane: takes requested jobs, one at a time, under the machine-wide lock of the device.

Knows the queue and the clock; what a job does is `tools.jobs`, what the organiser asks for is
`duties`. A job left half done by a kill is taken up first.
"""

import asyncio
import contextlib
from collections.abc import Callable
from typing import NamedTuple

import structlog

from orchestrator.duties import Moment, affordable, duty, next_job
from sandbox.errors import JobTimeout
from sandbox.lane import device_lane
from tools.job_request import job_request
from tools.jobs import Workplace, end_unrun, run_job
from tools.limits import Limits
from tools.record.lineage import Node, Run
from tools.record.recorder import Recorder

IDLE_SECONDS = 0.25
"""Longest wait for a request before the clock is looked at again."""
LOCK_SECONDS = 1.0
"""Longest wait for the device between two looks at a request to stop."""

log = structlog.get_logger()


class LaneRules(NamedTuple):
    """What the lane goes by."""

    limits: Limits
    deadline: float | None = None
    device: str = "cpu"
    finish_seconds: float = 15.0
    """A running job gets this long to end by itself when the session stops."""


class Lane:
    """The one place where jobs run. Bound to one event loop."""

    def __init__(
        self,
        recorder: Recorder,
        place: Workplace,
        rules: LaneRules,
        *,
        clock: Callable[[], float],
    ) -> None:
        self._recorder = recorder
        self._place = place
        self._rules = rules
        self._clock = clock
        self._stopping = asyncio.Event()
        self._cancel_job = asyncio.Event()
        self._holder: int | None = None

    async def run(self) -> None:
        """Run jobs until `stop`."""
        while not self._stopping.is_set():
            await self._recorder.catch_up()
            await self._attend_to_duties()
            pair = self._next()
            if pair is None:
                seq = self._recorder.projection.seq
                await self._recorder.store.wait(seq, timeout_seconds=IDLE_SECONDS)
                continue
            with contextlib.suppress(JobTimeout):  # somebody else's session holds the device
                lane = device_lane(
                    self._rules.device, timeout_seconds=LOCK_SECONDS, on_wait=self._tell_of_wait
                )
                async with lane:
                    if not self._stopping.is_set():
                        await self._run(*pair)

    async def stop(self, task: "asyncio.Task[None]", *, settle: bool) -> None:
        """Let the running job end, for `finish_seconds`; then stop it.

        Args:
            task: the one `run` runs in.
            settle: give what has not ended the outcome `cancelled`; False leaves it for resume.
        """
        self._stopping.set()
        await asyncio.wait((task,), timeout=self._rules.finish_seconds)
        if not task.done():
            self._cancel_job.set() if settle else task.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await task
        if settle:
            await self._settle()

    def _tell_of_wait(self, holder: int | None) -> None:
        """Say once per holder that another session has the device."""
        if holder != self._holder:
            self._holder = holder
            log.warning("lane_is_held", device=self._rules.device, held_by_pid=holder)

    async def _run(self, node: Node, run: Run) -> None:
        await run_job(self._recorder, self._place, node, run, cancelled=self._cancel_job)

    def _next(self) -> tuple[Node, Run] | None:
        lineage = self._recorder.projection.lineage
        half_done = (pair for pair in lineage.live_jobs() if pair[1].state == "running")
        return next(half_done, None) or next_job(
            lineage, self._moment(), challenge=self._place.challenge
        )

    async def _attend_to_duties(self) -> None:
        """Ask for the job the organiser owes the session, if it is time."""
        challenge = self._place.challenge
        known = self._recorder.projection
        wish = duty(known.lineage, self._moment(), challenge=challenge)
        if wish is None:
            return
        async with self._recorder.exclusive():
            request = job_request(
                wish.node,
                wish.stage,
                session=self._recorder.store.session,
                challenge=challenge,
                replicate=wish.replicate,
            )
            is_free = all(run.state == "ended" for run in wish.node.runs)
            if is_free and affordable(known.spend, self._rules.limits, request):
                key = f"organiser/{request.job}"
                await self._recorder.append("organiser", request, key=key)

    async def _settle(self) -> None:
        """Give every attempt its terminal state: jobs that did not run end as cancelled."""
        lineage, place = self._recorder.projection.lineage, self._place
        async with self._recorder.exclusive():
            for node in [node for node in lineage.nodes.values() if not node.runs]:
                request = job_request(
                    node,
                    "screen",
                    session=self._recorder.store.session,
                    challenge=place.challenge,
                )
                free = request.model_copy(update={"reserved_seconds": 0.0, "reserved_usd": 0.0})
                key = f"organiser/{request.job}"
                await self._recorder.append("organiser", free, key=key)
        for node, run in lineage.live_jobs():
            message = "the session ended before its turn came"
            await end_unrun(self._recorder, place, node, run, code="session_over", message=message)

    def _moment(self) -> Moment:
        return Moment(self._clock(), self._rules.deadline)
