"""How well does a config predict text? On a list of targets that the harness owns.

Knows token ids and log-probabilities; knows no engine file and no cache. The engine is asked about
every target and may not skip one: what lies outside its vocabulary scores the challenge's floor.
"""

import hashlib
import math
from collections.abc import Iterable, Iterator
from typing import NamedTuple

import rfc8785

from bench.challenge_files import Ids, Text
from bench.engines.engine import Engine
from bench.measurement import Perplexity
from sandbox.errors import JobError

CONTEXT_TOKENS = 1
"""Of each passage, never scored: begin-of-text, or the first token where a model has none."""
ROUNDING = 1e-3
"""A certain token may come back this far above 0: engines sum probabilities in single precision."""

LogProbs = tuple[float | None, ...]


class Passage(NamedTuple):
    """What is given and what is asked, in the full vocabulary's ids."""

    context: Ids
    targets: Ids


class Targets(NamedTuple):
    """The target list: passages in the challenge's order."""

    passages: tuple[Passage, ...]

    def total(self) -> int:
        """Return how many tokens are scored."""
        return sum(len(passage.targets) for passage in self.passages)

    def between(self, start: int, end: int) -> "Targets":
        """Return targets `start` to `end` (exclusive); earlier ones of a passage become context."""
        kept, at = [], 0
        for context, targets in self.passages:
            low, high = max(start - at, 0), min(end - at, len(targets))
            if low < high:
                kept.append(Passage(context + targets[:low], targets[low:high]))
            at += len(targets)
        return Targets(tuple(kept))

    def sha256(self) -> str:
        """Return the hash of all ids, given and asked."""
        plain = [[list(context), list(targets)] for context, targets in self.passages]
        return hashlib.sha256(rfc8785.dumps(plain)).hexdigest()


def make_targets(passages: Iterable[Passage | Ids]) -> Targets:
    """Return the targets of passages: as given, or all tokens of a tokenized one but the first.

    A passage of one token has none.
    """
    split = (one if isinstance(one, Passage) else whole_passage(one) for one in passages)
    return Targets(tuple(passage for passage in split if passage.targets))


def whole_passage(ids: Ids) -> Passage:
    """Return the passage that scores all of `ids` but the first."""
    return Passage(tuple(ids[:CONTEXT_TOKENS]), tuple(ids[CONTEXT_TOKENS:]))


def passage_of(text: Text, ids: Ids) -> Passage:
    """Return what of `text` is given and what is asked; `ids` are all its tokens."""
    if text.context_token_ids is not None and text.target_token_ids is not None:
        return Passage(text.context_token_ids, text.target_token_ids)
    return whole_passage(ids)


def score(engine: Engine, targets: Targets) -> LogProbs:
    """Return one ln probability per target, None where the engine kept no such token.

    Raises:
        JobError: from the engine; or `engine_rubbish` when the answer is not one log-probability
            per target (a number of them, NaN, or above 0).
    """
    return tuple(logprob for passage in targets.passages for logprob in _asked(engine, passage))


def perplexity(logprobs: LogProbs, targets: Targets, *, missing_logprob: float) -> Perplexity:
    """Return exp of the mean surprise; a missing target counts `missing_logprob`.

    Raises:
        JobError: `engine_rubbish` when a target is impossible, so that the mean is infinite.
    """
    assert len(logprobs) == targets.total()
    scored = [missing_logprob if logprob is None else logprob for logprob in logprobs]
    mean = -math.fsum(scored) / len(scored)
    try:
        value = math.exp(mean)
    except OverflowError:
        value = math.inf
    if not math.isfinite(value):
        raise JobError(
            f"perplexity is not finite: the mean surprise is {mean} nats", code="engine_rubbish"
        )
    return Perplexity(
        value=value,
        tokens=len(scored),
        missing_targets=sum(logprob is None for logprob in logprobs),
        text_sha256=targets.sha256(),
    )


def _asked(engine: Engine, passage: Passage) -> Iterator[float | None]:
    answers = engine.logprobs(passage.context, passage.targets)
    if len(answers) != len(passage.targets):
        raise JobError(
            f"the engine scored {len(answers)} of {len(passage.targets)} targets",
            code="engine_rubbish",
        )
    for target, answer in zip(passage.targets, answers, strict=True):
        if answer is not None and not answer <= ROUNDING:
            raise JobError(
                f"the engine gave token {target} the log-probability {answer!r}",
                code="engine_rubbish",
            )
        yield None if answer is None else min(answer, 0.0)
