"""Where the jobs of a session run: a name made into a sandbox, a device's lane and its price.

The session's own processes (agents' commands, outside programs, the judge) stay on this machine
whatever the target. Private texts never leave it: on rented machines nothing is verified. One job
at a time per session, on all targets. Knows sandboxes and settings; knows no graph and no rule.
"""

from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import Any, NamedTuple

import structlog

from bench.challenge import REPOSITORY, Challenge
from bench.engine_places import EnginePlaces, PythonPlace, VllmPlace, read_places
from orchestrator.parts import Parts
from orchestrator.private_pool import Pool
from orchestrator.remote_mark import RemoteMark, mark_of, read_mark
from orchestrator.settings import Settings, hub_endpoint, hub_token, prepare_fake_hub
from orchestrator.target_names import TargetName
from sandbox.errors import ConfigError, VerificationUnavailable
from sandbox.job import Sandbox

HUB_LANE = "hub"
FAKE_FOLDER = "-fake-hub"
"""Beside the cache folder, which jobs of this machine own; each process has its own place there,
for as long as it lives."""
FAKE_POLL_SECONDS = 0.2
DEFAULT_BUCKET = "paceline-jobs"

log = structlog.get_logger()

Seat = Callable[[Path, Challenge, Parts], Parts]
"""(session's folder, challenge, parts) -> the parts with which that session rides."""


class Target(NamedTuple):
    """An open target."""

    usd_per_hour: float | None
    """What a device costs now; None = as the challenge says."""
    seat: Seat
    refuse: Callable[[Challenge], None] = lambda _challenge: None
    """Raises ConfigError for what cannot be raced there, before a session is made."""


@asynccontextmanager
async def opened_target(
    name: TargetName | None, settings: Settings, *, only_price: bool = False
) -> AsyncIterator[Target]:
    """Open the target `name`, for as long as a session rides; nothing of it survives.

    Whether jobs could run there is tried at once, unless its price is all that is wanted.

    Raises:
        ConfigError: `no_token`, `no_image`, `unknown_flavor`, `no_engine`; whoever typed it sees.
        HubRefused: `missing_scope`, `no_credit` and whatever else the Hub says.
        SandboxUnavailable: the fake needs bubblewrap.
    """
    if name in (None, "local", "local-gpu"):
        yield _local(settings, gpu=name == "local-gpu")
    elif name == "hf-jobs":
        async with _opened_hub(settings, only_price=only_price) as target:
            yield target
    else:
        async with _opened_fake(settings, only_price=only_price) as target:
            yield target


def seated_here(name: TargetName | None, folder: Path, challenge: Challenge, parts: Parts) -> Parts:
    """Return the parts with which a session of the target `name` verifies: on this machine.

    Raises:
        ConfigError: `no_engine`, `bad_places`; the operator sees it.
    """
    return _local(parts.settings, gpu=name == "local-gpu").seat(folder, challenge, parts)


async def price_of(name: TargetName | None, settings: Settings) -> float | None:
    """Return what a device of the target costs now; None = as the challenge says. Changes nothing.

    Raises:
        ConfigError: `no_token`, `unknown_flavor`; whoever typed it sees it.
        HubRefused: the Hub does not tell.
    """
    async with opened_target(name, settings, only_price=True) as target:
        return target.usd_per_hour


def places_of(settings: Settings) -> EnginePlaces | None:
    """Return where engines are that are not ours, as the operator says; None = nothing is said.

    Raises:
        ConfigError: `bad_places`; the operator sees it.
    """
    file = settings.engine_places
    return None if file is None else read_places(file.expanduser().absolute())


