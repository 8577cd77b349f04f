# Runs inside a stand-in for a package, with or without ours beside it.
# ruff: noqa: ANN001, ANN201, ANN202, ANN002, ANN204, PLC0415
"""A stand for vLLM: its command line and its wire, over a real model served by llama.cpp.

    python openai_stand.py WEIGHTS.gguf                   on a free port, printed
    python -m vllm.entrypoints.cli.main serve ...         where `install_stand` put it

Scores prompts by forced decoding, so what it says is true of the model. STAND_FAULT names a way to
fail; STAND_WEIGHTS the weight file, else what is served is counted up and scored -1.
"""

import json
import os
import signal
import socketserver
import sys
import time
from http.server import BaseHTTPRequestHandler
from pathlib import Path

FAULT = os.environ.get("STAND_FAULT", "")
LOG = """(APIServer pid=1) INFO 11-22 23:39:19 [utils.py:1] non-default args: {}
(EngineCore pid=2) INFO 11-22 23:39:54 [core.py:133] Initializing a V1 LLM engine (v0.26.0)
(Worker pid=3) INFO 11-22 23:40:05 [default_loader.py:501] Loading weights took 2.13 seconds
(Worker pid=3) INFO 11-22 23:40:25 [gpu.py:1] Graph capturing finished in 7 secs, took 0.50 GiB
(EngineCore pid=2) INFO 11-22 23:41:32 [core.py:331] init engine (profile, create kv cache, \
warmup model) took 83.90 s (compilation: 42.10 s)
(APIServer pid=1) INFO 11-22 23:41:48 [api_server.py:1] Starting vLLM server on unix:s.sock
"""
METRICS = """# HELP vllm:spec_decode_num_draft_tokens_total Number of draft tokens.
vllm:spec_decode_num_draft_tokens_total{engine="0",model_name="served"} 40.0
vllm:spec_decode_num_accepted_tokens_total{engine="0",model_name="served"} 25.0
vllm:spec_decode_num_accepted_tokens_per_pos_total{engine="0",position="0"} 9.0
"""


class Counter:
    """No model: tokens count up from the prompt's length."""

    def generate(self, prompt, *, max_tokens, with_logprobs=False):
        ids = [len(prompt) + i for i in range(max_tokens)]
        return ids, [-0.25] * max_tokens if with_logprobs else None

    def score(self, prompt):
        return [{str(token): {"logprob": -1.0}, "7": {"logprob": -0.5}} for token in prompt[1:]]

    def tokenize(self, text):
        return [1, *(ord(character) for character in text)]


class Llama:
    """A real model."""

    def __init__(self, weights):
        from bench.artefacts.artefact import Artefact
        from bench.configs.llamacpp import LlamaCppConfig
        from bench.engines.llamacpp import LlamaCppEngine

        size = weights.stat().st_size
        artefact = Artefact(weights, "stand", size, None, None, weights)
        self._engine = LlamaCppEngine(LlamaCppConfig(), artefact)

    def generate(self, prompt, *, max_tokens, with_logprobs=False):
        done = self._engine.generate(prompt, max_tokens=max_tokens, with_logprobs=with_logprobs)
        return list(done.token_ids), done.logprobs

    def score(self, prompt):
        """Place a token that nobody has beside each, for the likeliest: its name is not told."""
        ranked = self._engine.ranked(prompt[:1], prompt[1:])
        return [
            {str(token): {"logprob": one.logprob, "rank": 1}, "99999999": {"logprob": one.best}}
            for token, one in zip(prompt[1:], ranked, strict=True)
        ]

    def tokenize(self, text):
        return list(self._engine.tokenize(text))


def answer(model, path, asked):
    if path == "/tokenize":
        return {"tokens": model.tokenize(asked["prompt"])}
    prompt, count = asked["prompt"], asked["max_tokens"]
    choice = {"index": 0, "text": "", "logprobs": None, "token_ids": None, "prompt_logprobs": None}
    if asked.get("prompt_logprobs") is not None and FAULT != "ignores_prompt_logprobs":
        choice["prompt_logprobs"] = [None, *model.score(prompt)]
    else:
        count += FAULT == "one_too_many"
        ids, logprobs = model.generate(
            prompt, max_tokens=count, with_logprobs=asked.get("logprobs") is not None
        )
        if asked.get("return_token_ids") and FAULT != "no_token_ids":
            choice["token_ids"] = ids
        choice["logprobs"] = logprobs and {"token_logprobs": list(logprobs)}
    return {"object": "text_completion", "model": asked["model"], "choices": [spoilt(choice)]}


