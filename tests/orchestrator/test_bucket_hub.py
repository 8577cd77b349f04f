"""The mirror through the real client, against a Hub on a loopback socket."""

import asyncio
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from orchestrator.bucket_place import opened_place
from orchestrator.bucket_session import Mirrored, mirror
from orchestrator.imports.bucket import read_bucket
from orchestrator.imports.collaboration import Collaboration
from orchestrator.settings import Settings
from sandbox.errors import HubRefused
from sandbox.fake_hub import FakeHub
from sandbox.hub import opened_hub
from tests.orchestrator.bucket_scene import BucketScene
from tests.orchestrator.hub_scene import rented

WHERE = "hf://buckets/paceline/race"


@pytest.fixture
def hub(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[FakeHub]:
    with rented(tmp_path, monkeypatch) as served:
        yield served


@pytest.fixture
def scene(tmp_path: Path) -> BucketScene:
    return BucketScene(tmp_path)


async def mirrored(scene: BucketScene, **options: Any) -> Mirrored:
    settings = Settings(private_folder=scene.root / "private")
    async with opened_place(WHERE, settings) as place:
        return await mirror(scene.session, place, settings=settings, **options)


async def read(scene: BucketScene) -> Collaboration:
    settings = Settings(private_folder=scene.root / "private")
    async with opened_place(WHERE, settings) as place:
        return await asyncio.to_thread(read_bucket, place.central)


async def put(hub: FakeHub, bucket: str, files: dict[str, bytes]) -> None:
    async with opened_hub(hub.token, hub.namespace, endpoint=hub.endpoint) as client:
        await client.create_bucket(bucket)
        await client.upload(bucket, files)


@pytest.mark.usefixtures("hub")
async def test_a_session_goes_there_and_comes_back(scene: BucketScene) -> None:
    first = await mirrored(scene)
    again = await mirrored(scene)
    await scene.mirror()  # the same into a folder
    found = await read(scene)

    assert (first.written, again.written, again.verdicts) == (10, 0, "unchanged")
    assert found.posts == scene.read().posts
    assert found.results == scene.read().results
    assert found.rulings == scene.read().rulings


async def test_what_lies_in_a_scratch_bucket_is_its_owners(
    hub: FakeHub, scene: BucketScene
) -> None:
    await put(hub, "paceline/race-zoe", {"message_board/a.md": b"---\nagent: ada\n---\n\nhello"})
    await put(hub, "paceline/racer", {"message_board/a.md": b"this is no scratch bucket"})
    done = await mirrored(scene, takes_in=True)

    assert done.taken_in == 1
    assert scene.known().board.messages[-1].author == "zoe"
    assert [post.author for post in (await read(scene)).posts][-1] == "zoe"


async def test_a_token_that_may_not_write_is_told_which_scope(
    hub: FakeHub, scene: BucketScene
) -> None:
    hub.scopes = hub.scopes - {"repo.write"}
    with pytest.raises(HubRefused, match=r"the scope 'repo.write' is missing"):
        await mirrored(scene)


async def test_a_file_larger_than_anybody_writes_is_not_fetched(
    hub: FakeHub, scene: BucketScene
) -> None:
    await put(hub, "paceline/race-zoe", {"message_board/a.md": b"x" * 300_000})
    done = await mirrored(scene, takes_in=True)

    assert done.taken_in == 0
    assert "larger than" in done.refused[0][1]
