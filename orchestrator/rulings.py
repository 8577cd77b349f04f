"""A person's ruling on an attempt: checked, written, announced, and what followed from it.

Written like a post: through the store, so it is safe beside a process that rides the session.
"""

import re
import time
from collections.abc import AsyncIterator, Callable, Iterable
from contextlib import asynccontextmanager
from getpass import getuser
from pathlib import Path
from typing import NamedTuple

from bench.config import carries, words
from bench.configs.engine_config import EngineConfig
from bench.frozen import nearest_name
from orchestrator.known_secrets import machine_redactor
from orchestrator.session_folder import RECORD
from orchestrator.settings import load_settings
from sandbox.errors import ConfigError, RecordError, VersionConflict
from tools.record.events import (
    AttemptInvalidated,
    AttemptReinstated,
    Draft,
    MessagePosted,
)
from tools.record.lineage import Node
from tools.record.projection import Projection
from tools.record.recorder import Recorder
from tools.record.sqlite_store import SqliteStore

PERSON = "person:"
NOBODY = "operator"
"""Who rules where the machine knows no login name."""
MOST_NAMED = 12
"""Descendants named in the notice on the board; the others are counted."""

_TRIES = 5
"""Another process may act between the check and the append; then both are done again."""
_CODE = re.compile(r"[a-z][a-z0-9_]{0,59}")
_NAME = re.compile(r"[A-Za-z0-9][\w.@-]{0,39}")


class Followed(NamedTuple):
    """What a ruling led to."""

    ruling: AttemptInvalidated | AttemptReinstated
    seq: int
    changed: tuple[str, ...]
    """Other attempts whose verdict is another one now."""
    verdict: str
    """Of the attempt, now."""
    record: str
    """Who holds the record now."""
    record_before: str


async def invalidate(
    folder: Path, attempt: str, *, reason: str, ingredient: Iterable[str], note: str, by: str | None
) -> Followed:
    """Rule an attempt invalid, and ban what it is invalid for.

    Args:
        folder: of the session.
        attempt: its id.
        reason: stable code, e.g. `copied_text`.
        ingredient: `path=value` words of its config; together they are banned. Empty = no ban.
        note: for people.
        by: a name; None = whoever is logged in.

    Raises:
        ConfigError: an unknown attempt, a bad code or name, an ingredient that it does not have or
            that the baseline has too; whoever typed it sees it.
    """
    wanted, ruler = _code(reason), person(by)
    typed = tuple(dict.fromkeys(ingredient))

    def ruling(known: Projection) -> AttemptInvalidated:
        node = _node(known, attempt)
        _check_ingredient(known, node, typed)
        return AttemptInvalidated(
            attempt=attempt, reason=wanted, ingredient=typed, note=note.strip(), by=ruler
        )

    return await _rule(folder, ruling, key=f"invalidated/{attempt}")


async def reinstate(folder: Path, attempt: str, *, note: str, by: str | None) -> Followed:
    """Take back every invalidation of an attempt that is in force.

    Raises:
        ConfigError: an unknown attempt, a bad name, or nothing to take back.
    """
    ruler = person(by)

    def ruling(known: Projection) -> AttemptReinstated:
        node = _node(known, attempt)
        if not any(one.is_invalidation for one in node.rulings):
            why = f": {node.verdict_reason} by {node.verdict_by}" if node.verdict_by else ""
            raise ConfigError(
                f"{attempt} was never invalidated, it is {node.verdict}{why}",
                code="not_invalidated",
                hint="only what `invalidate` or a verifier ruled can be taken back",
            )
        return AttemptReinstated(attempt=attempt, note=note.strip(), by=ruler)

    return await _rule(folder, ruling, key=f"reinstated/{attempt}")


def person(name: str | None) -> str:
    """Return who rules: `person:NAME`, by default the login name.

    Raises:
        ConfigError: a name that could not be told from something else.
    """
    chosen = _login_name() if name is None else name.removeprefix(PERSON)
    if not _NAME.fullmatch(chosen):
        raise ConfigError(
            f"--by {chosen!r} is no name",
            code="bad_name",
            hint="letters, digits, dot, dash, at most 40 characters",
        )
    return f"{PERSON}{chosen}"


async def _rule(
    folder: Path,
    ruling: Callable[[Projection], AttemptInvalidated | AttemptReinstated],
    *,
    key: str,
) -> Followed:
    async with _recorder(folder) as recorder:
        for _ in range(_TRIES):
            try:
                return await _append(recorder, ruling, key)
            except VersionConflict:
                await recorder.catch_up()
        return await _append(recorder, ruling, key)


