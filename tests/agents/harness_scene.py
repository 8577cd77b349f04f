"""A small real world with one outside agent in it.

As a program: lets one hang, prints the ids of all processes below us, and waits to be killed.
"""

import asyncio
import os
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, NamedTuple

from agents.models.harness_model import HarnessModel
from agents.persona import PacelineKeys, Persona
from agents.turn import TurnEnd, take_turn
from orchestrator.harness_riders import Stable
from orchestrator.settings import handed_over
from sandbox import processes
from sandbox.job import Level
from sandbox.local import LocalSandbox
from tests.agents.riding import World, a_world
from tools.record.events import Event, ModelReplied

HERE = Path(__file__).parent


def own(kind: str, *words: str) -> str:
    """Return the harness that is an agent of our own, such as `own("acp", "dies")`."""
    script = HERE / {"acp": "own_acp_agent.py", "lines": "own_line_agent.py"}[kind]
    return " ".join((f"{kind}:{sys.executable} {script}", *words))


class Scene(NamedTuple):
    """A world, and how outside agents are started in it."""

    world: World
    model: HarnessModel
    folder: Path

    async def turn(self, harness: str, *, turn: int = 0, **keys: object) -> list[Event]:
        """Let `ann`, who is `harness`, take a turn; return what it wrote."""
        recorder = self.world.recorder
        before = recorder.projection.seq
        persona = Persona(
            name="ann", description="rides", x_paceline=PacelineKeys(harness=harness), **keys
        )
        end: TurnEnd = await take_turn(
            "ann", persona, self.model, self.world.toolbox, recorder, turn=turn, seen=0
        )
        assert end.cursor >= 0
        return await recorder.store.read(before)


def outside_model(
    folder: Path,
    default: str | None = None,
    *,
    turn_seconds: float = 20.0,
    level: Level | None = None,
) -> HarnessModel:
    """Return the model of all outside agents in `folder`."""
    start = Stable(folder, LocalSandbox(level=level), handed_over)
    return HarnessModel(start, default=default, turn_seconds=turn_seconds)


@asynccontextmanager
async def a_scene(folder: Path, **options: Any) -> AsyncIterator[Scene]:
    """Open a world whose only outside agents are ended with it."""
    async with a_world(folder) as world:
        model = outside_model(folder, **options)
        try:
            await world.measured("a0000")
            yield Scene(world, model, folder)
        finally:
            await model.aclose()


def replies(events: list[Event]) -> list[ModelReplied]:
    """Return the decisions among `events`."""
    return [event.payload for event in events if isinstance(event.payload, ModelReplied)]


async def hang(folder: Path) -> None:
    """Ride with an agent that started a process and hangs."""
    async with a_scene(folder, turn_seconds=60) as scene:
        turn = asyncio.create_task(scene.turn(own("acp", "hangs")))
        below = await descendants_with("sleep")
        sys.stdout.write(" ".join(map(str, below)) + "\n")
        sys.stdout.flush()
        await turn


async def descendants_with(program: str) -> list[int]:
    """Wait until `program` runs below us; return the ids of all that do."""
    while True:
        below = processes.descendants(os.getpid())
        if any(_program_of(pid) == program for pid in below):
            return below
        await asyncio.sleep(0.01)


async def written(folder: Path, name: str) -> str:
    """Wait until somebody wrote a file called `name` below `folder`; return what."""
    while True:
        if text := _text_below(folder, name):
            return text
        await asyncio.sleep(0.01)


def _text_below(folder: Path, name: str) -> str:
    return "".join(one.read_text() for one in folder.rglob(name))


def _program_of(pid: int) -> str:
    try:
        return Path(f"/proc/{pid}/comm").read_text().strip()
    except OSError:
        return ""


if __name__ == "__main__":
    asyncio.run(hang(Path(sys.argv[1])))
