"""The `openai` engine on endpoints that others run: a stand, and llama.cpp's own server."""

import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from bench.configs.llamacpp import LlamaCppConfig
from bench.configs.openai_endpoint import OpenAiConfig
from bench.confinement import ROOT
from bench.engine_places import EnginePlaces, read_places
from bench.engines.http_line import HttpLine
from bench.engines.llamacpp import OWN_SERVER
from bench.engines.openai_client import OpenAiClient
from bench.engines.openai_engine import OpenAiEngine
from bench.engines.server_params import ServerParams
from bench.engines.server_process import SOCKET_NAME, ServerProcess
from sandbox.errors import PacelineError
from tests.bench import openai_stand
from tests.bench.tiny_model import write_tiny_model

pytestmark = pytest.mark.enable_socket
Serve = Callable[[str], str]


@pytest.fixture
def serve() -> Iterator[Serve]:
    running: list[subprocess.Popen[str]] = []

    def serve(fault: str) -> str:
        process = subprocess.Popen(
            (sys.executable, openai_stand.__file__, ""),
            env={"PYTHONPATH": str(ROOT), "STAND_FAULT": fault},
            stdout=subprocess.PIPE,
            text=True,
        )
        running.append(process)
        assert process.stdout is not None
        return f"http://127.0.0.1:{process.stdout.readline().strip()}/v1"

    yield serve
    for process in running:
        with process:
            process.kill()


def code_of(act: Callable[[], object]) -> str:
    with pytest.raises(PacelineError) as caught:
        act()
    return caught.value.code


def test_the_only_model_is_found_by_itself(serve: Serve) -> None:
    engine = OpenAiEngine(OpenAiConfig(base_url=serve("")))

    assert engine.generate((1, 2), max_tokens=2).token_ids == (2, 3)
    assert engine.logprobs((1,), (2,)) == (-1.0,)
    assert engine.cpu_seconds() is None
    assert engine.peak_memory_bytes() is None
    engine.close()


def test_the_key_comes_from_a_file_and_is_sent(serve: Serve, tmp_path: Path) -> None:
    config = OpenAiConfig(base_url=serve("wants_key"), model="served")
    (tmp_path / "key").write_text("sesame\n")
    with_key = OpenAiEngine(config, key_file=tmp_path / "key")
    without = OpenAiEngine(config)

    assert with_key.generate((1,), max_tokens=1).token_ids == (1,)
    assert code_of(lambda: without.generate((1,), max_tokens=1)) == "engine_rubbish"
    assert code_of(lambda: OpenAiEngine(config, key_file=tmp_path / "none")) == "no_key"
    with_key.close()
    without.close()


def test_an_endpoint_that_is_not_there_is_named() -> None:
    config = OpenAiConfig(base_url="http://127.0.0.1:9/v1")

    with pytest.raises(PacelineError, match="nobody serves at") as caught:
        OpenAiEngine(config)
    assert caught.value.code == "engine_died"


@pytest.mark.parametrize("address", ["ftp://host", "http://", "http://key@host"])
def test_an_address_of_another_kind_is_refused(address: str) -> None:
    assert code_of(lambda: HttpLine(address, request_seconds=1)) == "bad_address"


@pytest.mark.engine
def test_llama_cpp_s_own_server_is_refused_never_scored_wrongly(tmp_path: Path) -> None:
    """It takes the request, and says nothing of the prompt's tokens."""
    model = write_tiny_model(tmp_path / "tiny.gguf")
    params = ServerParams(
        config=LlamaCppConfig(),
        weights=model.path,
        drafter=None,
        context_tokens=256,
        cores=None,
        parent=os.getpid(),
    )
    server = ServerProcess(
        OWN_SERVER,
        params.model_dump_json(),
        start_seconds=60,
        request_seconds=60,
        readable=[model.path],
    )
    line = HttpLine(server._folder / SOCKET_NAME, request_seconds=60)
    client = OpenAiClient(line, "tiny")
    try:
        assert client.is_healthy()
        assert code_of(lambda: client.ranked((1, 300), (301, 302))) == "no_prompt_logprobs"
        assert code_of(lambda: client.emit((1, 300), 2, with_logprobs=False)) == "engine_rubbish"
    finally:
        line.close()
        server.close()


def test_places_are_read_from_a_file(tmp_path: Path) -> None:
    file = tmp_path / "places.toml"
    file.write_text('[vllm]\npython = "/opt/vllm/bin/python"\nmemory_share = 0.45\n')
    assert read_places(file) == EnginePlaces.model_validate(
        {"vllm": {"python": "/opt/vllm/bin/python", "memory_share": 0.45}}
    )

    file.write_text("[vllm]\npyhton = 1\n")
    with pytest.raises(PacelineError, match="did you mean 'python'"):
        read_places(file)
    assert code_of(lambda: read_places(tmp_path / "none")) == "bad_places"
