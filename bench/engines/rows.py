"""The ids a server speaks, rows of its weight file, beside those of the full vocabulary.

Every engine that serves a weight file of ours has one: full ids go in and come out, rows stay
inside. Knows a keep-set and the longest context; knows no server and no config.
"""

from collections.abc import Sequence
from functools import cached_property

from bench.artefacts.artefact import Artefact
from bench.artefacts.vocabulary import KeptRows, control_ids
from sandbox.errors import ConfigError, JobError


class Rows:
    """The rows of one weight file."""

    def __init__(self, artefact: Artefact, *, context_tokens: int) -> None:
        """Translate for `artefact`, in contexts of at most `context_tokens` rows."""
        kept, self._model_path = artefact.vocabulary, artefact.model_path
        self._kept = None if kept is None else KeptRows(kept, artefact.model_path)
        self._context_tokens = context_tokens

    @property
    def is_reduced(self) -> bool:
        """Return whether some ids of the full vocabulary have no row."""
        return self._kept is not None

    def row(self, token_id: int) -> int | None:
        """Return the row of a full id, None where it was not kept."""
        return token_id if self._kept is None else self._kept.row(token_id)

    def of(self, ids: Sequence[int]) -> list[int]:
        """Return the rows that spell `ids`; a token that was not kept takes several."""
        return list(ids) if self._kept is None else self._kept.to_rows(ids)

    def fitting(self, rows: list[int], *, room: int) -> list[int]:
        """Return `rows` if the context holds them and `room` more.

        Raises:
            ConfigError: `context_too_long`; whoever wrote the text sees it.
        """
        if len(rows) + room > self._context_tokens:
            raise ConfigError(
                f"{len(rows)} tokens of context and {room} of output exceed {self._context_tokens}",
                code="context_too_long",
                hint="Shorten the text",
            )
        return rows

    def ids(self, rows: Sequence[int]) -> tuple[int, ...]:
        """Return the full ids of rows that a server emitted.

        Raises:
            JobError: `engine_rubbish`, it has no such row.
        """
        if self._kept is None:
            return tuple(rows)
        outside = [row for row in rows if not 0 <= row < len(self._kept.ids)]
        if outside:
            raise JobError(
                f"the engine emitted token {outside[0]}, which it does not have",
                code="engine_rubbish",
            )
        return self._kept.to_ids(rows)

    def lacks(self, token_ids: Sequence[int]) -> int:
        """Return how many of `token_ids` were not kept."""
        return sum(self.row(token) is None for token in token_ids)

    @cached_property
    def control(self) -> frozenset[int]:
        """Rows that stand for no text, such as end-of-text; read only when somebody ranks."""
        found = map(self.row, control_ids(self._model_path))
        return frozenset(row for row in found if row is not None)
