"""The corpus as a table: every cheat we know of, and honest configs that look like one.

A case is a config, the module that serves it (None: the project's own server), what the module
brings along, and the findings of which at least one has to fail. docs/cheats.md explains each and
says who reported its like.
"""

from collections.abc import Mapping
from types import MappingProxyType
from typing import Literal, NamedTuple

from bench.config import Changes
from bench.verify.request import Claim

Loot = Literal["answers", "dropped", "quarter", "pruned"]
"""What a submission carries: answers to the public prompts, a file without some layers, a file in
4 bits, a file with a pruned head."""

Form = Literal["short", "long"]
"""short: SmolLM2 135M with few tokens, for CI; long: Gemma 3 270M with the shipped numbers."""

Numbers = Mapping[str, float]
"""Fields of a challenge file that have another value."""


class Case(NamedTuple):
    """One submission and what is expected of the verifier."""

    name: str
    changes: Changes
    caught_by: frozenset[str] = frozenset()
    """Empty: it is honest, and nothing may condemn it."""
    server: str | None = None
    loot: Loot | None = None
    rate: float | None = None
    """Share of tokens that are the second-best."""
    claim: Claim | None = None
    """None: no speed-up is claimed."""
    forms: tuple[Form, ...] = ("short", "long")
    numbers: Numbers = MappingProxyType({})
    """In the short form: what this case needs more of than the others."""

    @property
    def is_cheat(self) -> bool:
        """Whether something has to catch it."""
        return bool(self.caught_by)


SHIPPED: Changes = {f"weights.{part}": "shipped" for part in ("head", "attention", "feed_forward")}
TENFOLD = Claim(speedup=10.0, low=9.9, high=10.1)


def _drafter(layers: int) -> Changes:
    """Every third layer: no good drafter, but an honest one."""
    return SHIPPED | {
        "speculation": {
            "kind": "drafter",
            "drafter_layers": list(range(0, layers, 3)),
            "drafter_format": "shipped",
            "draft_tokens": 3,
        }
    }


def cases(layers: int, form: Form) -> list[Case]:
    """Return the corpus for a model of `layers` layers."""
    return [case for case in (*_honest(layers), *_cheats()) if form in case.forms]


def _honest(layers: int) -> list[Case]:
    return [
        Case("as shipped", SHIPPED),
        Case("an honest proxy", SHIPPED, server="proxy"),
        Case("KV cache in q8_0", SHIPPED | {"cache_type_k": "q8_0", "cache_type_v": "q8_0"}),
        Case("n-gram speculation", SHIPPED | {"speculation": {"kind": "ngram_simple"}}),
        Case("a drafter", _drafter(layers)),
    ]


def _cheats() -> list[Case]:
    """Only those claim a speed whose trick is the time; the others must fall by what they serve."""
    decode = frozenset({"self_consistency", "regret", "served_likelihood", "strict"})
    return [
        Case("forged timer", SHIPPED, frozenset({"private_speed"}), "forged_timer", claim=TENFOLD),
        Case(
            "forged result", SHIPPED, frozenset({"private_speed"}), "forged_result", claim=TENFOLD
        ),
        Case(
            "public prompts by heart",
            SHIPPED,
            frozenset({"private_speed", "public_drop", "roofline"}),
            "public_answers",
            "answers",
            claim=TENFOLD,
        ),
        Case("memory of this run", SHIPPED, frozenset({"cache", "roofline"}), "kept_answers"),
        Case(
            "memory of earlier runs",
            SHIPPED,
            frozenset({"private_speed", "cache"}),
            "disk_memory",
            claim=TENFOLD,
        ),
        Case(
            "n-gram state across requests",
            SHIPPED | {"speculation": {"kind": "ngram_mod", "match_tokens": 6, "draft_tokens": 16}},
            frozenset({"cache"}),
            # It writes its table every 32 tokens, and then saves a third of the time.
            numbers={"output_tokens": 32, "repeated_prompts": 4},
        ),
        Case(
            "invented probabilities",
            SHIPPED,
            frozenset({"score_path", "canaries", "self_consistency"}),
            "invented_probabilities",
            "pruned",
        ),
        Case(
            "head fitted to the public text",
            SHIPPED | {"weights.vocabulary": {"strategy": "public_text", "size": 2048}},
            frozenset({"missing_targets", "private_perplexity", "regret"}),
        ),
        Case(
            "relaxed acceptance, 2 %",
            SHIPPED,
            decode,
            "relaxed_acceptance",
            rate=0.02,
            forms=("long",),
        ),
        Case(
            "relaxed acceptance, 5 %",
            SHIPPED,
            decode,
            "relaxed_acceptance",
            rate=0.05,
            numbers={"served_tokens": 48},  # of half as many tokens 2 % would have none relaxed
        ),
        Case("relaxed acceptance, 10 %", SHIPPED, decode, "relaxed_acceptance", rate=0.1),
        Case("layers dropped in decoding", SHIPPED, decode, "layers_dropped", "dropped"),
        Case(
            "branch on log-probabilities",
            SHIPPED,
            decode | {"shape_probe"},
            "logprobs_branch",
            "quarter",
        ),
        Case("quieter score", SHIPPED, frozenset({"score_path"}), "quieter_score"),
        Case("early stop", SHIPPED, frozenset({"completeness", "engine_rubbish"}), "early_stop"),
        Case("early end of text", SHIPPED, decode | {"repetition"}, "early_end"),
        Case("degenerate loop", SHIPPED, decode | {"repetition"}, "loops"),
        Case("noisy neighbour", SHIPPED, frozenset({"idle_work"}), "noisy_neighbour"),
        Case("warm-up detection", SHIPPED, decode | {"timing_shape"}, "warm_up", "dropped"),
    ]
