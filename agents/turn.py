"""One turn of one agent, log first: decide, write the decision down, then do it.

A turn cut short and run again reuses the decisions in the record and does nothing twice. Knows no
other agent, no wave and no checkpoint.
"""

import json
from collections.abc import Sequence
from typing import Any, NamedTuple
from zlib import crc32

from agents.model import Model, Observation, Reply, TurnMessage
from agents.persona import Persona
from agents.reply_text import storable
from sandbox.errors import ModelError
from tools.limits import Grant
from tools.record.events import ModelReplied, ToolCall
from tools.record.recorder import Recorder
from tools.toolbox import Toolbox

MAX_STEPS = 4
"""Decisions per turn: look, propose, launch, say why. Longer turns see an older world."""


class TurnEnd(NamedTuple):
    """Where a turn left off."""

    cursor: int
    """What the agent had seen when the turn began; `seen` of its next turn."""
    steps: int


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
    seconds_left: float | None


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
) -> TurnEnd:
    """Let `agent` act once.

    Args:
        agent: its name, the actor of everything it causes.
        persona: who it is, and what it may use.
        model: decides; asked only for steps that are not in the record yet.
        toolbox: does what was decided.
        recorder: of the session.
        turn: 0 on the agent's first turn; part of every idempotency key.
        seen: cursor of its previous turn, 0 on the first.
        seconds_left: until the session stops; None = no such limit.

    Raises:
        RecordError: the record cannot be written; the operator sees it.
    """
    grant = grant_of(persona)
    seat = _Seat(agent, persona, model, toolbox, recorder, grant, turn, seen, seconds_left)
    done = _recorded(seat)
    cursor = done[0].cursor if done else recorder.projection.seq
    messages: list[TurnMessage] = []
    for step in range(MAX_STEPS):
        reply = done[step] if step < len(done) else await _decide(seat, messages, step)
        if not reply.calls:
            return TurnEnd(cursor, step + 1)
        messages += await _act(seat, reply)
    return TurnEnd(cursor, MAX_STEPS)


def grant_of(persona: Persona) -> Grant:
    """Return what a persona's file lets its agents use."""
    return Grant(persona.tools, persona.disallowed_tools, persona.x_paceline.budget)


def _observe(seat: _Seat) -> Observation:
    known = seat.recorder.projection
    joined = known.agents.get(seat.agent)
    cap = seat.toolbox.limits.attempts
    waiting = len(known.lineage.jobs_waiting())
    return Observation(
        agent=seat.agent,
        persona=seat.persona,
        turn=seat.turn,
        cursor=known.seq,
        seen=seat.seen,
        now=seat.recorder.clock(),
        seed=crc32(f"{joined.seed if joined else 0}/{seat.agent}/{seat.turn}".encode()),
        challenge=seat.toolbox.challenge,
        board=known.board,
        lineage=known.lineage,
        free_job_slots=max(0, seat.toolbox.challenge.quotas.queued_jobs - waiting),
        attempts_left=None if cap is None else max(0, cap + 1 - len(known.lineage.nodes)),
        seconds_left=seat.seconds_left,
    )


def _recorded(seat: _Seat) -> Sequence[ModelReplied]:
    state = seat.recorder.projection.turns.get(seat.agent)
    return state.replies if state and state.turn == seat.turn else ()


async def _decide(seat: _Seat, messages: Sequence[TurnMessage], step: int) -> ModelReplied:
    observation = _observe(seat)
    try:
        reply = storable(
            await seat.model.query(observation, messages, seat.toolbox.specs(seat.grant))
        )
    except ModelError as error:
        reply = Reply(f"no reply: {error}", ())
    decided = ModelReplied(
        turn=seat.turn, step=step, cursor=observation.cursor, text=reply.text, calls=reply.calls
    )
    key = f"{seat.agent}/{seat.turn}/{step}"
    event = await seat.recorder.append(seat.agent, decided, key=key)
    # The first writer of a key wins: what the record says is what is done.
    recorded: ModelReplied = event.payload
    return recorded


async def _act(seat: _Seat, reply: ModelReplied) -> list[TurnMessage]:
    asked = [TurnMessage("assistant", call, reply.text, {}) for call in reply.calls]
    answers = []
    for index, call in enumerate(reply.calls):
        result = await seat.toolbox.call(
            seat.agent,
            call,
            key=f"{seat.agent}/{reply.turn}/{reply.step}/{index}",
            now=seat.recorder.clock(),
            grant=seat.grant,
        )
        answers.append(_answer(call, result))
    return asked + answers


def _answer(call: ToolCall, result: dict[str, Any]) -> TurnMessage:
    return TurnMessage("tool", call, json.dumps(result, ensure_ascii=False), result)
