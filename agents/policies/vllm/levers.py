"""What can be tried where vLLM serves: the engine's own options, and patches to code or weights.

Families, reasons and what each patch needs are common knowledge of the field; `hope` is what a
patch's author would guess before anybody measured. No option makes a patch, so a real engine
refuses patches: they are for sessions on paper.
"""

from collections.abc import Mapping
from typing import Literal, NamedTuple

from pydantic import JsonValue

from bench.configs.vllm import PatchName

Family = Literal["weights", "pruning", "guessing", "serving"]


class Patch(NamedTuple):
    """A change that no option makes."""

    family: Family
    why: str
    hope: float = 0.0
    """ln gain guessed beside what the roofline says."""
    needs: tuple[PatchName, ...] = ()
    """At least one of them first."""
    needs_guessing: bool = False
    replaces: tuple[PatchName, ...] = ()


_INT4: tuple[PatchName, ...] = ("int4_g32", "int4_g128")
_HEADS: tuple[PatchName, ...] = ("int4_head", "int4_g128")

PATCHES: Mapping[PatchName, Patch] = {
    "int4_g32": Patch("weights", "the official 4 bit checkpoint reads a third of the bytes"),
    "int4_head": Patch("weights", "a 16 bit head is over a third of what is left", needs=_INT4),
    "int4_g128": Patch(
        "weights", "coarser groups, fewer scales", replaces=("int4_g32", "int4_head"), needs=_INT4
    ),
    "int4_g256": Patch(
        "weights", "coarser still", replaces=("int4_g32", "int4_head", "int4_g128"), needs=_HEADS
    ),
    "mtp_mixed_heads": Patch("guessing", "a build that takes the published drafter at all"),
    "matched_drafter": Patch(
        "guessing", "a drafter that saw the quantised body", 0.03, ("mtp_mixed_heads",), True
    ),
    "tuned_drafter": Patch(
        "guessing", "the drafter fine-tuned on served text", 0.08, ("matched_drafter",), True
    ),
    "tuned_drafter_epoch1": Patch(
        "guessing",
        "one epoch of tuning, so that it fits less to what it saw",
        0.05,
        ("matched_drafter",),
        True,
        ("tuned_drafter",),
    ),
    "centroid_top_k": Patch("guessing", "drafts need not score every row", 0.02, _INT4, True),
    "centroid_adaptive": Patch(
        "guessing", "fewer rows where a step is certain", 0.02, ("centroid_top_k",), True
    ),
    "draft_loop_graph": Patch("serving", "one launch for the loop over drafts", 0.04, (), True),
    "slim_sampler": Patch("serving", "greedy decoding needs no sampler, only an argmax", 0.03),
    "proposal_graph": Patch(
        "serving",
        "the whole proposal in one launch",
        0.02,
        ("draft_loop_graph",),
        True,
        ("draft_loop_graph",),
    ),
    "head_16k": Patch("pruning", "16,384 rows of the head hold what anybody answers", needs=_HEADS),
    "head_12k": Patch(
        "pruning",
        "a quarter of those rows is never used",
        needs=("head_16k",),
        replaces=("head_16k",),
    ),
    "three_layers_removed": Patch(
        "pruning", "three layers hardly change what passes them", needs=_INT4
    ),
    "five_layers_removed": Patch(
        "pruning",
        "five layers of forty-two, chosen by screens",
        needs=_INT4,
        replaces=("three_layers_removed",),
    ),
    "any_layers_removed": Patch("pruning", "five layers, unscreened", needs=_INT4),
    "front_end": Patch("serving", "the server spends its time on JSON and strings", 0.05, (), True),
    "fa2_sliding_window": Patch("serving", "a kernel made for windows", 0.01),
    "window_256": Patch("pruning", "half of the window is rarely looked at", 0.02, (), True),
    "window_192": Patch(
        "pruning", "a narrower window still", 0.02, ("window_256",), True, ("window_256",)
    ),
    "window_160": Patch(
        "pruning",
        "as narrow as may pass",
        0.02,
        ("window_192",),
        True,
        ("window_192", "window_256"),
    ),
    "precache_public": Patch("serving", "the warm-up may as well serve the prompts", 0.02),
    "decode_ffn_skip": Patch(
        "pruning", "one feed-forward is skipped where nobody scores it", 0.05, _HEADS, True
    ),
    "split_kv_verify": Patch(
        "serving", "checking eight tokens leaves most blocks idle", 0.06, (), True
    ),
    "argmax_block_64": Patch(
        "serving", "a wider block for the argmax", 0.01, ("slim_sampler",), True
    ),
}
"""In the one order that riders write them in."""

