"""The lane: takes requested jobs, one at a time, under the machine-wide lock of the device.

Knows the queue and the clock; what a job does is `tools.jobs`, what the organiser asks for and what
follows from a job is the organiser's. A job left half done by a kill is taken up first.
"""

import asyncio
import contextlib
from collections.abc import Callable
from typing import NamedTuple

import structlog

from bench.challenge import Challenge
from orchestrator.duties import Moment, next_job
from orchestrator.organiser import Organiser
from sandbox.errors import HubRefused, JobTimeout
from sandbox.lane import device_lane
from tools.job_request import job_request
from tools.jobs import Workplace, end_unrun, run_job
from tools.record.events import JobRequested
from tools.record.lineage import Node, Run
from tools.record.recorder import Recorder

IDLE_SECONDS = 0.25
"""Longest wait for a request before the clock is looked at again."""
LOCK_SECONDS = 1.0
"""Longest wait for the device between two looks at a request to stop."""

log = structlog.get_logger()


class LaneRules(NamedTuple):
    """What the lane goes by."""

    deadline: float | None = None
    began: float | None = None
    """When the ride began."""
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
        organiser: Organiser,
        clock: Callable[[], float],
    ) -> None:
        self._recorder = recorder
        self._place = place
        self._organiser = organiser
        self._rules = rules
        self._clock = clock
        self._stopping = asyncio.Event()
        self._cancel_job = asyncio.Event()
        self._holder: int | None = None
        self.refusal: HubRefused | None = None
        """Why no job can run any more until the operator has done something."""

    async def run(self) -> None:
        """Run jobs until `stop`."""
        while not self._stopping.is_set() and self.refusal is None:
            await self._recorder.catch_up()
            await self._organiser.settle()
            waited_for = await self._organiser.ask(self._moment())
            pair = self._next(waited_for)
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
        await self._organiser.settle()
        if settle:
            await self._settle()

    def _tell_of_wait(self, holder: int | None) -> None:
        """Say once per holder that another session has the device."""
        if holder != self._holder:
            self._holder = holder
            log.warning("lane_is_held", device=self._rules.device, held_by_pid=holder)

    async def _run(self, node: Node, run: Run) -> None:
        place = self._place if run.stage != "private" else self._organiser.private_place
        if place is None:  # asked for in an earlier ride; nothing can be verified in this one
            await self._give_up(node, run, code="no_verification")
            return
        try:
            await run_job(self._recorder, place, node, run, cancelled=self._cancel_job)
        except HubRefused as error:
            log.warning("no_job_can_run", job=run.job, code=error.code, error=str(error))
            self.refusal = error

    def _next(self, waited_for: str | None) -> tuple[Node, Run] | None:
        """Return the job to run: one left half done, the one the organiser waits for, the first."""
        lineage = self._recorder.projection.lineage
        live = lineage.live_jobs()
        half_done = [pair for pair in live if pair[1].state == "running"]
        wanted = [pair for pair in live if pair[0].attempt == waited_for]
        return next(iter(half_done + wanted), None) or next_job(
            lineage, self._moment(), challenge=self._place.challenge
        )

    async def _settle(self) -> None:
        """Give every attempt its terminal state: jobs that did not run end as cancelled."""
        lineage, challenge = self._recorder.projection.lineage, self._place.challenge
        session = self._recorder.store.session
        async with self._recorder.exclusive():
            for node in [node for node in lineage.nodes.values() if not node.runs]:
                free = unpaid_request(node, session=session, challenge=challenge)
                await self._recorder.append("organiser", free, key=f"organiser/{free.job}")
        for node, run in lineage.live_jobs():
            await self._give_up(node, run, code="session_over")

    async def _give_up(self, node: Node, run: Run, *, code: str) -> None:
        message = "the session ended before its turn came"
        if code != "session_over":
            message = "nothing can be verified in this ride"
        await end_unrun(self._recorder, self._place, node, run, code=code, message=message)

    def _moment(self) -> Moment:
        return Moment(self._clock(), self._rules.deadline, self._rules.began)


def unpaid_request(node: Node, *, session: str, challenge: Challenge) -> JobRequested:
    """Return the intent of a job that will not run, for an attempt that nobody launched."""
    request = job_request(node, "screen", session=session, challenge=challenge)
    return request.model_copy(update={"reserved_seconds": 0.0, "reserved_usd": 0.0})
