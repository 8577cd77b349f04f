"""The protocol every engine implements, and its conformance contract.

Token ids only: text becomes tokens in `tokenize` and nowhere else. Ids are always those of the
*full* vocabulary; an engine that keeps fewer rows maps them itself.
"""

from collections.abc import Mapping, Sequence
from typing import NamedTuple, Protocol, runtime_checkable

from bench.configs.engine_config import EngineConfig
from bench.measurement import Drafting


class Generation(NamedTuple):
    """Tokens one request emitted, in the full vocabulary's ids."""

    token_ids: tuple[int, ...]
    drafting: Drafting | None
    logprobs: tuple[float, ...] | None = None
    """ln p of each emitted token, where asked for. NaN where the engine does not say it."""


class Ranked(NamedTuple):
    """A token beside the likeliest one at its place, ln probabilities of one distribution."""

    logprob: float
    """Of the token asked about."""
    best: float
    """Of the likeliest that can be emitted, so no control token, and never below `logprob`; the two
    are equal where greedy decoding would have taken it."""


class Engine(Protocol):
    """A model loaded under a config, in a process of its own where it is real."""

    name: str
    version: str
    simulated: bool
    artefact: str
    """Recipe hash of the weights it serves."""
    artefact_bytes: int

    @property
    def config(self) -> EngineConfig:
        """What it serves."""

    def clock(self) -> float:
        """Seconds on the clock requests are timed with: wall clock, or the simulated one."""

    def cpu_seconds(self) -> float | None:
        """CPU seconds used so far by the engine's process; None when unknown."""

    def peak_memory_bytes(self) -> int | None:
        """High-water mark of resident bytes; None when unknown."""

    def tokenize(self, text: str) -> tuple[int, ...]:
        """Return ids in the full vocabulary, begin-of-text first.

        Raises:
            ConfigError: the engine serves a reduced vocabulary; ask the baseline engine.
        """

    def generate(
        self, prompt_ids: Sequence[int], *, max_tokens: int, with_logprobs: bool = False
    ) -> Generation:
        """Emit exactly `max_tokens` greedy tokens (end-of-text is ignored), one request.

        `with_logprobs` asks for the log-probabilities too: the same tokens must come.

        Raises:
            JobError: the engine died, answered rubbish or emitted another number of tokens.
        """

    def logprobs(
        self, context_ids: Sequence[int], target_ids: Sequence[int]
    ) -> tuple[float | None, ...]:
        """Return ln p(target_i | context, targets before i), shape (len(target_ids),).

        Runs the decode path one token at a time. None marks a target outside the vocabulary the
        engine kept; the caller owns the rule for it. Never skips a target.

        Raises:
            JobError: the engine died, or answered about another token than was asked for.
        """

    def ranked(
        self, context_ids: Sequence[int], target_ids: Sequence[int]
    ) -> tuple[Ranked | None, ...]:
        """Return what `logprobs` does, each beside the likeliest token's at the same place.

        Raises:
            JobError: the engine died, or answered about another token than was asked for.
        """

    def lacks(self, token_ids: Sequence[int]) -> int:
        """Return how many of `token_ids` lie outside the vocabulary it kept; costs no request."""

    def close(self) -> None:
        """End the engine's process and free its memory; safe to call twice."""


@runtime_checkable
class TellsStart(Protocol):
    """An engine that knows what its start was spent on."""

    start_seconds: Mapping[str, float]
    """By phase, e.g. `import`, `load`, `compile`."""


@runtime_checkable
class OnDevice(Protocol):
    """An engine that computes on an accelerator."""

    device: str
    """Its name, as the driver has it."""


@runtime_checkable
class CountsDrafts(Protocol):
    """An engine that counts guesses over all requests, and not for each: asking takes time."""

    def drafting(self) -> Drafting | None:
        """Return what was drafted and accepted since its start; None where nothing is drafted."""
