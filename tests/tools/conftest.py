"""A session with two agents and its baseline measured."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from tests.agents.riding import World, a_world


@pytest.fixture
async def world(tmp_path: Path) -> AsyncIterator[World]:
    async with a_world(tmp_path) as world:
        await world.measured("a0000")
        yield world
