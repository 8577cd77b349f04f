"""An engine under watch: every request timed on our clock, every answer counted and looked at.

Trusts nothing a server says of itself: not its timings, not its token counts, not its ids.
"""

import time
from collections.abc import Container, Sequence
from typing import NamedTuple

from bench.engines.engine import Engine, Generation, Ranked
from sandbox.errors import JobError


class Request(NamedTuple):
    """One generation, as seen from outside."""

    asked_tokens: int
    token_ids: tuple[int, ...]
    """As many as came."""
    logprobs: tuple[float, ...] | None
    wall_seconds: float
    cpu_seconds: float | None
    """That the engine's process used meanwhile."""


class Watched:
    """Wraps an engine; `requests` grows as it goes."""

    def __init__(self, engine: Engine, *, vocabulary: Container[int] | None) -> None:
        """Take `vocabulary`, the ids that it may emit; None looks at none."""
        self.engine = engine
        self.requests: list[Request] = []
        self._vocabulary = vocabulary

    def generate(
        self, prompt_ids: Sequence[int], *, tokens: int, with_logprobs: bool = False
    ) -> Request:
        """Return what came and how long it took.

        Raises:
            JobError: from the engine, or `engine_rubbish` for a token that does not exist.
        """
        cpu_before, before = self.engine.cpu_seconds(), time.perf_counter()
        came = self.engine.generate(prompt_ids, max_tokens=tokens, with_logprobs=with_logprobs)
        wall_seconds, cpu_after = time.perf_counter() - before, self.engine.cpu_seconds()
        known = cpu_before is not None and cpu_after is not None
        self.requests.append(
            Request(
                asked_tokens=tokens,
                token_ids=self._looked_at(came),
                logprobs=came.logprobs,
                wall_seconds=wall_seconds,
                cpu_seconds=(cpu_after or 0.0) - (cpu_before or 0.0) if known else None,
            )
        )
        return self.requests[-1]

    def ranked(
        self, prompt_ids: Sequence[int], target_ids: Sequence[int]
    ) -> tuple[Ranked | None, ...]:
        """Return the engine's view of tokens that somebody served."""
        return self.engine.ranked(prompt_ids, target_ids)

    def miscount(self) -> float:
        """Return the largest |tokens that came - tokens asked for|, as a share of those."""
        return max(
            (
                abs(len(one.token_ids) - one.asked_tokens) / one.asked_tokens
                for one in self.requests
            ),
            default=0.0,
        )

    def _looked_at(self, came: Generation) -> tuple[int, ...]:
        for token in came.token_ids if self._vocabulary is not None else ():
            if token not in self._vocabulary:  # type: ignore[operator]
                raise JobError(
                    f"the engine emitted token {token}, which its vocabulary does not have",
                    code="engine_rubbish",
                )
        return came.token_ids
