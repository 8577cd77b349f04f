"""A session's record, a bucket in a folder, and outside agents with scratch folders beside it."""

import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

from orchestrator.bucket_place import opened_place
from orchestrator.bucket_session import Mirrored, mirror
from orchestrator.imports.bucket import read_bucket
from orchestrator.imports.bucket_reader import FolderReader
from orchestrator.imports.collaboration import Collaboration
from orchestrator.settings import Settings
from tests.cli.race import race, write_record
from tools.record.events import Draft, Event
from tools.record.projection import Projection
from tools.record.sqlite_store import SqliteStore


class BucketScene:
    """One session and its bucket."""

    def __init__(self, folder: Path, *, simulated: bool = False) -> None:
        self.root = folder
        self.session = folder / "sessions" / "20270101-race"
        with ThreadPoolExecutor(1) as beside:  # the loop of an async test is running
            beside.submit(write_record, self.session, race(simulated=simulated)).result()
        self.bucket = folder / "central"

    async def mirror(self, **options: Any) -> Mirrored:
        settings = Settings(private_folder=self.root / "private")
        async with opened_place(str(self.bucket), settings) as place:
            return await mirror(self.session, place, settings=settings, **options)

    async def append(self, *drafts: Draft) -> None:
        store = SqliteStore.open(self.session / "record.db", clock=time.time)
        await store.append(list(drafts))
        await store.close()

    def outside(self, agent: str, path: str, text: str) -> Path:
        """Let an outside agent put a file into its scratch bucket."""
        file = self.root / f"central-{agent}" / path
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text)
        return file

    def files(self) -> dict[str, bytes]:
        """Return what lies in the bucket."""
        return {
            path.relative_to(self.bucket).as_posix(): path.read_bytes()
            for path in sorted(self.bucket.rglob("*"))
            if path.is_file() and ".paceline" not in path.parts
        }

    def read(self) -> Collaboration:
        """Read the bucket as `import` does."""
        return read_bucket(FolderReader(self.bucket))

    def known(self) -> Projection:
        store = SqliteStore.open_read_only(self.session / "record.db")
        try:
            return Projection.of(store.events())
        finally:
            store.close_reader()

    def events(self) -> list[Event]:
        store = SqliteStore.open_read_only(self.session / "record.db")
        try:
            return list(store.events())
        finally:
            store.close_reader()
