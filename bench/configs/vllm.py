"""The levers of the `vllm` engine and their ranges; knows no file, no process and no score.

The levers are named as vLLM names its options, but for `speculation`. What each becomes on the
command line, and which of them do not go together, is told in `bench.vllm_options`.
"""

from collections.abc import Iterator
from typing import Any, Literal, Self

from pydantic import Field, model_validator

from bench.configs.engine_config import EngineConfig, narrowed
from bench.frozen import Frozen
from sandbox.errors import ConfigError

PatchName = Literal[
    "int4_g32",  # the official quantisation-aware checkpoint: body in int4, groups of 32, Marlin
    "int4_head",  # the output head untied from the embedding and stored in int4 too
    "int4_g128",  # every matrix in int4, groups of 128
    "int4_g256",  # the body in groups of 256: fewer bytes, over the perplexity cap
    "mtp_mixed_heads",  # a nightly build: the stable one asserts on a drafter of other head counts
    "matched_drafter",  # a drafter trained on the quantised body
    "tuned_drafter",  # the drafter fine-tuned on served text
    "tuned_drafter_epoch1",  # the same, stopped after one epoch
    "centroid_top_k",  # the drafter's head scores the 64 nearest centroids only
    "centroid_adaptive",  # how many of them follows the step's certainty
    "draft_loop_graph",  # one CUDA graph over the drafter's loop
    "slim_sampler",  # fused sparse argmax in place of the sampler; greedy only
    "proposal_graph",  # the whole proposal as one graph, in place of draft_loop_graph
    "head_16k",  # 16,384 rows of the head are kept
    "head_12k",  # 12,288 rows of the head are kept
    "three_layers_removed",  # the 3 of 42 layers that the perplexity misses least
    "five_layers_removed",  # the 5 of 42 layers that the perplexity can spare
    "any_layers_removed",  # 5 layers chosen without measuring: a dead end
    "front_end",  # JSON, detokeniser and event loop work, 20 warm-ups
    "fa2_sliding_window",  # the FlashAttention 2 kernel for the layers with a sliding window
    "window_256",  # attention window 512 -> 256
    "window_192",
    "window_160",
    "precache_public",  # the warm-up replays the public prompts
    "decode_ffn_skip",  # a layer's feed-forward replaced while decoding, exact while scored
    "split_kv_verify",  # the verifying pass splits its keys over blocks
    "argmax_block_64",  # block of the argmax kernel, and 64 verified queries at most
]
"""Changes to the engine's code or the checkpoint that no option makes; only simulated engines
make them, a real one refuses. What each is worth on paper: `bench/e4b_model.py`, which also reads
`speculation.kind` ("none", "ngram", "mtp") and `speculation.draft_tokens` of the config."""


SpeculationMethod = Literal[
    "none",
    "ngram",
    "ngram_gpu",
    "suffix",
    "mtp",
    "draft_model",
    "eagle",
    "eagle3",
    "medusa",
    "mlp_speculator",
    "dflash",
]

Quantization = Literal[
    "fp8",
    "fp8_per_tensor",
    "fp8_per_channel",
    "fp8_per_block",
    "int8_per_channel_weight_only",
    "mxfp8",
    "nvfp4_per_token",
    "compressed-tensors",
    "awq",
    "awq_marlin",
    "gptq",
    "gptq_marlin",
    "modelopt",
    "torchao",
]
"""How weights are made smaller at load, or which format a checkpoint has. A checkpoint says its own
format: naming it is needed only for another kernel than vLLM would take."""

CacheDtype = Literal[
    "auto", "bfloat16", "float16", "fp8", "fp8_e4m3", "fp8_e5m2", "fp8_per_token_head",
    "int8_per_token_head", "int4_per_token_head",
]  # fmt: skip

AttentionBackend = Literal["auto", "FLASH_ATTN", "TRITON_ATTN", "FLASHINFER", "FLEX_ATTENTION"]

CudaGraphMode = Literal["NONE", "PIECEWISE", "FULL", "FULL_DECODE_ONLY", "FULL_AND_PIECEWISE"]

REFUSED: dict[str, tuple[str, str]] = {
    "trust_remote_code": ("loads_code", "a model's own code is never run"),
    "code_revision": ("loads_code", "a model's own code is never run"),
    "auto_map": ("loads_code", "a model's own code is never run"),
    "hf_overrides": ("loads_code", "it can name classes"),
    "model_class_overrides": ("loads_code", "it names classes"),
    "logits_processors": ("loads_code", "it names classes"),
    "worker_cls": ("loads_code", "it names a class"),
    "worker_extension_cls": ("loads_code", "it names a class"),
    "scheduler_cls": ("loads_code", "it names a class"),
    "middleware": ("loads_code", "it names classes"),
    "tool_parser_plugin": ("loads_code", "it names a file of code"),
    "reasoning_parser_plugin": ("loads_code", "it names a file of code"),
    "io_processor_plugin": ("loads_code", "it names a package"),
    "inductor_passes": ("loads_code", "it names functions"),
    "enable_lora": ("no_adapters", "the published weights are raced, not an adapter"),
    "lora_modules": ("no_adapters", "the published weights are raced, not an adapter"),
    "rejection_sample_method": ("fakes_acceptance", "only the standard rule is lossless"),
    "synthetic_acceptance_rates": ("fakes_acceptance", "it accepts what was not verified"),
    "synthetic_acceptance_length": ("fakes_acceptance", "it accepts what was not verified"),
    "load_format": ("not_a_lever", "the operator says where weights come from"),
    "additional_config": ("not_a_lever", "no argument is passed on unread"),
    "extra_args": ("not_a_lever", "no argument is passed on unread"),
}
"""Options of vLLM that are no levers: name -> (code, why)."""


