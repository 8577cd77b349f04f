"""The `llamacpp` engine: real tokens from a real model, on any CPU.

Knows one config and one artefact; knows no score, no prompt file and no other engine. Ids that
come in and go out are those of the full vocabulary; rows of a pruned one stay inside. Perplexity
runs the decode path, one forced token per request: forcing many with one grammar gives the same
numbers, but was 20 % slower (measured: 21 against 17 ms per token). The reply to a forced token
holds the likeliest one too, both unbiased.
"""

import math
import os
import time
from collections.abc import Sequence
from importlib import metadata
from pathlib import Path
from typing import Any

from bench.artefacts.artefact import Artefact
from bench.configs.llamacpp import LlamaCppConfig
from bench.engines.engine import Generation, Ranked
from bench.engines.rows import Rows
from bench.engines.server_params import ServerParams
from bench.engines.server_process import ServerProcess
from bench.measurement import Drafting
from sandbox.errors import ConfigError, JobError

CONTEXT_TOKENS = 2048
"""Longest prompt plus output of one request."""
OWN_SERVER = "bench.engines.llamacpp_server"
_OUTSIDE = "bench.engines.outside_server"
_FORCE = 1e4
"""Logit bias that makes any token win; the logprob that comes back is the unbiased one."""
_WRITABLE_ROW = 0
"""A control token in the models served here: its text is empty, hence whole."""
_ALL = 1 << 20
_RIVALS = 4
"""Tokens listed beside a forced one: a few control tokens may be the likeliest."""
_SILENT_AFTER_TOKENS = 16
"""A drafter that guessed nothing in so many tokens has switched itself off."""


class LlamaCppEngine:
    """One llama.cpp server process, one connection, one request at a time.

    Start it from a thread that outlives it: the kernel ends it with that thread.
    """

    name = "llamacpp"
    simulated = False

    def __init__(  # noqa: PLR0913  # each is one fact about the process
        self,
        config: LlamaCppConfig,
        artefact: Artefact,
        *,
        cores: Sequence[int] | None = None,
        start_seconds: float = 60,
        request_seconds: float = 120,
        server: str = OWN_SERVER,
        server_folder: Path | None = None,
        is_counted: bool = True,
    ) -> None:
        """Load `artefact` under `config` and wait until it serves.

        Args:
            config: every lever.
            artefact: from `bench.artefacts.artefact.build`; keep its cache open meanwhile.
            cores: CPU numbers to pin the process to; None leaves the choice to the system.
            start_seconds: limit for loading.
            request_seconds: limit for one request.
            server: module that serves; another one than ours is a submission.
            server_folder: folder it is imported from, where it lies outside the project.
            is_counted: another number of tokens than asked for is an error; the judge alone says
                False, to whom it is a finding.

        Raises:
            JobError: `engine_died` or `engine_start_timeout`, with the end of its messages.
        """
        self._is_counted, self._is_cached = is_counted, False
        self.version = engine_version()
        self.config = config
        self.artefact, self.artefact_bytes = artefact.recipe_hash, artefact.bytes
        self._rows = Rows(artefact, context_tokens=CONTEXT_TOKENS)
        params = _params(config, artefact, cores)
        if server_folder is not None:
            where = {"server": server, "server_folder": server_folder.resolve()}
            params, server = params.model_copy(update=where), _OUTSIDE
        self._server = ServerProcess(
            server,
            params.model_dump_json(),
            start_seconds=start_seconds,
            request_seconds=request_seconds,
            readable=_files(params),
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
        if self._rows.is_reduced:
            raise ConfigError(
                "an engine with a reduced vocabulary cannot tokenize for the full one",
                code="reduced_vocabulary",
                hint="Tokenize with the baseline engine",
            )
        reply = self._server.post("/tokenize", {"content": text, "add_special": True})
        return tuple(_integers(reply, "tokens"))

    def generate(
        self, prompt_ids: Sequence[int], *, max_tokens: int, with_logprobs: bool = False
    ) -> Generation:
        """Emit exactly `max_tokens` greedy tokens; see `Engine.generate`."""
        asked: dict[str, object] = {
            "prompt": self._context(prompt_ids, room=max_tokens),
            "n_predict": max_tokens,
            "temperature": 0,
            "ignore_eos": True,
            "return_tokens": True,
            "cache_prompt": False,
            "response_fields": ["tokens", "timings"],
        }
        if with_logprobs:
            asked |= {
                "n_probs": 1,
                "response_fields": ["tokens", "timings", "completion_probabilities"],
            }
        reply = self._server.post("/completion", asked)
        rows = _integers(reply, "tokens")
        if self._is_counted and len(rows) != max_tokens:
            raise _rubbish(f"emitted {len(rows)} tokens instead of {max_tokens}")
        logprobs = _emitted_logprobs(reply, rows) if with_logprobs else None
        return Generation(self._rows.ids(rows), self._drafting(reply, len(rows)), logprobs)

    def ranked(
        self, context_ids: Sequence[int], target_ids: Sequence[int]
    ) -> tuple[Ranked | None, ...]:
        """Return ln p of each target and of its likeliest rival; see `Engine.ranked`."""
        context = self._context(context_ids, room=len(target_ids))
        out: list[Ranked | None] = []
        self._is_cached = False  # read the context as `generate` does, in one piece
        for target in target_ids:
            row = self._rows.row(target)
            out.append(None if row is None else self._forced(context, row))
            context += self._context([target], room=0)
        return tuple(out)

    def logprobs(
        self, context_ids: Sequence[int], target_ids: Sequence[int]
    ) -> tuple[float | None, ...]:
        """Return ln p of each target by forced decoding; see `Engine.logprobs`."""
        answers = self.ranked(context_ids, target_ids)
        return tuple(None if answer is None else answer.logprob for answer in answers)

    def lacks(self, token_ids: Sequence[int]) -> int:
        """Return how many of `token_ids` were not kept."""
        return self._rows.lacks(token_ids)

    def sample(self, text: str, *, max_tokens: int, seed: int, grammar: str) -> str:
        """Return what the model writes after `text`: temperature 1, top-p 0.95, within `grammar`.

        Only the likeliest 1000 are sorted: all 262,144 cost a tenth of the time and change nothing.

        Raises:
            JobError: the engine died or answered rubbish.
        """
        reply = self._server.post(
            "/completion",
            {
                "prompt": text,
                "n_predict": max_tokens,
                "temperature": 1.0,
                "top_p": 0.95,
                "top_k": 1000,
                "min_p": 0.0,
                "seed": seed,
                "grammar": grammar,
                "cache_prompt": False,
                "response_fields": ["content"],
            },
        )
        if not isinstance(reply.get("content"), str):
            raise _rubbish(f"wrote {str(reply)[:200]}")
        return str(reply["content"])

    def close(self) -> None:
        """End the process; safe to call twice."""
        self._server.close()

    def _context(self, ids: Sequence[int], *, room: int) -> list[int]:
        return self._rows.fitting(self._rows.of(ids), room=room)

    def _forced(self, context: list[int], row: int) -> Ranked:
        answer = self._next_token(context, row, alternatives=_RIVALS)
        if answer is None:
            return self._listed(context, row)
        return self._beside(answer, answer.get("top_logprobs") or [])

    def _listed(self, context: list[int], row: int) -> Ranked:
        """Look the token up among all, beside a token that can be written.

        The server holds back the probabilities of a token that ends within a UTF-8 character.
        """
        answer = self._next_token(context, _WRITABLE_ROW, alternatives=_ALL)
        listed: list[dict[str, Any]] = answer["top_logprobs"] if answer else []
        for other in listed:
            if other["id"] == row:
                return self._beside(other, listed)
        raise _rubbish(f"gave no probability for token {row}")

    def _beside(self, answer: dict[str, Any], listed: list[dict[str, Any]]) -> Ranked:
        """Rank a token among those that can be emitted: end-of-text is ignored by `generate`."""
        logprob = _number(answer, "logprob")
        rivals = (one for one in listed if one.get("id") not in self._rows.control)
        best = next(rivals, answer)
        return Ranked(logprob, max(_number(best, "logprob"), logprob))

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
                "cache_prompt": self._is_cached,
                "response_fields": ["completion_probabilities"],
            },
        )
        self._is_cached = True
        answers = reply.get("completion_probabilities") or [None]
        if len(answers) != 1 or (answers[0] is not None and answers[0]["id"] != row):
            raise _rubbish(f"answered {str(answers)[:200]} when asked about token {row}")
        return answers[0]  # type: ignore[no-any-return]

    def _drafting(self, reply: dict[str, Any], emitted: int) -> Drafting | None:
        timings = reply.get("timings") or {}
        drafted = int(timings.get("draft_n", 0))
        is_silent = self.config.speculation.kind == "drafter" and not drafted
        if is_silent and emitted >= _SILENT_AFTER_TOKENS:
            raise _rubbish(f"its drafter drafted nothing in {emitted} tokens")
        if not drafted:
            return None
        accepted = int(timings["draft_n_accepted"])
        return Drafting(drafted_tokens=drafted, accepted_tokens=accepted)


