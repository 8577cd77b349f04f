"""The `llamacpp` engine: real tokens from a real model, on any CPU.

Knows one config and one artefact; knows no score, no prompt file and no other engine. Ids that
come in and go out are those of the full vocabulary; rows of a pruned one stay inside. Perplexity
runs the decode path, one forced token per request: forcing many with one grammar gives the same
numbers, but was 20 % slower (measured: 21 against 17 ms per token).
"""

import os
import time
from collections.abc import Sequence
from importlib import metadata
from typing import Any

from bench.artefacts.artefact import Artefact
from bench.artefacts.vocabulary import KeptRows
from bench.config import EngineConfig
from bench.engines.engine import Generation
from bench.engines.server_params import ServerParams
from bench.engines.server_process import ServerProcess
from bench.measurement import Drafting
from sandbox.errors import ConfigError, JobError

CONTEXT_TOKENS = 2048
"""Longest prompt plus output of one request."""
_SERVER = "bench.engines.llamacpp_server"
_FORCE = 1e4
"""Logit bias that makes any token win; the logprob that comes back is the unbiased one."""
_WRITABLE_ROW = 0
"""A control token in the models served here: its text is empty, hence whole."""
_ALL = 1 << 20
_SILENT_AFTER_TOKENS = 16
"""A drafter that guessed nothing in so many tokens has switched itself off."""


