"""One remote job for one local one: adopted if it is there, launched once if not.

A launch costs money and has no idempotency key, so labels stand in: session, job, try. What runs
or has ended under a job's labels is taken over; a launch whose answer was lost is looked for; of
several only the first is kept. Knows labels and stages; knows no outputs.
"""

import asyncio
import math
import time
from collections.abc import Collection, Iterable
from typing import NamedTuple

import structlog

from sandbox.errors import ConfigError, HubRefused
from sandbox.hf_jobs_options import HfJobsOptions, job_labels, label, model_volumes
from sandbox.hf_jobs_parcel import CACHE, EXIT, HARNESS, INPUT, SENT, STATE, Parcel, digest
from sandbox.hub import Hub
from sandbox.hub_refusals import LaunchUnanswered
from sandbox.hub_types import Hardware, RemoteJob, Volume
from sandbox.job import JobSpec

LOOK_SECONDS = 15.0
"""How long a launch whose answer was lost is looked for, before it counts as not done."""
LAUNCHES = 4
"""Of one start, when answers are lost and nothing is there."""
KEEP = ".keep"
"""In every folder that is mounted: an empty one fails to mount."""

log = structlog.get_logger()


class Launched(NamedTuple):
    """A remote job that is ours."""

    job: RemoteJob
    is_adopted: bool


def state_prefix(options: HfJobsOptions, job: str, try_number: int) -> str:
    """Return where in the bucket one try of a job has its state."""
    return f"jobs/{label(options.session)}/{label(job)}/{try_number}"


def flavor_of(found: Iterable[Hardware], name: str) -> Hardware:
    """Return the flavor.

    Raises:
        ConfigError: there is none of that name; the operator sees those there are.
    """
    by_name = {one.name: one for one in found}
    if name not in by_name:
        known = ", ".join(f"{one.name} (${one.usd_per_hour:.2f}/h)" for one in by_name.values())
        raise ConfigError(
            f"HF Jobs have no flavor {name!r}", code="unknown_flavor", hint=f"There are: {known}"
        )
    return by_name[name]


async def launched(
    hub: Hub,
    options: HfJobsOptions,
    spec: JobSpec,
    parcel: Parcel,
    *,
    delivered: Collection[str],
) -> Launched:
    """Return the remote job of `spec`, which is launched unless it is there.

    Args:
        hub: where.
        options: how.
        spec: what.
        parcel: `spec`, packed.
        delivered: remote jobs whose result was handed out: asked again, another one runs.

    Raises:
        HubRefused: it was not launched; why not.
    """
    there = await hub.jobs(job_labels(options.session, spec.job))
    taken = [one for one in there if one.id not in delivered]
    for one in taken:
        if await _is_worth_it(hub, options, spec, one):
            await cancel_others(hub, taken, keep=one.id)
            log.info("remote_job_adopted", job=spec.job, remote=one.id, stage=one.stage)
            return Launched(one, is_adopted=True)
    number = 1 + max((one.try_number for one in there), default=0)
    volumes = await _send(hub, options, state_prefix(options, spec.job, number), parcel)
    return Launched(await _launch(hub, options, spec, parcel, volumes, number), is_adopted=False)


async def cancel_others(hub: Hub, found: Iterable[RemoteJob], *, keep: str) -> None:
    """Stop all live jobs but one."""
    for one in found:
        if one.is_live and one.id != keep:
            log.warning("extra_remote_job_cancelled", remote=one.id, kept=keep)
            await hub.cancel(one.id)


async def _is_worth_it(hub: Hub, options: HfJobsOptions, spec: JobSpec, one: RemoteJob) -> bool:
    """Return whether it runs, or ended by its own doing: then it was paid and its result counts."""
    if one.is_live or one.stage == "COMPLETED":
        return True
    if one.stage != "ERROR":
        return False
    prefix = state_prefix(options, spec.job, one.try_number)
    left = {file.path for file in await hub.listing(options.bucket, prefix)}
    return f"{prefix}/{EXIT}" in left or ran_out(one) is not None


def ran_out(one: RemoteJob) -> str | None:
    """Return `timed_out` or `out_of_memory` where the platform ended it for that."""
    said = one.message.lower()
    if "timeout" in said or "timed out" in said:
        return "timed_out"
    return "out_of_memory" if "oom" in said or "out of memory" in said else None


async def _send(hub: Hub, options: HfJobsOptions, state: str, parcel: Parcel) -> list[Volume]:
    """Upload what is not there yet and return the volumes of the job."""
    volumes = model_volumes(options)
    for kind, files, mount in (
        ("harness", parcel.harness, HARNESS),
        ("input", parcel.inputs, INPUT),
    ):
        if files:
            prefix = f"{kind}/{await asyncio.to_thread(digest, files)}"
            there = {one.path for one in await hub.listing(options.bucket, prefix)}
            wanted = {f"{prefix}/{path}": file for path, file in files.items()}
            missing = {path: file for path, file in wanted.items() if path not in there}
            if missing:
                await hub.upload(options.bucket, missing)
            volumes.append(Volume("bucket", options.bucket, mount, prefix))
    sent = {f"{state}/{SENT}/{path}": content for path, content in parcel.state.items()}
    await hub.upload(options.bucket, {**sent, f"{state}/{SENT}/{KEEP}": b"\n"})
    volumes.append(Volume("bucket", options.bucket, STATE, state, read_only=False))
    if options.keeps_cache and parcel.caches:
        kept = {f"cache/{number}/{KEEP}": b"\n" for number in range(parcel.caches)}
        await hub.upload(options.bucket, kept)
        volumes.append(Volume("bucket", options.bucket, CACHE, "cache", read_only=False))
    return volumes


async def _launch(
    hub: Hub,
    options: HfJobsOptions,
    spec: JobSpec,
    parcel: Parcel,
    volumes: list[Volume],
    number: int,
) -> RemoteJob:
    labels = job_labels(options.session, spec.job, number)
    for _ in range(LAUNCHES):
        try:
            return await hub.launch(
                image=options.image,
                command=parcel.command,
                environment=parcel.environment,
                flavor=options.flavor,
                timeout_seconds=math.ceil(spec.wall_seconds),
                labels=labels,
                volumes=volumes,
            )
        except LaunchUnanswered as lost:
            found = await _looked_for(hub, options, labels)
            if found is not None:
                log.info("lost_launch_found", job=spec.job, remote=found.id)
                return found
            reason = lost
    raise HubRefused(
        f"job {spec.job!r} was asked for {LAUNCHES} times, without an answer and without a job",
        code="hub_unreachable",
        hint="Look at status.huggingface.co, then resume",
    ) from reason


async def _looked_for(hub: Hub, options: HfJobsOptions, labels: dict[str, str]) -> RemoteJob | None:
    """Return the job that a launch without an answer started, if it did."""
    until = time.monotonic() + min(LOOK_SECONDS, 3 * options.poll_seconds)
    while True:
        found = await hub.jobs(labels)
        if found:
            await cancel_others(hub, found, keep=found[0].id)
            return found[0]
        if time.monotonic() >= until:
            return None
        await asyncio.sleep(options.poll_seconds)
