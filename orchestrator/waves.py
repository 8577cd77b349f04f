"""One wave, in memory: who is in it, who is in the middle of a turn, and when it is over.

Knows agents by name and one clock. An agent without news waits inside the wave as long as somebody
else is busy, so a slow turn never keeps the others from going on. A wave ends when nobody in it has
anything to do; or, once it has lasted `open_seconds` and somebody outside wants in, when the turns
begun before that moment are done.
"""

import asyncio
from collections.abc import Callable, Collection

OPEN_SECONDS = 1.0
"""A shorter wave pays LangGraph's price of a wave (2 ms an agent) for too few turns."""
MAX_TURNS = 100
"""Turns of one agent in one wave; its checkpoints are pruned between waves only."""


class Wave:
    """One wave. Bound to one event loop."""

    def __init__(
        self,
        agents: Collection[str],
        *,
        clock: Callable[[], float],
        open_seconds: float = OPEN_SECONDS,
        max_turns: int = MAX_TURNS,
    ) -> None:
        self._clock = clock
        self._opened_at = clock()
        self._open_seconds = open_seconds
        self._max_turns = max_turns
        self._inside = set(agents)
        self._turns: dict[str, float] = {}
        self._waiting: dict[str, asyncio.Future[bool]] = {}
        self._closed = False

    @property
    def waiting(self) -> Collection[str]:
        """Agents who wait for news inside the wave."""
        return self._waiting.keys()

    def __contains__(self, agent: str) -> bool:
        return agent in self._inside

    def begin(self, agent: str) -> None:
        """Note that a turn begins; an agent resumed from a checkpoint joins by it."""
        self._inside.add(agent)
        self._turns[agent] = self._clock()

    def end(self, agent: str) -> None:
        """Note that a turn ended."""
        self._turns.pop(agent, None)

    def rides_on(self, agent: str, *, taken: int, has_news: bool, wanted: bool) -> bool:
        """Return whether `agent` stays; an agent that does not is out of the wave.

        Args:
            agent: has just ended a turn.
            taken: its turns in this wave.
            has_news: it could act again at once.
            wanted: somebody outside the wave could act.
        """
        others_busy = len(self._inside) - len(self._waiting) > 1
        stays = not self._closed and taken < self._max_turns and (has_news or others_busy)
        if stays and wanted and self._is_due_to_end():
            self.close()
            stays = False
        if not stays:
            self._leave(agent)
        return stays

    async def ready(self, agent: str, *, has_news: bool) -> bool:
        """Wait for news; False when the wave is over."""
        if self._closed or has_news:
            return not self._closed
        self._inside.add(agent)
        answer: asyncio.Future[bool] = asyncio.get_running_loop().create_future()
        self._waiting[agent] = answer
        if len(self._waiting) == len(self._inside):
            self.close()
        try:
            return await answer
        finally:
            self._waiting.pop(agent, None)

    def wake(self, due: Collection[str]) -> None:
        """Let those go on who wait and have news now."""
        for agent in due:
            self._answer(agent, True)

    def close(self) -> None:
        """End the wave: turns under way are finished, no further one begins."""
        self._closed = True
        for agent in list(self._waiting):
            self._inside.discard(agent)
            self._answer(agent, False)

    def _is_due_to_end(self) -> bool:
        end = self._opened_at + self._open_seconds
        return self._clock() >= end and all(began > end for began in self._turns.values())

    def _leave(self, agent: str) -> None:
        self._inside.discard(agent)
        if len(self._waiting) == len(self._inside):
            self.close()

    def _answer(self, agent: str, goes_on: bool) -> None:
        answer = self._waiting.pop(agent, None)
        if answer is not None and not answer.done():
            answer.set_result(goes_on)