DOUBT: Mapping[str, float] = {
    "int4_g32": 0.01,
    "int4_g128": 0.02,
    "int4_g256": 0.04,
    "three_layers_removed": 0.03,
    "five_layers_removed": 0.05,
    "any_layers_removed": 0.06,
    "head_12k": 0.005,
    "window_160": 0.01,
    "fp8": 0.01,
}
"""Guessed rise of ln perplexity; kept low, so that somebody tries and everybody learns."""


class Option(NamedTuple):
    """Settings of the engine itself."""

    family: Family
    changes: Mapping[str, JsonValue]
    why: str
    paper_only: bool = False
    """Needs a drafter or a patched build that only sessions on paper have."""


_LOOKUP: dict[str, JsonValue] = {
    "speculation.kind": "ngram",
    "speculation.prompt_lookup_min": 2,
    "speculation.prompt_lookup_max": 4,
}
MTP: Mapping[str, JsonValue] = {
    "speculation.kind": "mtp",
    "speculation.prompt_lookup_min": None,
    "speculation.prompt_lookup_max": None,
}
"""The family's own drafter; what a lookup was told goes with it."""

OPTIONS: tuple[Option, ...] = (
    Option("weights", {"quantization": "fp8"}, "half the bytes of the body, scaled at load"),
    Option("weights", {"quantization": "fp8_per_channel"}, "8 bits with a scale per channel"),
    Option("weights", {"quantization": "fp8_per_block"}, "8 bits with a scale per block"),
    Option("weights", {"dtype": "float16"}, "the other 16 bits"),
    Option("guessing", {**_LOOKUP, "speculation.draft_tokens": 4}, "the prompt may hold the words"),
    Option("guessing", {**_LOOKUP, "speculation.draft_tokens": 2}, "a short lookup costs little"),
    Option(
        "guessing",
        {**MTP, "speculation.draft_tokens": 4},
        "the family's published drafter, as the recipes have it",
        paper_only=True,
    ),
    Option("serving", {"enforce_eager": True}, "no graphs: what are they worth here"),
    Option("serving", {"kv_cache_dtype": "fp8"}, "half the bytes of the cache"),
    Option("serving", {"max_num_batched_tokens": 2048}, "prompts read in fewer pieces"),
    Option("serving", {"async_scheduling": True}, "the next step is planned while this one runs"),
    Option("serving", {"async_scheduling": False}, "nothing planned ahead: what is it worth"),
    Option("serving", {"block_size": 64}, "larger blocks of the cache"),
    Option("serving", {"attention_backend": "TRITON_ATTN"}, "another kernel for attention"),
    Option("serving", {"attention_backend": "FLASH_ATTN"}, "another kernel for attention"),
    Option("serving", {"compilation.cudagraph_mode": "FULL"}, "one graph for the whole step"),
    Option("serving", {"compilation.cudagraph_mode": "PIECEWISE"}, "attention outside the graphs"),
    Option("serving", {"compilation.mode": 0}, "graphs without compiled kernels"),
    Option("serving", {"performance_mode": "interactivity"}, "the engine's own idea of latency"),
    Option("serving", {"skip_tokenizer_init": True}, "no text is made of ids nobody reads"),
    Option("pruning", {"max_model_len": 1024}, "a cache no longer than a request needs"),
)
DRAFT_LENGTHS = (3, 5, 6, 7, 8)
"""Worth asking about with a drafter; 4 is what the recipes say."""
