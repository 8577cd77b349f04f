"""The engine behind the OpenAI-compatible contract, on servers that know no model."""

import http.client
import json
import socket
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from bench.artefacts.artefact import Artefact
from bench.configs.llamacpp import LlamaCppConfig
from bench.confinement import ROOT
from bench.engines.submission_params import SubmissionParams
from bench.engines.submitted import BRIDGE, PATH, SubmittedEngine
from sandbox.errors import ConfigError, JobError, JobTimeout
from tests.bench.tiny_model import write_tiny_model

pytestmark = pytest.mark.enable_socket
SERVER = """
import json, os, socketserver, sys
from http.server import BaseHTTPRequestHandler

def answer(asked):
    count = len(asked["prompt"])
    rival = {"7": {"logprob": -0.5}}
    scored = [None] + [{str(t): {"logprob": -1.0}, **rival} for t in asked["prompt"][1:]]
    return {"choices": [{"token_ids": [count] * asked["max_tokens"],
                         "logprobs": {"token_logprobs": [-0.25] * asked["max_tokens"]},
                         "prompt_logprobs": scored if "prompt_logprobs" in asked else None}]}

#BODY#

class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    def do_GET(self):
        self.reply({})
    def do_POST(self):
        self.reply(answer(json.loads(self.rfile.read(int(self.headers["Content-Length"])))))
    def reply(self, body):
        text = body if isinstance(body, bytes) else json.dumps(body).encode()
        self.send_response(200)
        self.send_header("Content-Length", str(len(text)))
        self.end_headers()
        self.wfile.write(text)
    def log_message(self, *_):
        pass

if SOCKET:
    server = socketserver.ThreadingUnixStreamServer(os.environ["PACELINE_SOCKET"], Handler)
else:
    socketserver.ThreadingTCPServer.allow_reuse_address = True
    address = ("127.0.0.1", int(os.environ["PACELINE_PORT"]))
    server = socketserver.ThreadingTCPServer(address, Handler)
server.daemon_threads = True
server.serve_forever()
"""
Start = Callable[..., SubmittedEngine]


@pytest.fixture
def start(tmp_path: Path) -> Iterator[Start]:
    model = write_tiny_model(tmp_path / "tiny.gguf")
    artefact = Artefact(
        recipe_hash="r" * 16,
        path=model.path,
        bytes=1000,
        drafter_path=None,
        vocabulary=None,
        model_path=model.path,
    )
    started: list[SubmittedEngine] = []

    def begin(body: str = "", *, start_seconds: float = 20) -> SubmittedEngine:
        folder = tmp_path / "submission"
        folder.mkdir(exist_ok=True)
        manifest = {"name": "t", "model_id": "t", "served_model_name": "t", "port": 8000}
        text = json.dumps({**manifest, "serve": ["python", "serve.py"]})
        (folder / "manifest.json").write_text(text)
        (folder / "serve.py").write_text(f"SOCKET = True\n{SERVER.replace('#BODY#', body)}")
        engine = SubmittedEngine(
            LlamaCppConfig(), artefact, folder=folder, start_seconds=start_seconds
        )
        started.append(engine)
        return engine

    yield begin
    for engine in started:
        engine.close()


def free_port() -> int:
    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        port: int = one.getsockname()[1]
        return port


