"""How a session begins, and begins again: options, files and the first events.

Every event has a fixed key, so writing the beginning twice writes it once: a kill in the middle of
opening leaves a session that resume completes.
"""

import asyncio
import json
import os
import shutil
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, NamedTuple, TypeVar
from zlib import crc32

from pydantic import BaseModel, Field, ValidationError

from agents.library import Rider, load_personas
from agents.model import Model
from agents.models.by_persona import name_for
from agents.persona import Persona
from bench.challenge import Challenge
from bench.challenge_files import LoadedChallenge, load_challenge
from bench.engine_sources import EngineName
from bench.frozen import is_absent, parse
from orchestrator.budgets import (
    Budgets,
    persona_budgets,
    refuse_too_small,
    with_default_caps,
    with_device_cap,
)
from orchestrator.engine_versions import engine_version
from orchestrator.harness_riders import check_riders
from orchestrator.known_secrets import machine_redactor
from orchestrator.session_folder import (
    CHALLENGE,
    IMPORTED,
    RIDERS,
    SESSION,
    claim_folder,
    make_folder,
    read_toml,
    toml_text,
)
from orchestrator.settings import Settings, handed_over
from orchestrator.target_names import TargetName
from sandbox.errors import ConfigError, RecordError
from tools.job_request import job_request
from tools.plain_text import plain
from tools.record.events import (
    FORMAT_VERSION,
    AgentJoined,
    AttemptProposed,
    SessionOpened,
    SessionResumed,
)
from tools.record.recorder import Recorder
from tools.redaction import Redactor

BASELINE = "a0000"
THRESHOLDS = "thresholds.json"
SHORTEST_RIDE_MINUTES = 0.05
"""Of a resumed ride: time to finish the turns that were cut short."""

_NOT_TOLD = {"session"}
"""Options left out of record and files: where a session lies is no part of it."""

T = TypeVar("T", bound=BaseModel)


class RunOptions(Budgets):
    """What `run` was told. None = no such limit, or as the challenge says."""

    agents: int = Field(default=20, ge=1, le=5000)
    personas: str | None = None
    """Names, files or folders, separated by commas; None = every persona found."""
    model: str = "offline"
    engine: EngineName | None = None
    challenge: str = "gemma-270m-cpu"
    """Name or file."""
    attempts: int | None = Field(default=None, ge=1)
    minutes: float | None = Field(default=None, gt=0)
    patience: int | None = Field(default=None, ge=1)
    """Stop after as many measured attempts without a new best."""
    seed: int = 0
    session: str | None = None
    """Folder of the new session; None = named by time and challenge."""
    allow_harness: bool = False
    """Let personas start outside programs, which have the network; see docs/riders.md."""
    verify: bool = True
    """Examine records on private texts, where the challenge and the machine allow it."""
    target: TargetName | None = Field(default=None, exclude_if=is_absent)
    """Where jobs run; None = on this machine. A resumed session rides where it rode."""


class Opened(NamedTuple):
    """A session's folder with what is in force for this ride."""

    folder: Path
    options: RunOptions
    challenge: Challenge
    riders: Sequence[Rider]


async def create_session(
    options: RunOptions,
    model: Model,
    *,
    settings: Settings,
    clock: Callable[[], float],
    usd_per_hour: float | None = None,
) -> Opened:
    """Check everything, then make the folder with its files; no event is written yet.

    Where `model` or the device is paid for, the session gets caps that were not typed. What the
    device costs now, `usd_per_hour`, replaces what the challenge says.

    Raises:
        ConfigError: an option, challenge, persona or model file that cannot be used.
        RecordError: the folder cannot be made, or holds a session already.
    """
    loaded = load_challenge(options.challenge)
    challenge = loaded.challenge
    if options.engine is not None:
        challenge = _on_engine(challenge, options.engine)
    engine_version(challenge)
    if usd_per_hour is not None:
        challenge = challenge.model_copy(update={"device_usd_per_hour": usd_per_hour})
    options = with_device_cap(options, usd_per_hour)
    refuse_too_small(options, challenge)
    riders = load_personas(options.personas, count=options.agents)
    check_riders(riders, allowed=options.allow_harness, variables=handed_over)
    options = with_default_caps(options, model, riders)
    if challenge.engine == "llamacpp":
        await asyncio.to_thread(_check_model_file, challenge, settings.cache_folder)
    folder = _new_folder(options, settings, challenge, now=clock())
    redact = machine_redactor(settings)
    challenge = redact.record(_copy_texts(challenge, loaded, folder, redact))
    # what is ridden with is what was stored, so a resumed ride and a replay are told the same
    riders = [one._replace(persona=redact.record(one.persona)) for one in riders]
    options = redact.record(options)
    _write_files(folder, options, challenge, riders)
    return Opened(folder, options, challenge, riders)


