"""The verbs agents call, and nothing else they can do.

A refusal is data the agent can act on: {"error", "code", "hint"}. Only a record that cannot be
written raises.
"""

import contextlib
import functools
from typing import Any

from bench.challenge import Challenge
from bench.frozen import nearest_name, parse
from sandbox.errors import BudgetExhausted, ConfigError, ToolError, VersionConflict
from sandbox.job import Sandbox
from tools.attempt_verbs import ATTEMPT_VERBS
from tools.board_verbs import BOARD_VERBS
from tools.claim_verbs import CLAIM_VERBS
from tools.estimate_verb import ESTIMATE_VERBS
from tools.job_verbs import JOB_VERBS
from tools.limits import EVERYTHING, Grant, Limits
from tools.look_verbs import LOOK_VERBS
from tools.record.events import ToolCall
from tools.record.recorder import Recorder
from tools.verb import Answer, Arguments, Caller, Desk, ToolSpec, Verb, refusal
from tools.workspace_verbs import WORKSPACE_VERBS

_CONFLICT_TRIES = 5
"""A conflict means that another process decided first; its decision stands, ours is made again."""

VERBS: dict[str, Verb] = {
    verb.name: verb
    for verbs in (
        BOARD_VERBS,
        CLAIM_VERBS,
        ATTEMPT_VERBS,
        JOB_VERBS,
        LOOK_VERBS,
        WORKSPACE_VERBS,
        ESTIMATE_VERBS,
    )
    for verb in verbs
}


class Toolbox:
    """The verbs of one session."""

    def __init__(
        self,
        recorder: Recorder,
        challenge: Challenge,
        limits: Limits,
        *,
        sandbox: Sandbox | None = None,
    ) -> None:
        """Offer the verbs of a session; without a `sandbox` agents cannot run commands."""
        self.challenge = challenge
        self.limits = limits
        self._desk = Desk(recorder, challenge, limits, sandbox)

    def specs(self, grant: Grant = EVERYTHING) -> tuple[ToolSpec, ...]:
        """Return the verbs `grant` allows, as a model is told about them."""
        return _specs(grant)

    async def call(
        self,
        agent: str,
        call: ToolCall,
        *,
        key: str,
        now: float,
        grant: Grant = EVERYTHING,
    ) -> Answer:
        """Do `call` as `agent`; the same key again does nothing twice and answers alike.

        Args:
            agent: the caller's identity; every event it causes carries this name as actor.
            call: the verb and its arguments, as the model wrote them.
            key: idempotency key, unique per call in the session.
            now: Unix seconds of the decision to call.
            grant: what this agent may do.

        Raises:
            RecordError: the record cannot be written; the operator sees it.
        """
        recorder = self._desk.recorder
        with recorder.reading() as reading:
            result = await self._result(call, Caller(agent, key, now, grant))
        # what a command wrote or a file holds has passed no filter yet
        return Answer(recorder.redact.value(result), reading.seen)

    async def _result(self, call: ToolCall, caller: Caller) -> dict[str, Any]:
        try:
            verb = _allowed_verb(call.name, caller.grant)
            arguments = parse(verb.arguments, call.arguments, what=call.name)
            return await self._run(verb, caller, arguments)
        except ConfigError as error:
            hint = (
                error.hint
                or f"{call.name} takes: {', '.join(VERBS[call.name].arguments.model_fields)}"
            )
            return refusal(error.args[0], error.code, hint)
        except (ToolError, BudgetExhausted) as error:
            return refusal(error.args[0], error.code, error.hint)

    async def _run(self, verb: Verb, caller: Caller, arguments: Arguments) -> dict[str, Any]:
        for _ in range(_CONFLICT_TRIES - 1):
            with contextlib.suppress(VersionConflict):
                return await verb.run(self._desk, caller, arguments)
        return await verb.run(self._desk, caller, arguments)


@functools.lru_cache(maxsize=256)
def _specs(grant: Grant) -> tuple[ToolSpec, ...]:
    return tuple(verb.spec() for verb in VERBS.values() if grant.allows(verb.name))


def _allowed_verb(name: str, grant: Grant) -> Verb:
    verb = VERBS.get(name)
    if verb is None:
        allowed = [known for known in VERBS if grant.allows(known)]
        raise ToolError(
            f"unknown verb {name!r}", code="unknown_verb", hint=nearest_name(name, allowed)
        )
    if not grant.allows(name):
        raise ToolError(
            f"verb {name!r} is not granted to you",
            code="not_granted",
            hint="the persona file lists what you may use",
        )
    return verb
