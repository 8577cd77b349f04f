"""What a submission's process can reach: its own folder, and nothing that outlives it."""

import contextlib
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from bench.artefacts.artefact import build
from bench.artefacts.cache import ArtefactCache
from bench.configs.llamacpp import LlamaCppConfig
from bench.engines.llamacpp import LlamaCppEngine
from sandbox import landlock
from tests.bench.tiny_model import FIRST_WORD, write_tiny_model

pytestmark = [
    pytest.mark.enable_socket,
    pytest.mark.skipif(not landlock.abi(), reason="without Landlock nothing is verified"),
]
SUBMISSIONS = Path(__file__).with_name("submissions")
PROMPT = (1, FIRST_WORD + 3, FIRST_WORD + 4)
LITTER = "paceline-memory-of-a-cheat.json"


class Launches:
    """Starts submissions on the tiny model, again and again from one folder."""

    def __init__(self, folder: Path, cache: ArtefactCache) -> None:
        self.submission = folder / "submission"
        shutil.copytree(SUBMISSIONS, self.submission)
        self._artefact = build(LlamaCppConfig(), write_tiny_model(folder / "tiny.gguf"), cache)

    def loot(self, server: str, *, requests: int = 3) -> list[str]:
        """Serve some requests and return what the submission says it got hold of."""
        where = {"server": server, "server_folder": self.submission}
        engine = LlamaCppEngine(LlamaCppConfig(), self._artefact, **where)
        with contextlib.closing(engine):
            for count in range(1, requests + 1):
                engine.generate(PROMPT, max_tokens=8 * count)
            reply: dict[str, Any] = engine._server.post("/loot", {})
        return list(reply["loot"])


@pytest.fixture
def launches(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Launches]:
    (tmp_path / "request.json").write_text("private texts")
    monkeypatch.chdir(tmp_path)
    with contextlib.closing(ArtefactCache(tmp_path / "cache")) as cache:
        yield Launches(tmp_path, cache)


def test_nothing_written_in_one_launch_is_found_in_the_next(launches: Launches) -> None:
    found = [launches.loot("disk_memory") for _ in range(2)]
    outside = [Path("/dev/shm"), Path("/var/tmp"), Path.home(), launches.submission]

    assert found == [[], []]
    assert [folder for folder in outside if (folder / LITTER).exists()] == []


def test_a_submission_neither_reads_the_request_nor_writes_the_result(
    launches: Launches, tmp_path: Path
) -> None:
    (launches.submission / "target").write_text(str(tmp_path))

    assert launches.loot("forged_result") == []
    assert not (tmp_path / "result.json").exists()
