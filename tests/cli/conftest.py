import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from orchestrator.cli.app import main
from tests.cli.race import race, write_record

ROOT = Path(__file__).parents[2]
Paceline = Callable[..., subprocess.CompletedProcess[str]]


@pytest.fixture(scope="session")
def races(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with two sessions; tests only look at them."""
    folder = tmp_path_factory.mktemp("races")
    write_record(folder / "sessions" / "20270101-race", race())
    write_record(folder / "sessions" / "20270102-simulated", race(simulated=True))
    return folder


@pytest.fixture
def program() -> Paceline:
    """Runs the real program in a folder, as a person would from the checkout."""

    def run(
        *words: str, folder: Path = ROOT, **environment: str
    ) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [sys.executable, "-m", "orchestrator", *words],
            cwd=folder,
            env={"PYTHONPATH": str(ROOT), "PATH": "", "HOME": str(folder), **environment},
            capture_output=True,
            text=True,
            check=False,
            timeout=60,
        )

    return run


@pytest.fixture
def paceline(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Paceline:
    """Runs the same command line within this process, which saves the imports."""

    def run(
        *words: str, folder: Path = ROOT, **environment: str
    ) -> subprocess.CompletedProcess[str]:
        monkeypatch.chdir(folder)
        monkeypatch.setattr(sys, "argv", ["orchestrator", *words])
        for name, value in environment.items():
            monkeypatch.setenv(name, value)
        with pytest.raises(SystemExit) as ended:
            main()
        captured = capsys.readouterr()
        return subprocess.CompletedProcess(words, ended.value.code, captured.out, captured.err)

    return run
