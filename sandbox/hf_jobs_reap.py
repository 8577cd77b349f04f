"""Remote jobs nobody waits for: found by their labels, stopped, counted.

For `doctor --fix` and `stop --cancel-jobs`. A job is paid until it ends, whoever forgot it.
"""

from collections.abc import Collection
from typing import NamedTuple

from sandbox.hf_jobs_options import LABEL, label, session_labels
from sandbox.hub import Hub
from sandbox.hub_types import LIVE_STAGES, RemoteJob


class Orphans(NamedTuple):
    """Live jobs of a session."""

    unexpected: tuple[RemoteJob, ...]
    """Of a job that is not in progress, or more than the first of one that is."""
    expected: tuple[RemoteJob, ...]


async def list_live(hub: Hub, session: str | None = None) -> tuple[RemoteJob, ...]:
    """Return the jobs of ours that wait or run; of all sessions when `session` is None.

    Raises:
        HubRefused: they cannot be listed.
    """
    labels = {LABEL: "1"} if session is None else session_labels(session)
    return await hub.jobs(labels, stages=LIVE_STAGES)


async def list_orphans(hub: Hub, session: str, in_progress: Collection[str]) -> Orphans:
    """Return the live jobs of a session, told apart.

    Args:
        hub: where.
        session: as in `HfJobsOptions.session`.
        in_progress: `JobSpec.job` of the jobs that the record says were started and have not
            ended; a resumed session takes one remote job of each over.

    Raises:
        HubRefused: they cannot be listed.
    """
    wanted = set(map(label, in_progress))
    expected: dict[str, RemoteJob] = {}
    unexpected = []
    for one in await list_live(hub, session):
        name = one.labels.get("job", "")
        if name in wanted and name not in expected:
            expected[name] = one
        else:
            unexpected.append(one)
    return Orphans(tuple(unexpected), tuple(expected.values()))


async def cancel_all(
    hub: Hub, session: str, *, only: Collection[str] | None = None
) -> tuple[RemoteJob, ...]:
    """Cancel the live jobs of a session and return them.

    Args:
        hub: where.
        session: as in `HfJobsOptions.session`.
        only: ids of remote jobs, such as of `Orphans.unexpected`; None = all.

    Raises:
        HubRefused: one could not be cancelled; those before it were.
    """
    live = await list_live(hub, session)
    chosen = tuple(one for one in live if only is None or one.id in only)
    for one in chosen:
        await hub.cancel(one.id)
    return chosen