def engine_version() -> str:
    """Return the version of the engine's package, without loading it."""
    return metadata.version("xllamacpp")


def _params(
    config: LlamaCppConfig, artefact: Artefact, cores: Sequence[int] | None
) -> ServerParams:
    return ServerParams(
        config=config,
        weights=artefact.path.resolve(),
        drafter=artefact.drafter_path and artefact.drafter_path.resolve(),
        context_tokens=CONTEXT_TOKENS,
        cores=None if cores is None else tuple(cores),
        parent=os.getpid(),
    )


def _files(params: ServerParams) -> list[Path]:
    """Return what the process has to read besides code."""
    return [one for one in (params.weights, params.drafter, params.server_folder) if one]


def _integers(reply: dict[str, Any], field: str) -> list[int]:
    values = reply.get(field)
    if not isinstance(values, list) or not all(type(value) is int for value in values):
        raise _rubbish(f"answered {field} = {values!r}")
    return values


def _number(answer: dict[str, Any], field: str) -> float:
    """Return a number that may be NaN: what that means is for the caller to say."""
    value = answer.get(field)
    if not isinstance(value, int | float):
        raise _rubbish(f"answered {field} = {value!r}")
    return float(value)


def _emitted_logprobs(reply: dict[str, Any], rows: list[int]) -> tuple[float, ...]:
    """Return ln p of each emitted token, NaN where the server does not say it.

    It leaves out tokens that end within a character, and lists accepted drafts with no
    alternatives and a made-up 0.
    """
    answers = list(reply.get("completion_probabilities") or [])
    said: list[float] = []
    for row in rows:
        answer = answers.pop(0) if answers and answers[0].get("id") == row else {}
        said.append(_number(answer, "logprob") if answer.get("top_logprobs") else math.nan)
    return tuple(said)


def _rubbish(what: str) -> JobError:
    return JobError(f"the engine {what}", code="engine_rubbish")