def spoilt(choice):
    scored = choice["prompt_logprobs"]
    if scored and FAULT == "nan":
        scored[-1] = {token: {"logprob": float("nan")} for token in scored[-1]}
    if scored and FAULT == "another_token":
        scored[-1] = {"123456": {"logprob": -0.1}}
    if scored and FAULT == "one_too_few":
        scored.pop()
    return choice


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    wbufsize = -1

    def do_GET(self):
        if self.path == "/health" and FAULT == "never_healthy":
            self.reply(503, b"{}")
        elif self.path == "/metrics":
            self.reply(200, METRICS.encode())
        else:
            self.reply(200, json.dumps({"data": [{"id": "served"}]}).encode())

    def do_POST(self):
        asked = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        if FAULT == "hangs":
            signal.pause()
        if FAULT == "dies":
            sys.stderr.write("torch.OutOfMemoryError: CUDA out of memory. Tried to allocate\n")
            sys.stderr.flush()
            os._exit(9)
        if FAULT == "engine_dies":  # the front says so, and ends by and by
            sys.stderr.write("RuntimeError: CUDA error: an illegal memory access\n")
            sys.stderr.flush()
            self.reply(500, b'{"error": {"message": "EngineCore encountered an issue."}}')
            time.sleep(0.2)
            os._exit(1)
        if FAULT == "wants_key" and self.headers["Authorization"] != "Bearer sesame":
            self.reply(401, b'{"error": "no key"}')
            return
        text = json.dumps(answer(self.server.model, self.path, asked)).encode()
        if FAULT == "half_a_body":
            self.send_response(200)
            self.send_header("Content-Length", str(len(text)))
            self.end_headers()
            self.wfile.write(text[: len(text) // 2])
            self.wfile.flush()
            os._exit(9)
        self.reply(200, b"<html>" if FAULT == "no_json" else text)

    def reply(self, status, text):
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(text)))
        self.end_headers()
        self.wfile.write(text)

    def log_message(self, *_):
        pass


class UnixServer(socketserver.ThreadingUnixStreamServer):
    daemon_threads = True


class TcpServer(socketserver.ThreadingTCPServer):
    daemon_threads = allow_reuse_address = True


def _serve_as_vllm():
    if FAULT == "dies_loading":
        sys.exit("RuntimeError: Engine core initialization failed. See root cause above.")
    if FAULT == "no_room":
        sys.exit("ValueError: No available memory for the cache blocks.")
    if FAULT == "has_children":
        _leave_child()
    sys.stderr.write(LOG)
    sys.stderr.flush()
    server = UnixServer(sys.argv[sys.argv.index("--uds") + 1], Handler)
    server.model = _model(os.environ.get("STAND_WEIGHTS", ""))
    server.serve_forever()


def _leave_child():
    """Start a process that leaves the family and takes no notice of signals."""
    if os.fork() == 0:
        os.setsid()
        if os.fork() == 0:
            signal.signal(signal.SIGTERM, signal.SIG_IGN)
            Path(os.environ["STAND_CHILD"]).write_text(str(os.getpid()))
            while True:
                signal.pause()
        os._exit(0)


def _model(weights):
    return Llama(Path(weights)) if weights else Counter()


def install_stand(site):
    """Make `site` a folder of packages with a vLLM 0.26.0, and with our own beside it."""
    from bench.confinement import link_code

    package = site / "vllm" / "entrypoints" / "cli"
    package.mkdir(parents=True)
    (package / "main.py").write_text(Path(__file__).read_text())
    facts = site / "vllm-0.26.0.dist-info"
    facts.mkdir()
    (facts / "METADATA").write_text("Metadata-Version: 2.1\nName: vllm\nVersion: 0.26.0\n")
    return link_code(site)


if __name__ == "__main__":
    if sys.argv[1] == "serve":
        _serve_as_vllm()
    tcp = TcpServer(("127.0.0.1", 0), Handler)
    tcp.model = _model(sys.argv[1])
    sys.stdout.write(f"{tcp.server_address[1]}\n")
    sys.stdout.flush()
    tcp.serve_forever()
