"""What a process may leave behind, and what of it is read."""

import os
import socket
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from threading import Event

import pytest

from sandbox.errors import JobError
from sandbox.read_back import Left, list_back, read_back


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A folder beside a secret."""
    (tmp_path / "secret").write_text("secret")
    (tmp_path / "folder" / "inner").mkdir(parents=True)
    (tmp_path / "folder" / "inner" / "file").write_text("content")
    return tmp_path / "folder"


def refusal(folder: Path, path: str, *, max_bytes: int = 100) -> str:
    with pytest.raises(JobError) as caught:
        read_back(folder, path, max_bytes=max_bytes)
    return caught.value.code


def test_an_ordinary_file_is_read_whole(folder: Path) -> None:
    assert read_back(folder, "inner/file", max_bytes=7) == b"content"


def test_an_absent_one_is_told_from_an_unsafe_one(folder: Path) -> None:
    assert refusal(folder, "absent") == refusal(folder, "inner/file/x") == "nothing_there"


def lead_astray(folder: Path) -> None:
    (folder / "link").symlink_to("../secret")
    (folder / "inside").symlink_to("inner/file")
    (folder / "parent").symlink_to("..")
    (folder / "magic").symlink_to(f"/proc/self/cwd/{folder}/inner/file")
    os.link(folder.parent / "secret", folder / "second")
    os.mkfifo(folder / "pipe")


UNSAFE = ("link", "inside", "parent/secret", "magic", "second", "pipe", "inner", ".", "..")


@pytest.mark.parametrize("path", [*UNSAFE, "../secret", "/etc/passwd", "", "a\0b", "\ud800"])
def test_nothing_but_an_ordinary_file_of_one_name_is_read(folder: Path, path: str) -> None:
    lead_astray(folder)

    assert refusal(folder, path) == "unsafe_file"


def test_a_socket_is_not_read(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(folder)
    with socket.socket(socket.AF_UNIX) as server:
        server.bind("s")
        assert refusal(folder, "s") == "unsafe_file"


def test_a_large_file_is_refused_also_when_it_is_all_holes(folder: Path) -> None:
    with (folder / "holes").open("wb") as file:
        file.truncate(1 << 40)

    assert refusal(folder, "holes") == refusal(folder, "inner/file", max_bytes=6) == "too_large"


def test_a_listing_names_what_can_be_read_and_what_cannot(folder: Path) -> None:
    lead_astray(folder)
    (folder / "run").write_text("x")
    (folder / "run").chmod(0o755)
    Path(os.fsdecode(os.fsencode(folder) + b"/bad\xff")).touch()
    listing = list_back(folder, max_files=20)

    assert listing.files == (Left("inner/file", 7, False), Left("run", 1, True))
    assert set(listing.refused) == {"bad?", "inside", "link", "magic", "parent", "pipe", "second"}


def test_a_listing_of_too_much_is_refused(folder: Path) -> None:
    with pytest.raises(JobError) as caught:
        list_back(folder, max_files=1)

    assert caught.value.code == "too_many_files"


@pytest.fixture
def swapper(folder: Path) -> Iterator[None]:
    """Exchanges a folder for a link to the secret's and back, as fast as it can."""
    (folder / "at").mkdir()
    (folder / "at" / "secret").write_text("mine")
    (folder / "to").symlink_to("..")
    done = Event()

    def swap() -> None:
        while not done.is_set():
            for one, other in (("at", "x"), ("to", "at"), ("at", "to"), ("x", "at")):
                (folder / one).rename(folder / other)

    with ThreadPoolExecutor(1) as pool:
        pool.submit(swap)
        yield
        done.set()


@pytest.mark.usefixtures("swapper")
def test_a_race_of_links_never_leads_outside(folder: Path) -> None:
    seen, tries, both = set(), 0, {b"mine", b"unsafe_file"}
    while tries < 1000 or (not both <= seen and tries < 100_000):  # a busy machine takes more
        tries += 1
        try:
            seen.add(read_back(folder, "at/secret", max_bytes=100))
        except JobError as error:
            seen.add(error.code.encode())

    assert b"secret" not in seen
    assert both <= seen