def _local(settings: Settings, *, gpu: bool) -> Target:
    places = places_of(settings)
    vllm = places.vllm if places else None
    if gpu and vllm is None:
        raise ConfigError(
            "--target local-gpu needs a Python that has vLLM, and nothing says where one is",
            code="no_engine",
            hint="Set PACELINE_ENGINE_PLACES to a file as in docs/engines.md",
        )

    def seat(_folder: Path, _challenge: Challenge, parts: Parts) -> Parts:
        code = tuple(dict.fromkeys((*parts.code, *_roots(places))))
        device = vllm.lane if gpu and vllm else parts.device
        lent = _accelerators() if gpu else ()
        return parts._replace(device=device, places=places, code=code, devices=lent)

    return Target(None, seat)


def _accelerators() -> tuple[Path, ...]:
    """Return the devices of this machine's NVIDIA driver that everybody may open."""
    return tuple(path for path in sorted(Path("/dev").glob("nvidia*")) if not path.is_dir())


def _roots(places: EnginePlaces | None) -> list[Path]:
    """Return what a job has to read of other Pythons: their environments, and packages apart."""
    known = [one for one in (places.vllm, places.transformers) if one] if places else []
    found = [path for one in known for path in _environments(one.python)]
    found += [one.site for one in known if one.site]
    more = [path for one in known for path in one.readable]
    built = [places.vllm.checkpoints] if places and places.vllm and places.vllm.checkpoints else []
    return [*found, *more, *built]


def _environments(python: Path) -> list[Path]:
    """Return the folder of an interpreter, and of the one its environment was made from."""
    folder = python.absolute().parent.parent
    found = [folder]
    with suppress(OSError):
        said = (folder / "pyvenv.cfg").read_text(encoding="utf-8").splitlines()
        pairs = [line.partition("=") for line in said]
        found += [Path(value.strip()).parent for name, _, value in pairs if name.strip() == "home"]
    return [one for one in found if one != one.parent]  # of /bin/python3 that would be everything


# --- the Hub and its fake


@asynccontextmanager
async def _opened_hub(settings: Settings, *, only_price: bool) -> AsyncIterator[Target]:
    from sandbox.hub import DEFAULT_ENDPOINT, opened_hub  # noqa: PLC0415 - only for this target

    if not settings.hub_namespace:
        raise ConfigError(
            "--target hf-jobs: no variable says who owns and pays the jobs",
            code="no_namespace",
            hint="Set PACELINE_HUB_NAMESPACE to your user name or an organisation",
        )
    if not settings.hub_image:
        raise ConfigError(
            "--target hf-jobs: no variable says in which image the jobs run",
            code="no_image",
            hint="Set PACELINE_HUB_IMAGE to NAME@sha256:DIGEST; docs/hf-jobs.md says which",
        )
    namespace = settings.hub_namespace
    endpoint = hub_endpoint() or DEFAULT_ENDPOINT
    async with opened_hub(hub_token(), namespace, endpoint=endpoint) as hub:
        common = {
            "namespace": namespace,
            "bucket": settings.hub_bucket or f"{namespace}/{DEFAULT_BUCKET}",
            "image": settings.hub_image,
            "flavor": settings.hub_flavor,
            "prepare": settings.hub_prepare,
            "python": settings.hub_python,
            "poll_seconds": settings.hub_poll_seconds,
            "scheduling_seconds": settings.hub_scheduling_seconds,
            "outlives": True,  # paid anyway: a resume takes over what its session left
        }
        price = await _price(hub, common, only_price=only_price)
        yield Target(price, _on_hub(hub, common, is_rented=True), _refuse_unpinned)


