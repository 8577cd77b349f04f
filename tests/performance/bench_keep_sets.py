"""How often a kept vocabulary passes the test for missing targets, over draws of private texts.

    python -m tests.performance.bench_keep_sets POOL.jsonl

POOL is the pool of private texts of this machine (the first ride writes one). For each keep-set:
the share of its tokens that is missing, and the share of 2,000 drawn verifications that pass by
the scored targets alone and by all that was drawn. Prints shares only, no text.
"""

import argparse
import json
import random
from collections.abc import Sequence
from pathlib import Path

from bench.artefacts.gguf_file import read_gguf
from bench.artefacts.model_file import locate
from bench.artefacts.vocabulary import Vocabulary, keep_ids
from bench.challenge_files import LoadedChallenge, Text, load_challenge
from bench.configs.llamacpp import KeptVocabulary
from bench.engine_sources import open_source
from bench.engines.engine import Engine
from bench.verify.draw import allot, texts_needed
from bench.verify.likelihood import most_by_chance
from orchestrator.settings import load_settings

CHALLENGE = "gemma-270m-cpu"
DRAWS = 2000
KEPT = (
    KeptVocabulary(strategy="public_text", size=32_768),
    KeptVocabulary(strategy="public_text", size=49_152),
    KeptVocabulary(strategy="public_text", size=65_536),
    KeptVocabulary(strategy="public_text", size=98_304),
    KeptVocabulary(strategy="frequent", size=98_304),
    KeptVocabulary(strategy="ascii", size=147_456),
)

Tokens = dict[str, Sequence[int]]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("pool", type=Path)
    given = parser.parse_args()
    loaded, cache = load_challenge(CHALLENGE), load_settings().cache_folder
    pool = [Text(**json.loads(line)) for line in given.pool.read_text().splitlines()]
    source = open_source("llamacpp", loaded.challenge, cache_folder=cache, seed=1)
    engine = source.prepare(loaded.challenge.baseline, "baseline", public_ids=())()
    tokens = {text.id: engine.tokenize(text.text or "")[1:] for text in pool}
    public = public_ids(loaded, engine)
    engine.close()
    source.close()
    vocabulary = Vocabulary(read_gguf(locate(loaded.challenge.model, cache).path))
    for kept in KEPT:
        ids = frozenset(keep_ids(vocabulary, kept, public).tolist())
        found = passing(loaded, pool, tokens, ids)
        print(json.dumps({"strategy": kept.strategy, "size": kept.size, **found}))


def public_ids(loaded: LoadedChallenge, engine: Engine) -> list[int]:
    """Return the public tokens in the order in which a keep-set is fitted to them."""
    length = loaded.challenge.protocol.prompt_tokens
    whole = [engine.tokenize(one.text or "") for one in loaded.passages]
    cut = [engine.tokenize(one.text or "")[:length] for one in loaded.prompts]
    return [token for ids in (*whole, *cut) for token in ids]


def passing(
    loaded: LoadedChallenge, pool: Sequence[Text], tokens: Tokens, kept: frozenset[int]
) -> dict[str, float]:
    """Return the missing share, and the shares of draws that pass either count."""
    rule = loaded.challenge.verification
    assert rule is not None
    cap, rng, passed = loaded.challenge.guardrail.missing_target_share_cap, random.Random(1), [0, 0]
    for _ in range(DRAWS):
        drawn = rng.sample(list(pool), texts_needed(rule))
        scored = [token for text in allot(drawn, rule).scored for token in tokens[text.id]]
        every = [token for text in drawn for token in tokens[text.id]]
        for n, asked in enumerate((scored[: rule.perplexity_tokens], every)):
            missing = sum(token not in kept for token in asked)
            passed[n] += missing <= most_by_chance(len(asked), cap)
    whole = [token for ids in tokens.values() for token in ids]
    return {
        "missing_share": round(sum(token not in kept for token in whole) / len(whole), 4),
        "passed_by_scored": passed[0] / DRAWS,
        "passed_by_all_drawn": passed[1] / DRAWS,
    }


if __name__ == "__main__":
    main()
