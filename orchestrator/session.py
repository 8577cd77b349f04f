"""A session: opened or taken up again, ridden until a limit, left resumable.

Knows which parts there are and in which order they start and stop; what they do is theirs. The
record is opened under the session's lock; everything that runs is owned by one TaskGroup.
"""

import asyncio
import contextlib
import signal
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import structlog

from agents.models.by_persona import ByPersona
from bench.challenge_files import load_challenge
from orchestrator.budgets import limits_of
from orchestrator.checkpoints import GroupCommitSaver
from orchestrator.crew import Crew, Pace
from orchestrator.duties import StopReason
from orchestrator.harness_riders import outside_model
from orchestrator.judge import Judge, judge_or_refusal
from orchestrator.known_secrets import learn_key
from orchestrator.lane import Lane, LaneRules
from orchestrator.logs import configure_logs
from orchestrator.opening import (
    Opened,
    RunOptions,
    create_session,
    reopen_session,
    write_beginning,
    write_resumption,
)
from orchestrator.organiser import Organiser
from orchestrator.parts import (
    OnEvent,
    Parts,
    Relay,
    chambers,
    default_parts,
    opened_recorder,
    workplace,
)
from orchestrator.session_folder import CHECKPOINTS, LOG, RECORD, locked
from orchestrator.supervisor import build, calm_collector, ride
from orchestrator.targets import opened_target
from sandbox.errors import PacelineError
from tools.record.events import SessionStopped
from tools.record.recorder import Recorder
from tools.record.sqlite_store import SqliteStore

SETTLING: frozenset[StopReason] = frozenset({"attempts", "minutes", "budget", "no_progress"})
"""Stops after which nothing stays queued; after the others a resume goes on with the queue."""
TICK_SECONDS = 0.25

log = structlog.get_logger()


class SessionSummary(NamedTuple):
    """What a ride came to."""

    session: str
    folder: Path
    reason: str
    attempts: int
    measured: int
    best: str | None
    """Attempt id."""
    events: int
    head_hash: str


async def run_session(
    options: RunOptions, *, on_event: OnEvent | None = None, parts: Parts | None = None
) -> SessionSummary:
    """Open a new session and ride until a limit or until it is asked to stop.

    Args:
        options: what was typed.
        on_event: called with each event, and the folds that contain it already.
        parts: None = this machine's settings and the local sandbox.

    Raises:
        ConfigError: an option, a challenge, a persona or the model file cannot be used.
        RecordError: the session's folder or record cannot be written.
        KeyboardInterrupt: asked to stop twice; the session can be resumed.
    """
    parts = parts or default_parts()
    # a slip in its name must not leave an empty session behind
    model = ByPersona(parts.models(options.model), parts.models)
    async with opened_target(options.target, parts.settings) as target:
        target.refuse(load_challenge(options.challenge).challenge)
        opened = await create_session(
            options,
            model,
            settings=parts.settings,
            clock=parts.clock,
            usd_per_hour=target.usd_per_hour,
        )
        name = opened.folder.name
        with locked(opened.folder):
            parts = target.seat(opened.folder, opened.challenge, parts)
            async with opened_recorder(opened.folder, parts, session=name) as recorder:
                await write_beginning(recorder, opened)
                judge = await _judge(recorder, opened, parts)
                return await Session(recorder, opened, parts, model, judge).ride(on_event)


async def resume_session(
    folder: Path,
    *,
    minutes: float | None = None,
    attempts: int | None = None,
    on_event: OnEvent | None = None,
    parts: Parts | None = None,
    **budgets: float | None,
) -> SessionSummary:
    """Go on after a stop or a kill.

    What is given replaces the session's limit; `attempts` and `budgets` (as in
    `orchestrator.budgets.Budgets`) are totals. Without them a ride that hit its limit gets the
    same minutes or attempts again, any other what was left; money is never added unasked.

    Raises:
        SessionBusy: another process rides it.
        RecordError: damaged, or of a newer format.
        KeyboardInterrupt: asked to stop twice; the session can be resumed.
    """
    parts = parts or default_parts()
    with locked(folder):
        async with opened_recorder(folder, parts) as recorder:
            opened = await reopen_session(
                folder, recorder, minutes=minutes, attempts=attempts, **budgets
            )
            async with opened_target(opened.options.target, parts.settings) as target:
                parts = target.seat(opened.folder, opened.challenge, parts)
                await write_beginning(recorder, opened)  # a kill may have come before its end
                await write_resumption(recorder, opened)
                model = ByPersona(parts.models(opened.options.model), parts.models)
                judge = await _judge(recorder, opened, parts)
                return await Session(recorder, opened, parts, model, judge).ride(on_event)


async def _judge(recorder: Recorder, opened: Opened, parts: Parts) -> Judge | None:
    """Return who verifies in this ride; its clock starts afterwards, so writing texts costs none.

    On paper nothing is verified, and nothing needs to be said about it.
    """
    challenge = opened.challenge
    if challenge.engine == "simulated" or challenge.verification is None:
        return None
    if not opened.options.verify:
        return None
    place = workplace(opened.folder, challenge, parts)
    judge = await judge_or_refusal(recorder, chambers(opened.folder, place, parts), tell=parts.tell)
    learn_key(recorder.redact, parts.settings)
    return judge


def open_record(folder: Path) -> SqliteStore:
    """Open a session's record for looking; locks and writes nothing."""
    return SqliteStore.open_read_only(folder / RECORD)


