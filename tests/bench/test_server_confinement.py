"""What a submission's server can reach: it runs as anybody's code, before any line of ours."""

import contextlib
import json
import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from bench.configs.llamacpp import LlamaCppConfig
from bench.confinement import ROOT
from bench.engines.server_params import ServerParams
from bench.engines.server_process import ServerProcess
from sandbox import landlock

needs_landlock = pytest.mark.skipif(landlock.abi() == 0, reason="this kernel has no Landlock")

CURIOUS = """
import json, os, sys, tempfile
from pathlib import Path
import bench.engines.server_params
TRIED = {}
def attempt(name, action):
    try:
        action()
    except OSError as error:
        TRIED[name] = type(error).__name__
    else:
        TRIED[name] = "done"
place = Path(__file__).parent.parent
attempt("weights", lambda: open(place / "weights").read())
attempt("own code", lambda: open(__file__).read())
attempt("own folder", lambda: tempfile.TemporaryFile().write(b"x"))
attempt("private", lambda: open(place / "private").read())
attempt("list", lambda: os.listdir(place))
attempt("spoil weights", lambda: open(place / "weights", "a"))
attempt("spoil own code", lambda: open(__file__, "a"))
attempt("remember", lambda: open("/dev/shm/paceline-memory", "w"))
attempt("checkout", lambda: os.listdir(Path(bench.__file__).resolve().parents[1]))
attempt("judge", lambda: open(f"/proc/{os.getppid()}/environ").read())
Path("tried.json").write_text(json.dumps(TRIED))
print("ready", flush=True)
sys.stdin.read()
"""
ALLOWED = {"weights", "own code", "own folder"}


@pytest.fixture
def place(tmp_path: Path) -> Path:
    (tmp_path / "submission").mkdir()
    (tmp_path / "submission" / "curious.py").write_text(CURIOUS)
    for name in ("weights", "private"):
        (tmp_path / name).write_text(name)
    return tmp_path


@contextlib.contextmanager
def started(place: Path, *, landlock_abi: int | None = None) -> Iterator[dict[str, str]]:
    """Start the server; yield what it could do."""
    params = ServerParams(
        config=LlamaCppConfig(),
        weights=place / "weights",
        drafter=None,
        context_tokens=64,
        cores=None,
        parent=os.getpid(),
        server="curious",
        server_folder=place / "submission",
    )
    server = ServerProcess(
        "bench.engines.outside_server",
        params.model_dump_json(),
        start_seconds=20,
        request_seconds=5,
        readable=(place / "weights", place / "submission"),
        landlock_abi=landlock_abi,
    )
    with contextlib.closing(server):
        yield json.loads((server._folder / "tried.json").read_text())


@needs_landlock
def test_a_submission_reads_its_weights_and_writes_its_own_folder_only(place: Path) -> None:
    with started(place) as tried:
        pass

    assert {name for name, outcome in tried.items() if outcome == "done"} == ALLOWED
    assert {tried[name] for name in tried.keys() - ALLOWED} == {"PermissionError"}


def test_without_landlock_a_server_starts_as_before(place: Path) -> None:
    with started(place, landlock_abi=0) as tried:
        (Path("/dev/shm") / "paceline-memory").unlink(missing_ok=True)

    assert tried["private"] == "done"


@needs_landlock
def test_its_folder_is_removed_and_the_code_it_linked_to_stays(place: Path) -> None:
    with started(place):
        pass

    assert (ROOT / "bench" / "confinement.py").is_file()
