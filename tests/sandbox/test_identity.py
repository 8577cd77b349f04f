"""Whose files a job's folders become."""

import os
import threading
from pathlib import Path

from sandbox import identity


def test_a_folder_is_given_away_while_another_job_writes_in_it(tmp_path: Path) -> None:
    """The cache of two sessions is one: an engine of the other compiles while a job starts."""
    files = [tmp_path / f"half-written-{n}" for n in range(50)]
    over = threading.Event()

    def write() -> None:
        while not over.is_set():
            for file in files:
                file.touch()
            for file in files:
                file.unlink()

    other = threading.Thread(target=write)
    other.start()
    try:
        for _ in range(200):
            identity.give(str(tmp_path), os.geteuid())
    finally:
        over.set()
        other.join()
