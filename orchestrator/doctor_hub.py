"""What a token of the Hub may do, found out by harmless calls; and jobs that nobody waits for.

Nothing is launched and nothing written; what cannot be tried for free is read from the token's own
description. `reap` cancels. Knows accounts, scopes and labels; knows no challenge but its model.
"""

from collections.abc import Awaitable, Callable, Iterable
from pathlib import Path
from typing import Any, NamedTuple

from bench.challenge import REPOSITORY, Challenge
from orchestrator.doctor import Finding
from orchestrator.remote_mark import RemoteMark, read_mark
from orchestrator.session_folder import RECORD, holder_of
from orchestrator.settings import Settings, hub_endpoint, hub_token
from sandbox.errors import PacelineError
from sandbox.hf_jobs_launch import flavor_of
from sandbox.hf_jobs_reap import list_live, list_orphans
from sandbox.hub import DEFAULT_ENDPOINT, Hub, opened_hub
from sandbox.hub_refusals import BUCKET_WRITE, JOB_WRITE
from sandbox.hub_types import RemoteJob

TRIES, ANSWER_SECONDS = 2, 15.0
"""Somebody waits for the answer."""
WRITES = {JOB_WRITE: "start jobs", BUCKET_WRITE: "write buckets"}


async def examine_hub(settings: Settings, challenge: Challenge) -> list[Finding]:
    """Return what the account allows; one optional finding where there is no token."""
    token = hub_token()
    if token is None:
        detail = "none; only --target hf-jobs and buckets of the Hub need one"
        command = "export HF_TOKEN=...  # docs/hf-jobs.md lists its scopes"
        return [Finding("hub token", ok=None, detail=detail, command=command)]
    try:
        async with _opened(token, settings.hub_namespace or "me") as hub:
            return await _findings(hub, token, settings, challenge)
    except PacelineError as error:
        return [Finding("hub token", ok=False, detail=str(error))]


def _opened(token: str, namespace: str) -> Any:
    endpoint = hub_endpoint() or DEFAULT_ENDPOINT
    return opened_hub(
        token, namespace, endpoint=endpoint, tries=TRIES, answer_seconds=ANSWER_SECONDS
    )


async def _findings(
    hub: Hub, token: str, settings: Settings, challenge: Challenge
) -> list[Finding]:
    who = await hub.whoami()
    name = str(who.get("name"))
    found = [Finding("hub token", ok=True, detail=f"of {name}")]
    namespace = settings.hub_namespace or name
    async with _opened(token, namespace) as own:
        checks: dict[str, Callable[[], Awaitable[str]]] = {
            "hub jobs": lambda: _jobs(own),
            "hub hardware": lambda: _hardware(own, settings.hub_flavor),
            "hub buckets": lambda: _buckets(own),
        }
        source = challenge.model.source
        if source.startswith(REPOSITORY):
            checks["hub model"] = lambda: _model(own, source.removeprefix(REPOSITORY))
        for title, check in checks.items():
            found.append(await _guarded(title, check))
    return [*found, *_writes(who, namespace)]


async def _guarded(title: str, check: Callable[[], Awaitable[str]]) -> Finding:
    try:
        return Finding(title, ok=True, detail=await check())
    except PacelineError as error:
        return Finding(title, ok=False, detail=str(error))


async def _jobs(hub: Hub) -> str:
    live = await list_live(hub)
    return f"may be listed in {hub.namespace!r}; {len(live)} of ours wait or run"


async def _hardware(hub: Hub, name: str) -> str:
    flavor = flavor_of(await hub.hardware(), name)
    return f"{flavor.name} costs ${flavor.usd_per_hour:.2f} an hour now"


async def _buckets(hub: Hub) -> str:
    return f"may be listed: {len(await hub.bucket_names())} in {hub.namespace!r}"


async def _model(hub: Hub, name: str) -> str:
    repository, _, revision = name.partition("@")
    await hub.look_at_model(repository, revision or "main")
    return f"{repository} may be read"