class Session:
    """One ride over an opened record. Bound to one event loop."""

    def __init__(
        self,
        recorder: Recorder,
        opened: Opened,
        parts: Parts,
        model: ByPersona,
        judge: Judge | None = None,
    ) -> None:
        options, settings = opened.options, parts.settings
        self._recorder = recorder
        self._opened = opened
        self._parts = parts
        self._asked_at: float | None = None
        limits = limits_of(options, attempts=options.attempts)
        minutes, began = options.minutes, parts.clock()
        deadline = None if minutes is None else began + 60 * minutes
        self._deadline = deadline
        self._model = model
        model.seat(outside_model(opened.folder, opened.riders, parts.sandbox, recorder.redact))
        organiser = Organiser(recorder, opened.challenge, limits, judge)
        self._crew = Crew(
            recorder,
            opened.riders,
            self._model,
            challenge=opened.challenge,
            limits=limits,
            sandbox=parts.sandbox,
            pace=Pace(
                deadline,
                began,
                options.patience,
                settings.turns_at_once,
                parts.offer_pause_seconds,
                parts.inbox_pause_seconds,
            ),
            owes=organiser.owes,
        )
        # on paper no core is taken: a rehearsal need not wait for a real ride
        device = "simulated" if opened.challenge.engine == "simulated" else parts.device
        rules = LaneRules(deadline, began, device, settings.finish_seconds)
        place = workplace(opened.folder, opened.challenge, parts)
        self._lane = Lane(recorder, place, rules, organiser=organiser, clock=parts.clock)

    async def ride(self, on_event: OnEvent | None = None) -> SessionSummary:
        """Run until there is a reason to stop; write the reason down and return the summary."""
        level, redact = self._parts.settings.log_level, self._recorder.redact
        file = configure_logs(level=level, file=self._opened.folder / LOG, redact=redact)
        try:
            with self._signals(), calm_collector():
                reason = await self._ride(on_event)
        except BaseExceptionGroup as group:
            raise _first(group) from group
        finally:
            await self._model.aclose()
            configure_logs(level=level, redact=redact)
            if file is not None:
                file.close()
        return self._summary(reason)

    def stop(self) -> None:
        """Ask for the end; what runs is finished or given up, and can be resumed."""
        self._asked_at = self._parts.clock()
        self._crew.stop("asked")

    async def _ride(self, on_event: OnEvent | None) -> StopReason:
        async with (
            GroupCommitSaver(self._opened.folder / CHECKPOINTS) as saver,
            asyncio.TaskGroup() as group,
        ):
            lane = group.create_task(self._lane.run(), name="lane")
            watch = group.create_task(self._crew.watch(), name="watch")
            relay = Relay(self._recorder, on_event)
            telling = group.create_task(relay.run(), name="tell")
            reason = await self._supervise(group, saver)
            watch.cancel()
            await self._lane.stop(lane, settle=reason in SETTLING)
            refusal = self._lane.refusal
            detail = self._crew.detail(reason) if refusal is None else str(refusal)
            stopped = SessionStopped(reason=reason, detail=detail)
            key = f"stopped/{self._recorder.projection.resumes}"
            await self._recorder.append("organiser", stopped, key=key)
            telling.cancel()
            await relay.flush()  # the event above at least
        return reason

    async def _supervise(self, group: asyncio.TaskGroup, saver: GroupCommitSaver) -> StopReason:
        graph = build(self._crew, saver)
        thread = self._recorder.store.session
        at_once = len(self._opened.riders) + 8
        riding = group.create_task(ride(graph, thread=thread, at_once=at_once), name="supervisor")
        while not riding.done():
            await asyncio.wait((riding,), timeout=TICK_SECONDS)
            if self._lane.refusal is not None:
                self._crew.stop("failed")
            if self._is_overdue() and not riding.done():
                riding.cancel()  # a turn that does not end; its checkpoint stands before it
                await asyncio.wait((riding,))
        if riding.cancelled():
            return "minutes" if self._asked_at is None else "asked"
        return riding.result()

    def _is_overdue(self) -> bool:
        ends = [end for end in (self._asked_at, self._deadline) if end is not None]
        grace = self._parts.settings.finish_seconds
        return bool(ends) and self._parts.clock() > min(ends) + grace

    @contextlib.contextmanager
    def _signals(self) -> Iterator[None]:
        """First Ctrl-C: finish and stop. Second: stop at once."""
        loop, task = asyncio.get_running_loop(), asyncio.current_task()

        def on_signal() -> None:
            if self._asked_at is None:
                self.stop()
            elif task is not None:
                task.cancel()

        handled = []
        for number in (signal.SIGINT, signal.SIGTERM):
            with contextlib.suppress(RuntimeError, ValueError):  # not in the main thread
                loop.add_signal_handler(number, on_signal)
                handled.append(number)
        try:
            yield
        except asyncio.CancelledError:
            if self._asked_at is not None:
                raise KeyboardInterrupt from None
            raise
        finally:
            for number in handled:
                loop.remove_signal_handler(number)

    def _summary(self, reason: StopReason) -> SessionSummary:
        known = self._recorder.projection
        nodes = known.lineage.nodes.values()
        best = known.lineage.best()
        return SessionSummary(
            session=self._recorder.store.session,
            folder=self._opened.folder,
            reason=reason,
            attempts=len(nodes),
            measured=sum(node.state == "measured" for node in nodes),
            best=best.attempt if best else None,
            events=known.seq,
            head_hash=known.head_hash,
        )


def _first(group: BaseExceptionGroup[BaseException]) -> BaseException:
    """Return the error worth showing: ours before a stranger's."""
    flat: list[BaseException] = []
    for error in group.exceptions:
        flat += [_first(error)] if isinstance(error, BaseExceptionGroup) else [error]
    ours = [error for error in flat if isinstance(error, PacelineError)]
    return (ours or flat)[0]
