"""A server that knows nothing but the port of its manifest, wherever its harness runs."""

import json
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import pytest

from bench.artefacts.artefact import Artefact
from bench.configs.llamacpp import LlamaCppConfig
from bench.confinement import ROOT
from bench.engines.submitted import SubmittedEngine
from sandbox import landlock, levels
from sandbox.confined import confined_argv
from sandbox.job import JobResult, JobSpec, Level
from sandbox.local import LocalSandbox
from tests.bench.tiny_model import write_tiny_model

pytestmark = pytest.mark.skipif(landlock.abi() == 0, reason="this kernel has no Landlock")
SERVE = """
import json
from http.server import BaseHTTPRequestHandler, HTTPServer

class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    def do_GET(self):
        self.reply({})
    def do_POST(self):
        asked = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        self.reply({"choices": [{"token_ids": [NUMBER] * asked["max_tokens"]}]})
    def reply(self, body):
        text = json.dumps(body).encode()
        self.send_response(200)
        self.send_header("Content-Length", str(len(text)))
        self.end_headers()
        self.wfile.write(text)
    def log_message(self, *_):
        pass

HTTPServer((HOST, json.load(open("manifest.json"))["port"]), Handler).serve_forever()
"""
HARNESS = """
import sys
from contextlib import ExitStack, closing
from pathlib import Path
from bench.artefacts.artefact import Artefact
from bench.configs.llamacpp import LlamaCppConfig
from bench.engines.submitted import SubmittedEngine
from sandbox.errors import JobError

model, *folders = map(Path, sys.argv[1:])
artefact = Artefact(recipe_hash="r", path=model, bytes=1, drafter_path=None, vocabulary=None,
                    model_path=model)
with ExitStack() as held:
    try:
        engines = [held.enter_context(closing(SubmittedEngine(
            LlamaCppConfig(), artefact, folder=folder, start_seconds=20))) for folder in folders]
        print([engine.generate((1,), max_tokens=2).token_ids for engine in engines])
    except JobError as error:
        print(error.code, error.hint)
"""
PROBE = """
import errno, json, socket, sys
try:
    with socket.socket() as one:
        print(errno.errorcode.get(one.connect_ex(tuple(json.loads(sys.argv[1]))), "reached"))
except OSError as error:
    print(errno.errorcode[error.errno])
"""


def write_submission(folder: Path, number: int, *, host: str = "127.0.0.1") -> Path:
    folder.mkdir()
    manifest = {"name": "t", "model_id": "t", "served_model_name": "t", "port": 8000}
    text = json.dumps({**manifest, "serve": ["python", "serve.py"]})
    (folder / "manifest.json").write_text(text)
    (folder / "serve.py").write_text(f"NUMBER, HOST = {number}, {host!r}\n{SERVE}")
    return folder


@pytest.fixture
def submissions(tmp_path: Path) -> list[Path]:
    return [
        write_submission(tmp_path / "first", 1),
        write_submission(tmp_path / "second", 2, host="0.0.0.0"),  # of its own network
    ]


@pytest.fixture
def model(tmp_path: Path) -> Path:
    return write_tiny_model(tmp_path / "tiny.gguf").path


async def in_job(level: Level, folder: Path, model: Path, submissions: list[Path]) -> JobResult:
    reason = levels.why_not(level)
    if reason is not None:
        pytest.skip(reason)
    code = folder / "code"
    code.mkdir(parents=True)
    for name in ("bench", "sandbox"):
        (code / name).symlink_to(ROOT / name)
    spec = JobSpec(
        job="harness",
        argv=(sys.executable, "-c", HARNESS, str(model), *map(str, submissions)),
        folder=folder,
        environment={"PYTHONPATH": str(code), "TMPDIR": str(folder), "LANG": "C.UTF-8"},
        wall_seconds=60,
        readable=(ROOT / "bench", ROOT / "sandbox", model, *submissions, *landlock.runtime_paths()),
        connects=True,
        networks=True,
    )
    return await (await LocalSandbox(level=level).start(spec)).result()


async def test_two_servers_of_one_port_serve_side_by_side_in_a_job(
    tmp_path: Path, model: Path, submissions: list[Path]
) -> None:
    """As where a record held by one submission is challenged by another."""
    result = await in_job("bubblewrap", tmp_path / "job", model, submissions)

    assert result.stdout == "[(1, 1), (2, 2)]\n", result.stderr_tail


async def test_where_no_network_can_be_had_the_error_names_the_socket(
    tmp_path: Path, model: Path, submissions: list[Path]
) -> None:
    result = await in_job("landlock", tmp_path / "job", model, submissions)

    assert result.stdout.startswith("no_port "), result.stderr_tail
    assert "PACELINE_SOCKET" in result.stdout


@contextmanager
def started(model: Path, folders: list[Path]) -> Iterator[list[SubmittedEngine]]:
    artefact = Artefact(
        recipe_hash="r", path=model, bytes=1, drafter_path=None, vocabulary=None, model_path=model
    )
    with ExitStack() as held:
        engines = []
        for folder in folders:
            engine = SubmittedEngine(LlamaCppConfig(), artefact, folder=folder, start_seconds=20)
            held.callback(engine.close)
            engines.append(engine)
        yield engines


def test_a_verification_outside_the_sandbox_reaches_them_too(
    model: Path, submissions: list[Path]
) -> None:
    with started(model, submissions) as engines:
        said = [engine.generate((1,), max_tokens=2).token_ids for engine in engines]

    assert said == [(1, 1), (2, 2)]


@pytest.mark.enable_socket
def test_a_server_reaches_no_service_of_the_machine(tmp_path: Path) -> None:
    """Its loopback is its own: a port that is open on the machine is closed there."""
    with socket.create_server(("127.0.0.1", 0)) as service:
        address = json.dumps(service.getsockname())
        argv = (sys.executable, "-I", "-S", "-c", PROBE, address)
        done = subprocess.run(
            confined_argv(
                argv, read=landlock.runtime_paths(), write=(tmp_path,), takes_network=True
            ),
            cwd=tmp_path,
            capture_output=True,
            text=True,
            check=False,
        )

    assert done.stdout in {"ECONNREFUSED\n", "EPERM\n"}, done.stderr