@asynccontextmanager
async def _opened_fake(settings: Settings, *, only_price: bool) -> AsyncIterator[Target]:
    import sys  # noqa: PLC0415 - as the rest: only for this target

    from orchestrator.fake_place import own_folder  # noqa: PLC0415
    from sandbox import landlock  # noqa: PLC0415
    from sandbox.fake_hub import FakeHub  # noqa: PLC0415
    from sandbox.hub import opened_hub  # noqa: PLC0415

    cache = settings.cache_folder.absolute()
    with own_folder(cache.with_name(cache.name + FAKE_FOLDER)) as folder, FakeHub(folder) as fake:
        prepare_fake_hub(folder)
        async with opened_hub(fake.token, fake.namespace, endpoint=fake.endpoint) as hub:
            common = {
                "namespace": fake.namespace,
                "bucket": f"{fake.namespace}/{DEFAULT_BUCKET}",
                "image": "local",
                "flavor": settings.hub_flavor,
                "python": sys.executable,
                "keeps_cache": True,
                "poll_seconds": FAKE_POLL_SECONDS,
                "is_confining": landlock.abi() > 0,
            }
            price = await _price(hub, common, only_price=only_price)
            yield Target(price, _on_hub(hub, common, is_rented=False))


async def _price(hub: Any, common: dict[str, Any], *, only_price: bool) -> float:
    from sandbox.hf_jobs import HfJobsSandbox  # noqa: PLC0415
    from sandbox.hf_jobs_launch import flavor_of  # noqa: PLC0415
    from sandbox.hf_jobs_options import HfJobsOptions  # noqa: PLC0415

    if only_price:
        return flavor_of(await hub.hardware(), common["flavor"]).usd_per_hour
    found = await HfJobsSandbox(hub, HfJobsOptions(session="check", **common)).check()
    return found.usd_per_hour


def _on_hub(hub: Any, common: dict[str, Any], *, is_rented: bool) -> Seat:
    def seat(folder: Path, challenge: Challenge, parts: Parts) -> Parts:
        from sandbox.hf_jobs import HfJobsSandbox  # noqa: PLC0415
        from sandbox.hf_jobs_options import HfJobsOptions, ModelVolume  # noqa: PLC0415
        from sandbox.hf_jobs_parcel import cache_path  # noqa: PLC0415

        mark = mark_of(folder, common, is_rented=is_rented)
        options = HfJobsOptions(session=mark.label, **common)
        volumes = tuple(ModelVolume(**one) for one in _volumes(challenge, cache_path(0, options)))
        options = options.model_copy(update={"models": volumes})
        jobs: Sandbox = HfJobsSandbox(hub, options)
        if not is_rented:  # the machine it runs on is this one
            return parts._replace(jobs=jobs)
        python = Path(common["python"])
        places = EnginePlaces(
            vllm=VllmPlace(python=python), transformers=PythonPlace(python=python)
        )
        lane = f"{HUB_LANE}-{mark.label}"
        return parts._replace(jobs=jobs, device=lane, open_pool=refuse_remote, places=places)

    return seat


def _volumes(challenge: Challenge, cache: str) -> list[dict[str, str]]:
    """Return the challenge's weights as a volume in the job's cache, where its code looks."""
    if not challenge.model.source.startswith(REPOSITORY):
        return []
    name = challenge.model.source.removeprefix(REPOSITORY).partition("@")[0]
    revision = challenge.model.revision
    place = f"{cache}/hub/models--{name.replace('/', '--')}/snapshots/{revision}"
    return [{"repository": name, "revision": revision, "mount_path": place}]


def _refuse_unpinned(challenge: Challenge) -> None:
    model = challenge.model
    if model.source.startswith(REPOSITORY) and not model.is_pinned:
        raise ConfigError(
            f"model source {model.source!r} names no commit, and a rented job mounts one",
            code="unpinned_model",
            hint="Put the commit you race in place of the branch, in a copy of the challenge file",
        )


async def refuse_remote(*_where: object, **_how: object) -> Pool:
    """Refuse to open private texts for a session whose jobs run on rented machines."""
    raise VerificationUnavailable(
        "the jobs of this session run on rented machines, and private texts stay on this one",
        code="remote_verification",
        hint="Verify it with the original's organisers, or ride with --target local-gpu",
    )


def is_rented(folder: Path) -> bool:
    """Return whether the session in `folder` rides on rented machines."""
    mark: RemoteMark | None = read_mark(folder)
    return mark is not None and mark.is_rented
