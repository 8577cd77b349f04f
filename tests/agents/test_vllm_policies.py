"""How riders search the levers of vLLM: on paper with patches, on a real engine without."""

from collections.abc import AsyncIterator
from pathlib import Path
from random import Random
from typing import Any

import pytest

from agents.models.offline import OfflineModel
from agents.persona import PacelineKeys
from agents.policies import recombiner
from agents.policies.evidence import Evidence
from agents.policies.spaces import KITS, kit_of
from agents.policies.vllm import ideas
from agents.policies.vllm.levers import OPTIONS, PATCHES
from agents.policies.vllm.space import VllmSpace, ordered
from bench.challenge_files import load_challenge
from bench.config import apply_changes, parse_config
from bench.configs.openai_endpoint import OpenAiConfig
from bench.configs.vllm import PatchName, VllmConfig, as_vllm
from bench.vllm_options import check
from sandbox.errors import ModelError
from tests.agents.policy_scene import introduce_all, measure, scene
from tests.agents.riding import World, a_world, default_riders, e4b_challenge, ride

MTP = {"speculation.kind": "mtp", "speculation.draft_tokens": 7}


@pytest.fixture
async def paper(tmp_path: Path) -> AsyncIterator[World]:
    async with a_world(tmp_path, challenge=e4b_challenge()) as world:
        await world.measured("a0000", perplexity=2.302, reference_perplexity=2.302)
        yield world


@pytest.fixture
async def real(tmp_path: Path) -> AsyncIterator[World]:
    async with a_world(tmp_path, challenge=e4b_challenge("vllm")) as world:
        await world.measured("a0000", perplexity=2.302, reference_perplexity=2.302)
        yield world


def found(world: World, policy: str, **keys: Any) -> list[Any]:
    here = scene(world, keys={"temperature": 0.0, **keys})
    kit = kit_of(world.challenge)
    return list(kit.ideas[policy](here, Random(1)))  # type: ignore[index]


# --- levers


@pytest.mark.parametrize("option", OPTIONS, ids=lambda one: str(dict(one.changes)))
def test_every_option_is_a_lever_of_the_config(option: Any) -> None:
    assert apply_changes(VllmConfig(), option.changes) != VllmConfig()


@pytest.mark.parametrize("challenge", ["gemma-4-e4b-a10g", "gemma-270m-gpu"])
@pytest.mark.parametrize(
    "option", [one for one in OPTIONS if not one.paper_only], ids=lambda one: str(dict(one.changes))
)
def test_a_real_engine_refuses_no_option(challenge: str, option: Any) -> None:
    baseline = load_challenge(challenge).challenge.baseline
    config = apply_changes(baseline, option.changes)

    check(as_vllm(config), version="0.26.0", device=None)


@pytest.mark.parametrize("option", [one for one in OPTIONS if one.family == "guessing"])
def test_one_way_of_guessing_leaves_nothing_of_another(option: Any) -> None:
    lookup = next(one.changes for one in OPTIONS if one.changes.get("speculation.kind") == "ngram")

    over_lookup = apply_changes(apply_changes(VllmConfig(), lookup), option.changes)

    assert over_lookup == apply_changes(VllmConfig(), option.changes)


def test_every_patch_is_known_to_the_riders() -> None:
    assert set(PATCHES) == set(PatchName.__args__)  # type: ignore[attr-defined]


def test_a_patch_that_takes_over_another_stands_in_its_place() -> None:
    assert ordered(["head_12k", "int4_g32", "head_16k", "int4_g128"]) == ["int4_g128", "head_12k"]


# --- search


def test_each_role_keeps_to_its_family(paper: World) -> None:
    families = {
        "quantiser": "weights",
        "speculator": "guessing",
        "tuner": "serving",
        "pruner": "pruning",
    }
    for policy, family in families.items():
        paths = {path for idea in found(paper, policy) for path in idea.changes}
        known = {path for one in OPTIONS if one.family == family for path in one.changes}

        assert paths - {"patches", "speculation.draft_tokens"} <= known | {"speculation.kind"}


async def test_a_patch_waits_for_what_it_builds_on(paper: World) -> None:
    before = found(paper, "pruner")
    await measure(paper, {"patches": ["int4_g128"]}, speedup=2.9, perplexity=2.0266)
    after = found(paper, "pruner")

    assert not any("head_16k" in str(idea.changes) for idea in before)
    assert any("head_16k" in str(idea.changes) for idea in after)


def test_a_real_engine_is_asked_for_options_only(real: World) -> None:
    for policy in kit_of(real.challenge).ideas:
        for idea in found(real, policy, temperature=1.5):
            assert "patches" not in idea.changes
            assert idea.changes.get("speculation.kind") in (None, "ngram")


def test_a_real_engine_still_gives_every_searching_role_something_to_try(real: World) -> None:
    searching = KITS[VllmConfig].ideas.keys() - {"sceptic", "librarian"}

    assert {policy for policy in searching if not found(real, policy)} == {"cheat"}


