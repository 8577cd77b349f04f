import errno
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import IO

import pytest

from bench.artefacts.cache import ArtefactCache
from sandbox.errors import JobError

Opener = Callable[..., ArtefactCache]


@pytest.fixture
def opened(tmp_path: Path) -> Iterator[Opener]:
    """Open caches on one folder; each is closed when the test ends."""
    caches: list[ArtefactCache] = []

    def open_one(**limits: float) -> ArtefactCache:
        caches.append(ArtefactCache(tmp_path, **limits))  # type: ignore[arg-type]
        return caches[-1]

    yield open_one
    for cache in caches:
        cache.close()


def kilobyte(file: IO[bytes]) -> None:
    file.write(bytes(1024))


def refuse(file: IO[bytes]) -> None:
    raise AssertionError("built again")


def test_a_file_is_written_once_and_found_again(opened: Opener) -> None:
    path = opened().get("files/a", kilobyte)

    assert path == opened().get("files/a", refuse)
    assert path.stat().st_size == 1024


def test_a_full_disk_leaves_no_partial_file(opened: Opener, tmp_path: Path) -> None:
    def fill(file: IO[bytes]) -> None:
        file.write(b"half")
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    with pytest.raises(JobError, match="No space left on device") as caught:
        opened().get("files/a", fill)

    assert caught.value.code == "cache_unwritable"
    assert list((tmp_path / "files").iterdir()) == []


def test_the_least_recently_used_file_goes_first(opened: Opener) -> None:
    first = opened()
    paths = [first.get(f"files/{name}", kilobyte) for name in "abc"]
    for age, path in enumerate(paths):
        os.utime(path, (1000 + age, 1000 + age))
    first.close()

    opened(max_bytes=2048).evict()

    assert [path.exists() for path in paths] == [False, True, True]


def test_a_file_in_use_is_never_evicted(opened: Opener) -> None:
    user = opened()
    held, free = user.get("files/held", kilobyte), user.get("files/free", kilobyte)
    os.utime(held, (1000, 1000))
    user.release(free)

    opened(max_bytes=0).evict()

    assert held.exists()
    assert not free.exists()


def test_a_file_evicted_by_another_process_is_built_again(opened: Opener) -> None:
    cache = opened()
    cache.get("files/a", kilobyte)
    cache.close()
    opened(max_bytes=0).evict()

    assert cache.find("files/a") is None
    assert cache.get("files/a", kilobyte).exists()


RACE = """
import sys, pathlib
from bench.artefacts.cache import ArtefactCache
def write(file):
    open(sys.argv[1] + "/builds", "a").write("x")
    file.write(bytes(1 << 20))
print(ArtefactCache(pathlib.Path(sys.argv[1])).get("files/a", write).stat().st_size)
"""


def test_two_processes_build_a_file_once(tmp_path: Path) -> None:
    command = [sys.executable, "-c", RACE, str(tmp_path)]
    racers = [subprocess.Popen(command, stdout=subprocess.PIPE) for _ in range(3)]
    sizes = [racer.communicate()[0].strip() for racer in racers]

    assert sizes == [b"1048576"] * 3
    assert (tmp_path / "builds").read_text() == "x"


def test_a_builder_that_never_ends_is_not_waited_for_forever(opened: Opener) -> None:
    cache = opened(lock_seconds=0.1)

    def build_itself(_: IO[bytes]) -> None:
        cache.get("files/a", kilobyte)

    with pytest.raises(JobError, match="has been building 'files/a'") as caught:
        cache.get("files/a", build_itself)

    assert caught.value.code == "cache_busy"


def test_a_folder_that_is_a_file_is_explained(tmp_path: Path) -> None:
    (tmp_path / "cache").write_text("")

    with pytest.raises(JobError, match="Choose a writable cache folder"):
        ArtefactCache(tmp_path / "cache").get("files/a", kilobyte)
