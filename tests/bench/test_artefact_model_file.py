import hashlib
import os
import subprocess
import sys
from pathlib import Path

import pytest

from bench.artefacts.model_file import locate
from bench.challenge import ModelSource
from sandbox.errors import ConfigError

CONTENT = b"GGUF weights"
SHA256 = hashlib.sha256(CONTENT).hexdigest()


def source(text: str, sha256: str = SHA256) -> ModelSource:
    return ModelSource(source=text, sha256=sha256, title="t", licence="l")


@pytest.fixture
def site(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder of installed packages."""
    folder = tmp_path / "site"
    folder.mkdir()
    monkeypatch.syspath_prepend(folder)
    return folder


def install(site: Path, name: str, file: str, content: bytes) -> None:
    (site / name / "data").mkdir(parents=True)
    (site / name / "__init__.py").write_text("raise AssertionError('imported')")
    (site / name / "data" / file).write_bytes(content)


def test_a_package_gives_its_weights_without_being_imported(site: Path, tmp_path: Path) -> None:
    install(site, "weights_whole", "m.gguf", CONTENT)

    found = locate(source("package:weights_whole"), tmp_path / "cache")

    assert found == (site / "weights_whole/data/m.gguf", SHA256)


def test_parts_are_joined_in_order_into_the_cache(site: Path, tmp_path: Path) -> None:
    install(site, "weights_split", "LICENCE", b"terms")
    for number in (1, 2, 3):
        piece = CONTENT[4 * number - 4 : 4 * number]
        install(site, f"weights_split_part{number}", f"m.gguf.part0{number - 1}", piece)

    found = locate(source("package:weights_split"), tmp_path / "cache")

    assert found.path.read_bytes() == CONTENT
    assert found.path.is_relative_to(tmp_path / "cache")


def test_a_missing_package_names_the_command_that_installs_it(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="no-such-weights") as caught:
        locate(source("package:no_such_weights"), tmp_path)

    assert caught.value.code == "model_missing"


def test_another_file_than_the_pinned_one_is_refused(tmp_path: Path) -> None:
    (tmp_path / "m.gguf").write_bytes(b"something else")

    with pytest.raises(ConfigError, match=f"the challenge pins {SHA256}") as caught:
        locate(source(f"path:{tmp_path / 'm.gguf'}"), tmp_path)

    assert caught.value.code == "model_corrupted"


def test_a_good_check_is_remembered_until_the_file_changes(tmp_path: Path) -> None:
    path = tmp_path / "m.gguf"
    path.write_bytes(CONTENT)
    os.utime(path, ns=(1, 1))
    locate(source(f"path:{path}"), tmp_path)
    path.write_bytes(b"GGUF changed")
    os.utime(path, ns=(1, 1))
    locate(source(f"path:{path}"), tmp_path)  # same size and time: not read again
    os.utime(path, ns=(2, 2))

    with pytest.raises(ConfigError, match="has SHA-256"):
        locate(source(f"path:{path}"), tmp_path)


def test_a_good_check_of_one_hash_says_nothing_about_another(tmp_path: Path) -> None:
    (tmp_path / "m.gguf").write_bytes(CONTENT)
    text = f"path:{tmp_path / 'm.gguf'}"
    locate(source(text), tmp_path)

    with pytest.raises(ConfigError, match="model file"):
        locate(source(text, "0" * 64), tmp_path)


@pytest.mark.parametrize("text", ["gemma", "ftp:x", "package:", "hub:org/repo", "hub:a/b/c"])
def test_a_source_of_unknown_form_is_refused(text: str, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="must be") as caught:
        locate(source(text), tmp_path)

    assert caught.value.code == "bad_model_source"


def test_a_path_that_does_not_exist_is_named(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="does not exist"):
        locate(source("path:/no/such/file.gguf"), tmp_path)


WITHOUT_HUB = """
import sys, pathlib
sys.modules["huggingface_hub"] = None
from tests.bench.test_artefact_model_file import source
from bench.artefacts.model_file import locate
locate(source("hub:org/repo/file.gguf@abc"), pathlib.Path("unused"))
"""


def test_the_hub_client_is_asked_for_only_when_needed() -> None:
    command = [sys.executable, "-c", WITHOUT_HUB]
    run = subprocess.run(command, check=False, capture_output=True, text=True)

    assert "Run: pip install 'huggingface_hub>=1.33,<3'" in run.stderr