def test_an_explorer_mixes_levers(paper: World) -> None:
    many = found(paper, "explorer", temperature=2.0)

    assert any(len(idea.changes) > 1 for idea in many)
    assert all("nobody asked" in idea.why for idea in many)


async def test_a_cheat_replays_the_prompts_and_copies_leaders(paper: World) -> None:
    await introduce_all(paper)
    await measure(paper, {"patches": ["int4_g32"]}, agent="bob", speedup=2.2, perplexity=2.0)
    changes = [idea.changes for idea in found(paper, "cheat")]

    assert any("precache_public" in str(one) for one in changes)
    assert any("max_model_len" in one and "int4_g32" in str(one) for one in changes)


async def test_unions_add_patches_up(paper: World) -> None:
    first = await measure(paper, {"patches": ["int4_g32", "slim_sampler"]}, speedup=2.2)
    second = await measure(
        paper, {"patches": ["int4_g128"], "performance_mode": "interactivity"}, agent="bob"
    )
    nodes = paper.recorder.projection.lineage.nodes
    space = VllmSpace(paper.challenge)
    union = recombiner.union(nodes[first], nodes[second], paper.challenge.baseline, space)

    assert union == {
        "patches": ["int4_g128", "slim_sampler"],
        "performance_mode": "interactivity",
    }


# --- what is learnt


async def test_a_patch_is_the_same_word_on_any_parent(paper: World) -> None:
    first = await measure(paper, {"patches": ["int4_g32"]}, speedup=2.2, perplexity=2.006)
    changes = {"patches": ["int4_g32", "front_end"]}
    await measure(paper, changes, parent=first, speedup=2.5, perplexity=2.006)
    lineage = paper.recorder.projection.lineage
    evidence = Evidence(lineage, VllmSpace(paper.challenge))

    assert evidence.tried(['patches=["front_end"]']) == 1
    assert evidence.tried(['patches=["int4_g32"]']) == 1


def test_paper_is_the_roofline(paper: World) -> None:
    space = VllmSpace(paper.challenge)
    on_paper = space.paper(paper.recorder.projection.lineage)
    half = parse_config({"engine": "vllm", "quantization": "fp8"}, what="config")

    assert 1e3 / on_paper.milliseconds(paper.challenge.baseline) == pytest.approx(44.0, rel=0.005)
    assert space.megabytes(half) == pytest.approx(5315, abs=5)
    assert on_paper.doubt(half) > 0


def test_a_device_nobody_fitted_still_gives_ratios() -> None:
    challenge = e4b_challenge().model_copy(update={"name": "elsewhere", "title": "E4B somewhere"})

    assert VllmSpace(challenge).megabytes(challenge.baseline) == pytest.approx(9288, abs=5)


async def test_a_blind_removal_is_retired_for_every_parent(paper: World) -> None:
    attempt = await measure(
        paper,
        {"patches": ["int4_g128", "any_layers_removed"]},
        speedup=3.0,
        perplexity=28.7,
        reference_perplexity=2.302,
    )
    await paper.call(
        "ann",
        "record_dead_end",
        direction='patches=["any_layers_removed"]',
        reason="perplexity 28.7",
        refs=[attempt],
    )
    await measure(paper, {"patches": ["int4_g32"]}, speedup=2.2, perplexity=2.0)
    here = scene(paper)
    idea = next(one for one in ideas.climb(here, Random(1)) if "any_layers" in str(one.changes))

    assert here.choose([idea], Random(1)) is None


def test_lengths_and_left_out_patches_retire_nothing_alone(paper: World) -> None:
    space = VllmSpace(paper.challenge)

    assert space.may_retire(["enforce_eager=true"])
    assert space.may_retire(["speculation.draft_tokens=8", "speculation.kind=mtp"])
    assert not space.may_retire(["speculation.draft_tokens=8"])
    assert not space.may_retire(["without=int4_g32"])
    assert not space.is_telling("speculation.draft_tokens=8")


# --- other engines, and a whole ride


def test_an_engine_without_policies_is_refused_in_words() -> None:
    challenge = e4b_challenge().model_copy(update={"baseline": OpenAiConfig()})

    with pytest.raises(ModelError, match="no ideas for the levers of 'openai'"):
        kit_of(challenge)


async def test_a_ride_on_paper_climbs_from_the_bf16_baseline_to_guessing(tmp_path: Path) -> None:
    riders = default_riders(20)
    async with a_world(tmp_path, agents=(), challenge=e4b_challenge()) as world:
        await ride(world, riders, seed=3, seconds=700, together=False)
        lineage = world.recorder.projection.lineage
        best = lineage.best()

        assert best is not None
        assert best.estimate is not None
        assert best.estimate > 5
        assert isinstance(best.config, VllmConfig)
        assert best.config.speculation.kind == "mtp"
        assert any(node.state == "failed" for node in lineage.nodes.values())


def test_the_default_personas_ride_any_engine() -> None:
    policies = {rider.persona.x_paceline.policy for rider in default_riders(20)}

    assert policies <= set(KITS[VllmConfig].ideas)
    assert PacelineKeys().policy in KITS[VllmConfig].ideas
    assert OfflineModel(cores=2).name == "offline"
