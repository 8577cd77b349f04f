"""The `simulated` engine: the cost model with a virtual clock. No model, no process, no waiting.

Everything it says is labelled `simulated` and never ranked beside real numbers. Same config, same
seed, same answers. Two levels of noise, as on real machines: between requests of one launch, and
between launches, whose hidden numeric class shifts the speed and changes a few emitted tokens.
Text becomes made-up ids (words are hashed), so its tokens mean nothing.
"""

import hashlib
import math
import random
import re
from bisect import bisect_left
from collections.abc import Iterable, Mapping, Sequence

import rfc8785

from bench import cost_model
from bench.configs.llamacpp import KeepStrategy, KeptVocabulary, LlamaCppConfig
from bench.engines.engine import Generation, Ranked
from bench.measurement import Drafting
from sandbox.errors import ConfigError

VERSION = "simulated-1"
BEGIN = 2
"""Id of begin-of-text."""
FIRST_WORD = 256
"""Ids below stand for control and byte tokens, which every keep-set holds."""
REQUEST_NOISE = 0.02
"""Relative standard deviation of one request; a pair then has 2.8 %."""
CLASS_SHIFT = 0.006
"""Speed of the outer of three numeric classes, up or down."""
PREFILL_SHARE = 0.1
"""Time of a prompt token over that of an emitted one."""
PROCESS_BYTES = 120 << 20
"""Resident without the weights."""
KEPT_SIZES = (1024, 8192, 16_384, 32_768, 65_536, 131_072, 147_456, 262_144)
MISSED_SHARES: Mapping[KeepStrategy, tuple[float, ...]] = {
    "first": (0.70, 0.25, 0.137, 0.053, 0.028, 0.020, 0.018, 0.0),
    "ascii": (0.70, 0.22, 0.109, 0.043, 0.025, 0.003, 0.0, 0.0),
    "frequent": (0.50, 0.20, 0.124, 0.043, 0.023, 0.003, 0.001, 0.0),
    "public_text": (0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0),
}
"""Share of the public passages' targets that a keep-set of `KEPT_SIZES` rows lacks; from 16,384 to
131,072 counted with the real vocabulary (395 targets), beyond that guessed."""
_WORD = re.compile(r"\s*(?:\w+|[^\w\s])")


class VirtualClock:
    """Seconds that pass only when an engine says so; shared by the engines of one launch."""

    def __init__(self) -> None:
        self.seconds = 0.0


