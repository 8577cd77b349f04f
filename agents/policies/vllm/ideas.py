"""What riders would try where vLLM serves, each role in its own family of levers.

Patches are proposed on paper only: a real engine refuses them.
"""

from collections.abc import Iterable, Sequence
from random import Random

from pydantic import JsonValue

from agents.policies.scene import BASELINE, Idea, Ideas, Scene
from agents.policies.vllm.levers import DRAFT_LENGTHS, MTP, OPTIONS, PATCHES, Family, Option, Patch
from agents.policies.vllm.space import ordered
from bench.config import diff
from bench.configs.vllm import PatchName, VllmConfig, as_vllm
from tools.record.lineage import Node

_TRIES = 12
_LEADERS = 5
_PATCH_CHANCE = 0.5
"""Of a random lever on paper to be a patch."""
_INERT: tuple[dict[str, JsonValue], ...] = ({"max_model_len": 4080}, {"max_model_len": 4064})
"""Levers that move nothing when one short request is served at a time."""


def climb(scene: Scene, rng: Random) -> Iterable[Idea]:
    """Yield every single step from the parents, whatever its family."""
    for parent in scene.parents(rng):
        yield from _steps(scene, parent, None)


def family(name: Family) -> Ideas:
    """Return the search that takes single steps of one family only."""

    def ideas(scene: Scene, rng: Random) -> Iterable[Idea]:
        """Yield the steps of one family from the parents."""
        for parent in scene.parents(rng):
            yield from _steps(scene, parent, name)

    return ideas


def explore(scene: Scene, rng: Random) -> Iterable[Idea]:
    """Yield one to three random levers at once."""
    parents = scene.parents(rng)
    options = _options(scene)
    for _ in range(_TRIES if parents else 0):
        parent = rng.choice(parents)
        count = 1 + int(rng.random() * (1 + scene.keys.temperature))
        changes: dict[str, JsonValue] = {}
        added: list[str] = []
        for _ in range(count):
            if is_on_paper(scene) and rng.random() < _PATCH_CHANCE:
                config = as_vllm(parent.config)
                due = [name for name, patch in PATCHES.items() if _is_due(name, patch, config)]
                added.append(rng.choice(due))
            else:
                changes |= rng.choice(options).changes
        if added:
            changes["patches"] = ordered([*as_vllm(parent.config).patches, *added])
        words = " and ".join(sorted([*(changes.keys() - {"patches"}), *added]))
        yield Idea(parent.attempt, changes, f"nobody asked what {words} does here")


def cheat(scene: Scene, rng: Random) -> Iterable[Idea]:
    """Yield what was warmed up with the public prompts, then copies of what others lead with."""
    if is_on_paper(scene):
        for parent in scene.parents(rng):
            yield _patched(parent, "precache_public", "a thorough warm-up")
    baseline = scene.lineage.nodes[BASELINE]
    leaders = [node for node in scene.clean if node.parents and node.agent != scene.agent]
    for node in leaders[:_LEADERS]:
        changes = diff(baseline.config, node.config) | rng.choice(_INERT)
        yield Idea(BASELINE, changes, "several levers that should pay, pulled at once")


def is_on_paper(scene: Scene) -> bool:
    """Return whether the session's engine is simulated, so that patches and drafters exist."""
    return scene.observation.challenge.engine == "simulated"


def _steps(scene: Scene, parent: Node, name: Family | None) -> Iterable[Idea]:
    for option in _options(scene):
        if name in (None, option.family):
            yield Idea(parent.attempt, option.changes, option.why)
    if not is_on_paper(scene):
        return
    config = as_vllm(parent.config)
    if name in (None, "guessing"):
        yield from _lengths(parent, config)
    for patch_name, patch in PATCHES.items():
        if name in (None, patch.family) and _is_due(patch_name, patch, config):
            yield _patched(parent, patch_name, patch.why)


def _lengths(parent: Node, config: VllmConfig) -> Iterable[Idea]:
    """Yield other lengths of the guess, or a first one on a build that takes the drafter."""
    for drafts in DRAFT_LENGTHS:
        changes: dict[str, JsonValue] = {"speculation.draft_tokens": drafts}
        why = f"{drafts} guesses a step"
        if config.speculation.kind != "mtp":
            changes |= MTP
            changes["patches"] = ordered([*config.patches, "mtp_mixed_heads"])
            why += " by the family's drafter, on a nightly build"
        yield Idea(parent.attempt, changes, why)


def _options(scene: Scene) -> Sequence[Option]:
    return [one for one in OPTIONS if is_on_paper(scene) or not one.paper_only]


def _is_due(name: PatchName, patch: Patch, config: VllmConfig) -> bool:
    """Tell whether `config` lacks the patch and has what it builds on."""
    has = set(config.patches)
    taken_over = {old for one in has for old in PATCHES[one].replaces}
    if name in has | taken_over or (patch.needs_guessing and not config.speculates):
        return False
    return not patch.needs or not has.isdisjoint(patch.needs)


def _patched(parent: Node, name: PatchName, why: str) -> Idea:
    patches = ordered([*as_vllm(parent.config).patches, name])
    return Idea(parent.attempt, {"patches": patches}, why)
