"""The levers of the `llamacpp` engine and their ranges; knows no file, no process and no score."""

from typing import Literal, Self

from pydantic import Field, model_validator

from bench.configs.engine_config import EngineConfig, narrowed
from bench.frozen import Frozen

WeightFormat = Literal["shipped", "bf16", "f16", "q8_0", "q5_1", "q5_0", "q4_1", "q4_0"]
"""How a tensor is stored; `shipped` = the bytes of the published file, K-quants included."""

CacheType = Literal["f16", "bf16", "q8_0", "q5_1", "q5_0", "q4_1", "q4_0"]

SIXTEEN_BITS = frozenset({"bf16", "f16"})

TensorGroup = Literal["attn_q", "attn_k", "attn_v", "attn_output", "ffn_gate", "ffn_up", "ffn_down"]

Rounding = Literal["nearest", "scale_search", "norm_weighted"]
"""nearest: the format's own rule; scale_search: least squares per block;
norm_weighted: least squares, columns weighted by the squared gain of the norm before them."""

KeepStrategy = Literal["first", "ascii", "frequent", "public_text"]
"""first: lowest ids; ascii: lowest ids of plain ASCII tokens; frequent: by counts in the shipped
word list; public_text: the tokens of the public passages and prompts first (a fitted set)."""

SpeculationKind = Literal[
    "none", "ngram_simple", "ngram_map_k", "ngram_map_k4v", "ngram_mod", "ngram_cache", "drafter"
]


class LayerFormat(Frozen):
    """An override of the recipe for some tensors of some layers; later overrides win."""

    layers: tuple[int, ...] = Field(min_length=1)
    tensors: tuple[TensorGroup, ...] = Field(min_length=1)
    format: WeightFormat


class KeptVocabulary(Frozen):
    """Which rows of the tied head are kept; ids are mapped by the client."""

    strategy: KeepStrategy
    size: int = Field(ge=1024, le=262_144)
    """Rows kept, control and byte tokens included."""


class WeightRecipe(Frozen):
    """How the reference weights are stored; the empty recipe is the bf16 reference itself."""

    head: WeightFormat = "bf16"
    """The tied token embedding and output head: 72 % of the shipped bytes read per token."""
    attention: WeightFormat = "bf16"
    feed_forward: WeightFormat = "bf16"
    overrides: tuple[LayerFormat, ...] = ()
    rounding: Rounding = "nearest"
    vocabulary: KeptVocabulary | None = None
    """None keeps all rows."""


class Speculation(Frozen):
    """How tokens are guessed ahead of the model."""

    kind: SpeculationKind = "none"
    draft_tokens: int = Field(default=4, ge=1, le=64)
    """Longest guess per step."""
    match_tokens: int = Field(default=12, ge=1, le=64)
    """n-gram kinds: length of the suffix looked up."""
    drafter_layers: tuple[int, ...] = ()
    """drafter: which layers of the reference it keeps, ascending."""
    drafter_format: WeightFormat = "q4_0"

    @model_validator(mode="after")
    def _drafter_has_layers(self) -> "Speculation":
        if (self.kind == "drafter") != bool(self.drafter_layers):
            raise ValueError("drafter_layers goes with kind 'drafter', and only with it")
        if list(self.drafter_layers) != sorted(set(self.drafter_layers)):
            raise ValueError("drafter_layers must be ascending and distinct")
        return self


class LlamaCppConfig(EngineConfig):
    """All levers of the `llamacpp` engine. The default values are the baseline."""

    engine: Literal["llamacpp"] = "llamacpp"
    weights: WeightRecipe = WeightRecipe()
    threads: int = Field(default=1, ge=1, le=64)
    """Compute threads. One by default: more than the free cores costs 50x (spin barriers)."""
    flash_attention: Literal["auto", "on", "off"] = "auto"
    cache_type_k: CacheType = "f16"
    cache_type_v: CacheType = "f16"
    batch_tokens: int = Field(default=2048, ge=32, le=8192)
    micro_batch_tokens: int = Field(default=512, ge=32, le=4096)
    memory_map: bool = True
    repack: bool = True
    """Rearrange weights for the fast kernels at load."""
    poll: int = Field(default=50, ge=0, le=100)
    """How hard idle compute threads spin before they sleep; 0 = sleep at once."""
    speculation: Speculation = Speculation()

    @model_validator(mode="after")
    def _quantised_v_needs_flash_attention(self) -> "LlamaCppConfig":
        if self.flash_attention == "off" and self.cache_type_v not in ("f16", "bf16"):
            raise ValueError("a quantised cache_type_v needs flash_attention 'auto' or 'on'")
        return self

    @property
    def cpu_threads(self) -> int:
        """Every compute thread."""
        return self.threads

    @property
    def has_reduced_vocabulary(self) -> bool:
        """Whether rows of the head were left out."""
        return self.weights.vocabulary is not None

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
        """Whether no part is stored in fewer bits."""
        weights = self.weights
        used = {weights.head, weights.attention, weights.feed_forward}
        used |= {override.format for override in weights.overrides}
        used |= {self.cache_type_k, self.cache_type_v}
        return used <= SIXTEEN_BITS

    def without_speculation(self) -> Self:
        """Return the same weights and settings, nothing guessed ahead."""
        return self.model_copy(update={"speculation": Speculation()})


def as_llamacpp(config: EngineConfig) -> LlamaCppConfig:
    """Return `config`; see `narrowed`."""
    return narrowed(config, LlamaCppConfig)
