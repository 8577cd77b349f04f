"""Jobs on HF Jobs, as a `Sandbox`: the container keeps them in, labels keep them single.

    sandbox = HfJobsSandbox(Hub(token, "my-org"), options)
    await sandbox.check()  # token, flavor, bucket: before anything is spent
    result = await (await sandbox.start(spec)).result()

A job sees its harness and inputs read-only and no secret. What kept it from ending by itself is in
the result: `timed_out`, `out_of_memory`, `cancelled`, or `lost` with a code: `scheduling_timeout`,
`image_pull`, `mount_failed`, `not_prepared`, `outputs_missing`, `unsafe_output`, `too_much_output`,
`cancelled_remotely`, `remote_error`, or that of a `HubRefused`. How long it waited and ran, and
what that costs, lies in remote.json in its folder.
What it does NOT do: limit memory or processes (the flavor does), run what is not kept in.
More in docs/hf-jobs.md.
"""

import asyncio

from sandbox.errors import ConfigError
from sandbox.hf_job import HfJob, Place
from sandbox.hf_jobs_launch import flavor_of, launched
from sandbox.hf_jobs_options import HfJobsOptions
from sandbox.hf_jobs_parcel import Parcel, pack
from sandbox.hf_jobs_watch import Watch
from sandbox.hub import Hub
from sandbox.hub_types import Hardware
from sandbox.job import Isolation, JobSpec


class HfJobsSandbox:
    """Runs jobs on HF Jobs; see the module's text."""

    name = "hf-jobs"
    level: Isolation = "container"

    def __init__(self, hub: Hub, options: HfJobsOptions) -> None:
        """Connect to nothing yet; `check` says whether it will work."""
        self.options = options
        self.confines = options.is_confining
        self._hub = hub
        self._watch = Watch(hub, options.session, options.poll_seconds)
        self._delivered: set[str] = set()
        self._hardware: Hardware | None = None
        self._lock = asyncio.Lock()
        """Over launches: two of one job at once would not see each other."""

    async def check(self) -> Hardware:
        """Return the flavor with its price, having tried token, flavor and bucket.

        Raises:
            ConfigError: `unknown_flavor`; the operator sees which there are.
            HubRefused: what the token may not, or that nobody answers.
        """
        hardware = await self._flavor()
        await self._hub.create_bucket(self.options.bucket)
        await self._hub.listing(self.options.bucket, "jobs")
        await self._hub.jobs({"paceline": "1", "session": "none"})
        return hardware

    async def start(self, spec: JobSpec) -> HfJob:
        """Start `spec` once: what is there under its labels is taken over.

        Raises:
            ConfigError: `unknown_flavor`.
            JobError: it cannot be sent (`not_remote`, `too_much_input`), or as `HubRefused` says.
        """
        await asyncio.to_thread(spec.folder.mkdir, parents=True, exist_ok=True)
        parcel = await asyncio.to_thread(pack, spec, self.options)
        self._refuse_secret(parcel)
        hardware = await self._flavor()
        async with self._lock:
            await self._hub.create_bucket(self.options.bucket)
            found = await launched(self._hub, self.options, spec, parcel, delivered=self._delivered)
        place = Place(self._hub, self.options, self._watch, hardware, self._delivered)
        return HfJob(spec, place, found, parcel.state)

    async def _flavor(self) -> Hardware:
        if self._hardware is None:
            self._hardware = flavor_of(await self._hub.hardware(), self.options.flavor)
        return self._hardware

    def _refuse_secret(self, parcel: Parcel) -> None:
        seen = "\0".join((*parcel.command, *parcel.environment.values()))
        if self._hub.holds_secret(seen):
            raise ConfigError(
                "the Hugging Face token is part of a job's command or environment",
                code="secret_in_job",
                hint="Take it out: jobs run code that agents wrote",
            )
