"""Verbs on the message board: read, search, post.

Knows nothing of jobs. The author of a post is the caller, whatever the text says.
"""

import re
from collections.abc import Iterable
from itertools import islice
from typing import Any, Literal

from pydantic import Field

from bench.frozen import nearest_name
from sandbox.errors import ToolError
from tools.board_flags import flags_of
from tools.claimed_speed import claims_of
from tools.plain_text import body_of
from tools.posting import post
from tools.record.board import Message
from tools.record.events import MessagePosted, MessageType
from tools.record.lineage import Lineage
from tools.record.projection import Projection
from tools.verb import Arguments, Caller, Desk, Verb

READ_LIMIT = 20
"""Messages per read: more of it is context rot, not knowledge."""
_SHOWN_CHARACTERS = 600
_SEARCHES = 5
"""A search reads the file, which may be ahead of the folds; then it is made again."""
_MENTION = re.compile(r"(?<![\w.@-])@([a-z0-9](?:[a-z0-9-]{0,38}[a-z0-9])?)")


class ReadBoard(Arguments):
    """Arguments of `read_board`."""

    after: int = Field(default=0, ge=0)
    """Only messages with a higher number than this; 0 = the latest ones."""
    limit: int = Field(default=READ_LIMIT, ge=1, le=READ_LIMIT)
    type: MessageType | None = None
    author: str | None = None


class SearchBoard(Arguments):
    """Arguments of `search_board`."""

    query: str = Field(min_length=1, max_length=200)
    limit: int = Field(default=10, ge=1, le=READ_LIMIT)


class PostMessage(Arguments):
    """Arguments of `post_message`."""

    body: str
    type: Literal["introduction", "plan", "reply", "digest", "chat"] = "chat"
    """Results, dead ends and notices have verbs or owners of their own."""
    refs: tuple[str, ...] = Field(default=(), max_length=20)
    """Message ids (`m12`) and attempt ids (`a0003`) this is about."""
    mentions: tuple[str, ...] = Field(default=(), max_length=10)
    """Agents who should see it; an @name in the body counts too."""


async def read_board(desk: Desk, caller: Caller, arguments: ReadBoard) -> dict[str, Any]:
    """Return messages, oldest first, with the open claims and the recorded dead ends."""
    board = desk.known.board
    found = board.since(arguments.after) if arguments.after else board.messages
    matching = (m for m in _newest_first(found, arguments.after) if _matches(m, arguments))
    wanted = list(islice(matching, arguments.limit))
    return {
        "messages": _in_order(wanted, desk.known.lineage),
        "claims": [claim._asdict() for claim in board.claims(now=caller.now)],
        "dead_ends": [
            {"direction": e.direction, "reason": e.reason, "refs": e.refs}
            for e in list(board.dead_ends.values())[-READ_LIMIT:]
        ],
    }


async def search_board(desk: Desk, caller: Caller, arguments: SearchBoard) -> dict[str, Any]:
    """Return the messages that match best."""
    del caller
    board, store = desk.known.board, desk.recorder.store
    for _ in range(_SEARCHES):
        async with desk.recorder.exclusive():  # the answer says up to which event it searched
            seqs = await store.search(arguments.query, limit=arguments.limit)
        if (await store.head())[0] == desk.known.seq:
            break
    found = [message for seq in seqs if (message := board.message(f"m{seq}"))]
    return {"messages": [shown(message, desk.known.lineage) for message in found]}


async def post_message(desk: Desk, caller: Caller, arguments: PostMessage) -> dict[str, Any]:
    """Post as the caller."""
    return await post(
        desk,
        caller,
        MessagePosted(
            type=arguments.type,
            body=body_of(arguments.body, limit_bytes=desk.challenge.quotas.message_bytes),
            refs=checked_refs(desk.known, arguments.refs),
            mentions=_mentions(desk, caller, arguments),
        ),
    )


def checked_refs(known: Projection, refs: tuple[str, ...]) -> tuple[str, ...]:
    """Return `refs` without repeats.

    Raises:
        ToolError: a ref to a message or an attempt that does not exist; the agent looks it up.
    """
    for ref in refs:
        if known.board.message(ref) is None and ref not in known.lineage.nodes:
            raise ToolError(
                f"unknown ref {ref!r}",
                code="unknown_ref",
                hint="refs are message ids such as m12 or attempt ids such as a0003",
            )
    return tuple(dict.fromkeys(refs))


def shown(message: Message, lineage: Lineage | None = None) -> dict[str, Any]:
    """Return a message as an agent reads it; all but the body is ours, the body is only data.

    `claims` and `flags` are there when something was found; claims need the `lineage`.
    """
    body = message.body
    if len(body) > _SHOWN_CHARACTERS:
        body = body[:_SHOWN_CHARACTERS] + "…"
    return {
        "message": message.id,
        "seq": message.seq,
        "author": message.author,
        "trust": message.trust,
        "type": message.type,
        "refs": message.refs,
        "mentions": message.mentions,
        **seen_in(message, lineage),
        "body": body,
    }


def seen_in(message: Message, lineage: Lineage | None) -> dict[str, Any]:
    """Return what we add about a body: claimed speeds beside measured ones, and flags."""
    flags = () if message.trust == "organiser" else flags_of(message.body)
    found = {"claims": claims_of(message, lineage) if lineage else [], "flags": list(flags)}
    return {name: value for name, value in found.items() if value}


def _mentions(desk: Desk, caller: Caller, arguments: PostMessage) -> tuple[str, ...]:
    agents = desk.known.agents
    for name in arguments.mentions:
        if name not in agents:
            raise ToolError(
                f"unknown agent {name!r}", code="unknown_agent", hint=nearest_name(name, agents)
            )
    in_text = (name for name in _MENTION.findall(arguments.body) if name in agents)
    everyone = dict.fromkeys([*arguments.mentions, *in_text])
    return tuple(name for name in everyone if name != caller.agent)


def _matches(message: Message, arguments: ReadBoard) -> bool:
    return arguments.type in (None, message.type) and arguments.author in (None, message.author)


def _newest_first(messages: list[Message], after: int) -> Iterable[Message]:
    # With a cursor the reader wants the next page, without one the latest.
    return messages if after else reversed(messages)


def _in_order(messages: list[Message], lineage: Lineage) -> list[dict[str, Any]]:
    return [shown(message, lineage) for message in sorted(messages, key=lambda m: m.seq)]


BOARD_VERBS = (
    Verb(
        "read_board",
        "Read messages (the latest, or those after a number), open claims and dead ends.",
        ReadBoard,
        read_board,
    ),
    Verb("search_board", "Find messages by words.", SearchBoard, search_board),
    Verb("post_message", "Post on the board, with refs and mentions.", PostMessage, post_message),
)
