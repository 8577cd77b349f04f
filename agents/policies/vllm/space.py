"""The levers of vLLM as the shared parts of the policies see them; paper is the roofline."""

from collections.abc import Sequence

from pydantic import JsonValue

from agents.policies.vllm.levers import DOUBT, PATCHES
from bench.challenge import Challenge
from bench.config import word
from bench.configs.engine_config import EngineConfig
from bench.configs.vllm import PatchName, VllmConfig, as_vllm
from bench.devices import A10G
from bench.roofline_configs import Asked, asked_of, estimate_config, parts_of
from sandbox.errors import ConfigError
from tools.record.lineage import Lineage

_PATCHES = "patches"
_FITTED: tuple[PatchName, ...] = ("precache_public",)


class VllmPaper:
    """The roofline, and what people guess of quality."""

    def __init__(self, asked: Asked) -> None:
        self._asked = asked

    def milliseconds(self, config: EngineConfig) -> float:
        """Return what the roofline says one token takes."""
        return 1e3 / estimate_config(config, self._asked).tokens_per_second

    def doubt(self, config: EngineConfig) -> float:
        """Return the guessed rise of ln perplexity."""
        own = as_vllm(config)
        rise = sum(DOUBT.get(patch, 0.0) for patch in own.patches)
        return rise + DOUBT.get(own.quantization or "", 0.0)


class VllmSpace:
    """See `LeverSpace`."""

    levers: tuple[str, ...] = (
        "quantization",
        "kv_cache_dtype",
        "speculation",
        "enforce_eager",
        "patches",
    )
    fitted_means = "was warmed up with the very prompts it is timed on."
    fitted_question = "Only private prompts can say what it is worth; how fast is it without that?"
    fitted_answer = "replays the public prompts before it is timed"

    def __init__(self, challenge: Challenge) -> None:
        self._baseline = challenge.baseline
        try:
            self._asked = asked_of(challenge)
        except ConfigError:  # a device nobody fitted: ratios carry over, and evidence corrects them
            self._asked = asked_of(challenge, A10G.name)

    def paper(self, lineage: Lineage) -> VllmPaper:
        """The roofline learns nothing from a lineage; evidence does."""
        del lineage
        return VllmPaper(self._asked)

    def megabytes(self, config: EngineConfig) -> float:
        """See `LeverSpace`."""
        return sum(part.bytes for part in parts_of(as_vllm(config), self._asked.shape)) / 1e6

    def plain(self) -> EngineConfig:
        """The challenge's baseline."""
        return self._baseline

    def is_fitted(self, config: EngineConfig) -> bool:
        """Whether it replays the public prompts."""
        return isinstance(config, VllmConfig) and any(one in config.patches for one in _FITTED)

    def is_known_elsewhere(self, word: str) -> bool:
        """Nothing here is known by size."""
        del word
        return False

    def words(self, direction: str, parent: EngineConfig, config: EngineConfig) -> list[str]:
        """Patches are told one by one: the same patch on another parent is the same word."""
        said = [one for one in direction.split() if not one.startswith(f"{_PATCHES}=")]
        if len(said) == len(direction.split()):
            return said
        old, new = as_vllm(parent).patches, as_vllm(config).patches
        added = [word(_PATCHES, [patch]) for patch in new if patch not in old]
        left = [word("without", patch) for patch in old if patch not in new]
        return sorted([*said, *added, *left])

    def phrases(self, words: Sequence[str]) -> list[str]:
        """A guesser's kind and its length are one."""
        parts = [one for one in words if one.startswith("speculation.")]
        return [one for one in words if one not in parts] + ([" ".join(parts)] if parts else [])

    def is_telling(self, word: str) -> bool:
        """A draft length means nothing without its kind."""
        return word.startswith("speculation.kind") or not word.startswith("speculation.")

    def may_retire(self, words: Sequence[str]) -> bool:
        """What was left out is no direction, and a length alone would retire it for every kind."""
        lengths = [one for one in words if one.startswith("speculation.")]
        is_alone = len(lengths) == 1 and not lengths[0].startswith("speculation.kind")
        return bool(words) and not is_alone and not any(w.startswith("without=") for w in words)

    def lever_of(self, path: str) -> str:
        """A speculation is taken whole or not at all."""
        return "speculation" if path.startswith("speculation") else path

    def joined(self, path: str, mine: JsonValue, theirs: JsonValue) -> JsonValue | None:
        """Patches add up, where neither takes the other's place."""
        if path != _PATCHES or not isinstance(mine, list) or not isinstance(theirs, list):
            return None
        return ordered([*map(str, mine), *map(str, theirs)])


def ordered(patches: Sequence[str]) -> list[JsonValue]:
    """Return each patch once, in one order for all riders, without those another takes over."""
    wanted = set(patches)
    replaced = {old for name, patch in PATCHES.items() if name in wanted for old in patch.replaces}
    return [name for name in PATCHES if name in wanted - replaced]
