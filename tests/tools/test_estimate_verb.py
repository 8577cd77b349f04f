"""The verb that works a config out on paper: for both engines, refused in words, no job spent."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from tests.agents.riding import World, a_world, e4b_challenge


@pytest.fixture
async def e4b(tmp_path: Path) -> AsyncIterator[World]:
    async with a_world(tmp_path, challenge=e4b_challenge("vllm")) as world:
        yield world


@pytest.fixture
async def cpu(tmp_path: Path) -> AsyncIterator[World]:
    async with a_world(tmp_path) as world:
        yield world


async def test_an_agent_learns_what_fewer_bits_should_bring(e4b: World) -> None:
    answer = await e4b.call("ann", "estimate", changes={"quantization": "fp8"})

    assert answer["on_paper"]
    assert answer["tokens_per_second"] == pytest.approx(70.7, abs=0.2)
    assert answer["speedup_over_baseline"] == pytest.approx(1.605, abs=0.006)
    assert answer["suspect_above_tokens_per_second"] == pytest.approx(74.2, abs=0.2)
    assert answer["fits"]
    assert "Bytes rule" in answer["in_words"]


async def test_what_does_not_fit_is_said(e4b: World) -> None:
    changes = {"max_num_batched_tokens": 8192, "max_model_len": 8192}
    answer = await e4b.call("ann", "estimate", changes=changes)

    assert not answer["fits"]
    assert answer["memory_gigabytes"]["logits of scored tokens"] > 17
    assert answer["memory_gigabytes"]["allowed"] == pytest.approx(21.6)


async def test_measured_acceptance_may_be_told(e4b: World) -> None:
    changes = {"speculation.kind": "mtp", "speculation.draft_tokens": 3}
    answer = await e4b.call("ann", "estimate", changes=changes, accepted=[0.8, 0.6, 0.4])

    assert answer["tokens_per_step"] == pytest.approx(2.8)


async def test_llamacpp_is_estimated_by_the_same_verb(cpu: World) -> None:
    answer = await cpu.call("ann", "estimate", changes={"weights.head": "q8_0"})

    assert answer["device"] == "zen4-2"
    assert answer["speedup_over_baseline"] > 1.1


@pytest.mark.parametrize(
    ("arguments", "code"),
    [
        ({"parent": "a0042"}, "unknown_attempt"),
        ({"changes": {"quantisation": "fp8"}}, "bad_field"),
        ({"device": "a100"}, "unknown_device"),
    ],
)
async def test_what_cannot_be_estimated_is_refused_in_words(
    e4b: World, arguments: dict[str, object], code: str
) -> None:
    answer = await e4b.call("ann", "estimate", **arguments)

    assert answer["code"] == code


async def test_nothing_is_written_and_no_job_is_spent(e4b: World) -> None:
    before = e4b.recorder.projection.seq
    await e4b.call("ann", "estimate")

    assert e4b.recorder.projection.seq == before
