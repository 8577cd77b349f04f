"""What a verb is: a name, a typed argument record and a function over the session's desk."""

from collections.abc import Awaitable, Callable, Mapping
from typing import Any, NamedTuple

from pydantic import ConfigDict

from bench.challenge import Challenge
from bench.configs.engine_config import EngineConfig
from bench.frozen import Frozen
from sandbox.errors import RecordError, ToolError
from sandbox.job import Sandbox
from tools.limits import Grant, Limits
from tools.record.projection import Projection
from tools.record.recorder import Recorder


class ToolSpec(NamedTuple):
    """A verb as a model is told about it."""

    name: str
    description: str
    parameters: dict[str, Any]
    """JSON schema of the arguments."""


class Arguments(Frozen):
    """Arguments of a verb; the text under a field is what a model reads about it."""

    model_config = ConfigDict(use_attribute_docstrings=True)


class Desk(NamedTuple):
    """What all verbs of a session work on."""

    recorder: Recorder
    challenge: Challenge
    limits: Limits
    sandbox: Sandbox | None = None
    """Where commands of agents run; None: they cannot run any."""

    @property
    def known(self) -> Projection:
        """The folds of the session, up to date."""
        return self.recorder.projection

    def fingerprint(self, config: EngineConfig, files: Mapping[str, str] | None = None) -> str:
        """Return the fingerprint `config`, served by the code in `files`, has in this session.

        Raises:
            RecordError: the record was never opened; the operator sees it.
        """
        opened = self.known.opened
        if opened is None:
            raise RecordError("the record has no session_opened event", code="not_opened")
        return config.fingerprint(
            engine_version=opened.engine_version, model_sha256=opened.model_sha256, files=files
        )


class Caller(NamedTuple):
    """Who calls, when, and under which idempotency key."""

    agent: str
    key: str
    now: float
    """Unix seconds; of the decision, so that a call done again says the same."""
    grant: Grant


class Answer(NamedTuple):
    """What a verb answered."""

    result: dict[str, Any]
    """JSON-able; {"error", "code", "hint"} when the call was refused."""
    seen: int
    """It had seen the record up to this event. A verb that appends decides on what was there when
    it got its turn, so the same call at the same event says the same."""


class Verb(NamedTuple):
    """One thing an agent may do."""

    name: str
    description: str
    arguments: type[Arguments]
    run: Callable[[Desk, Caller, Any], Awaitable[dict[str, Any]]]

    def spec(self) -> ToolSpec:
        """Return what a model is told."""
        return ToolSpec(self.name, self.description, self.arguments.model_json_schema())


async def is_same_call(desk: Desk, caller: Caller, seq: int) -> bool:
    """Return whether event `seq` was written by this very call, in a turn cut short before."""
    events = await desk.recorder.store.read(seq - 1, limit=1)
    return bool(events) and events[0].key == caller.key


def refusal(error: str, code: str, hint: str) -> dict[str, Any]:
    """Return a refused call as data."""
    return {"error": error, "code": code, "hint": hint}


def unknown_attempt(attempt: str) -> ToolError:
    """Return the refusal for an attempt id nobody knows."""
    return ToolError(
        f"unknown attempt {attempt!r}",
        code="unknown_attempt",
        hint="show_lineage lists the attempts of this session",
    )
