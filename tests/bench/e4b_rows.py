"""Rows of the Fast Gemma Challenge and the config that stands for each; facts posted in public.

`fitted` says how a row was used: a lever's effect was set by it, or the row is a check.
"""

from typing import NamedTuple

from bench.configs.vllm import PatchName, VllmConfig, VllmSpeculation


class Row(NamedTuple):
    """One real result, and its config on paper."""

    name: str
    tokens_per_second: float
    perplexity: float | None
    config: VllmConfig
    fitted: bool = True


def _config(*patches: PatchName, drafts: int = 0) -> VllmConfig:
    guessing = VllmSpeculation(kind="mtp", draft_tokens=drafts) if drafts else VllmSpeculation()
    return VllmConfig(patches=patches, speculation=guessing)


_MTP: tuple[PatchName, ...] = ("int4_g128", "mtp_mixed_heads")
_QAT: tuple[PatchName, ...] = (*_MTP, "matched_drafter")
_ENV: tuple[PatchName, ...] = (*_QAT, "centroid_top_k")
_ONE: tuple[PatchName, ...] = (*_ENV, "slim_sampler", "proposal_graph")
_CUT: tuple[PatchName, ...] = (*_ONE, "head_16k", "five_layers_removed")
_ADA: tuple[PatchName, ...] = (*_CUT, "centroid_adaptive")
_E1: tuple[PatchName, ...] = (*_ADA, "front_end", "tuned_drafter_epoch1")
_12K: tuple[PatchName, ...] = (*_E1, "head_12k")
_FA2: tuple[PatchName, ...] = (*_12K, "fa2_sliding_window")
_SKV: tuple[PatchName, ...] = (*_FA2, "split_kv_verify")
_B64: tuple[PatchName, ...] = (*_SKV, "argmax_block_64")
_3L: tuple[PatchName, ...] = (
    *_ONE,
    "head_16k",
    "three_layers_removed",
    "centroid_adaptive",
    "tuned_drafter",
)

CHRONOLOGY = (
    Row("stock bf16", 44.0, 2.302, _config()),
    Row("int4 g32", 95.4, 2.006, _config("int4_g32"), fitted=False),
    Row("int4 head", 118.3, 2.007, _config("int4_g32", "int4_head"), fitted=False),
    Row("all int4", 127.5, None, _config("int4_g128")),
    Row("drafter, first run", 247.2, None, _config(*_MTP, drafts=3)),
    Row("K = 7", 275.4, 2.027, _config(*_MTP, drafts=7)),
    Row("matched drafter, centroids", 288.0, 2.027, _config(*_ENV, drafts=6)),
    Row("draft loop graph", 297.5, None, _config(*_ENV, "draft_loop_graph", drafts=6)),
    Row(
        "slim sampler",
        308.1,
        None,
        _config(*_ENV, "draft_loop_graph", "slim_sampler", drafts=7),
    ),
    Row("one graph", 315.1, 2.0266, _config(*_ONE, drafts=7)),
    Row("head 16k", 332.3, None, _config(*_ONE, "head_16k", drafts=7)),
    Row("five layers, adaptive centroids", 365.0, 2.368, _config(*_ADA, drafts=7)),
    Row("three layers, tuned drafter", 377.3, 2.256, _config(*_3L, drafts=7)),
    Row("front end, epoch 1", 418.8, 2.381, _config(*_E1, drafts=7)),
    Row("head 12k, FA2, pre-cache", 421.1, 2.377, _config(*_FA2, "precache_public", drafts=7)),
    Row(
        "layer-29 skip (disputed)",
        459.2,
        2.378,
        _config(*_FA2, "precache_public", "decode_ffn_skip", drafts=7),
    ),
    Row("split-KV verify", 481.5, 2.377, _config(*_SKV, "precache_public", drafts=7)),
    Row("argmax block 64", 489.6, 2.377, _config(*_B64, "precache_public", drafts=7)),
    Row("window 192", 504.9, 2.393, _config(*_B64, "window_192", drafts=7)),
)
"""The frontier as it was walked."""

OTHERS = (
    Row("K = 4", 262.4, None, _config(*_MTP, drafts=4)),
    Row("K = 5", 272.9, None, _config(*_MTP, drafts=5)),
    Row("matched drafter, K = 6", 284.1, 2.027, _config(*_QAT, drafts=6)),
    Row("five layers", 356.2, None, _config(*_CUT, drafts=7)),
    Row("five layers, tuned", 387.5, 2.381, _config(*_ADA, "tuned_drafter", drafts=7)),
    Row("front end, old drafter", 399.4, 2.381, _config(*_ADA, "front_end", drafts=7)),
    Row(
        "three layers, tuned, front end", 412.1, 2.256, _config(*_3L, "front_end", drafts=7), False
    ),
    Row("head 12k", 417.5, 2.381, _config(*_12K, drafts=7), False),
    Row("split-KV, no pre-cache", 484.4, 2.377, _config(*_SKV, drafts=7), False),
    Row("g256", 461.0, 2.563, _config(*_B64, "int4_g256", drafts=7)),
    Row(
        "n-gram on int4",
        86.6,
        2.006,
        VllmConfig(patches=("int4_g32",), speculation=VllmSpeculation(kind="ngram")),
    ),
)
"""Rows beside the frontier."""
