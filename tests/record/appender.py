"""A process that appends numbered posts and says on stdout which are durable.

`python -m tests.record.appender RECORD NAME COUNT [WIDTH]`: WIDTH appends are in flight at once.
Keys are `NAME/number`, so a process started again after a kill sends everything once more.
"""

import asyncio
import sys
import time
from pathlib import Path

from tests.builders import make_message
from tools.record.events import Draft
from tools.record.sqlite_store import SqliteStore


async def append_all(path: Path, name: str, *, count: int, width: int) -> None:
    store = SqliteStore.open(path, clock=time.time)
    numbers = iter(range(count))

    async def one_after_the_other() -> None:
        for number in numbers:
            await store.append([Draft(name, make_message(f"post {number}"), f"{name}/{number}")])
            sys.stdout.write(f"{number}\n")
            sys.stdout.flush()

    async with asyncio.TaskGroup() as group:
        for _ in range(width):
            group.create_task(one_after_the_other())
    await store.close()


if __name__ == "__main__":
    record, writer, total, *rest = sys.argv[1:]
    in_flight = int(rest[0]) if rest else 1
    asyncio.run(append_all(Path(record), writer, count=int(total), width=in_flight))
