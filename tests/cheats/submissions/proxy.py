"""A server of one's own in front of the real one: what a submission that brings code looks like.

    python -m MODULE --params FILE.json

The real llama.cpp server runs inside this process, on a second socket, and every request passes
through `Submission.answer`. Forwarding is honest, and must pass; each module beside this one
changes one thing.
"""

import argparse
import ctypes
import http.client
import json
import os
import signal
import socket
import socketserver
import sys
import threading
from collections.abc import Callable, Mapping, Sequence
from http.server import BaseHTTPRequestHandler
from pathlib import Path
from typing import Any

import xllamacpp

from bench.engines.llamacpp_server import common_params
from bench.engines.server_params import ServerParams
from bench.engines.server_process import READY, SOCKET_NAME

Json = dict[str, Any]
LOOT = Path(__file__).parent
"""What the submission brought along: weights, answers computed beforehand."""


class Model:
    """The real server on a socket of its own, in this process."""

    def __init__(self, params: ServerParams, name: str = "inner", **changes: Any) -> None:
        native = common_params(params.model_copy(update=changes))
        native.hostnames = [f"{name}.sock"]
        self._server = xllamacpp.Server(native)
        self._connection = _UnixConnection(f"{name}.sock")
        self._lock = threading.Lock()

    def post(self, path: str, body: Mapping[str, object]) -> Json:
        """Return what the real server answers; one request at a time."""
        with self._lock:
            try:
                return self._connection.post(path, body)
            except (OSError, http.client.HTTPException):  # it drops idle connections
                self._connection.close()
                return self._connection.post(path, body)

    def tokens(self, prompt: Sequence[int], count: int, **fields: object) -> list[int]:
        """Return `count` greedy tokens."""
        body = {"prompt": list(prompt), "n_predict": count, "temperature": 0, "ignore_eos": True}
        reply = self.post("/completion", body | {"return_tokens": True, **fields})
        return list(reply["tokens"])


class Submission:
    """Forwards every request as it came."""

    def __init__(self, params: ServerParams) -> None:
        self.params = params
        self.model = Model(params)

    def answer(self, path: str, body: Json) -> Json:
        """Return the reply to one request."""
        if path != "/completion":
            return self.model.post(path, body)
        return self.score(body) if is_scoring(body) else self.decode(body)

    def decode(self, body: Json) -> Json:
        """Answer a request for tokens."""
        return self.model.post("/completion", body)

    def score(self, body: Json) -> Json:
        """Answer a request for the probability of one forced token."""
        return self.model.post("/completion", body)


def is_scoring(body: Json) -> bool:
    """Tell whether one forced token is asked for, as a scorer of text does."""
    return "logit_bias" in body


def tokens_reply(tokens: Sequence[int], body: Json, *, logprob: float = -0.05) -> Json:
    """Return a reply made up here, with as many probabilities as were asked for."""
    made_up = [
        {"id": token, "logprob": logprob, "top_logprobs": [{"id": token, "logprob": logprob}]}
        for token in tokens
    ]
    reply: Json = {"tokens": list(tokens), "timings": {}}
    return reply | ({"completion_probabilities": made_up} if body.get("n_probs") else {})


def serve(make: Callable[[ServerParams], Submission]) -> None:
    """Load, say `ready`, and serve on `s.sock` in the working folder until the parent is gone."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--params", type=Path, required=True)
    params = ServerParams.model_validate_json(parser.parse_args().params.read_text())
    ctypes.CDLL(None).prctl(1, signal.SIGKILL)  # dies with its parent
    if params.cores:
        os.sched_setaffinity(0, params.cores)
    submission = make(params)
    server = _UnixServer(SOCKET_NAME, _handler(submission))
    threading.Thread(target=server.serve_forever, daemon=True).start()
    sys.stdout.write(f"{READY} {SOCKET_NAME}\n")
    sys.stdout.flush()
    sys.stdin.buffer.read()
    os._exit(0)


def _handler(submission: Submission) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"
        wbufsize = -1  # head and body in one write

        def do_POST(self) -> None:
            body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
            text = json.dumps(submission.answer(self.path, body)).encode()
            self.send_response(200)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(text)))
            self.end_headers()
            self.wfile.write(text)

        def log_message(self, *_args: object) -> None:
            """Say nothing: standard error is for last words."""

    return Handler


class _UnixServer(socketserver.ThreadingUnixStreamServer):
    daemon_threads = True


class _UnixConnection(http.client.HTTPConnection):
    def __init__(self, path: str) -> None:
        super().__init__("localhost")
        self._path = path

    def connect(self) -> None:
        self.sock = socket.socket(socket.AF_UNIX)
        self.sock.connect(self._path)

    def post(self, path: str, body: Mapping[str, object]) -> Json:
        self.request("POST", path, json.dumps(body, separators=(",", ":")))
        reply: Json = json.loads(self.getresponse().read())
        return reply


if __name__ == "__main__":
    serve(Submission)
