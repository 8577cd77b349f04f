"""What the GPU's own tool says, by a script of its name that says what one H100 said."""

from collections.abc import Callable
from pathlib import Path

import pytest

from bench.engines import gpu
from bench.vllm_options import Device

SCRIPT = """#!/bin/sh
case "$1" in
  --query-gpu=name*) echo "NVIDIA H100 80GB HBM3, 9.0, 81559";;
  --query-gpu=memory.used) echo "4211";;
  --query-compute-apps*) printf '%s';;
esac
"""
Install = Callable[[str], None]


@pytest.fixture
def install(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Install:
    monkeypatch.setenv("PATH", f"{tmp_path}:/usr/bin:/bin")

    def install(text: str) -> None:
        (tmp_path / "nvidia-smi").write_text(text)
        (tmp_path / "nvidia-smi").chmod(0o755)

    return install


def test_the_first_gpu_is_described(install: Install) -> None:
    install(SCRIPT % "11, 300\\n12, 700\\n13, [N/A]\\n")

    assert gpu.device() == Device("NVIDIA H100 80GB HBM3", (9, 0), 81559 << 20)
    assert gpu.used_bytes() == 4211 << 20
    assert gpu.held_bytes([11, 12, 13]) == 1000 << 20


def test_processes_it_does_not_tell_of_hold_an_unknown_amount(install: Install) -> None:
    install(SCRIPT % "")

    assert gpu.held_bytes([11]) is None


def test_no_tool_and_a_tool_without_a_card_say_nothing(install: Install) -> None:
    assert (gpu.device(), gpu.used_bytes()) == (None, None)

    install("#!/bin/sh\necho No devices were found\n")
    assert (gpu.device(), gpu.used_bytes()) == (None, None)

    install("#!/bin/sh\nexit 9\n")
    assert (gpu.device(), gpu.used_bytes(), gpu.held_bytes([1])) == (None, None, None)
