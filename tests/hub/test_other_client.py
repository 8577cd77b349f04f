"""The same tests with the other major version of huggingface_hub.

An environment that has it is named in PACELINE_OTHER_HUB_PYTHON; docs/hf-jobs.md says how to make
one.
"""

import os
import subprocess
import sys
from pathlib import Path

import pytest

HERE = Path(__file__).parent
OTHER = os.environ.get("PACELINE_OTHER_HUB_PYTHON", "")
FILES = ("test_fake_hub.py", "test_hf_jobs.py", "test_faults.py", "test_random_faults.py")


def version_in(python: str) -> str:
    code = "import huggingface_hub; print(huggingface_hub.__version__)"
    return subprocess.check_output((python, "-c", code), text=True).strip()


@pytest.mark.slow
@pytest.mark.timeout(900)
@pytest.mark.skipif(not OTHER, reason="PACELINE_OTHER_HUB_PYTHON names no interpreter")
def test_the_other_client_passes_the_same_tests() -> None:
    argv = (OTHER, "-m", "pytest", "-q", "-n", "0", *(str(HERE / name) for name in FILES))
    environment = {**os.environ, "PACELINE_OTHER_HUB_PYTHON": ""}
    done = subprocess.run(
        argv, cwd=HERE.parents[1], env=environment, capture_output=True, text=True, check=False
    )

    assert version_in(OTHER).split(".")[0] != version_in(sys.executable).split(".")[0]
    assert done.returncode == 0, done.stdout[-3000:]