def test_a_server_on_its_port_is_reached_through_a_socket(tmp_path: Path) -> None:
    """The bridge alone: whether there are ports within a sandbox is the sandbox's matter."""
    port = free_port()
    (tmp_path / "serve.py").write_text(f"SOCKET = False\n{SERVER}")
    env = {"PACELINE_PORT": str(port)}
    params = SubmissionParams(
        folder=tmp_path, serve=("python", "serve.py"), env=env, port=port, cores=None
    )
    (tmp_path / "params.json").write_text(params.model_dump_json())
    argv = (sys.executable, "-m", BRIDGE, "--params", "params.json")
    place = {"cwd": tmp_path, "env": {"PYTHONPATH": str(ROOT)}}
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE}
    with subprocess.Popen(argv, **place, **pipes) as bridge:  # type: ignore[call-overload]
        assert bridge.stdout.readline() == b"ready\n"
        connection = http.client.HTTPConnection("localhost")
        connection.sock = socket.socket(socket.AF_UNIX)
        connection.sock.connect(str(tmp_path / "s.sock"))
        for prompt in ([5, 6, 7], [5]):
            connection.request("POST", PATH, json.dumps({"prompt": prompt, "max_tokens": 1}))
            reply = json.loads(connection.getresponse().read())
            assert reply["choices"][0]["token_ids"] == [len(prompt)]
        connection.close()
        bridge.stdin.close()


def test_tokens_and_log_probabilities_come_through(start: Start) -> None:
    engine = start()

    assert engine.generate((1, 2), max_tokens=2, with_logprobs=True).logprobs == (-0.25, -0.25)
    assert engine.logprobs((1, 2), (3, 4)) == (-1.0, -1.0)
    assert [one and one.best for one in engine.ranked((1, 2), (3, 4))] == [-0.5, -0.5]


def test_it_counts_the_time_and_memory_of_the_server_itself(start: Start) -> None:
    engine = start(
        "def answer(asked, old=answer):\n    sum(range(3_000_000))\n    return old(asked)"
    )
    before = engine.cpu_seconds() or 0.0
    engine.generate((1,), max_tokens=1)

    assert (engine.cpu_seconds() or 0.0) - before > 0.01
    assert (engine.peak_memory_bytes() or 0) > 10_000_000


@pytest.mark.parametrize(
    "body",
    [
        "def answer(asked): return {'choices': [{'token_ids': [1]}]}",
        "def answer(asked): return {'choices': [{'token_ids': ['1', '2', '3']}]}",
        "def answer(asked): return {'choices': [{'token_ids': None}]}",
        "def answer(asked): return {'choices': []}",
        "def answer(asked): return {'choices': 7}",
        "def answer(asked): return []",
        "def answer(asked): return b'{'",
        "def answer(asked): return b'\\xff\\xfe'",
        "def answer(asked): return {'error': 'no'}",
    ],
)
def test_an_answer_out_of_shape_is_rubbish(start: Start, body: str) -> None:
    with pytest.raises(JobError) as caught:
        start(body).generate((1, 2), max_tokens=3)
    assert caught.value.code == "engine_rubbish"


@pytest.mark.parametrize(
    "scored",
    [
        "None",
        "[None]",
        "[None, {}, {}]",
        "[None, None, {'3': {}}]",
        "[0, 1, {'3': {'logprob': 'x'}}]",
    ],
)
def test_a_score_out_of_shape_is_rubbish_and_never_skipped(start: Start, scored: str) -> None:
    body = f"def answer(asked): return {{'choices': [{{'prompt_logprobs': {scored}}}]}}"
    with pytest.raises(JobError) as caught:
        start(body).logprobs((1, 2), (3,))
    assert caught.value.code == "engine_rubbish"


def test_a_server_that_dies_at_load_leaves_its_last_words(start: Start) -> None:
    with pytest.raises(JobError, match="no such weights") as caught:
        start("sys.exit('no such weights')")
    assert caught.value.code == "engine_died"


def test_a_server_that_dies_later_is_a_dead_engine(start: Start) -> None:
    engine = start("def answer(asked): os._exit(9)")
    with pytest.raises(JobError) as caught:
        engine.generate((1,), max_tokens=1)
    assert caught.value.code == "engine_died"


def test_a_server_that_is_never_healthy_is_given_up(start: Start) -> None:
    with pytest.raises(JobTimeout) as caught:
        start("import time\nwhile True: time.sleep(1)", start_seconds=1)
    assert caught.value.code == "engine_start_timeout"


def test_a_submission_does_not_say_what_text_means(start: Start) -> None:
    with pytest.raises(ConfigError):
        start().tokenize("It was the best of times")
