"""Rare tokens in a pattern that any whole model continues, and a secretly pruned one cannot.

A prompt r1 r2 r3 r4 r1 r2 r3 r4 r1 r2 r3 r4 asks for r1 r2 r3 r4. The tokens are drawn from all
that the config *declares* it can emit. A head that in truth kept the share c of those passes k of
them with probability c^k: at c = 0.95 and k = 64, 4 %. Where the twin does not copy, nothing is
asked.
"""

import random
from collections.abc import Container, Sequence
from typing import NamedTuple

from bench.artefacts.artefact import Artefact
from bench.artefacts.gguf_file import read_gguf
from bench.artefacts.vocabulary import NORMAL

PATTERN = 4
REPEATS = 3


class Declared(NamedTuple):
    """What a config says it can emit, in the full vocabulary's ids."""

    every: Container[int] | None
    """None: whatever comes is looked up nowhere."""
    words: Sequence[int]
    """Ordinary tokens only: no control, byte or special ones."""


class Canary(NamedTuple):
    """One copying task."""

    prompt_ids: tuple[int, ...]
    expected: tuple[int, ...]


class Copied(NamedTuple):
    """How it went: of the tokens that the twin copies, those that the candidate does not."""

    asked: int
    missed: int


def declared_ids(artefact: Artefact) -> Declared:
    """Return the ids that `artefact` keeps."""
    types = read_gguf(artefact.model_path).metadata["tokenizer.ggml.token_type"].content
    assert not isinstance(types, bytes | int | float | bool)
    kept = range(len(types)) if artefact.vocabulary is None else artefact.vocabulary
    words = [token for token in kept if int(types[token]) == NORMAL]
    return Declared(frozenset(kept), words)


def choose(
    words: Sequence[int], *, count: int, begin: Sequence[int], seed: int
) -> tuple[Canary, ...]:
    """Return `count` canaries of different tokens, each after `begin`."""
    drawn = random.Random(f"canaries {seed}").sample(words, count * PATTERN)
    groups = [tuple(drawn[at : at + PATTERN]) for at in range(0, len(drawn), PATTERN)]
    return tuple(Canary((*begin, *group * REPEATS), group) for group in groups)


def compare(
    canaries: Sequence[Canary], twin: Sequence[Sequence[int]], candidate: Sequence[Sequence[int]]
) -> Copied:
    """Return what the candidate missed of what the twin copied, up to the twin's first error."""
    asked = missed = 0
    for canary, right, given in zip(canaries, twin, candidate, strict=True):
        for place, token in enumerate(canary.expected):
            if place >= len(right) or right[place] != token:
                break
            asked += 1
            missed += place >= len(given) or given[place] != token
    return Copied(asked, missed)
