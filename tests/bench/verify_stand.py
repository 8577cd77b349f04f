"""A challenge on a model of random weights, and requests about it: a verification in seconds."""

from pathlib import Path

from bench.challenge_files import Text, load_challenge
from bench.configs.llamacpp import LlamaCppConfig
from bench.verify.draw import texts_needed
from bench.verify.request import Claim, VerifyRequest
from bench.verify.thresholds import ClassLimits, Limit, Thresholds
from tests.bench.process_engine import write_challenge
from tests.bench.tiny_model import write_tiny_model

RULE = """
[verification]
pool_texts = 16
pool_tokens = 16
speed_rounds = 3
public_rounds = 2
perplexity_tokens = 24
served_prompts = 3
served_tokens = 16
repeated_prompts = 2
canaries = 2
"""
MEASURES = (
    *("score_path", "timing_shape", "timing_drift", "regret", "regret_share", "self_consistency"),
    *("self_consistency_share", "strict", "served_likelihood", "repetition", "canaries"),
    *("shape_probe", "shape_logprobs"),
)
TIMES = frozenset({"private_speed", "public_drop", "roofline", "timing_shape", "cache"})
"""What a busy machine may disturb, and a test must not stand on."""


def write_verified_challenge(folder: Path) -> Path:
    """Write challenge, model and limits; requests take some milliseconds each."""
    write_challenge(folder)
    model = write_tiny_model(folder / "tiny.gguf")
    text = (folder / "challenge.toml").read_text()
    text = text.replace('engine = "simulated"', 'engine = "llamacpp"')
    text = text.replace("path:nowhere", f"path:{model.path}").replace("0" * 64, model.sha256)
    text = text.replace("min_cpu_share = 0.9", "min_cpu_share = 0.0")
    (folder / "challenge.toml").write_text(text + RULE)
    limits = ClassLimits(limits={name: Limit(limit=0.2) for name in MEASURES})  # type: ignore[misc]
    thresholds = Thresholds(
        challenge="small",
        is_provisional=True,
        rule="made up",
        served_tokens=1,
        classes={"exact": limits, "quantised": limits},
    )
    (folder / "thresholds.json").write_text(thresholds.model_dump_json())
    return folder


def make_verify_request(
    folder: Path,
    config: LlamaCppConfig | None = None,
    *,
    claim: Claim | None = None,
    server: str | None = None,
) -> VerifyRequest:
    rule = load_challenge(folder).challenge.verification
    assert rule is not None
    texts = tuple(
        Text(id=f"t{i:02}", text=" ".join(f"w{i * 37 + k}" for k in range(24)), source="own")
        for i in range(texts_needed(rule))
    )
    serving = {} if server is None else {"server": server, "server_folder": folder / "submission"}
    return VerifyRequest(
        challenge=str(folder),
        config=config or LlamaCppConfig(),
        claim=claim,
        texts=texts,
        seed=1,
        cache_folder=folder / "cache",
        reference_file=folder / "reference.json",
        **serving,  # type: ignore[arg-type]
    )


def write_submission(folder: Path, body: str) -> None:
    """Write a server that is ours but for `body`, which may change `answer(path, reply)`."""
    (folder / "submission").mkdir(exist_ok=True)
    (folder / "submission" / "odd_server.py").write_text(PROXY.replace("#BODY#", body))


PROXY = '''
"""Serves our own server's answers, changed."""
import json, os, socket, sys, threading
from http.server import BaseHTTPRequestHandler
from pathlib import Path
import socketserver
import xllamacpp
from bench.engines import llamacpp_server
from bench.engines.server_params import ServerParams

def change(asked, reply):
    return reply

#BODY#

def inner(path, body):
    connection = http.client.HTTPConnection("localhost")
    connection.sock = socket.socket(socket.AF_UNIX)
    connection.sock.connect("inner.sock")
    connection.request("POST", path, body)
    answer = connection.getresponse()
    return answer.status, answer.read()

import http.client

class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    def do_POST(self):
        body = self.rfile.read(int(self.headers["Content-Length"]))
        status, text = inner(self.path, body)
        asked = json.loads(body)
        text = json.dumps(change(asked, json.loads(text))).encode()
        self.send_response(status)
        self.send_header("Content-Length", str(len(text)))
        self.end_headers()
        self.wfile.write(text)
    def log_message(self, *_):
        pass
    def address_string(self):
        return "local"

class Server(socketserver.ThreadingMixIn, socketserver.UnixStreamServer):
    daemon_threads = True

params = ServerParams.model_validate_json(Path(sys.argv[-1]).read_text())
native = llamacpp_server.common_params(params)
native.hostnames = ["inner.sock"]
backing = xllamacpp.Server(native)
serving = Server("s.sock", Handler)
threading.Thread(target=serving.serve_forever, daemon=True).start()
print("ready", flush=True)
sys.stdin.buffer.read()
os._exit(0)
'''
