from collections.abc import Iterator
from pathlib import Path

import pytest

from sandbox import levels


@pytest.fixture(autouse=True, scope="session")
def own_xet_cache(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """hf_xet keeps a folder per server it ever saw: not in anybody's home."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("HF_XET_CACHE", str(tmp_path_factory.mktemp("xet")))
        for name in ("HF_TOKEN", "HF_ENDPOINT"):
            patch.delenv(name, raising=False)
        yield


@pytest.fixture(autouse=True)
def needs_containers() -> None:
    reason = levels.why_not("bubblewrap")
    if reason is not None:
        pytest.skip(f"the fake Hub runs jobs in bubblewrap: {reason}")


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Where a job works."""
    made = tmp_path / "job"
    made.mkdir()
    return made
