"""Speculator: guess tokens ahead, by n-gram or by a drafter with dropped layers."""

from collections.abc import Iterable
from random import Random

from pydantic import JsonValue

from agents.policies.llamacpp.physics import shape_of
from agents.policies.scene import Idea, Scene

_NGRAMS = ("ngram_simple", "ngram_map_k", "ngram_map_k4v", "ngram_cache", "ngram_mod")


def ideas(scene: Scene, rng: Random) -> Iterable[Idea]:
    """Yield guessers of several kinds and lengths on each parent."""
    layers = shape_of(scene.observation.challenge).layers
    for parent in scene.parents(rng):
        for kind in _NGRAMS:
            for draft in (2, 4, 8):
                match = rng.choice((3, 6, 12))
                changes: dict[str, JsonValue] = {
                    "speculation.kind": kind,
                    "speculation.draft_tokens": draft,
                    "speculation.match_tokens": match,
                }
                words = f"{kind} guesses {draft} tokens from the last {match}"
                yield Idea(parent.attempt, changes, words)
        for step in (3, 6, 2):
            kept = sorted({0, *range(step - 1, layers, step), layers - 1})
            changes = {
                "speculation.kind": "drafter",
                "speculation.drafter_layers": list(kept),
                "speculation.draft_tokens": 3,
                "speculation.drafter_format": rng.choice(("q4_0", "q8_0")),
            }
            words = f"a drafter of {len(kept)} of {layers} layers guesses 3 tokens ahead"
            yield Idea(parent.attempt, changes, words)
