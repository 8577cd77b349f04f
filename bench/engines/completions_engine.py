"""An engine behind an OpenAI-compatible server: what `vllm`, `openai` and `transformers` share.

Knows the `Engine` protocol and a client; knows neither how a server was started nor its levers.
Ids are the full vocabulary's on both sides: such servers keep every row. The likeliest token is
that of all, control tokens included: these servers go on after end-of-text and may emit it.
"""

import time
from collections.abc import Callable, Sequence
from typing import TypeVar

from bench.engines.engine import Generation, Ranked
from bench.engines.http_line import Lost
from bench.engines.openai_client import OpenAiClient
from bench.measurement import Drafting
from sandbox.errors import ConfigError, JobError

T = TypeVar("T")


class CompletionsEngine:
    """The half of the protocol that is asked over the wire; subclasses own the server."""

    simulated = False
    start_seconds: dict[str, float]
    """What the start was spent on, by phase; empty where nobody knows."""

    def __init__(
        self, client: OpenAiClient, *, context_tokens: int | None, is_counted: bool = True
    ) -> None:
        """Ask `client`.

        Args:
            client: for the served model.
            context_tokens: longest prompt plus output; None = the server's to refuse.
            is_counted: another number of tokens than asked for is an error; the judge alone says
                False, to whom it is a finding.
        """
        self._client, self._is_counted = client, is_counted
        self._context_tokens = context_tokens

    def clock(self) -> float:
        """Seconds on the monotonic wall clock."""
        return time.perf_counter()

    def tokenize(self, text: str) -> tuple[int, ...]:
        """Return the server's ids; see `Engine.tokenize`."""
        return self._asked(lambda: self._client.tokenize(text))

    def generate(
        self, prompt_ids: Sequence[int], *, max_tokens: int, with_logprobs: bool = False
    ) -> Generation:
        """Emit exactly `max_tokens` greedy tokens; see `Engine.generate`."""
        self._check(len(prompt_ids), max_tokens)
        emitted = self._asked(
            lambda: self._client.emit(
                prompt_ids,
                max_tokens,
                with_logprobs=with_logprobs,
                is_counted=self._is_counted,
            )
        )
        return Generation(emitted.token_ids, None, emitted.logprobs)

    def ranked(
        self, context_ids: Sequence[int], target_ids: Sequence[int]
    ) -> tuple[Ranked | None, ...]:
        """Return ln p of each target and of its likeliest rival, by one forced pass."""
        self._check(len(context_ids) + len(target_ids), 1)
        return self._asked(lambda: self._client.ranked(context_ids, target_ids))

    def logprobs(
        self, context_ids: Sequence[int], target_ids: Sequence[int]
    ) -> tuple[float | None, ...]:
        """Return ln p of each target, by one forced pass: the prefill path, not the decode path."""
        answers = self.ranked(context_ids, target_ids)
        return tuple(None if answer is None else answer.logprob for answer in answers)

    def lacks(self, token_ids: Sequence[int]) -> int:  # noqa: ARG002  # it keeps every row
        """Return 0: no row is left out."""
        return 0

    def drafting(self) -> Drafting | None:
        """Return what was drafted and accepted since the start; None where it is not said.

        Not part of `generate`: asking for it takes milliseconds of a timed request.
        """
        return self._asked(self._client.drafting)

    def lost(self, error: Lost) -> JobError:
        """Return the error for a server that is gone."""
        return JobError(f"the engine's server is gone: {error}", code="engine_died")

    def _asked(self, question: Callable[[], T]) -> T:
        try:
            return question()
        except Lost as error:
            raise self.lost(error) from error

    def _check(self, given: int, room: int) -> None:
        limit = self._context_tokens
        if limit is not None and given + room > limit:
            raise ConfigError(
                f"{given} tokens of context and {room} of output exceed {limit}",
                code="context_too_long",
                hint="Shorten the text, or raise max_model_len",
            )
