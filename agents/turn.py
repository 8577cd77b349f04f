"""One turn of one agent, log first: decide, write the decision down, then do it.

A turn cut short and run again reuses the decisions in the record and does nothing twice. Knows no
other agent, no wave and no checkpoint.
"""

import json
from collections.abc import Sequence
from typing import Any, NamedTuple, Protocol
from zlib import crc32

from agents.model import Model, Observation, Question, TurnMessage
from agents.persona import Persona
from agents.reply_text import storable
from sandbox.errors import BudgetExhausted, ModelError
from tools.job_quota import jobs_left
from tools.limits import Grant
from tools.model_spend import LONGEST_WAIT_SECONDS, reserve
from tools.record.events import FREE, ModelReplied, ToolCall, TurnEnded, Usage
from tools.record.recorder import Recorder
from tools.toolbox import Toolbox


class TurnEnd(NamedTuple):
    """Where a turn left off."""

    cursor: int
    """What the agent had seen when the turn began; `seen` of its next turn."""
    steps: int


class Moment(NamedTuple):
    """When a step is decided."""

    now: float
    """Unix seconds."""
    seconds_left: float | None
    """Until the session stops; None = no such limit."""


class Moments(Protocol):
    """When the steps of one turn are decided: at once, or as a record has it."""

    longest_wait_seconds: float
    """For others to give back what they reserved of the budget."""

    async def of_step(self, step: int) -> Moment:
        """Wait until `step` is due, and return when that is."""


class _Now:
    """A turn of a ride: every step is due as soon as it can be taken."""

    longest_wait_seconds = LONGEST_WAIT_SECONDS

    def __init__(self, recorder: Recorder, seconds_left: float | None) -> None:
        self._recorder = recorder
        self._seconds_left = seconds_left

    async def of_step(self, step: int) -> Moment:
        del step
        return Moment(self._recorder.clock(), self._seconds_left)


class _Seat(NamedTuple):
    """Who takes which turn, and with what."""

    agent: str
    persona: Persona
    model: Model
    toolbox: Toolbox
    recorder: Recorder
    grant: Grant
    turn: int
    seen: int
    moments: Moments


async def take_turn(  # noqa: PLR0913  (who, with what, when: each is one thing)
    agent: str,
    persona: Persona,
    model: Model,
    toolbox: Toolbox,
    recorder: Recorder,
    *,
    turn: int,
    seen: int,
    seconds_left: float | None = None,
    moments: Moments | None = None,
) -> TurnEnd:
    """Let `agent` act once.

    Args:
        agent: its name, the actor of everything it causes.
        persona: who it is, and what it may use.
        model: decides; asked only for steps that are not in the record yet.
        toolbox: does what was decided.
        recorder: of the session.
        turn: 0 on the agent's first turn; part of every idempotency key.
        seen: cursor of its previous turn; used where the record does not know it.
        seconds_left: until the session stops; None = no such limit.
        moments: when its steps are due; None = at once.

    Raises:
        RecordError: the record cannot be written; the operator sees it.
    """
    grant = grant_of(persona)
    before = recorder.projection.turns.cursor_before(agent, turn)
    news_since = seen if before is None else before
    moments = moments or _Now(recorder, seconds_left)
    seat = _Seat(agent, persona, model, toolbox, recorder, grant, turn, news_since, moments)
    done = _recorded(seat)
    cursor = done[0].reply.cursor if done else recorder.projection.seq
    if recorder.projection.turns.is_over(agent, turn):
        return TurnEnd(cursor, len(done))  # what was refused then is not to happen now
    told = _Told([], ())
    steps = min(model.max_steps, persona.max_turns or model.max_steps)
    for step in range(steps):
        decided = done[step] if step < len(done) else await _decide(seat, told, step)
        if not decided.reply.calls:
            return TurnEnd(cursor, step + 1)
        told = await _act(seat, decided, told if step < len(done) else _Told(told.messages, ()))
    ended = TurnEnded(turn=turn, step=steps, seen_at=told.seen_at)
    await recorder.append(agent, ended, key=f"{agent}/{turn}/ended")
    return TurnEnd(cursor, steps)


def grant_of(persona: Persona) -> Grant:
    """Return what a persona's file lets its agents use."""
    keys = persona.x_paceline
    return Grant(persona.tools, persona.disallowed_tools, keys.budget, keys.caps)


