"""What a session is made of besides its options, and how its record is opened and told.

Tests and benchmarks exchange some of the parts. Knows the settings and where jobs run; knows no
graph, no queue and no rule.
"""

import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import NamedTuple

from agents.model import Model
from agents.models.litellm_model import LiteLlm, price_table, refuse_if_missing
from agents.models.llm import LlmModel
from agents.models.model_spec import parse_spec
from agents.models.offline import OfflineModel
from agents.models.prices import prices_of
from agents.models.retry import Gates
from bench.challenge import Challenge
from bench.engine_places import EnginePlaces
from orchestrator.judge import Chambers, OpenPool, Tell, verifier
from orchestrator.known_secrets import machine_redactor
from orchestrator.private_pool import open_pool
from orchestrator.session_folder import ATTEMPTS, CHALLENGE, RECORD
from orchestrator.settings import Settings, load_settings, prepare_litellm
from sandbox.job import Level, Sandbox
from sandbox.local import LocalSandbox
from tools.jobs import Command, Workplace, harness, harness_paths
from tools.record.events import Event
from tools.record.projection import Projection
from tools.record.recorder import Recorder
from tools.record.sqlite_store import SqliteStore

OnEvent = Callable[[Event, Projection], None]
"""Called with each event, and the folds that contain it already."""


def model_named(spec: str) -> Model:
    """Return the thinking model `spec` names.

    Raises:
        ConfigError: there is none, its price is unknown, or LiteLLM is not installed; whoever
            typed it sees which there are and what to do.
    """
    return models_of(load_settings())(spec)


def models_of(settings: Settings) -> Callable[[str], Model]:
    """Return what makes the models of one session; they share gates and the door to LiteLLM."""
    library, gates, redact = LiteLlm(prepare_litellm), Gates(), machine_redactor(settings)

    def make(spec: str) -> Model:
        if spec == "offline":
            return OfflineModel()
        named = parse_spec(spec)
        refuse_if_missing()
        price = prices_of(named, price_table())
        return LlmModel(named, price, library, gates=gates, redact=redact)

    return make


class Parts(NamedTuple):
    """What a session is made of besides its options; tests and benchmarks exchange some."""

    settings: Settings
    sandbox: Sandbox
    models: Callable[[str], Model] = model_named
    command: Command = harness
    judge_command: Command = verifier
    open_pool: OpenPool = open_pool
    clock: Callable[[], float] = time.time
    offer_pause_seconds: float = 1.0
    inbox_pause_seconds: float = 2.0
    device: str = "cpu"
    code: tuple[Path, ...] = ()
    """What `command` has to read besides the harness."""
    jobs: Sandbox | None = None
    """Where measuring jobs run; None = in `sandbox`, where agents and the judge always work."""
    places: EnginePlaces | None = None
    """Where engines are that are not ours."""
    devices: tuple[Path, ...] = ()
    """What jobs may use of /dev besides what everybody has."""
    tell: Tell = lambda _line: None
    """Takes a line of progress, for people: what takes long before the ride."""


def default_parts(level: Level | None = None) -> Parts:
    """Return the parts of a real ride on this machine.

    Raises:
        SandboxUnavailable: this machine cannot keep jobs in at `level`; None = as well as it can.
    """
    settings = load_settings()
    return Parts(settings, LocalSandbox(level=level), models_of(settings))


def workplace(folder: Path, challenge: Challenge, parts: Parts) -> Workplace:
    """Return where the ordinary jobs of the session in `folder` run."""
    whole = folder.resolve()
    return Workplace(
        sandbox=parts.jobs or parts.sandbox,
        challenge=challenge,
        attempts=whole / ATTEMPTS,
        challenge_file=whole / CHALLENGE,
        cache_folder=parts.settings.cache_folder.absolute(),
        command=parts.command,
        readable=(*harness_paths(challenge, whole / CHALLENGE), *parts.code),
        places=parts.places,
        devices=parts.devices,
    )


def chambers(folder: Path, place: Workplace, parts: Parts) -> Chambers:
    """Return what the session's judge is opened with; its jobs never leave this machine."""
    here = place._replace(sandbox=parts.sandbox)
    return Chambers(folder, parts.settings, here, parts.judge_command, parts.open_pool)


@asynccontextmanager
async def opened_recorder(
    folder: Path, parts: Parts, *, session: str | None = None
) -> AsyncIterator[Recorder]:
    """Open the record in `folder`, or make that of the new `session`, and fold it."""
    path = folder / RECORD
    if session is not None:
        store = SqliteStore.create(path, session=session, clock=parts.clock)
    else:
        store = SqliteStore.open(path, clock=parts.clock)
    try:
        redact = machine_redactor(parts.settings)
        recorder = Recorder(store, clock=parts.clock, redact=redact)
        await recorder.catch_up()
        yield recorder
    finally:
        await store.close()


class Relay:
    """Passes events on as they are written. Bound to one event loop."""

    def __init__(self, recorder: Recorder, on_event: OnEvent | None, *, after: int = 0) -> None:
        """Begin with what follows event `after`."""
        self._recorder, self._on_event = recorder, on_event
        self._seen = after

    async def run(self) -> None:
        """Pass events on until cancelled; `flush` then passes on the rest."""
        while True:
            await self._recorder.store.wait(self._seen, timeout_seconds=60.0)
            await self.flush()

    async def flush(self) -> None:
        """Pass on what is in the record and was not yet."""
        while events := await self._recorder.store.read(self._seen):
            await self._recorder.catch_up()
            for event in events:
                self._seen = event.seq
                if self._on_event is not None:
                    self._on_event(event, self._recorder.projection)