class LlamaCppEngine:
    """One llama.cpp server process, one connection, one request at a time.

    Start it from a thread that outlives it: the kernel ends it with that thread.
    """

    name = "llamacpp"
    simulated = False

    def __init__(
        self,
        config: EngineConfig,
        artefact: Artefact,
        *,
        cores: Sequence[int] | None = None,
        start_seconds: float = 60,
        request_seconds: float = 120,
    ) -> None:
        """Load `artefact` under `config` and wait until it serves.

        Args:
            config: every lever.
            artefact: from `bench.artefacts.artefact.build`; keep its cache open meanwhile.
            cores: CPU numbers to pin the process to; None leaves the choice to the system.
            start_seconds: limit for loading.
            request_seconds: limit for one request.

        Raises:
            JobError: `engine_died` or `engine_start_timeout`, with the end of its messages.
        """
        self.version = engine_version()
        self.config = config
        self.artefact, self.artefact_bytes = artefact.recipe_hash, artefact.bytes
        kept = artefact.vocabulary
        self._rows = None if kept is None else KeptRows(kept, artefact.model_path)
        self._server = ServerProcess(
            _SERVER,
            _params(config, artefact, cores),
            start_seconds=start_seconds,
            request_seconds=request_seconds,
        )

    def clock(self) -> float:
        """Seconds on the monotonic wall clock."""
        return time.perf_counter()

    def cpu_seconds(self) -> float | None:
        """CPU seconds of all the process's threads; None once it is gone."""
        return self._server.cpu_seconds()

    def peak_memory_bytes(self) -> int | None:
        """High-water mark of resident bytes, mapped weights included."""
        return self._server.peak_memory_bytes()

    def tokenize(self, text: str) -> tuple[int, ...]:
        """Return ids in the full vocabulary, begin-of-text first where the model has one.

        Raises:
            ConfigError: the vocabulary is reduced; ask the baseline engine.
        """
        if self._rows is not None:
            raise ConfigError(
                "an engine with a reduced vocabulary cannot tokenize for the full one",
                code="reduced_vocabulary",
                hint="Tokenize with the baseline engine",
            )
        reply = self._server.post("/tokenize", {"content": text, "add_special": True})
        return tuple(_integers(reply, "tokens"))

    def generate(self, prompt_ids: Sequence[int], *, max_tokens: int) -> Generation:
        """Emit exactly `max_tokens` greedy tokens; see `Engine.generate`."""
        reply = self._server.post(
            "/completion",
            {
                "prompt": self._context(prompt_ids, room=max_tokens),
                "n_predict": max_tokens,
                "temperature": 0,
                "ignore_eos": True,
                "return_tokens": True,
                "cache_prompt": False,
                "response_fields": ["tokens", "timings"],
            },
        )
        rows = _integers(reply, "tokens")
        if len(rows) != max_tokens:
            raise _rubbish(f"emitted {len(rows)} tokens instead of {max_tokens}")
        ids = tuple(rows) if self._rows is None else self._rows.to_ids(rows)
        return Generation(ids, self._drafting(reply["timings"], max_tokens))

    def logprobs(
        self, context_ids: Sequence[int], target_ids: Sequence[int]
    ) -> tuple[float | None, ...]:
        """Return ln p of each target by forced decoding; see `Engine.logprobs`."""
        context = self._context(context_ids, room=len(target_ids))
        out: list[float | None] = []
        for target in target_ids:
            row = target if self._rows is None else self._rows.row(target)
            out.append(None if row is None else self._forced(context, row))
            context += self._context([target], room=0)
        return tuple(out)

    def close(self) -> None:
        """End the process; safe to call twice."""
        self._server.close()

    def _context(self, ids: Sequence[int], *, room: int) -> list[int]:
        rows = list(ids) if self._rows is None else self._rows.to_rows(ids)
        if len(rows) + room > CONTEXT_TOKENS:
            raise ConfigError(
                f"{len(rows)} tokens of context and {room} of output exceed {CONTEXT_TOKENS}",
                code="context_too_long",
                hint="Shorten the text",
            )
        return rows

    def _forced(self, context: list[int], row: int) -> float:
        answer = self._next_token(context, row, alternatives=1)
        return self._listed(context, row) if answer is None else float(answer["logprob"])

    def _listed(self, context: list[int], row: int) -> float:
        """Look the token up among all, beside a token that can be written.

        The server holds back the probabilities of a token that ends within a UTF-8 character.
        """
        answer = self._next_token(context, _WRITABLE_ROW, alternatives=_ALL)
        for other in answer["top_logprobs"] if answer else ():
            if other["id"] == row:
                return float(other["logprob"])
        raise _rubbish(f"gave no probability for token {row}")

    def _next_token(
        self, context: list[int], row: int, *, alternatives: int
    ) -> dict[str, Any] | None:
        """Force `row` next; return its entry, with the likeliest tokens beside it."""
        reply = self._server.post(
            "/completion",
            {
                "prompt": context,
                "n_predict": 1,
                "temperature": 0,
                "n_probs": alternatives,
                "logit_bias": [[row, _FORCE]],
                "cache_prompt": True,
                "response_fields": ["completion_probabilities"],
            },
        )
        answers = reply.get("completion_probabilities") or [None]
        if len(answers) != 1 or (answers[0] is not None and answers[0]["id"] != row):
            raise _rubbish(f"answered {str(answers)[:200]} when asked about token {row}")
        return answers[0]  # type: ignore[no-any-return]

    def _drafting(self, timings: dict[str, Any], max_tokens: int) -> Drafting | None:
        drafted = int(timings.get("draft_n", 0))
        is_silent = self.config.speculation.kind == "drafter" and not drafted
        if is_silent and max_tokens >= _SILENT_AFTER_TOKENS:
            raise _rubbish(f"its drafter drafted nothing in {max_tokens} tokens")
        if not drafted:
            return None
        accepted = int(timings["draft_n_accepted"])
        return Drafting(drafted_tokens=drafted, accepted_tokens=accepted)


def engine_version() -> str:
    """Return the version of the engine's package, without loading it."""
    return metadata.version("xllamacpp")


def _params(config: EngineConfig, artefact: Artefact, cores: Sequence[int] | None) -> str:
    return ServerParams(
        config=config,
        weights=artefact.path.resolve(),
        drafter=artefact.drafter_path and artefact.drafter_path.resolve(),
        context_tokens=CONTEXT_TOKENS,
        cores=None if cores is None else tuple(cores),
        parent=os.getpid(),
    ).model_dump_json()


def _integers(reply: dict[str, Any], field: str) -> list[int]:
    values = reply.get(field)
    if not isinstance(values, list) or not all(type(value) is int for value in values):
        raise _rubbish(f"answered {field} = {values!r}")
    return values


def _rubbish(what: str) -> JobError:
    return JobError(f"the engine {what}", code="engine_rubbish")
