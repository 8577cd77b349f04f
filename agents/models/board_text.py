"""The board as a prompt carries it: few messages whole, older ones as a line, the rest counted.

Everything is one JSON object a line, made by us around bodies that are only data. What was worked
out for a message is kept, for twenty agents read the same board.
"""

import json
from collections import Counter
from collections.abc import Hashable, Iterable, Sequence
from typing import Any

from agents.models.tokens import Room, tokens_of
from tools.board_verbs import READ_LIMIT, shown
from tools.claimed_speed import claimed
from tools.record.board import Board, Message
from tools.record.lineage import Lineage

_INBOX = 8
_OWN = 3
_GISTS = 30
"""Messages summarised in a line each; of older ones the authors are counted."""
_GIST_CHARACTERS = 80
_LEAST_CHARACTERS = 600
"""Of a body, that a whole message shows at least."""
_WHOLE_SHARE = 0.75
"""Of the room, for whole messages."""
_COUNT_TOKENS = 300

compact = json.JSONEncoder(ensure_ascii=False, separators=(",", ":")).encode
"""One line of JSON: no text within can begin a line of its own."""


class BoardText:
    """What the messages of one board look like in a prompt. Reads the board as it grows."""

    def __init__(self, board: Board, lineage: Lineage) -> None:
        self.board = board
        self._lineage = lineage
        self._whole: dict[Hashable, tuple[str, int]] = {}
        self._gists: dict[str, tuple[str, int]] = {}
        self._sizes: dict[str, int] = {}
        self._own: dict[str, list[Message]] = {}
        self._known = 0

    def lines(self, agent: str, *, seen: int, room: Room, most: int = READ_LIMIT) -> list[str]:
        """Return what fits into `room`, oldest first, at most `most` messages whole.

        Args:
            agent: who reads; what is addressed to it and its own posts come first.
            seen: messages up to this event are no news to it.
            room: what is left is handed back in it.
            most: messages shown whole.
        """
        self._update()
        reserve = min(_COUNT_TOKENS, room.left // 4)
        room.left -= reserve
        whole = self._chosen(agent, seen, room, most)
        gists = self._summaries(whole, room)
        room.left += reserve
        rest = self._rest(whole.keys() | gists.keys(), room)
        lines = {**gists, **whole}
        return rest + [lines[message] for message in sorted(lines, key=_number)]

    def _update(self) -> None:
        messages = self.board.messages
        for message in messages[self._known :]:
            self._own.setdefault(message.author, []).append(message)
        self._known = len(messages)

    def _chosen(self, agent: str, seen: int, room: Room, most: int) -> dict[str, str]:
        """Return the messages shown whole, by id: addressed to it, its own, the latest."""
        wanted: Iterable[Message] = (
            *self.board.inbox(agent, after=seen)[: -_INBOX - 1 : -1],
            *self._own.get(agent, [])[: -_OWN - 1 : -1],
            *self.board.recent(READ_LIMIT)[::-1],
        )
        for_whole = Room(int(room.left * _WHOLE_SHARE))
        chosen: dict[str, str] = {}
        for message in wanted:
            if len(chosen) >= most:
                break
            if message.id in chosen:
                continue
            if self._least_tokens(message) > for_whole.left:
                continue  # what was measured beside its claims need not be looked up
            line, tokens = self._shown(message)
            if for_whole.take(tokens):
                room.take(tokens)
                chosen[message.id] = line
        return chosen

    def _summaries(self, whole: dict[str, str], room: Room) -> dict[str, str]:
        gists: dict[str, str] = {}
        for message in reversed(self.board.recent(_GISTS + len(whole))):
            if message.id not in whole and len(gists) < _GISTS:
                line, tokens = self._gist(message)
                if not room.take(tokens):
                    break
                gists[message.id] = line
        return gists

    def _rest(self, told: set[str], room: Room) -> list[str]:
        """Return one line about all other messages: how many, from where to where, by whom."""
        others = len(self.board.messages) - len(told)
        if not others:
            return []
        authors = Counter({name: len(posts) for name, posts in self._own.items()})
        known = (self.board.message(one) for one in told)
        authors.subtract(message.author for message in known if message)
        first = next(m.id for m in self.board.messages if m.id not in told)
        last = next(m.id for m in reversed(self.board.messages) if m.id not in told)
        line = {
            "not_shown": others,
            "from": first,
            "to": last,
            "by": {name: posts for name, posts in authors.most_common(12) if posts > 0},
            "look_at": "read_board, search_board",
        }
        text = compact(line)
        return [text] if room.take(tokens_of(text)) else []

    def _shown(self, message: Message) -> tuple[str, int]:
        # beside a claim stands what was measured since, of attempts that are there by then
        makes_claims = bool(claimed(message.body, is_result=message.type == "result"))
        kept: dict[Hashable, tuple[str, int]] = self._lineage.memo if makes_claims else self._whole
        key = ("shown", message.id, len(self._lineage.nodes)) if makes_claims else message.id
        found = kept.get(key)
        if found is None:
            told = shown(message, self._lineage)
            lean = {name: value for name, value in told.items() if value not in ((), [])}
            found = kept[key] = _sized(lean)
        return found

    def _least_tokens(self, message: Message) -> int:
        tokens = self._sizes.get(message.id)
        if tokens is None:
            tokens = self._sizes[message.id] = tokens_of(message.body[:_LEAST_CHARACTERS])
        return tokens

    def _gist(self, message: Message) -> tuple[str, int]:
        found = self._gists.get(message.id)
        if found is None:
            gist = " ".join(message.body.split())[:_GIST_CHARACTERS]
            told = {"message": message.id, "author": message.author, "type": message.type}
            found = self._gists[message.id] = _sized({**told, "gist": gist})
        return found


def trimmed(result: dict[str, Any], *, most: int, tokens: int) -> tuple[str, int]:
    """Return the answer of a board verb with its latest messages only, and how many these are."""
    messages: Sequence[Any] = result.get("messages") or ()
    for kept in range(min(most, len(messages)), -1, -1):
        shorter = {**result, "messages": list(messages[len(messages) - kept :])}
        if left_out := len(messages) - kept:
            shorter["left_out"] = left_out
        text = compact(shorter)
        if tokens_of(text) <= tokens:
            return text, kept
    return compact({"messages": [], "left_out": len(messages)}), 0


def _sized(told: dict[str, Any]) -> tuple[str, int]:
    line = compact(told)
    return line, tokens_of(line) + 1


def _number(message: str) -> int:
    return int(message[1:])
