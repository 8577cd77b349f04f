"""How far each agent's latest turn has come, as a fold over its replies.

A mapping from agent to `TurnState`. Replies are decoded when somebody asks, for only the latest
turn is ever asked for.
"""

from collections import deque
from collections.abc import Callable, Iterator, Mapping
from typing import NamedTuple

from tools.record.events import Event, ModelReplied

MAX_STEPS = 16
"""Latest replies kept per agent; a turn has at most four steps."""


class TurnState(NamedTuple):
    """How far an agent's latest turn has come."""

    turn: int
    cursor: int
    """What the agent had seen when the turn began."""
    replies: tuple[ModelReplied, ...]
    """Of this turn, by step."""


class Turns(Mapping[str, TurnState]):
    """The latest turn of every agent that ever replied."""

    def __init__(self) -> None:
        self.rules: dict[str, Callable[[Event], None]] = {"model_replied": self.apply}
        self._replies: dict[str, deque[Event]] = {}

    def apply(self, event: Event) -> None:
        """Take in the next reply."""
        replies = self._replies.get(event.actor)
        if replies is None:
            replies = self._replies[event.actor] = deque(maxlen=MAX_STEPS)
        replies.append(event)

    def __getitem__(self, agent: str) -> TurnState:
        newest: list[ModelReplied] = []
        for event in reversed(self._replies[agent]):
            if newest and event.payload.turn != newest[0].turn:
                break
            newest.insert(0, event.payload)
        return TurnState(newest[0].turn, newest[0].cursor, tuple(newest))

    def __iter__(self) -> Iterator[str]:
        return iter(self._replies)

    def __len__(self) -> int:
        return len(self._replies)
