"""A fake Hub with a sandbox that uses it, and jobs for both."""

import asyncio
import contextlib
import json
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, NamedTuple

from sandbox.fake_hub import FakeHub, Faults
from sandbox.hf_job import HfJob
from sandbox.hf_jobs import HfJobsSandbox
from sandbox.hf_jobs_options import HfJobsOptions
from sandbox.hub import Hub
from sandbox.job import JobResult, JobSpec

PATIENCE = {"answer_seconds": 20.0, "first_wait_seconds": 0.01, "tries": 8}
FOR_EVER = ("sh", "-c", "echo here; sleep 600")


class Stand(NamedTuple):
    fake: FakeHub
    hub: Hub
    sandbox: HfJobsSandbox

    def again(self, **changes: Any) -> HfJobsSandbox:
        """Return the sandbox of the same session in another process, as it were."""
        return HfJobsSandbox(self.hub, self.sandbox.options.model_copy(update=changes))

    async def run(self, spec: JobSpec) -> JobResult:
        return await (await self.sandbox.start(spec)).result()


def make_options(**changes: Any) -> HfJobsOptions:
    plain: dict[str, Any] = {
        "namespace": "paceline",
        "session": "brave-otter-01",
        "bucket": "paceline/jobs",
        "image": "local",
        "flavor": "cpu-basic",
        "python": sys.executable,
        "poll_seconds": 0.02,
        "settle_seconds": 2.0,
    }
    return HfJobsOptions(**(plain | changes))


@asynccontextmanager
async def stand(
    folder: Path,
    *,
    faults: Faults | None = None,
    fake: dict[str, Any] | None = None,
    hub: dict[str, Any] | None = None,
    **options: Any,
) -> AsyncIterator[Stand]:
    with FakeHub(folder / "hub", faults=faults, **(fake or {})) as served:
        patience = PATIENCE | (hub or {})
        opened = Hub(served.token, served.namespace, endpoint=served.endpoint, **patience)
        yield Stand(served, opened, HfJobsSandbox(opened, make_options(**options)))


def make_spec(folder: Path, *argv: str, **changes: Any) -> JobSpec:
    plain: dict[str, Any] = {"job": "ann-0001-1", "folder": folder, "wall_seconds": 30}
    return JobSpec(argv=argv or ("true",), **(plain | changes))


async def abandoned(job: HfJob) -> None:
    """Forget the job as a killed process does: nothing is told to the Hub."""
    job._end.cancel()
    with contextlib.suppress(asyncio.CancelledError):
        await job._end


async def until_running(served: FakeHub, count: int = 1) -> None:
    async with asyncio.timeout(10):
        while sum(job.stage == "RUNNING" for job in served.jobs()) < count:  # noqa: ASYNC110
            await asyncio.sleep(0.01)


def remote(folder: Path) -> Any:
    return json.loads((folder / "remote.json").read_text())
