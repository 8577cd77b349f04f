"""A bucket of the Hub, fetched from the fake one that the project ships."""

import asyncio
from pathlib import Path

import pytest

from orchestrator.imports.bucket import read_bucket
from orchestrator.imports.collaboration import Collaboration
from orchestrator.imports.front_matter import MAX_BYTES
from orchestrator.imports.places import hub_place, opened_place
from sandbox.errors import ConfigError
from sandbox.fake_hub.hub import FakeHub
from sandbox.hub import opened_hub
from tests.imports.bucket_tree import read, small_bucket


async def stored(fake: FakeHub, files: dict[str, bytes]) -> None:
    async with opened_hub(fake.token, fake.namespace, endpoint=fake.endpoint) as hub:
        await hub.create_bucket(f"{fake.namespace}/main")
        await hub.upload(f"{fake.namespace}/main", files)


def files_of(bucket: Path, prefix: str = "") -> dict[str, bytes]:
    found = (path for path in bucket.rglob("*") if path.is_file())
    return {prefix + path.relative_to(bucket).as_posix(): path.read_bytes() for path in found}


def fetched(place: str, fake: FakeHub, monkeypatch: pytest.MonkeyPatch) -> Collaboration:
    monkeypatch.setenv("HF_TOKEN", fake.token)
    monkeypatch.setenv("HF_ENDPOINT", fake.endpoint)
    with opened_place(place) as reader:
        return read_bucket(reader)


@pytest.mark.parametrize("prefix", ["", "old/2026/"])
def test_a_bucket_of_the_hub_is_read_like_a_folder(
    prefix: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    bucket = small_bucket(tmp_path / "bucket")
    with FakeHub(tmp_path / "hub") as fake:
        asyncio.run(stored(fake, files_of(bucket, prefix)))
        place = f"hf://buckets/{fake.namespace}/main/{prefix}".rstrip("/")
        found = fetched(place, fake, monkeypatch)

    assert found == read(bucket)


def test_what_is_too_large_stays_there_and_is_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    bucket = small_bucket(tmp_path / "bucket")
    name = "message_board/20260611-100000-000_ada.md"
    with FakeHub(tmp_path / "hub") as fake:
        asyncio.run(stored(fake, files_of(bucket) | {name: b"x" * (MAX_BYTES + 1)}))
        found = fetched(f"hf://buckets/{fake.namespace}/main", fake, monkeypatch)

    assert [(one.file, one.reason) for one in found.problems] == [
        (name, f"larger than {MAX_BYTES} bytes")
    ]


@pytest.mark.parametrize(
    "place", ["hf://a/b", "hf://buckets/a", "hf://buckets/a/b/../c", "hf://buckets/a b/c", "hf://"]
)
def test_an_address_of_another_form_is_refused(place: str) -> None:
    with pytest.raises(ConfigError, match="names no bucket"):
        hub_place(place)
