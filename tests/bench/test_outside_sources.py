"""Where `vllm`, `transformers` and `openai` come from, and what is said where they are missing."""

import os
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from bench.artefacts.model_file import ModelFile
from bench.challenge import Challenge, ModelSource
from bench.challenge_files import load_challenge
from bench.configs.llamacpp import LlamaCppConfig
from bench.configs.openai_endpoint import OpenAiConfig
from bench.configs.transformers_config import TransformersConfig
from bench.configs.vllm import VllmConfig
from bench.engine_places import EnginePlaces, PythonPlace, VllmPlace
from bench.engine_sources import EngineName, EngineSource, open_source
from bench.engines.vllm_engine import VllmEngine
from sandbox.errors import ConfigError
from tests.bench.openai_stand import install_stand
from tests.bench.tiny_model import write_tiny_model

COMMIT = "0123456789abcdef0123456789abcdef01234567"


@pytest.fixture
def challenge(tmp_path: Path) -> Challenge:
    model: ModelFile = write_tiny_model(tmp_path / "tiny.gguf")
    source = ModelSource(
        source=f"path:{model.path}", sha256=model.sha256, title="tiny", licence="ours"
    )
    return load_challenge("smollm2-135m-cpu").challenge.model_copy(update={"model": source})


@pytest.fixture
def place(tmp_path: Path) -> VllmPlace:
    return VllmPlace(python=Path(sys.executable), site=install_stand(tmp_path / "site"))


def opened(
    name: EngineName, challenge: Challenge, tmp_path: Path, places: EnginePlaces | None = None
) -> EngineSource:
    return open_source(name, challenge, cache_folder=tmp_path, seed=1, places=places)


def code_of(act: Callable[[], object]) -> str:
    with pytest.raises(ConfigError) as caught:
        act()
    return caught.value.code


@pytest.mark.enable_socket
def test_a_gguf_file_is_served_as_a_folder(
    challenge: Challenge, place: VllmPlace, tmp_path: Path
) -> None:
    source = opened("vllm", challenge, tmp_path, EnginePlaces(vllm=place))
    engine = source.prepare(VllmConfig(), "candidate", public_ids=())()

    assert engine.generate((1, 2, 3), max_tokens=2).token_ids == (3, 4)
    assert source.model_sha256 == challenge.model.sha256
    assert engine.artefact_bytes > 100_000
    engine.close()
    source.close()


@pytest.mark.enable_socket
def test_what_one_user_compiles_is_not_another_s(
    challenge: Challenge, place: VllmPlace, tmp_path: Path
) -> None:
    """A ride beside root's verification died of what root had written in the folder of both."""
    source = opened("vllm", challenge, tmp_path, EnginePlaces(vllm=place))
    engine = source.prepare(VllmConfig(), "candidate", public_ids=())()
    assert isinstance(engine, VllmEngine)
    (pid, *_) = engine._server.process.pids()
    seen = Path(f"/proc/{pid}/environ").read_text().split("\0")
    engine.close()
    source.close()

    folder = tmp_path / "vllm" / f"user-{os.geteuid()}"
    assert f"TRITON_CACHE_DIR={folder}/triton" in seen
    assert folder.is_dir()


def test_vllm_without_a_place_is_said(challenge: Challenge, tmp_path: Path) -> None:
    assert code_of(lambda: opened("vllm", challenge, tmp_path)) == "missing_engine"


def test_transformers_that_is_not_installed_is_said(challenge: Challenge, tmp_path: Path) -> None:
    bare = EnginePlaces(transformers=PythonPlace(python=tmp_path / "python"))

    assert code_of(lambda: opened("transformers", challenge, tmp_path, bare)) == "missing_engine"


def test_another_engine_s_config_is_refused(
    challenge: Challenge, place: VllmPlace, tmp_path: Path
) -> None:
    vllm = opened("vllm", challenge, tmp_path, EnginePlaces(vllm=place))
    openai = opened("openai", challenge, tmp_path)

    for source, config in ((vllm, LlamaCppConfig()), (openai, TransformersConfig())):

        def prepare(source: EngineSource = source, config: object = config) -> None:
            source.prepare(config, "candidate", public_ids=())  # type: ignore[arg-type]

        assert code_of(prepare) == "other_engine"
    assert callable(openai.prepare(OpenAiConfig(), "candidate", public_ids=()))
    vllm.close()
    openai.close()


def test_a_checkpoint_is_pinned_found_or_said_to_be_missing(
    challenge: Challenge, place: VllmPlace, tmp_path: Path
) -> None:
    built = tmp_path / "checkpoints" / "mine"
    built.mkdir(parents=True)
    (built / "config.json").write_text("{}")
    (built / "model.safetensors").write_bytes(b"")
    own = place.model_copy(update={"checkpoints": tmp_path / "checkpoints"})
    source = opened("vllm", challenge, tmp_path, EnginePlaces(vllm=own))

    def code(checkpoint: str) -> str:
        config = VllmConfig(checkpoint=checkpoint)
        return code_of(lambda: source.prepare(config, "candidate", public_ids=()))

    assert code("org/name") == "unpinned_checkpoint"
    assert code("org/name@main") == "unpinned_checkpoint"
    assert code(f"org/name@{COMMIT}") == "model_missing"
    assert code("built:none") == "model_missing"
    assert code("built:../mine") == "unpinned_checkpoint"
    assert callable(source.prepare(VllmConfig(checkpoint="built:mine"), "candidate", public_ids=()))
    source.close()


def test_no_folder_of_checkpoints_is_said(
    challenge: Challenge, place: VllmPlace, tmp_path: Path
) -> None:
    source = opened("vllm", challenge, tmp_path, EnginePlaces(vllm=place))
    config = VllmConfig(checkpoint="built:mine")

    assert code_of(lambda: source.prepare(config, "candidate", public_ids=())) == "model_missing"
    source.close()


def test_a_lever_is_checked_before_anything_starts(
    challenge: Challenge, place: VllmPlace, tmp_path: Path
) -> None:
    source = opened("vllm", challenge, tmp_path, EnginePlaces(vllm=place))
    config = VllmConfig(patches=("front_end",))

    assert (
        code_of(lambda: source.prepare(config, "candidate", public_ids=())) == "patch_needs_files"
    )
    source.close()