class VllmSpeculation(Frozen):
    """How tokens are guessed ahead of the model."""

    kind: SpeculationMethod = "none"
    """vLLM's `method`; mtp: the published drafter of the model's family."""
    draft_tokens: int = Field(default=4, ge=1, le=32)
    """vLLM's `num_speculative_tokens`: longest guess per step."""
    model: str = Field(default="", max_length=200)
    """Drafter, as `checkpoint` is written; mtp: the assistant; empty where the kind needs none."""
    prompt_lookup_min: int | None = Field(default=None, ge=1, le=64)
    prompt_lookup_max: int | None = Field(default=None, ge=1, le=64)
    """ngram kinds: shortest and longest suffix looked up. vLLM takes 5 where neither is said."""
    quantization: Quantization | None = None
    """Of the drafter."""
    parallel_drafting: bool = False
    """All drafted tokens in one pass, for drafters trained so."""


class VllmCompilation(Frozen):
    """What of vLLM's `--compilation-config` is a lever; None leaves the choice to vLLM."""

    mode: Literal[0, 1, 2, 3] | None = None
    """0 none, 1 plain torch.compile, 2 traced once, 3 vLLM's own (its default)."""
    cudagraph_mode: CudaGraphMode | None = None
    cudagraph_capture_sizes: tuple[int, ...] = ()
    max_cudagraph_capture_size: int | None = Field(default=None, ge=1)
    compile_sizes: tuple[int, ...] = ()


class VllmConfig(EngineConfig):
    """All levers of the `vllm` engine. The default values are the baseline."""

    engine: Literal["vllm"] = "vllm"
    checkpoint: str = Field(default="", max_length=200)
    """Published weights other than the challenge's, `ORG/NAME@COMMIT`, or `built:NAME`: a folder
    among the operator's. Empty = the challenge's own."""
    dtype: Literal["auto", "bfloat16", "float16"] = "auto"
    quantization: Quantization | None = None
    kv_cache_dtype: CacheDtype = "auto"
    max_model_len: int = Field(default=4096, ge=16, le=131_072)
    """Longest prompt plus output of one request."""
    max_num_batched_tokens: int = Field(default=512, ge=16, le=131_072)
    """Read at once; scoring a prompt holds one row of logits for each."""
    max_num_seqs: int = Field(default=1, ge=1, le=1024)
    gpu_memory_utilization: float = Field(default=0.9, gt=0, le=0.98)
    attention_backend: AttentionBackend = "auto"
    block_size: Literal[16, 32, 64, 128] | None = None
    enforce_eager: bool = False
    """No compilation and no CUDA graphs."""
    compilation: VllmCompilation = VllmCompilation()
    optimization_level: Literal[0, 1, 2, 3] | None = None
    performance_mode: Literal["balanced", "interactivity", "throughput"] = "balanced"
    async_scheduling: bool | None = None
    """None = where vLLM can."""
    enable_prefix_caching: bool = False
    enable_chunked_prefill: bool | None = None
    skip_tokenizer_init: bool = False
    """Serve ids only: no text is made of what was emitted."""
    speculation: VllmSpeculation = VllmSpeculation()
    patches: tuple[PatchName, ...] = ()

    @model_validator(mode="before")
    @classmethod
    def _is_no_refused_option(cls, data: Any) -> Any:
        for name in _names_in(data):
            if name in REFUSED:
                code, why = REFUSED[name]
                raise ConfigError(
                    f"{name!r} cannot be set: {why}",
                    code=code,
                    hint="code is submitted as files" if code == "loads_code" else "",
                )
        return data

    @property
    def has_reduced_vocabulary(self) -> bool:
        """Whether rows of the head were left out."""
        return bool({"head_16k", "head_12k"} & set(self.patches))

    @property
    def speculates(self) -> bool:
        """Whether tokens are guessed ahead."""
        return self.speculation.kind != "none"

    @property
    def longest_step_tokens(self) -> int:
        """The longest guess and the token that the model adds."""
        return self.speculation.draft_tokens + 1 if self.speculates else 1

    @property
    def is_sixteen_bit(self) -> bool:
        """Whether no part is known to have fewer bits, and the weights are the challenge's own."""
        is_small = any(patch.startswith("int4_") for patch in self.patches)
        return not (
            self.checkpoint
            or self.quantization
            or self.kv_cache_dtype not in ("auto", "bfloat16", "float16")
            or is_small
        )

    def without_speculation(self) -> Self:
        """Return the same weights and settings, nothing guessed ahead."""
        return self.model_copy(update={"speculation": VllmSpeculation()})


def as_vllm(config: EngineConfig) -> VllmConfig:
    """Return `config`; see `narrowed`."""
    return narrowed(config, VllmConfig)


def _names_in(data: Any) -> Iterator[str]:
    if isinstance(data, dict):
        for name, inner in data.items():
            yield str(name)
            yield from _names_in(inner)
