"""Buckets of the Hub, as the mirror reads and writes them: from a thread, over the one client.

Files come and go through a temporary folder, as the client has it. Knows paths and sizes; what is
tried again, and what a refusal means, is the client's.
"""

import asyncio
import tempfile
from collections.abc import AsyncIterator, Coroutine, Iterator, Mapping
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, TypeVar

from orchestrator.bucket_place import AGENT_NAME
from orchestrator.imports.bucket_reader import MAX_FILES, BucketReader, Listed
from orchestrator.settings import Settings, hub_endpoint, hub_token
from sandbox.errors import ConfigError
from sandbox.hub import DEFAULT_ENDPOINT, Hub, opened_hub

T = TypeVar("T")


@asynccontextmanager
async def opened_bucket(name: str, settings: Settings) -> AsyncIterator["HubBucket"]:
    """Open the bucket `ORG/NAME`; made, private, when it is missing.

    Raises:
        ConfigError: `no_token`.
        HubRefused: `missing_scope` and whatever else the Hub says.
    """
    del settings
    owner = name.split("/", maxsplit=1)[0]
    endpoint = hub_endpoint() or DEFAULT_ENDPOINT
    async with opened_hub(hub_token(), owner, endpoint=endpoint) as hub:
        await hub.create_bucket(name)
        yield HubBucket(hub, name, asyncio.get_running_loop())


class HubBucket:
    """One bucket. Its methods block: call them from a thread, never from the client's loop."""

    def __init__(self, hub: Hub, name: str, loop: asyncio.AbstractEventLoop) -> None:
        """`loop` is the one the client is used from."""
        self._hub = hub
        self._name = name
        self._loop = loop

    @property
    def title(self) -> str:
        """Its address."""
        return f"hf://buckets/{self._name}"

    def folders(self) -> list[str]:
        """Return the names at the top, sorted."""
        return sorted({listed.path.split("/")[0] for listed in self.list("")})

    def list(self, folder: str) -> Iterator[Listed]:
        """Yield the files under `folder`, sorted by path; see the protocol."""
        found = self._wait(self._hub.listing(self._name, folder))
        if not found and folder:  # it may be a file
            beside = self._wait(self._hub.listing(self._name, folder.rpartition("/")[0]))
            found = tuple(one for one in beside if one.path == folder)
        if len(found) > MAX_FILES:
            raise ConfigError(
                f"more than {MAX_FILES} files in {self.title}/{folder}", code="too_many_files"
            )
        for one in sorted(found):
            yield Listed(one.path, one.size_bytes)

    def read(self, path: str, *, limit_bytes: int) -> bytes:
        """Return up to `limit_bytes` of a file; a larger one is not fetched at all.

        Raises:
            FileNotFoundError: there is no such file.
        """
        folder = path.rpartition("/")[0]
        sizes = {one.path: one.size_bytes for one in self.list(folder)}
        if path not in sizes:
            raise FileNotFoundError(path)
        if sizes[path] > limit_bytes:
            return b"\0" * limit_bytes  # refused for its size by whoever asks
        with tempfile.TemporaryDirectory(prefix="paceline-bucket-") as place:
            file = Path(place) / "file"
            self._wait(self._hub.download(self._name, {path: file}))
            return file.read_bytes()

    def write(self, files: Mapping[str, bytes]) -> None:
        """Write `files`, by path, in one request."""
        self._wait(self._hub.upload(self._name, dict(files)))

    def beside(self) -> dict[str, BucketReader]:
        """Return the buckets `NAME-AGENT` beside this one."""
        found: dict[str, BucketReader] = {}
        for name in self._wait(self._hub.bucket_names()):
            agent = name.removeprefix(f"{self._name}-")
            if agent != name and AGENT_NAME.fullmatch(agent):
                found[agent] = HubBucket(self._hub, name, self._loop)
        return found

    def _wait(self, asked: Coroutine[Any, Any, T]) -> T:
        return asyncio.run_coroutine_threadsafe(asked, self._loop).result()
