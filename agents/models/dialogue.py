"""The turn so far as chat messages, in as many tokens as there is room for.

The latest step is told best; older ones are cut, then dropped and counted. What a verb answered is
fenced as data, for it may hold what others wrote.
"""

import json
from collections.abc import Callable, Iterator, Sequence
from hashlib import sha256
from typing import Any, NamedTuple

from agents.model import TurnMessage
from agents.models.board_text import compact, trimmed
from agents.models.habits import steps_of
from agents.models.tokens import MESSAGE_TOKENS, Room, cut, tokens_of
from agents.models.tool_format import MALFORMED, correction
from tools.record.canonical import clean

Chat = dict[str, Any]
"""A message as it is sent: OpenAI's format."""
Redact = Callable[[str], str]

_BOARD_VERBS = ("read_board", "search_board")
_CUT_TOKENS = 90
"""Of an answer or a call that is told in short."""


_encoded = json.JSONEncoder(ensure_ascii=False, separators=(",", ":"), sort_keys=True).encode


class Told(NamedTuple):
    """The turn so far, and what it took."""

    parts: list[str]
    """Canonical JSON, a message each."""
    board_messages: int
    """Messages of the board among the answers."""
    dropped_steps: int


class Fences(NamedTuple):
    """Marks around data that nobody can foresee, and that a turn taken again finds the same."""

    seed: int
    salt: str

    def around(self, text: str, number: int | str) -> str:
        """Return `text` between the marks of read `number`."""
        mark = sha256(f"{self.seed}/{self.salt}/{number}".encode()).hexdigest()[:16]
        return f"<data {mark}>\n{text}\n</data {mark}>"


class Manner(NamedTuple):
    """How a turn is told."""

    fences: Fences
    redact: Redact
    is_native: bool


class _Quota:
    """What may still be told of the board in this turn."""

    def __init__(self, board: Room, most: int) -> None:
        self.board = board
        self.most = most
        self.told = 0


def part_of(message: Chat) -> str:
    """Return RFC 8785 JSON; of strings alone Python's own encoder makes the same bytes, faster."""
    return _sendable(_encoded(message))


def told_so_far(
    turn: Sequence[TurnMessage],
    manner: Manner,
    *,
    room: Room,
    board: Room,
    most: int,
) -> Told:
    """Return the turn's steps as messages, the oldest first; takes from `room` and `board`."""
    steps, quota = steps_of(turn), _Quota(board, most)
    told: list[list[str]] = []
    for number in range(len(steps) - 1, -1, -1):
        is_latest = number == len(steps) - 1
        step = _fitting(steps[number], number, manner, room, quota, is_latest=is_latest)
        if step is None:
            return Told([one for step in reversed(told) for one in step], quota.told, number + 1)
        told.append(step)
    return Told([one for step in reversed(told) for one in step], quota.told, 0)


def _fitting(
    step: list[TurnMessage],
    number: int,
    manner: Manner,
    room: Room,
    quota: _Quota,
    *,
    is_latest: bool,
) -> list[str] | None:
    """Return the step in the longest form that fits; None when not even the shortest does."""
    answers = sum(one.role == "tool" for one in step)
    share = room.left // (2 if is_latest else 4) // max(1, answers)
    tell = _native if manner.is_native else _as_objects
    for tokens in (share, _CUT_TOKENS, 8):
        # A step tried and given up must not have used up the board's share.
        left, most = quota.board.left, quota.told
        parts = [_encoded(one) for one in tell(step, number, manner, max(8, tokens), quota)]
        if room.take(sum(tokens_of(part) + MESSAGE_TOKENS for part in parts)):
            return list(map(_sendable, parts))
        quota.board.left, quota.told = left, most
    return None


def _sendable(part: str) -> str:
    try:
        part.encode()
    except UnicodeEncodeError:  # a lone surrogate
        return str(clean(part))
    return part


def _native(
    step: list[TurnMessage], number: int, manner: Manner, tokens: int, quota: _Quota
) -> Iterator[Chat]:
    asked = [one for one in step if one.role == "assistant" and one.call]
    ids = [f"c{number:03d}x{index:04d}" for index in range(len(asked))]
    calls = [
        {
            "id": name,
            "type": "function",
            "function": {
                "name": one.call.name,
                "arguments": _arguments(one, tokens, manner.redact),
            },
        }
        for name, one in zip(ids, asked, strict=True)
        if one.call
    ]
    text = cut(step[0].text, tokens)
    yield {"role": "assistant", "content": text, "tool_calls": calls}
    answers = [one for one in step if one.role == "tool"]
    for index, (name, one) in enumerate(zip(ids, answers, strict=False)):
        content = manner.fences.around(
            _answer(one, tokens, quota, manner.redact), f"{number}/{index}"
        )
        yield {"role": "tool", "tool_call_id": name, "content": content}


def _as_objects(
    step: list[TurnMessage], number: int, manner: Manner, tokens: int, quota: _Quota
) -> Iterator[Chat]:
    for index, one in enumerate(step):
        if one.call is None:
            continue
        if one.role == "assistant":
            told = {
                "tool": one.call.name,
                "arguments": json.loads(_arguments(one, tokens, manner.redact)),
            }
            yield {"role": "assistant", "content": compact(told)}
        else:
            data = manner.fences.around(
                _answer(one, tokens, quota, manner.redact), f"{number}/{index}"
            )
            yield {"role": "user", "content": f"Answer of {one.call.name}:\n{data}"}


def _arguments(message: TurnMessage, tokens: int, redact: Redact) -> str:
    """Return a call's arguments as JSON text, which has to stay an object when it is cut."""
    assert message.call is not None
    whole = compact(dict(message.call.arguments))
    text = redact(whole)
    if text != whole:
        text = compact({"redacted": text})
    if tokens_of(text) <= max(tokens, _CUT_TOKENS):
        return text
    return compact({"cut_short": cut(text, tokens // 2)})


def _answer(message: TurnMessage, tokens: int, quota: _Quota, redact: Redact) -> str:
    call = message.call
    assert call is not None
    if MALFORMED in call.arguments:
        return compact(correction(call))
    if call.name not in _BOARD_VERBS or not message.result.get("messages"):
        return cut(redact(compact(message.result)), tokens)
    allowed = min(tokens, quota.board.left)
    text, told = trimmed(message.result, most=quota.most - quota.told, tokens=allowed)
    quota.board.take(min(tokens_of(text), quota.board.left))
    quota.told += told
    return text