async def _append(
    recorder: Recorder,
    ruling: Callable[[Projection], AttemptInvalidated | AttemptReinstated],
    key: str,
) -> Followed:
    async with recorder.exclusive():
        known = recorder.projection
        payload = ruling(known)
        before = {name: node.verdict for name, node in known.lineage.nodes.items()}
        holder = known.records.incumbent(known.lineage)
        number = known.seq + 1  # of the event it becomes, so the key is new
        (event,) = await recorder.append_all([Draft(payload.by, payload, f"{key}/{number}")])
        nodes = known.lineage.nodes
        followed = Followed(
            ruling=payload,
            seq=event.seq,
            changed=tuple(
                name
                for name, verdict in before.items()
                if nodes[name].verdict != verdict and name != payload.attempt
            ),
            verdict=nodes[payload.attempt].verdict,
            record=known.records.incumbent(known.lineage),
            record_before=holder,
        )
        notice = _notice(known, followed)
        await recorder.append(payload.by, notice, key=f"{key}/{event.seq}/notice")
    return followed


def _notice(known: Projection, followed: Followed) -> MessagePosted:
    ruling, named = followed.ruling, followed.changed[:MOST_NAMED]
    owner = known.lineage.nodes[ruling.attempt].agent
    return MessagePosted(
        type="notice",
        body=" ".join(_sentences(followed)),
        refs=(ruling.attempt, *named),
        mentions=(owner,) if owner in known.agents else (),
    )


def _sentences(followed: Followed) -> Iterable[str]:
    ruling, changed = followed.ruling, followed.changed
    note = f" ({ruling.note})" if ruling.note else ""
    named = ", ".join(changed[:MOST_NAMED]) + (
        f" and {len(changed) - MOST_NAMED} more" if len(changed) > MOST_NAMED else ""
    )
    if isinstance(ruling, AttemptReinstated):
        yield f"{ruling.attempt} is reinstated by {ruling.by}{note}: it is {followed.verdict}."
        if changed:
            yield f"No longer suspect: {named}."
        return
    yield f"{ruling.attempt} is ruled invalid by {ruling.by}: {ruling.reason}{note}."
    if ruling.ingredient:
        yield f"Banned until it is reinstated: {' '.join(ruling.ingredient)}."
    if changed:
        yield f"Suspect until verified themselves: {named}."


def _node(known: Projection, attempt: str) -> Node:
    nodes = known.lineage.nodes
    if attempt in nodes:
        return nodes[attempt]
    raise ConfigError(
        f"unknown attempt {attempt!r}",
        code="unknown_attempt",
        hint=nearest_name(attempt, nodes) if nodes else "nothing was proposed yet",
    )


def _check_ingredient(known: Projection, node: Node, ingredient: tuple[str, ...]) -> None:
    own = words(node.config)
    for one in ingredient:
        if one not in own:
            raise ConfigError(
                f"{node.attempt} does not have {one!r}",
                code="not_an_ingredient",
                hint=_own_word(node.config, one),
            )
    baseline = next((one for one in known.lineage.nodes.values() if not one.parents), node)
    if ingredient and carries(ingredient)(baseline.config):
        raise ConfigError(
            f"the baseline has {' '.join(ingredient)} too: a ban would forbid everything",
            code="in_the_baseline",
            hint=f"name what sets {node.attempt} apart: "
            f"lineage diff {baseline.attempt} {node.attempt}",
        )


def _own_word(config: EngineConfig, typed: str) -> str:
    """Return what the config has in that place, or the nearest place it has."""
    own = dict(one.split("=", 1) for one in words(config))
    path = typed.partition("=")[0]
    return f"it has {path}={own[path]}" if path in own else nearest_name(path, own)


def _code(reason: str) -> str:
    if _CODE.fullmatch(reason):
        return reason
    raise ConfigError(
        f"--reason {reason!r} is no code",
        code="bad_reason",
        hint="lower case, digits and underscores, e.g. fitted_to_public_text; --note takes a text",
    )


def _login_name() -> str:
    try:
        name = getuser()
    except (OSError, KeyError, ImportError):  # no such user on this machine
        return NOBODY
    return name if _NAME.fullmatch(name) else NOBODY


@asynccontextmanager
async def _recorder(folder: Path) -> AsyncIterator[Recorder]:
    store = SqliteStore.open(folder / RECORD, clock=time.time)
    try:
        redact = machine_redactor(load_settings())
        recorder = Recorder(store, clock=time.time, redact=redact)
        await recorder.catch_up()
        if recorder.projection.opened is None:
            raise RecordError(f"{str(folder)!r} has no opened session", code="not_opened")
        yield recorder
    finally:
        await store.close()
