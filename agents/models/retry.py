"""When a provider is asked again, when not, and how agents wait together.

Only what surely cost nothing is tried again. One gate per provider: a pause that one agent is told
to make, all make. Knows no provider's library; time, sleep and chance are handed in.
"""

import asyncio
import re
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from random import Random
from typing import Any, Literal, NamedTuple, TypeVar

from sandbox.errors import ModelError

T = TypeVar("T")
Fault = Literal[
    "rate_limited",
    "provider_down",
    "unreachable",
    "not_authorised",
    "quota_exhausted",
    "context_too_long",
    "bad_request",
    "no_answer",
    "bad_reply",
]
RETRIED: frozenset[Fault] = frozenset({"rate_limited", "provider_down", "unreachable"})
UNKNOWN_BILL: frozenset[Fault] = frozenset({"no_answer", "bad_reply"})
"""The provider may have worked, and may send a bill: what was reserved counts in full."""

_QUOTA = re.compile(
    r"insufficient_quota|exceeded your current quota|per[ _-]?day|daily|\b[RT]PD\b|credit balance"
    r"|insufficient (funds|credits|balance)|billing",
    re.IGNORECASE,
)
_TOO_LONG = re.compile(
    r"context_length|context (length|size|window)|maximum context|prompt is too long", re.IGNORECASE
)
_GATEWAY_GAVE_UP = frozenset({504, 524})
"""The model behind the gateway may still have answered, and been paid."""
_LONGEST_PAUSE_SECONDS = 30.0
_HINTS: dict[str, str] = {
    "not_authorised": "check the provider's key in the environment, and what it may use",
    "quota_exhausted": "the provider's quota or credit is used up; waiting will not help now",
    "context_too_long": "lower the model's '?context='",
}


class Refusal(NamedTuple):
    """How a request went wrong, in words of no particular provider."""

    fault: Fault
    text: str
    retry_after: float | None = None
    """Seconds the provider asked us to wait."""


def refusal_of(status: int, text: str, retry_after: float | None = None) -> Refusal:
    """Return what an answer with an HTTP status other than 200 means."""
    return Refusal(_fault(status, text), text, retry_after)


def _fault(status: int, text: str) -> Fault:
    if status in {401, 403}:
        return "not_authorised"
    if status == 402 or (status == 429 and _QUOTA.search(text)):  # noqa: PLR2004
        return "quota_exhausted"
    if status == 429:  # noqa: PLR2004
        return "rate_limited"
    if status in _GATEWAY_GAVE_UP:
        return "no_answer"
    if status >= 500:  # noqa: PLR2004
        return "provider_down"
    return "context_too_long" if _TOO_LONG.search(text) else "bad_request"


class Refused(Exception):
    """A request that failed; becomes a `ModelError` when no further try is made."""

    def __init__(self, refusal: Refusal) -> None:
        super().__init__(refusal.text)
        self.refusal = refusal


@dataclass
class Gate:
    """What all requests to one provider pass through. Bound to one event loop."""

    requests_per_minute: int
    clock: Callable[[], float] = time.monotonic
    sleep: Callable[[float], Awaitable[None]] = asyncio.sleep
    _closed_until: float = 0.0
    _limiter: Any = field(default=None, repr=False)

    @property
    def seconds_closed(self) -> float:
        """How long the provider still wants to be left alone."""
        return max(0.0, self._closed_until - self.clock())

    def pause(self, seconds: float) -> None:
        """Let nobody through for `seconds`."""
        self._closed_until = max(self._closed_until, self.clock() + seconds)

    async def enter(self, deadline: float) -> None:
        """Wait for a place in the minute, and for the end of a pause.

        Raises:
            Refused: the pause is longer than until `deadline`, by the gate's clock.
        """
        from aiolimiter import AsyncLimiter  # noqa: PLC0415 - not for offline sessions

        if self._limiter is None:
            self._limiter = AsyncLimiter(self.requests_per_minute, 60)
        await self._limiter.acquire()
        while (left := self.seconds_closed) > 0:
            if self.clock() + left > deadline:
                raise Refused(
                    Refusal("rate_limited", f"it wants to be left alone for {left:.0f} s")
                )
            await self.sleep(left)


class Gates:
    """The gates of a session, one per provider, shared by its models."""

    def __init__(self) -> None:
        self._gates: dict[str, Gate] = {}

    def of(self, provider: str, *, requests_per_minute: int) -> Gate:
        """Return the provider's gate; who comes first says how wide it is."""
        return self._gates.setdefault(provider, Gate(requests_per_minute))


async def persistently(
    ask: Callable[[], Awaitable[T]], gate: Gate, *, rng: Random, seconds: float
) -> T:
    """Return what `ask` answers, asking again for up to `seconds` where that costs nothing.

    Raises:
        ModelError: no answer; `code` is the fault and `was_billed` whether it may have cost.
    """
    deadline = gate.clock() + seconds

    async def once() -> T:
        await gate.enter(deadline)
        return await ask()

    try:
        try:
            return await once()
        except Refused as first:  # seldom; only now anything is set up to ask again
            return await _again(once, first, gate, rng=rng, deadline=deadline)
    except Refused as error:
        raise model_error(error.refusal) from None


async def _again(
    once: Callable[[], Awaitable[T]], first: Refused, gate: Gate, *, rng: Random, deadline: float
) -> T:
    """Return what a later try brings; `first` is how the first one ended."""
    from tenacity import AsyncRetrying, retry_if_exception  # noqa: PLC0415 - 100 ms

    known = [first]

    async def next_try() -> T:
        if known:
            raise known.pop()
        return await once()

    def pause(state: Any) -> float:
        wanted = _refusal(state).retry_after
        backoff = min(_LONGEST_PAUSE_SECONDS, 2.0 ** (state.attempt_number - 1))
        if wanted is not None:
            gate.pause(wanted)
        return rng.uniform(0, 1) if wanted is not None else backoff * rng.uniform(0.5, 1)

    def is_late(state: Any) -> bool:
        return bool(gate.clock() + max(state.upcoming_sleep, gate.seconds_closed) > deadline)

    tries = AsyncRetrying(
        retry=retry_if_exception(_is_worth_a_try),
        wait=pause,
        stop=is_late,
        sleep=gate.sleep,
        reraise=True,
    )
    return await tries(next_try)


def model_error(refusal: Refusal) -> ModelError:
    """Return the error that ends the turn."""
    fault = refusal.fault
    error = ModelError(
        f"{fault.replace('_', ' ')}: {refusal.text[:400]}", code=fault, hint=_HINTS.get(fault, "")
    )
    error.was_billed = None if fault in UNKNOWN_BILL else False
    return error


def _is_worth_a_try(error: BaseException) -> bool:
    return isinstance(error, Refused) and error.refusal.fault in RETRIED


def _refusal(state: Any) -> Refusal:
    error = state.outcome.exception()
    assert isinstance(error, Refused)
    return error.refusal
