"""Asks a riding session to stop, and ends the remote jobs it would otherwise take up again.

Knows locks, one signal and labels; what a session does when it is asked is its own.
"""

import os
import signal
from pathlib import Path
from typing import NamedTuple

from orchestrator.remote_mark import read_mark
from orchestrator.session_folder import holder_of
from orchestrator.settings import hub_endpoint, hub_token
from sandbox.errors import ConfigError


class Stopped(NamedTuple):
    """What was done."""

    session: str
    asked_pid: int | None
    """Process that was asked; None = nobody rides it."""
    cancelled: tuple[str, ...]
    """Ids of remote jobs."""


async def stop_session(folder: Path, *, cancels_jobs: bool) -> Stopped:
    """Ask whoever rides the session in `folder` to stop, as Ctrl-C does once.

    Args:
        folder: of the session.
        cancels_jobs: cancel its remote jobs, too; else they go on, and a resume takes them over.

    Raises:
        ConfigError: `not_yours`: another user rides it; `no_token`.
        HubRefused: its jobs cannot be listed or cancelled.
    """
    pid = holder_of(folder)
    if pid is not None:
        try:
            os.kill(pid, signal.SIGINT)
        except PermissionError:
            raise ConfigError(
                f"session {folder.name!r} is ridden by process {pid} of another user",
                code="not_yours",
                hint="let that user stop it",
            ) from None
        except ProcessLookupError:
            pid = None  # it has just ended
    cancelled = await cancel_jobs(folder) if cancels_jobs else ()
    return Stopped(folder.name, pid, cancelled)


async def cancel_jobs(folder: Path) -> tuple[str, ...]:
    """Cancel every live remote job of a session and return their ids.

    Raises:
        ConfigError: `no_token`.
        HubRefused: one could not be cancelled; run it again.
    """
    mark = read_mark(folder)
    if mark is None or not mark.is_rented:
        return ()  # those of a fake end with the process that plays it
    from sandbox.hf_jobs_reap import cancel_all  # noqa: PLC0415 - only where there are some
    from sandbox.hub import DEFAULT_ENDPOINT, opened_hub  # noqa: PLC0415

    endpoint = hub_endpoint() or DEFAULT_ENDPOINT
    async with opened_hub(hub_token(), mark.namespace, endpoint=endpoint) as hub:
        return tuple(one.id for one in await cancel_all(hub, mark.label))