async def reopen_session(
    folder: Path,
    recorder: Recorder,
    *,
    minutes: float | None = None,
    attempts: int | None = None,
    **budgets: float | None,
) -> Opened:
    """Read the folder back, with the limits of the ride to come; `budgets` as in `Budgets`.

    Raises:
        RecordError: a file is damaged, or the session is of a newer format.
        ConfigError: a limit that cannot be used.
    """
    stored = read_toml(folder / SESSION)
    version = stored.pop("format_version", None)
    if not isinstance(version, int) or version > FORMAT_VERSION:
        raise RecordError(
            f"session {folder.name!r} has format {version!r}, this program knows up to"
            f" {FORMAT_VERSION}",
            code="newer_format",
            hint="use the version of paceline that made it, or a newer one",
        )
    options = _stored(RunOptions, stored, SESSION)
    left = await _limits_left(recorder, options)
    given = {"minutes": minutes, "attempts": attempts, **budgets}
    update = left | {name: value for name, value in given.items() if value is not None}
    options = parse(RunOptions, {**options.model_dump(), **update}, what="resume")
    challenge = _stored(Challenge, read_toml(folder / CHALLENGE), CHALLENGE)
    riders = read_riders(folder)
    check_riders(riders, allowed=options.allow_harness, variables=handed_over)
    return Opened(folder, options, challenge, riders)


async def write_beginning(recorder: Recorder, opened: Opened) -> None:
    """Write what every record starts with; what is there already is not written again."""
    challenge, options = opened.challenge, opened.options
    if recorder.projection.opened is None:
        start = SessionOpened(
            format_version=FORMAT_VERSION,
            challenge=challenge.model_dump(mode="json"),
            settings=_settings(opened),
            model_sha256=challenge.model.identity,
            engine_version=engine_version(challenge),
        )
        await recorder.append("organiser", start, key="open")
    await asyncio.gather(
        *(
            recorder.append(
                rider.agent_name, joined(rider, options), key=f"join/{rider.agent_name}"
            )
            for rider in opened.riders
            if rider.agent_name not in recorder.projection.agents
        )
    )
    await write_baseline(recorder, challenge)


async def write_resumption(recorder: Recorder, opened: Opened) -> None:
    """Write that the session goes on, with the limits of this ride."""
    resumed = SessionResumed(settings=_settings(opened))
    key = f"resumed/{recorder.projection.resumes + 1}"
    await recorder.append("organiser", resumed, key=key)


async def write_baseline(recorder: Recorder, challenge: Challenge) -> None:
    """Write the baseline and the job that measures it, unless they are there."""
    known = recorder.projection
    assert known.opened is not None
    if BASELINE not in known.lineage.nodes:
        fingerprint = challenge.baseline.fingerprint(
            engine_version=known.opened.engine_version, model_sha256=known.opened.model_sha256
        )
        baseline = AttemptProposed(
            attempt=BASELINE,
            parents=(),
            config=challenge.baseline,
            fingerprint=fingerprint,
            hypothesis="The reference: every speed and every perplexity is compared with it.",
            direction="",
        )
        await recorder.append("organiser", baseline, key=f"propose/{BASELINE}")
    node = known.lineage.nodes[BASELINE]
    if not node.runs:
        request = job_request(node, "full", session=recorder.store.session, challenge=challenge)
        await recorder.append("organiser", request, key=f"job/{request.job}/requested")


def _settings(opened: Opened) -> dict[str, Any]:
    settings = opened.options.model_dump(mode="json", exclude=_NOT_TOLD)
    shared = persona_budgets(opened.riders)
    machine = {"cores": os.cpu_count() or 1}  # a model that is a program asks for it
    return settings | machine | ({"persona_budgets": shared} if shared else {})


def joined(rider: Rider, options: RunOptions) -> AgentJoined:
    """Return who joins as `rider`."""
    own = rider.persona.x_paceline.seed
    seed = crc32(f"{options.seed if own is None else own}/{rider.agent_name}".encode())
    return AgentJoined(
        agent=rider.agent_name,
        persona=rider.persona.name,
        description=plain(rider.persona.description),
        model=name_for(rider.persona, options.model),
        seed=seed,
    )


