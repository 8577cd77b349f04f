"""What follows from an invalidation: what may not be built on, and who has built on it already."""

from collections.abc import Iterable, Iterator
from typing import NamedTuple

from bench.config import carries
from bench.configs.engine_config import EngineConfig
from tools.record.events import AttemptInvalidated


class Ban(NamedTuple):
    """Words that no new config may have together, until the attempt is reinstated."""

    ingredient: tuple[str, ...]
    attempt: str
    """The attempt that was ruled invalid for it."""
    reason: str
    note: str
    by: str
    seq: int
    """Of the ruling."""

    def is_in(self, config: EngineConfig) -> bool:
        """Return whether `config` has the whole ingredient."""
        return carries(self.ingredient)(config)


def ban_of(ruling: AttemptInvalidated, *, seq: int) -> Ban | None:
    """Return the ban that `ruling` sets; None when it speaks of its attempt alone."""
    if not ruling.ingredient:
        return None
    return Ban(ruling.ingredient, ruling.attempt, ruling.reason, ruling.note, ruling.by, seq)


def first_ban_on(config: EngineConfig, bans: Iterable[Ban]) -> Ban | None:
    """Return the oldest ban whose ingredient `config` has."""
    return next((ban for ban in bans if ban.is_in(config)), None)


def carriers(ban: Ban, configs: Iterable[tuple[str, EngineConfig]]) -> Iterator[str]:
    """Yield the attempts, of those given with their configs, that have the ingredient."""
    has_all = carries(ban.ingredient)
    return (attempt for attempt, config in configs if has_all(config))