class SimulatedEngine:
    """Serves one config on paper; see the module's text."""

    name = "simulated"
    version = VERSION
    simulated = True

    def __init__(
        self, config: LlamaCppConfig, *, seed: int | str, clock: VirtualClock | None = None
    ) -> None:
        """Load nothing.

        Args:
            config: every lever.
            seed: of the noise and the numeric class; give each side of a launch its own.
            clock: shared between the engines of a launch; None makes one.

        Raises:
            ConfigError: a layer or vocabulary size that the modelled Gemma 3 270M does not have.
        """
        _check(config)
        self.config = config
        plain = rfc8785.dumps(config.weights.model_dump(mode="json"))
        self.artefact = f"simulated-{hashlib.sha256(plain).hexdigest()[:8]}"
        self.artefact_bytes = cost_model.bytes_per_token(config.weights)
        self._clock = clock or VirtualClock()
        self._noise = random.Random(f"noise {seed}")
        self._numeric_class = random.Random(f"class {seed}").choice((-1, 0, 1))
        self._cpu_seconds = 0.0
        self._spend(0.5)

    def clock(self) -> float:
        """Seconds on the virtual clock."""
        return self._clock.seconds

    def cpu_seconds(self) -> float | None:
        """CPU seconds: every thread busy all the time."""
        return self._cpu_seconds

    def peak_memory_bytes(self) -> int | None:
        """Weights and a constant."""
        return self.artefact_bytes + PROCESS_BYTES

    def tokenize(self, text: str) -> tuple[int, ...]:
        """Return begin-of-text and one id per word or punctuation mark.

        Raises:
            ConfigError: the vocabulary is reduced; ask the baseline engine.
        """
        if self.config.weights.vocabulary is not None:
            raise ConfigError(
                "an engine with a reduced vocabulary cannot tokenize for the full one",
                code="reduced_vocabulary",
                hint="tokenize with the baseline engine",
            )
        return word_ids(text)

    def generate(
        self, prompt_ids: Sequence[int], *, max_tokens: int, with_logprobs: bool = False
    ) -> Generation:
        """Emit `max_tokens` made-up tokens in the time the cost model asks for them."""
        work = max_tokens + PREFILL_SHARE * len(prompt_ids)
        shift = 1 - CLASS_SHIFT * self._numeric_class
        noise = math.exp(self._noise.gauss(0, REQUEST_NOISE))
        self._spend(work * cost_model.seconds_per_token(self.config) * shift * noise)
        tokens = tuple(self._emitted(prompt_ids, max_tokens))
        logprobs = self._surprises(len(prompt_ids), tokens) if with_logprobs else None
        return Generation(tokens, self._drafting(max_tokens), logprobs)

    def logprobs(
        self, context_ids: Sequence[int], target_ids: Sequence[int]
    ) -> tuple[float | None, ...]:
        """Return each target's surprise, scaled so that its mean is the cost model's."""
        answers = self.ranked(context_ids, target_ids)
        return tuple(None if answer is None else answer.logprob for answer in answers)

    def ranked(
        self, context_ids: Sequence[int], target_ids: Sequence[int]
    ) -> tuple[Ranked | None, ...]:
        """Return each target's surprise; on paper every target is the likeliest token."""
        self._spend(len(target_ids) * cost_model.seconds_per_token(self.config))
        kept = self.config.weights.vocabulary
        surprises = self._surprises(len(context_ids), target_ids)
        return tuple(
            Ranked(surprise, surprise) if kept is None or is_kept(target, kept) else None
            for surprise, target in zip(surprises, target_ids, strict=True)
        )

    def lacks(self, token_ids: Sequence[int]) -> int:
        """Return how many of `token_ids` were not kept."""
        kept = self.config.weights.vocabulary
        return 0 if kept is None else sum(not is_kept(token, kept) for token in token_ids)

    def close(self) -> None:
        """Nothing to end."""

    def _spend(self, seconds: float) -> None:
        self._clock.seconds += seconds
        self._cpu_seconds += seconds * self.config.threads

    def _surprises(self, start: int, targets: Sequence[int]) -> tuple[float, ...]:
        reference = math.log(cost_model.REFERENCE_PERPLEXITY)
        scale = max(reference + cost_model.added_nats(self.config), 0.0)
        # 0.75 to 1.25 of the mean: so few targets of a screen already come out near it.
        return tuple(
            -scale * (0.75 + 0.5 * made_up_share("surprise", place, target))
            for place, target in enumerate(targets, start=start)
        )

    def _emitted(self, prompt_ids: Sequence[int], count: int) -> Iterable[int]:
        """Greedy text depends on the weights; late tokens also on the launch's numeric class."""
        kept = self.config.weights.vocabulary
        for place in range(count):
            launch = self._numeric_class if place >= count // 2 else 0
            share = made_up_share(self.artefact, *prompt_ids[-8:], place, launch)
            token = FIRST_WORD + int(share * (cost_model.VOCABULARY - FIRST_WORD))
            yield token if kept is None or is_kept(token, kept) else place

    def _drafting(self, emitted: int) -> Drafting | None:
        if self.config.speculation.kind != "drafter":
            return None
        drafted = emitted // 2
        return Drafting(drafted_tokens=drafted, accepted_tokens=drafted // 2)


def is_kept(token: int, kept: KeptVocabulary) -> bool:
    """Return whether a keep-set holds a token: some words leave early, and nested sets nest."""
    if token < FIRST_WORD:
        return True
    shares = MISSED_SHARES[kept.strategy]
    above = min(max(bisect_left(KEPT_SIZES, kept.size), 1), len(KEPT_SIZES) - 1)
    (low, high), (left, right) = KEPT_SIZES[above - 1 : above + 1], shares[above - 1 : above + 1]
    way = math.log2(kept.size / low) / math.log2(high / low)
    return made_up_share("rarity", token) >= left + way * (right - left)


def word_ids(text: str) -> tuple[int, ...]:
    """Return begin-of-text and one made-up id per word or punctuation mark."""
    return (BEGIN, *map(_word_id, _WORD.findall(text)))


def _word_id(word: str) -> int:
    return FIRST_WORD + int(made_up_share("word", word) * (cost_model.VOCABULARY - FIRST_WORD))


def made_up_share(*parts: object) -> float:
    """Return a number in [0, 1) that only depends on `parts`."""
    digest = hashlib.blake2b(repr(parts).encode(), digest_size=6).digest()
    return int.from_bytes(digest, "big") / (1 << 48)


def _check(config: LlamaCppConfig) -> None:
    layers = {layer for one in config.weights.overrides for layer in one.layers}
    layers |= set(config.speculation.drafter_layers)
    wrong = sorted(layer for layer in layers if not 0 <= layer < cost_model.LAYERS)
    if wrong:
        raise ConfigError(
            f"layer {wrong[0]}: the model has layers 0 to {cost_model.LAYERS - 1}",
            code="bad_layer",
        )
