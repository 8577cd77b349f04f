"""What the reference said about private texts, kept so that a later verification need not ask.

One JSON file in the organiser's private folder: token ids and log-probabilities by a hash of all
they depend on. It holds no text, but what the reference writes after a private prompt is private.
"""

import hashlib
import json
import math
import os
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

import rfc8785

from bench.engines.engine import Engine
from bench.perplexity import Passage
from sandbox.errors import JobError


class Greedy(NamedTuple):
    """What a model writes by itself, with its own log-probabilities."""

    token_ids: tuple[int, ...]
    logprobs: tuple[float, ...]


class ReferenceMemory:
    """The reference engine behind a file."""

    def __init__(self, engine: Engine, file: Path, *, key: Sequence[str]) -> None:
        """Take `key` for everything the answers depend on but the tokens themselves."""
        self._engine, self._file, self._key = engine, file, list(key)
        self._known = _read(file)

    def logprobs(self, passage: Passage) -> tuple[float, ...]:
        """Return ln p of the passage's targets.

        Raises:
            JobError: from the engine, or when the reference lacks a target.
        """
        name = self._name("text", passage.context, passage.targets)
        if name not in self._known:
            self._known[name] = list(_whole(self._engine, passage.context, passage.targets))
        return tuple(self._known[name])

    def greedy(self, prompt_ids: Sequence[int], *, tokens: int) -> Greedy:
        """Return `tokens` greedy tokens after the prompt, with their log-probabilities."""
        name = self._name("greedy", prompt_ids, (tokens,))
        if name not in self._known:
            written = self._engine.generate(prompt_ids, max_tokens=tokens, with_logprobs=True)
            ids, said = written.token_ids, written.logprobs or ()
            if not said or not all(map(math.isfinite, said)):  # it holds half characters back
                said = _whole(self._engine, prompt_ids, ids)
            self._known[name] = [list(ids), list(said)]
        ids, said = self._known[name]
        return Greedy(tuple(ids), tuple(said))

    def save(self) -> None:
        """Store what is known, readable by its owner only."""
        try:
            self._file.parent.mkdir(parents=True, exist_ok=True)
            with tempfile.NamedTemporaryFile("w", dir=self._file.parent, delete=False) as draft:
                json.dump(self._known, draft)
            Path(draft.name).replace(self._file)
        except OSError:  # the next verification asks again, which costs seconds
            return

    def _name(self, kind: str, context: Sequence[int], ids: Sequence[int]) -> str:
        whole = rfc8785.dumps([*self._key, kind, list(context), list(ids)])
        return hashlib.sha256(whole).hexdigest()[:24]


def _whole(engine: Engine, context: Sequence[int], ids: Sequence[int]) -> tuple[float, ...]:
    answers = engine.logprobs(context, ids)
    said = tuple(answer for answer in answers if answer is not None)
    if len(said) != len(ids) or not all(map(math.isfinite, said)):
        raise JobError(
            "the reference gave no probability for some token",
            code="engine_rubbish",
            hint="the challenge's baseline must keep the whole vocabulary",
        )
    return said


def _read(file: Path) -> dict[str, Any]:
    try:
        os.utime(file)
        known = json.loads(file.read_text())
    except (OSError, ValueError):  # unreadable is as good as none: it is made again
        return {}
    return known if isinstance(known, dict) else {}
