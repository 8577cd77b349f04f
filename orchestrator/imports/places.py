"""What a person names as a bucket: a folder here, or one on the Hub, which is fetched first.

Of the Hub only the folders of the layout are fetched, and no file that is too large to be read.
Nothing is written there.
"""

import asyncio
import re
import tempfile
from collections.abc import Collection, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path, PurePosixPath
from typing import NamedTuple

from orchestrator.imports.bucket import INDEX, MAX_INDEX_BYTES, READ
from orchestrator.imports.bucket_reader import MAX_FILES, BucketReader, FolderReader, Listed
from orchestrator.imports.front_matter import MAX_BYTES
from orchestrator.settings import hub_endpoint, hub_token
from sandbox.errors import ConfigError
from sandbox.hub import DEFAULT_ENDPOINT, Hub, opened_hub
from sandbox.hub_types import BucketFile

HUB = "hf://"
_PLACE = re.compile(r"hf://buckets/([\w.-]{1,96})/([\w.-]{1,96})(?:/(.*))?")
AT_ONCE = 500
"""Files of one request."""


class HubPlace(NamedTuple):
    """A bucket of the Hub, or a folder of one."""

    owner: str
    name: str
    prefix: str

    @property
    def bucket(self) -> str:
        """`OWNER/NAME`."""
        return f"{self.owner}/{self.name}"


class FetchedReader(FolderReader):
    """A folder that was fetched, and what was left where it is."""

    def __init__(self, folder: Path, left: Sequence[Listed]) -> None:
        """`left`: files that were not fetched, each with the reason."""
        super().__init__(folder)
        self._left = left

    def list(self, folder: str) -> Iterator[Listed]:
        """Yield what was fetched, then what was not; see the protocol."""
        yield from super().list(folder)
        for one in self._left:
            if one.path == folder or one.path.startswith(f"{folder}/"):
                yield one


@contextmanager
def opened_place(place: str) -> Iterator[BucketReader]:
    """Open `DIR` or `hf://buckets/ORG/NAME[/PREFIX]` for reading.

    Raises:
        ConfigError: there is none, or no token for it; whoever typed it sees what to do.
        HubRefused: what the Hub says.
    """
    if not place.startswith(HUB):
        yield FolderReader(Path(place))
        return
    where = hub_place(place)
    with tempfile.TemporaryDirectory(prefix="paceline-import-") as folder:
        left = asyncio.run(_fetch(where, Path(folder)))
        yield FetchedReader(Path(folder), left)


def hub_place(place: str) -> HubPlace:
    """Return what an address of the Hub names.

    Raises:
        ConfigError: another form; whoever typed it sees the right one.
    """
    found = _PLACE.fullmatch(place)
    prefix = (found[3] or "").strip("/") if found else ""
    if found is None or ".." in prefix.split("/"):
        raise ConfigError(
            f"{place!r} names no bucket",
            code="bad_bucket",
            hint="write hf://buckets/ORG/NAME, or hf://buckets/ORG/NAME/FOLDER",
        )
    return HubPlace(found[1], found[2], prefix)


async def _fetch(where: HubPlace, folder: Path) -> list[Listed]:
    """Fetch the layout's files into `folder`; return those left where they are."""
    endpoint = hub_endpoint() or DEFAULT_ENDPOINT
    async with opened_hub(hub_token(), where.owner, endpoint=endpoint) as hub:
        files = await _listed(hub, where)
        if len(files) > MAX_FILES:
            raise ConfigError(
                f"more than {MAX_FILES} files in {where.bucket!r}", code="too_many_files"
            )
        folders = {str(one) for path in files for one in PurePosixPath(path).parents}
        reasons = {path: _why_left(path, one, folders) for path, one in files.items()}
        wanted = {path: one for path, one in files.items() if not reasons[path]}
        sources = {one.path: folder / path for path, one in wanted.items()}
        for path in sources.values():
            path.parent.mkdir(parents=True, exist_ok=True)
        paths = sorted(sources)
        for start in range(0, len(paths), AT_ONCE):
            some = paths[start : start + AT_ONCE]
            await hub.download(where.bucket, {path: sources[path] for path in some})
    return [Listed(path, files[path].size_bytes, why) for path, why in reasons.items() if why]


async def _listed(hub: Hub, where: HubPlace) -> dict[str, BucketFile]:
    """Return the files of the layout, by their path below the prefix."""
    start = f"{where.prefix}/" if where.prefix else ""
    found: dict[str, BucketFile] = {}
    for name in READ:
        for one in await hub.listing(where.bucket, start + name):
            found[one.path.removeprefix(start)] = one
    return found


def _why_left(path: str, file: BucketFile, folders: Collection[str]) -> str:
    """Return why a file is not fetched; empty: it is."""
    parts = PurePosixPath(path).parts
    if path.startswith("/") or "\0" in path or ".." in parts or path != "/".join(parts):
        return "its path leads elsewhere"
    if path in folders:
        return "a folder has its name"
    cap = MAX_INDEX_BYTES if path == INDEX else MAX_BYTES
    return f"larger than {cap} bytes" if file.size_bytes > cap else ""
