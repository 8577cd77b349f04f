"""Which private texts a verification uses, and what for; pure.

Drawn after the config was submitted, without replacement: no text serves two purposes in one
verification, so nothing seen while one part runs helps in another.
"""

import math
import random
from collections.abc import Collection, Sequence
from typing import NamedTuple

from bench.challenge import VerificationRule
from bench.challenge_files import Text
from sandbox.errors import ConfigError

WARMUP_TEXTS = 1
SHORTEST_SHARE = 0.6
"""A sampled text has at least this share of the tokens asked for; see `write_pool`."""


class Parts(NamedTuple):
    """The drawn texts by purpose."""

    warmup: tuple[Text, ...]
    timed: tuple[Text, ...]
    served: tuple[Text, ...]
    repeated: tuple[Text, ...]
    scored: tuple[Text, ...]
    """The only ones of which more than the beginning is seen."""


def texts_needed(rule: VerificationRule) -> int:
    """Return how many private texts one verification uses."""
    return _prompts(rule) + _scored(rule)


def draw(
    pool: Sequence[Text], *, count: int, seed: str, exclude: Collection[str]
) -> tuple[Text, ...]:
    """Return `count` texts of `pool` in random order, none whose id is in `exclude`.

    Raises:
        ConfigError: `pool_exhausted`; the organiser writes a larger pool.
    """
    left = [text for text in pool if text.id not in exclude]
    if len(left) < count:
        raise ConfigError(
            f"{count} private texts are needed and {len(left)} of {len(pool)} are left",
            code="pool_exhausted",
            hint="Raise `verification.pool_texts` in the challenge file and write a new pool",
        )
    return tuple(random.Random(f"draw {seed}").sample(left, count))


def allot(texts: Sequence[Text], rule: VerificationRule) -> Parts:
    """Return what each drawn text is for.

    Raises:
        ConfigError: `too_few_texts`.
    """
    if len(texts) < texts_needed(rule) or len({text.id for text in texts}) < len(texts):
        raise ConfigError(
            f"{len(texts)} private texts were given, {texts_needed(rule)} different are needed",
            code="too_few_texts",
        )
    left = iter(texts)

    def take(count: int) -> tuple[Text, ...]:
        return tuple(next(left) for _ in range(count))

    return Parts(
        warmup=take(WARMUP_TEXTS),
        timed=take(rule.speed_rounds),
        served=take(rule.served_prompts),
        repeated=take(rule.repeated_prompts),
        scored=take(_scored(rule)),
    )


def _prompts(rule: VerificationRule) -> int:
    return WARMUP_TEXTS + rule.speed_rounds + rule.served_prompts + rule.repeated_prompts


def _scored(rule: VerificationRule) -> int:
    return math.ceil(rule.perplexity_tokens / (SHORTEST_SHARE * rule.pool_tokens))