def _observe(seat: _Seat, moment: Moment) -> Observation:
    known = seat.recorder.projection
    joined = known.agents.get(seat.agent)
    cap = seat.toolbox.limits.attempts
    quotas = seat.toolbox.challenge.quotas
    free = max(0, quotas.queued_jobs - len(known.lineage.jobs_waiting()))
    left = jobs_left(known.lineage, quotas, agent=seat.agent, now=moment.now)
    return Observation(
        agent=seat.agent,
        persona=seat.persona,
        turn=seat.turn,
        cursor=known.seq,
        seen=seat.seen,
        now=moment.now,
        seed=crc32(f"{joined.seed if joined else 0}/{seat.agent}/{seat.turn}".encode()),
        challenge=seat.toolbox.challenge,
        board=known.board,
        lineage=known.lineage,
        free_job_slots=free if left is None else min(free, left),
        attempts_left=None if cap is None else max(0, cap + 1 - len(known.lineage.nodes)),
        seconds_left=moment.seconds_left,
    )


class _Decided(NamedTuple):
    """A reply in the record, and when it was written."""

    reply: ModelReplied
    time: float


class _Told(NamedTuple):
    """The turn so far, and what the answers since the last decision had seen of the record."""

    messages: list[TurnMessage]
    seen_at: tuple[int, ...]


def _recorded(seat: _Seat) -> Sequence[_Decided]:
    state = seat.recorder.projection.turns.get(seat.agent)
    if state is None or state.turn != seat.turn:
        return ()
    return list(map(_Decided, state.replies, state.times))


async def _decide(seat: _Seat, told: _Told, step: int) -> _Decided:
    moment = await seat.moments.of_step(step)
    observation = _observe(seat, moment)
    decided = ModelReplied(
        turn=seat.turn,
        step=step,
        cursor=observation.cursor,
        now=observation.now,
        seconds_left=observation.seconds_left,
        seen_at=told.seen_at,
        **await _ask(seat, observation, told.messages, step),
    )
    key = f"{seat.agent}/{seat.turn}/{step}"
    event = await seat.recorder.append(seat.agent, decided, key=key)
    # The first writer of a key wins: what the record says is what is done.
    return _Decided(event.payload, event.time)


async def _ask(
    seat: _Seat, observation: Observation, messages: list[TurnMessage], step: int
) -> dict[str, Any]:
    """Return what came of asking the model, as fields of `ModelReplied`."""
    kept, spent = "", FREE
    try:
        question = seat.model.question(observation, messages, seat.toolbox.specs(seat.grant))
        kept = seat.recorder.blobs.put_list(question.parts) if question.parts else ""
        with seat.recorder.reading() as reading:
            await _reserve(seat, question, step)
        spent = question.ceiling
        reply = storable(await seat.model.query(question))
    except BudgetExhausted as error:
        return _no_reply(error, kept, spent) | {"refused_at": reading.seen}
    except ModelError as error:
        return _no_reply(error, kept, FREE if error.was_billed is False else spent)
    return {"text": reply.text, "calls": reply.calls, "question": kept, "usage": reply.usage}


async def _reserve(seat: _Seat, question: Question, step: int) -> None:
    await reserve(
        seat.recorder,
        seat.toolbox.limits,
        seat.grant,
        agent=seat.agent,
        turn=seat.turn,
        step=step,
        model=seat.model.name,
        ceiling=question.ceiling,
        longest_wait_seconds=seat.moments.longest_wait_seconds,
    )


def _no_reply(error: ModelError | BudgetExhausted, question: str, usage: Usage) -> dict[str, Any]:
    return {
        "text": f"no reply: {error}",
        "calls": (),
        "question": question,
        "usage": usage,
        "code": error.code,
    }


async def _act(seat: _Seat, decided: _Decided, told: _Told) -> _Told:
    reply = decided.reply
    asked = [TurnMessage("assistant", call, reply.text, {}) for call in reply.calls]
    answers, seen_at = [], []
    for index, call in enumerate(reply.calls):
        answer = await seat.toolbox.call(
            seat.agent,
            call,
            key=f"{seat.agent}/{reply.turn}/{reply.step}/{index}",
            now=decided.time,
            grant=seat.grant,
        )
        answers.append(_answer(call, answer.result))
        seen_at.append(answer.seen)
    return _Told([*told.messages, *asked, *answers], (*told.seen_at, *seen_at))


def _answer(call: ToolCall, result: dict[str, Any]) -> TurnMessage:
    return TurnMessage("tool", call, json.dumps(result, ensure_ascii=False), result)
