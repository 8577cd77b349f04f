"""Which levers and which ideas go with a challenge: the one place that knows all engines.

Chosen by the class of the challenge's baseline.
"""

from collections.abc import Callable, Mapping
from typing import NamedTuple

from agents.persona import Policy
from agents.policies import librarian, recombiner, sceptic
from agents.policies.lever_space import LeverSpace
from agents.policies.llamacpp import (
    cheat,
    climber,
    explorer,
    pruner,
    quantiser,
    speculator,
    tuner,
)
from agents.policies.llamacpp.space import LlamaCppSpace
from agents.policies.scene import Ideas
from agents.policies.vllm import ideas as vllm_ideas
from agents.policies.vllm.space import VllmSpace
from bench.challenge import Challenge
from bench.configs.engine_config import EngineConfig
from bench.configs.llamacpp import LlamaCppConfig
from bench.configs.vllm import VllmConfig
from sandbox.errors import ModelError


class Kit(NamedTuple):
    """What the offline model needs to search the levers of one engine."""

    space: Callable[[Challenge], LeverSpace]
    ideas: Mapping[Policy, Ideas]


KITS: Mapping[type[EngineConfig], Kit] = {
    LlamaCppConfig: Kit(
        LlamaCppSpace,
        {
            "climber": climber.ideas,
            "quantiser": quantiser.ideas,
            "speculator": speculator.ideas,
            "tuner": tuner.ideas,
            "recombiner": recombiner.or_else(climber.ideas),
            "sceptic": sceptic.ideas,
            "librarian": librarian.ideas,
            "explorer": explorer.ideas,
            "pruner": pruner.ideas,
            "cheat": cheat.ideas,
        },
    ),
    VllmConfig: Kit(
        VllmSpace,
        {
            "climber": vllm_ideas.climb,
            "quantiser": vllm_ideas.family("weights"),
            "speculator": vllm_ideas.family("guessing"),
            "tuner": vllm_ideas.family("serving"),
            "recombiner": recombiner.or_else(vllm_ideas.climb),
            "sceptic": sceptic.ideas,
            "librarian": librarian.ideas,
            "explorer": vllm_ideas.explore,
            "pruner": vllm_ideas.family("pruning"),
            "cheat": vllm_ideas.cheat,
        },
    ),
}


def kit_of(challenge: Challenge) -> Kit:
    """Return what goes with the engine of the challenge's baseline.

    Raises:
        ModelError: nobody wrote policies for it; the operator takes another model.
    """
    kit = KITS.get(type(challenge.baseline))
    if kit is None:
        raise ModelError(
            f"the offline model has no ideas for the levers of {challenge.baseline.engine!r}",
            code="no_policies",
            hint="take a language model: run --model NAME",
        )
    return kit