async def _limits_left(recorder: Recorder, options: RunOptions) -> dict[str, Any]:
    """Return the limits of the next ride: the same again after a limit, else what was left."""
    known = recorder.projection
    settings = {**options.model_dump(), **known.settings}
    reason = known.stopped.reason if known.stopped else None
    minutes, attempts = settings["minutes"], settings["attempts"]
    if minutes is not None:
        ridden = (known.time - await _began_at(recorder)) / 60
        left = max(minutes - ridden, SHORTEST_RIDE_MINUTES)
        minutes = options.minutes if reason == "minutes" else left
    if attempts is not None and reason == "attempts":
        attempts += options.attempts or 0
    budgets = {name: settings[name] for name in Budgets.model_fields}
    return {"minutes": minutes, "attempts": attempts, **budgets}


async def _began_at(recorder: Recorder) -> float:
    """Return when the latest ride began, Unix seconds."""
    seq, began = 0, recorder.projection.time
    while events := await recorder.store.read(seq):
        starts = [e.time for e in events if e.kind in {"session_opened", "session_resumed"}]
        seq, began = events[-1].seq, (starts or [began])[-1]
    return began


def _on_engine(challenge: Challenge, engine: str) -> Challenge:
    """Return `challenge` on another engine; on paper a day's quota of jobs spares nothing."""
    update: dict[str, Any] = {"engine": engine}
    if engine == "simulated":
        free = {"jobs_per_agent_per_day": None, "jobs_per_session_per_day": None}
        update["quotas"] = challenge.quotas.model_copy(update=free)
    return challenge.model_copy(update=update)


def _check_model_file(challenge: Challenge, cache_folder: Path) -> None:
    from bench.artefacts.model_file import locate  # noqa: PLC0415 - not for simulated sessions

    locate(challenge.model, cache_folder)


def _new_folder(
    options: RunOptions, settings: Settings, challenge: Challenge, *, now: float
) -> Path:
    if options.session is None:
        return make_folder(settings.sessions_folder, challenge=challenge.name, now=now)
    folder = Path(options.session)
    if not claim_folder(folder):
        raise ConfigError(
            f"session folder {options.session!r} exists and is not empty",
            code="session_exists",
            hint=f"python -m orchestrator resume {options.session}, or name another folder",
        )
    return folder


def _copy_texts(
    challenge: Challenge, loaded: LoadedChallenge, folder: Path, redact: Redactor
) -> Challenge:
    """Copy the public texts and thresholds beside the challenge, so that it stands alone."""
    names = {"prompts": "prompts.jsonl", "passages": "passages.jsonl"}
    for field, name in names.items():
        text = (loaded.folder / getattr(challenge, field)).read_bytes()
        (folder / name).write_bytes(redact.raw(text))
    update: dict[str, Any] = dict(names)
    if challenge.verification is not None:
        thresholds = loaded.folder / challenge.verification.thresholds
        update["verification"] = challenge.verification.model_copy(
            update={"thresholds": THRESHOLDS}
        )
        if thresholds.is_file():
            shutil.copyfile(thresholds, folder / THRESHOLDS)
    return challenge.model_copy(update=update)


def _write_files(
    folder: Path, options: RunOptions, challenge: Challenge, riders: Sequence[Rider]
) -> None:
    told = options.model_dump(mode="json", exclude=_NOT_TOLD)
    session = {"format_version": FORMAT_VERSION, **told}
    people = [
        {"agent_name": rider.agent_name, "persona": rider.persona.model_dump(mode="json")}
        for rider in riders
    ]
    texts = {
        SESSION: toml_text(session),
        CHALLENGE: toml_text(challenge.model_dump(mode="json")),
        RIDERS: json.dumps(people, indent=1, ensure_ascii=False),
    }
    for name, text in texts.items():
        (folder / name).write_text(text, encoding="utf-8")


def read_riders(folder: Path) -> list[Rider]:
    """Return the riders a session was opened with."""
    try:
        people = json.loads((folder / RIDERS).read_text(encoding="utf-8"))
        return [Rider(one["agent_name"], Persona.model_validate(one["persona"])) for one in people]
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise RecordError(
            f"{str(folder / RIDERS)!r} cannot be read: {error}",
            code="session_unreadable",
            hint=IMPORTED,
        ) from error


def _stored(kind: type[T], data: object, name: str) -> T:
    try:
        return kind.model_validate(data)
    except ValidationError as error:
        problem = error.errors(include_url=False)[0]
        where = ".".join(map(str, problem["loc"]))
        raise RecordError(
            f"{name} of the session is damaged: {where}: {problem['msg']}",
            code="session_unreadable",
        ) from error
