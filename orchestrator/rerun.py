"""A session done again from its record: no network, no engine, no model; the same head hash.

The record gives the schedule, who acts when; what anybody decides or writes is derived again by the
code of the ride and compared, event by event. `docs/replay.md` says which events are derived and
which are inputs. Knows the schedule's players; each of them is a module of its own.
"""

import json
import os
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from agents.model import Model
from agents.models.by_persona import ByPersona, model_for
from agents.models.harness_model import HarnessModel
from agents.models.offline import OfflineModel
from agents.models.program import Program
from agents.models.recorded import RecordedModel
from bench.challenge import Challenge
from orchestrator.bucket_layout import OUTSIDE_KEY
from orchestrator.budgets import limits_of
from orchestrator.opening import RunOptions, joined, read_riders, write_baseline
from orchestrator.parts import model_named
from orchestrator.rerun_gates import Gates
from orchestrator.rerun_jobs import Jobs, RecordedSandbox
from orchestrator.rerun_miss import nobody
from orchestrator.rerun_organiser import Organised, derive, refusal_drafts
from orchestrator.rerun_plan import Plan
from orchestrator.rerun_store import RerunClock, RerunRecorder, ScheduledStore
from orchestrator.rerun_turns import Cast, Turns
from orchestrator.session_folder import RECORD
from sandbox.errors import ConfigError, RecordError, ReplayMiss
from tools.limits import Limits
from tools.record.blobs import FILE, Blobs
from tools.record.events import Draft, Event
from tools.record.sqlite_store import SqliteStore

OLDEST_FORMAT = 3
"""Earlier records do not say what a turn had read."""
INPUTS = frozenset({"session_opened", "session_resumed", "session_stopped", "pool_committed"})
"""Kinds that come from outside: from a person, a clock, a private folder."""

Models = Callable[[str], Model]


class RerunReport(NamedTuple):
    """What a re-run came to; there is none when it came to something else than the record."""

    session: str
    events: int
    agents: int
    attempts: int
    head_hash: str
    seconds: float
    derived: dict[str, int]
    """Kind -> events that were derived again."""
    inputs: dict[str, int]
    """Kind -> events that were taken from the record."""

    def as_json(self) -> dict[str, Any]:
        """Return the documented shape."""
        return {"same": True, **self._asdict()}


async def rerun_session(folder: Path, *, models: Models = model_named) -> RerunReport:
    """Do the session in `folder` again, in a temporary folder; nothing of it is changed.

    Args:
        folder: of the session.
        models: name -> the model that builds questions; only programs are asked.

    Raises:
        ReplayMiss: it came to something else; names the first difference.
        RecordError: `not_rerunnable`, or the record cannot be read.
    """
    began = time.monotonic()
    events = _recorded(folder)
    with tempfile.TemporaryDirectory(prefix="paceline-rerun-") as place:
        rerun = _Rerun(folder, events, Path(place), models)
        try:
            await rerun.play()
            return rerun.report(time.monotonic() - began)
        finally:
            await rerun.close()


def _recorded(folder: Path) -> list[Event]:
    store = SqliteStore.open_read_only(folder / RECORD)
    try:
        events = list(store.events())
    finally:
        store.close_reader()
    version = events[0].payload.format_version if events else 0
    if version < OLDEST_FORMAT:
        raise RecordError(
            f"session {folder.name!r} has record format {version}: before format {OLDEST_FORMAT} a"
            " record does not say what each turn had read, so it cannot be re-run",
            code="not_rerunnable",
            hint="replay --check still checks it",
        )
    return events


