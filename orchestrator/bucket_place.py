"""Where a session's bucket lies: a folder on this disk or a bucket of the Hub, and its scratches.

The central bucket `NAME` is written by one session; beside it, `NAME-AGENT` is the scratch bucket
of one outside agent, which only that agent can write. Knows places, no layout and no session.
"""

import os
import re
import secrets
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from pathlib import Path
from typing import NamedTuple, Protocol

from orchestrator.imports.bucket_reader import BucketReader, FolderReader
from orchestrator.imports.values import AGENT
from orchestrator.settings import Settings
from sandbox.errors import ConfigError

HUB = "hf://buckets/"
_NAME = re.compile(r"[\w.-]{1,96}/[\w.-]{1,96}")
AGENT_NAME = re.compile(AGENT)


class Bucket(BucketReader, Protocol):
    """A bucket that can be written to as well."""

    def write(self, files: Mapping[str, bytes]) -> None:
        """Write `files`, by path; one that is there is replaced.

        Raises:
            ConfigError: it cannot be written; names the cause, whoever named the bucket sees it.
        """

    def beside(self) -> dict[str, BucketReader]:
        """Return the scratch bucket of each outside agent, by the agent's name."""


class Place(NamedTuple):
    """A central bucket and the scratch buckets beside it."""

    central: Bucket
    name: str
    """As it was typed; what the session remembers it by."""


class FolderBucket(FolderReader):
    """A bucket that lies in a folder; made when it is missing."""

    def __init__(self, folder: Path) -> None:
        """`folder`: of the bucket."""
        try:
            folder.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise ConfigError(
                f"cannot make {str(folder)!r}: {error.strerror}", code="no_bucket"
            ) from None
        super().__init__(folder)
        self._root = folder.resolve()

    def write(self, files: Mapping[str, bytes]) -> None:
        """Write `files`; each is whole or not there at all."""
        for path, content in files.items():
            try:
                self._write(path, content)
            except OSError as error:
                raise ConfigError(
                    f"cannot write {path!r} in bucket {self.title!r}: {error.strerror}",
                    code="bucket_unwritable",
                ) from None

    def beside(self) -> dict[str, BucketReader]:
        """Return the folders `NAME-AGENT` beside this one."""
        found: dict[str, BucketReader] = {}
        for folder in sorted(self._root.parent.glob(f"{self._root.name}-*")):
            agent = folder.name.removeprefix(f"{self._root.name}-")
            if AGENT_NAME.fullmatch(agent) and folder.is_dir() and not folder.is_symlink():
                found[agent] = FolderReader(folder)
        return found

    def _write(self, path: str, content: bytes) -> None:
        file = self._root / path
        file.parent.mkdir(parents=True, exist_ok=True)
        if not file.parent.resolve().is_relative_to(self._root):
            raise OSError(0, "it leads out of the bucket")
        draft = file.with_name(f".{file.name}.{secrets.token_hex(4)}.part")
        draft.write_bytes(content)
        os.replace(draft, file)  # noqa: PTH105 - does not follow a link that lies there


@asynccontextmanager
async def opened_place(where: str, settings: Settings) -> AsyncIterator[Place]:
    """Open the place `where` names, `hf://buckets/ORG/NAME` or a folder; made when missing.

    Raises:
        ConfigError: no such form, `no_token`; whoever typed it sees it.
        HubRefused: a token that may not write there.
    """
    if not where.startswith(HUB):
        if "://" in where:
            raise ConfigError(
                f"{where!r} is no bucket",
                code="bad_bucket",
                hint=f"write {HUB}ORG/NAME, or a folder",
            )
        yield Place(FolderBucket(Path(where)), where)
        return
    name = where.removeprefix(HUB).rstrip("/")
    if not _NAME.fullmatch(name):
        raise ConfigError(
            f"{where!r} names no bucket", code="bad_bucket", hint=f"write {HUB}ORG/NAME"
        )
    from orchestrator.bucket_hub import opened_bucket  # noqa: PLC0415 - only for the Hub

    async with opened_bucket(name, settings) as bucket:
        yield Place(bucket, f"{HUB}{name}")
