"""Serves a folder of weights with transformers: the reference that scores logits. Run as a file.

    python transformers_server.py PARAMS.json

Runs in a Python that has torch and transformers and nothing of ours, so it imports only them and
the standard library. Speaks as much of vLLM's OpenAI-compatible server as our client asks: greedy
tokens with a cache of keys and values, and prompt log-probabilities by one pass. Log-probabilities
are summed in float32. Knows weights; knows no config of ours and no score.
"""

import json
import os
import socketserver
import sys
from http.server import BaseHTTPRequestHandler
from pathlib import Path
from typing import Any

_ROWS = 256
"""Places whose logits are held at once: 262,144 tokens in float32 are 1 MB each."""
_TOKENIZER = "tokenizer.json"


class Model:
    """The weights, and what is asked of them."""

    def __init__(self, folder: Path, *, dtype: str, device: str, threads: int) -> None:
        """Load `folder`, safetensors only and no code of its own."""
        import torch  # noqa: PLC0415  # its one door
        from transformers import AutoModelForCausalLM  # noqa: PLC0415  # its one door

        self._torch = torch
        torch.set_num_threads(threads)
        torch.manual_seed(0)
        loaded = AutoModelForCausalLM.from_pretrained(
            str(folder), dtype=getattr(torch, dtype), use_safetensors=True, trust_remote_code=False
        )
        self._model = loaded.to(device).eval()
        text = self._model.config.get_text_config()
        self._cap = getattr(text, "final_logit_softcapping", None)
        self._tokenizer = _tokenizer(folder / _TOKENIZER)

    def tokenize(self, text: str) -> list[int]:
        """Return the ids of `text`, begin-of-text first where the model has one."""
        if self._tokenizer is None:
            raise ValueError("the model's folder has no tokenizer.json")
        return list(self._tokenizer.encode(text).ids)

    def emit(self, prompt: list[int], count: int) -> tuple[list[int], list[float]]:
        """Return `count` greedy tokens and ln p of each; end-of-text does not end it."""
        torch = self._torch
        tokens, logprobs, given, cache = list[int](), list[float](), prompt, None
        with torch.inference_mode():
            while len(tokens) < count:
                ids = torch.tensor([given], device=self._model.device)
                out = self._model(ids, past_key_values=cache, use_cache=True, logits_to_keep=1)
                cache, row = out.past_key_values, out.logits[0, -1].float()
                token = int(row.argmax())
                tokens.append(token)
                logprobs.append(float(torch.log_softmax(row, -1)[token]))
                given = [token]
        return tokens, logprobs

    def score(self, prompt: list[int], alternatives: int) -> list[dict[str, Any] | None]:
        """Return, for each token but the first, its ln p and those of the likeliest."""
        torch = self._torch
        scored: list[dict[str, Any] | None] = [None]
        with torch.inference_mode():
            ids = torch.tensor([prompt], device=self._model.device)
            hidden = self._model.model(ids, use_cache=False).last_hidden_state[0]
            for start in range(0, len(prompt) - 1, _ROWS):
                rows = self._logprobs(hidden[start : start + _ROWS])
                likeliest = rows.topk(alternatives)
                for at, target in enumerate(prompt[start + 1 : start + 1 + _ROWS]):
                    listed = dict(
                        zip(
                            likeliest.indices[at].tolist(),
                            likeliest.values[at].tolist(),
                            strict=True,
                        )
                    )
                    listed[target] = float(rows[at, target])
                    scored.append({str(one): {"logprob": ln} for one, ln in listed.items()})
        return scored

    def _logprobs(self, hidden: Any) -> Any:
        logits = self._model.get_output_embeddings()(hidden).float()
        if self._cap:
            logits = self._torch.tanh(logits / self._cap) * self._cap
        return self._torch.log_softmax(logits, -1)


def answer(model: Model, path: str, asked: dict[str, Any]) -> dict[str, Any]:
    """Return the reply to a POST."""
    if path == "/tokenize":
        return {"tokens": model.tokenize(asked["prompt"])}
    prompt, choice = asked["prompt"], {"index": 0, "text": "", "finish_reason": "length"}
    if asked.get("prompt_logprobs") is not None:
        choice["prompt_logprobs"] = model.score(prompt, max(1, asked["prompt_logprobs"]))
    else:
        tokens, logprobs = model.emit(prompt, asked["max_tokens"])
        choice["token_ids"] = tokens
        choice["logprobs"] = {"token_logprobs": logprobs} if asked.get("logprobs") else None
    return {"object": "text_completion", "model": asked.get("model", ""), "choices": [choice]}


class _Server(socketserver.UnixStreamServer):
    model: Model


class _Handler(BaseHTTPRequestHandler):
    """One connection after the other, each kept alive."""

    protocol_version = "HTTP/1.1"
    wbufsize = -1  # head and body in one write
    timeout = 3600
    server: _Server

    def do_GET(self) -> None:
        """Say that it serves."""
        self._reply(200, {"status": "ok"})

    def do_POST(self) -> None:
        """Answer a question; one that cannot be answered is a 400 with the reason."""
        asked = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        try:
            self._reply(200, answer(self.server.model, self.path, asked))
        except (KeyError, TypeError, ValueError, IndexError) as error:
            self._reply(400, {"error": {"message": repr(error)}})

    def log_message(self, *_: object) -> None:
        """Write nothing: a request is timed."""

    def _reply(self, status: int, body: dict[str, Any]) -> None:
        text = json.dumps(body).encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(text)))
        self.end_headers()
        self.wfile.write(text)


def _tokenizer(file: Path) -> Any:
    if not file.exists():
        return None
    from tokenizers import Tokenizer  # noqa: PLC0415  # comes with transformers

    return Tokenizer.from_file(str(file))


def main() -> None:
    """Load, then serve for ever; whoever started this ends it."""
    params = json.loads(Path(sys.argv[1]).read_text())
    if params["cores"]:
        os.sched_setaffinity(0, params["cores"])
    given = ("dtype", "device", "threads")
    model = Model(Path(params["model"]), **{name: params[name] for name in given})
    server = _Server(params["socket"], _Handler)
    server.model = model
    server.serve_forever()


if __name__ == "__main__":
    main()