def _writes(who: dict[str, Any], namespace: str) -> list[Finding]:
    """Return what the token says of itself about writing, which no harmless call could try."""
    granted = _granted(who, namespace)
    findings = []
    for scope, what in WRITES.items():
        if granted is None or scope in granted:
            said = f"the token may {what} in {namespace!r}"
            detail = said if granted is not None else f"{said}, by its role"
            findings.append(Finding(f"hub scope {scope}", ok=True, detail=detail))
        else:
            detail = f"the token may not {what} in {namespace!r}: the scope {scope!r} is missing"
            command = f"edit the token at huggingface.co/settings/tokens: give it {scope!r} there"
            findings.append(Finding(f"hub scope {scope}", ok=False, detail=detail, command=command))
    return findings


def _granted(who: dict[str, Any], namespace: str) -> set[str] | None:
    """Return the scopes of a fine-grained token; None = its role allows all of an account's own."""
    token = (who.get("auth") or {}).get("accessToken") or {}
    if token.get("role") == "read":
        return set()
    if token.get("role") != "fineGrained":
        return None
    fine = token.get("fineGrained") or {}
    granted = set(fine.get("global") or ())
    for one in fine.get("scoped") or ():
        if (one.get("entity") or {}).get("name") == namespace:
            granted |= set(one.get("permissions") or ())
    return granted


# --- jobs that nobody waits for


class _Session(NamedTuple):
    folder: Path
    mark: RemoteMark


async def reap(sessions: Path) -> list[Finding]:
    """Cancel live remote jobs of this machine's sessions that no ride and no resume would take.

    A session that rides looks after its own; a job that a resume would take over is left running,
    and told. Looks again afterwards.

    Raises:
        ConfigError: `no_token`; the operator sees it.
    """
    findings: list[Finding] = []
    for namespace, rented in _by_namespace(sessions).items():
        try:
            async with _opened(hub_token() or "", namespace) as hub:
                for session in rented:
                    findings += await _reap_one(hub, session)
                findings.append(await _left(hub, rented))
        except PacelineError as error:
            findings.append(Finding("remote jobs", ok=False, detail=str(error)))
    none = Finding("remote jobs", ok=True, detail="no session of this machine rented any")
    return findings or [none]


async def _reap_one(hub: Hub, session: _Session) -> list[Finding]:
    name, label = session.folder.name, session.mark.label
    if (pid := holder_of(session.folder)) is not None:
        detail = f"session {name} rides in process {pid} and looks after its own"
        return [Finding("remote jobs", ok=True, detail=detail)]
    orphans = await list_orphans(hub, label, _in_progress(session.folder))
    findings = []
    for one in orphans.unexpected:
        await hub.cancel(one.id)
        detail = f"cancelled {_words(one)} of session {name}: nobody waits for it"
        findings.append(Finding("remote jobs", ok=True, detail=detail))
    for one in orphans.expected:
        detail = f"{_words(one)} of session {name} goes on; a resume takes it over"
        command = f"python -m orchestrator stop {name} --cancel-jobs"
        findings.append(Finding("remote jobs", ok=None, detail=detail, command=command))
    return findings


async def _left(hub: Hub, rented: Iterable[_Session]) -> Finding:
    """Look again: what lives now under our label, and whose it is."""
    live = await list_live(hub)
    ours = {one.mark.label for one in rented}
    others = [one for one in live if one.labels.get("session") not in ours]
    detail = f"{len(live)} wait or run in {hub.namespace!r}"
    if others:
        detail += f", {len(others)} of sessions that are not on this machine"
    return Finding("remote jobs", ok=True, detail=detail)


def _by_namespace(sessions: Path) -> dict[str, list[_Session]]:
    found: dict[str, list[_Session]] = {}
    for record in sorted(sessions.glob(f"*/{RECORD}")):
        mark = read_mark(record.parent)
        if mark is not None and mark.is_rented:
            found.setdefault(mark.namespace, []).append(_Session(record.parent, mark))
    return found


def _in_progress(folder: Path) -> list[str]:
    """Return the jobs that were started and have no outcome: a resume takes them over."""
    from tools.record.projection import Projection  # noqa: PLC0415 - only where there are some
    from tools.record.sqlite_store import SqliteStore  # noqa: PLC0415

    store = SqliteStore.open_read_only(folder / RECORD)
    try:
        lineage = Projection.of(store.events()).lineage
    finally:
        store.close_reader()
    return [run.job for _, run in lineage.live_jobs() if run.state == "running"]


def _words(one: RemoteJob) -> str:
    return f"remote job {one.id} ({one.labels.get('job', 'no name')}, {one.stage})"
