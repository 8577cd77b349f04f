"""The verb that makes attempts: `propose_config`.

A fingerprint is measured once: proposing it again answers with what is known about it.
"""

from typing import Any

from pydantic import Field, JsonValue

from bench.config import apply_changes, diff
from bench.configs.engine_config import EngineConfig
from bench.frozen import Frozen
from sandbox.errors import BudgetExhausted, ConfigError, ToolError
from tools.claim_verbs import refuse_if_claimed
from tools.directions import blocking_dead_end, direction_of, normal
from tools.look_verbs import brief
from tools.plain_text import body_of, plain
from tools.record.events import AttemptProposed, EdgeKind, Parent
from tools.record.lineage import Node
from tools.submissions import code_word, refuse_condemned, refuse_uncited, submitted_files
from tools.verb import Arguments, Caller, Desk, Verb, is_same_call, unknown_attempt

_HYPOTHESIS_BYTES = 2000


class ProposeConfig(Arguments):
    """Arguments of `propose_config`."""

    parent: str
    """The attempt whose config the changes are applied to; a0000 is the baseline."""
    changes: dict[str, JsonValue] = Field(default_factory=dict)
    """Dotted path -> value, e.g. {"weights.head": "q8_0", "threads": 2}; may be empty with
    files."""
    hypothesis: str
    """Why it should be faster and still true, with the expected effect."""
    merges: tuple[str, ...] = Field(default=(), max_length=4)
    """Further parents whose changes are among `changes`."""
    edge: EdgeKind = "builds-on"
    """How the attempt relates to `parent`."""
    retry_reason: str = ""
    """Needed when the direction is a recorded dead end: what is different now."""
    files: str = ""
    """Folder of your workspace that holds manifest.json and the code to serve with; `.` = all of
    it. Empty = what the parent has; `none` = no code."""


class _Proposal(Frozen):
    """A checked proposal, short of an id."""

    parents: tuple[Parent, ...]
    config: EngineConfig
    fingerprint: str
    hypothesis: str
    direction: str
    files: dict[str, str]


async def propose_config(desk: Desk, caller: Caller, arguments: ProposeConfig) -> dict[str, Any]:
    """Make a new node of the lineage, unless its config is already known."""
    async with desk.recorder.exclusive():
        proposal = _checked(desk, caller, arguments)
        known = desk.known.lineage.by_fingerprint.get(proposal.fingerprint)
        if known:
            return await _known(desk, caller, known)
        _refuse_banned(desk, proposal.config)
        refuse_condemned(desk.known.lineage, proposal.files)
        refuse_uncited(desk, caller, proposal.files, arguments.files, _named(arguments))
        _refuse_dead_end(desk, proposal.direction, arguments.retry_reason)
        refuse_if_claimed(desk, caller, proposal.direction)
        _refuse_over_cap(desk, caller)
        attempt = f"a{len(desk.known.lineage.nodes):04d}"
        proposed = AttemptProposed(attempt=attempt, **dict(proposal))
        await desk.recorder.append(caller.agent, proposed, key=caller.key)
    return _answer(attempt, proposal.fingerprint, proposal.direction)


def _named(arguments: ProposeConfig) -> tuple[str, ...]:
    return arguments.parent, *arguments.merges


def _checked(desk: Desk, caller: Caller, arguments: ProposeConfig) -> _Proposal:
    lineage = desk.known.lineage
    parents = _named(arguments)
    for parent in parents:
        if parent not in lineage.nodes:
            raise unknown_attempt(parent)
    if len(set(parents)) < len(parents):
        raise ToolError(f"a parent is named twice: {parents!r}", code="bad_parents")
    base = lineage.nodes[arguments.parent]
    files = dict(submitted_files(desk, caller, arguments.files, base))
    if not arguments.changes and files == base.files:
        raise ToolError("nothing is changed", code="no_changes", hint="give changes or files")
    config = _changed(base.config, arguments.changes)
    code = code_word(files) if files != base.files else ""
    first: EdgeKind = "merges" if arguments.merges else arguments.edge
    return _Proposal(
        parents=tuple(
            Parent(attempt=p, kind="merges" if i else first) for i, p in enumerate(parents)
        ),
        config=config,
        fingerprint=desk.fingerprint(config, files),
        hypothesis=body_of(arguments.hypothesis, limit_bytes=_HYPOTHESIS_BYTES),
        direction=normal(f"{direction_of(diff(base.config, config))} {code}"),
        files=files,
    )


def _changed(base: EngineConfig, changes: dict[str, JsonValue]) -> EngineConfig:
    try:
        return apply_changes(base, changes)
    except ConfigError as error:
        raise ToolError(
            error.args[0],
            code=error.code,
            hint=error.hint or "paths are dotted names such as weights.head or threads",
        ) from None


async def _known(desk: Desk, caller: Caller, attempt: str) -> dict[str, Any]:
    node: Node = desk.known.lineage.nodes[attempt]
    if node.agent == caller.agent and await is_same_call(desk, caller, node.seq):
        return _answer(attempt, node.fingerprint, node.direction)
    return {
        "error": f"this config is already known as {attempt}, by {node.agent}",
        "code": "known_config",
        "hint": "change something else, or launch_benchmark it with replicate=true",
        "known": brief(node),
    }


def _refuse_banned(desk: Desk, config: EngineConfig) -> None:
    """Refuse what a ruling in force forbids, whoever proposes it and whatever it descends from."""
    ban = desk.known.lineage.ban_on(config)
    if ban is None:
        return
    paths = " or ".join(one.partition("=")[0] for one in ban.ingredient)
    note = f" ({plain(ban.note)})" if ban.note else ""
    raise ToolError(
        f"{' '.join(ban.ingredient)} is banned: {ban.attempt} was ruled invalid for it by "
        f"{ban.by}, {ban.reason}{note}, event {ban.seq}",
        code="banned_ingredient",
        hint=f"set {paths} to another value; the ban ends only if {ban.attempt} is reinstated",
    )


def _refuse_dead_end(desk: Desk, direction: str, retry_reason: str) -> None:
    end = blocking_dead_end(direction, desk.known.board.dead_ends)
    if end and not retry_reason.strip():
        raise ToolError(
            f"{end.direction!r} is a dead end recorded by {end.agent}: {end.reason}",
            code="dead_end",
            hint="take another direction, or say in retry_reason what is different now",
        )


def _refuse_over_cap(desk: Desk, caller: Caller) -> None:
    nodes = desk.known.lineage.nodes
    cap = desk.limits.attempts
    if cap is not None and len(nodes) - 1 >= cap:
        raise BudgetExhausted(
            f"the session's {cap} attempts are used up",
            code="attempts_exhausted",
            hint="launch what is proposed and write down what was learnt",
        )
    own = caller.grant.attempts
    if own is not None and sum(node.agent == caller.agent for node in nodes.values()) >= own:
        raise BudgetExhausted(
            f"{caller.agent} has used its {own} attempts",
            code="own_attempts_exhausted",
            hint="discuss, replicate, digest",
        )


def _answer(attempt: str, fingerprint: str, direction: str) -> dict[str, Any]:
    return {"attempt": attempt, "fingerprint": fingerprint, "direction": direction}


ATTEMPT_VERBS = (
    Verb(
        "propose_config",
        "Propose an attempt: changes to a parent's config, or files, and why. Gives its id.",
        ProposeConfig,
        propose_config,
    ),
)