class _Rerun:
    """One re-run. Bound to one event loop."""

    def __init__(self, folder: Path, events: Sequence[Event], place: Path, models: Models) -> None:
        self._events = events
        self._place = place
        self._models = models
        self._plan = plan = Plan(events)
        self._gates = Gates(plan.places)
        self._blobs = Blobs(folder / FILE)
        self._challenge = Challenge.model_validate(events[0].payload.challenge)
        self._riders = {rider.agent_name: rider for rider in read_riders(folder)}
        clock = RerunClock()
        inner = SqliteStore.create(place / RECORD, session=events[0].session, clock=clock)
        self._store = ScheduledStore(inner, events, self._gates, clock)
        self._recorder = recorder = RerunRecorder(self._store, clock)
        self._chosen: dict[tuple[str, int], Model] = {}
        sandbox = RecordedSandbox(plan, self._gates, self._blobs)
        personas = {name: rider.persona for name, rider in self._riders.items()}
        commands = sandbox if sandbox.has_commands else None
        cast = Cast(personas, self._model, self._limits, self._challenge, commands)
        self._turns = Turns(plan, self._gates, recorder, cast)
        self._jobs = Jobs(plan, self._gates, recorder, self._challenge, sandbox, place)
        self._derived: Counter[str] = Counter()
        self._inputs: Counter[str] = Counter()

    async def play(self) -> None:
        """Write every event again."""
        gates = self._gates
        while gates.at < len(self._events):
            await self._turns.begin()
            await gates.look()
            event, before = self._events[gates.at], gates.at
            counts = self._derived if await self._write(event) else self._inputs
            if gates.at == before:
                raise nobody(event)
            counts.update(one.kind for one in self._events[before : gates.at])

    def report(self, seconds: float) -> RerunReport:
        """Return what it came to."""
        known = self._recorder.projection
        return RerunReport(
            session=self._store.session,
            events=known.seq,
            agents=len(known.agents),
            attempts=len(known.lineage.nodes) - 1,
            head_hash=known.head_hash,
            seconds=seconds,
            derived=dict(sorted(self._derived.items())),
            inputs=dict(sorted(self._inputs.items())),
        )

    async def close(self) -> None:
        """End all tasks and release the record."""
        await self._gates.close()
        await self._store.close()

    async def _write(self, event: Event) -> bool:
        """Have `event` written; return whether it was derived."""
        if await self._gates.write(event.key):
            return True
        if event.kind in ("job_started", "job_ended"):
            await self._jobs.begin(event)
            return await self._gates.write(event.key)
        if event.kind == "attempt_proposed" and event.actor == "organiser":
            self._gates.spawn(write_baseline(self._recorder, self._challenge))
            await self._gates.quiet()
            return await self._gates.write(event.key)
        if await self._turns.lost_call(event):
            return await self._gates.write(event.key)
        drafts = await self._drafts(event)
        self._gates.open_for(event.key)
        await self._recorder.append_all(drafts or [Draft(event.actor, event.payload, event.key)])
        return bool(drafts)

    async def _drafts(self, event: Event) -> list[Draft]:
        """Return what follows from the record before; nothing: the event is an input."""
        if event.kind in INPUTS or self._is_from_outside(event):
            return []
        if event.kind == "agent_joined":
            options = _options(self._plan.rides[self._ride].settings)
            rider = self._riders.get(event.actor)
            return [Draft(event.actor, joined(rider, options), event.key)] if rider else []
        if event.kind == "verification_refused":
            return refusal_drafts(event, self._recorder.projection)
        if event.kind == "model_asked" and not self._plan.is_answered(event):
            return []  # the question was lost with the process that asked it
        if event.actor != "organiser":
            raise nobody(event)
        limits = self._limits(self._ride)
        of = Organised(self._plan, self._recorder, self._challenge, limits)
        return await derive(event, of)

    def _is_from_outside(self, event: Event) -> bool:
        """By a person, or by an agent that rides elsewhere and writes through a bucket."""
        by_person = event.actor.startswith(("person:", "human"))
        return by_person or event.key.startswith(OUTSIDE_KEY)

    @property
    def _ride(self) -> int:
        return self._plan.ride_at(self._gates.at)

    # --- who decides, by which rules

    def _limits(self, ride: int) -> Limits:
        options = _options(self._plan.rides[ride].settings)
        return limits_of(options, attempts=options.attempts)

    def _model(self, agent: str, ride: int) -> Model:
        """Return what decides for an agent: a program itself, for others what they once said."""
        name = self._recorder.projection.agents[agent].model
        persona = self._riders[agent].persona
        if persona.x_paceline.harness is not None:
            return self._recorded(agent, HarnessModel(_never), name)
        if (name, ride) not in self._chosen:
            self._chosen[name, ride] = self._named(name, ride)
        chosen = model_for(self._chosen[name, ride], persona)
        return chosen if isinstance(chosen, Program) else self._recorded(agent, chosen, name)

    def _recorded(self, agent: str, builder: Model, name: str) -> RecordedModel:
        blobs = self._recorder.blobs
        return RecordedModel(
            None if isinstance(builder, RecordedModel) else builder,
            self._plan.replies_of(agent),
            blobs=self._blobs,
            kept=lambda part: blobs.get(blobs.put(part)).decode(),
            name=name,
        )

    def _named(self, name: str, ride: int) -> Model:
        try:
            model = ByPersona(self._models(name), self._models)
        except ConfigError:  # one whose library is not installed here
            return RecordedModel(None, {}, blobs=self._blobs, name=name)
        if isinstance(model.default, OfflineModel):
            cores = self._plan.rides[ride].settings.get("cores", os.cpu_count())
            return ByPersona(OfflineModel(cores=int(str(cores))), self._models)
        return model


async def _never(agent: str, harness: Any, variables: Any) -> Any:
    del agent, harness, variables
    raise ReplayMiss("an outside program would be started; a re-run starts nothing")


def _options(settings: Any) -> RunOptions:
    known = {name: value for name, value in settings.items() if name in RunOptions.model_fields}
    return RunOptions.model_validate(json.loads(json.dumps(known)))
