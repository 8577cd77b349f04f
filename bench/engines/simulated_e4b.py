"""The `simulated` engine for Gemma 4 E4B on an A10G: `bench.e4b_model` with a virtual clock.

No model, no process, no waiting; everything it says is labelled `simulated`. Same config, same
seed, same answers. Two levels of noise, as 18 jobs of one manifest had them: the launch's hidden
numeric class, which changes greedy tokens and so acceptance and speed, and timing within a class.
Text becomes made-up ids, so its tokens mean nothing.
"""

import math
import random
from collections.abc import Iterable, Sequence

from bench import e4b_model
from bench.configs.vllm import VllmConfig
from bench.engines.engine import Generation, Ranked
from bench.engines.simulated import VERSION, VirtualClock, made_up_share, word_ids
from bench.measurement import Drafting
from bench.model_shapes import GEMMA_4_E4B
from sandbox.errors import JobError

COLD_START_SECONDS = 480.0
"""Download, load, compile, capture: 6 to 10 minutes on the real machines."""
REQUEST_NOISE = 0.003
"""Relative standard deviation of one request; of the median of a run it leaves next to nothing."""
SHARED_PROMPTS = 8 / 128
"""Prompts on which launches of two classes emit the same tokens all the way."""
FIRST_DIFFERENCE = 99
"""Token at which they part, in the median of the others."""
FIRST_ID = 256


class SimulatedE4b:
    """Serves one config on paper; see the module's text."""

    name = "simulated"
    version = VERSION
    simulated = True

    def __init__(
        self, config: VllmConfig, *, seed: int | str, clock: VirtualClock | None = None
    ) -> None:
        """Load nothing.

        Args:
            config: every lever.
            seed: of the noise and the numeric class; give each side of a launch its own.
            clock: shared between the engines of a launch; None makes one.

        Raises:
            JobError: the engine would not have started; says what its log would say.
        """
        self.config = config
        self._clock = clock or VirtualClock()
        self._spend(COLD_START_SECONDS)
        if objection := e4b_model.objection(config):
            raise JobError(f"the engine ended while it started: {objection}", code="engine_died")
        found = e4b_model.estimate_of(config)
        self.artefact = f"simulated-{e4b_model.identity(config)}"
        self.artefact_bytes = round(found.memory[0].amount)
        self._memory_bytes = round(found.memory_bytes)
        speed = found.tokens_per_second * e4b_model.launch_factor(config, seed)
        self._seconds_per_token = 1 / speed
        self._tokens_per_step = found.tokens_per_step
        self._noise = random.Random(f"noise {seed}")
        self._numeric_class = e4b_model.numeric_class(seed)

    def clock(self) -> float:
        """Seconds on the virtual clock."""
        return self._clock.seconds

    def cpu_seconds(self) -> float | None:
        """Unknown: the work is on the device."""
        return None

    def peak_memory_bytes(self) -> int | None:
        """Of the device, as the roofline adds it up."""
        return self._memory_bytes

    def tokenize(self, text: str) -> tuple[int, ...]:
        """Return begin-of-text and one made-up id per word or punctuation mark."""
        return word_ids(text)

    def generate(
        self, prompt_ids: Sequence[int], *, max_tokens: int, with_logprobs: bool = False
    ) -> Generation:
        """Emit `max_tokens` made-up tokens in the time the model asks for them."""
        noise = math.exp(self._noise.gauss(0, REQUEST_NOISE))
        self._spend(max_tokens * self._seconds_per_token * noise)
        tokens = tuple(self._emitted(prompt_ids, max_tokens))
        logprobs = None
        if with_logprobs:
            logprobs = self._surprises(len(prompt_ids), tokens, served=True)
        return Generation(tokens, self._drafting(max_tokens), logprobs)

    def logprobs(
        self, context_ids: Sequence[int], target_ids: Sequence[int]
    ) -> tuple[float | None, ...]:
        """Return each target's surprise, scaled so that its mean is the model's."""
        return tuple(
            None if answer is None else answer.logprob
            for answer in self.ranked(context_ids, target_ids)
        )

    def ranked(
        self, context_ids: Sequence[int], target_ids: Sequence[int]
    ) -> tuple[Ranked | None, ...]:
        """Return each target's surprise; on paper every target is the likeliest token."""
        self._spend(0.01 + len(target_ids) * 1e-3)  # scored in one pass, not token by token
        surprises = self._surprises(len(context_ids), target_ids)
        return tuple(Ranked(surprise, surprise) for surprise in surprises)

    def lacks(self, token_ids: Sequence[int]) -> int:
        """None: kept heads hold all public targets, and there are no others here."""
        del token_ids
        return 0

    def close(self) -> None:
        """Nothing to end."""

    def _spend(self, seconds: float) -> None:
        self._clock.seconds += seconds

    def _surprises(
        self, start: int, targets: Sequence[int], *, served: bool = False
    ) -> tuple[float, ...]:
        scale = math.log(e4b_model.perplexity(self.config, served=served))
        # 0.98 to 1.02 of the mean: few targets come out near it, where windows move it by 0.5 %.
        return tuple(
            -scale * (0.98 + 0.04 * made_up_share("surprise", place, target))
            for place, target in enumerate(targets, start=start)
        )

    def _emitted(self, prompt_ids: Sequence[int], count: int) -> Iterable[int]:
        """Greedy text depends on the config; from some token on also on the launch's class."""
        prompt = (self.artefact, *prompt_ids[-8:])
        parts_at = count
        if made_up_share("parts", *prompt) >= SHARED_PROMPTS:
            # Half of the prompts part before FIRST_DIFFERENCE, half of the rest before twice it.
            parts_at = int(-FIRST_DIFFERENCE * math.log2(1 - made_up_share("at", *prompt)))
        common = random.Random(repr(prompt))
        own = random.Random(repr((prompt, self._numeric_class)))
        for place in range(count):
            source = common if place < parts_at else own
            yield source.randrange(FIRST_ID, GEMMA_4_E4B.vocabulary)

    def _drafting(self, emitted: int) -> Drafting | None:
        if not self.config.speculates:
            return None
        steps = emitted / self._tokens_per_step
        drafted = round(steps * self.config.speculation.draft_tokens)
        return Drafting(drafted_tokens=drafted, accepted_tokens=emitted - round(steps))
