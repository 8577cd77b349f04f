"""The roofline against what was measured: which points it was fitted on, which it predicts."""

import json
from pathlib import Path
from statistics import median
from typing import Any

import pytest

from bench.challenge_files import load_challenge
from bench.configs.llamacpp import LlamaCppConfig, WeightRecipe
from bench.configs.openai_endpoint import OpenAiConfig
from bench.configs.vllm import VllmConfig
from bench.cost_model import bytes_per_token
from bench.devices import A10G, DEVICES, H200, Point, device_named, fit
from bench.model_shapes import GEMMA_3_270M, GEMMA_4_E4B, SHAPES, shape_of
from bench.roofline import explain, is_plausible, most_plausible
from bench.roofline_configs import ACCEPTED, Asked, asked_of, estimate_config, gate, parts_of
from sandbox.errors import ConfigError

E4B = Asked(GEMMA_4_E4B, A10G)
POINTS = Path(__file__).parents[2] / "docs/gpu/e4b-points.jsonl"
MEASURED = {
    "bf16": (VllmConfig(), 44.0),
    "int4 g32, bf16 head": (VllmConfig(patches=("int4_g32",)), 95.4),
    "int4 g32": (VllmConfig(patches=("int4_g32", "int4_head")), 118.3),
    "int4 g128 all": (VllmConfig(patches=("int4_g128",)), 126.8),
}


def vllm(**fields: Any) -> VllmConfig:
    return VllmConfig.model_validate(fields)


def mtp(drafts: int, **fields: Any) -> VllmConfig:
    return vllm(speculation={"kind": "mtp", "draft_tokens": drafts}, **fields)


# --- the four points of the Fast Gemma Challenge


@pytest.mark.parametrize("name", MEASURED)
def test_the_four_measured_points_come_out_within_two_per_cent(name: str) -> None:
    config, measured = MEASURED[name]

    found = estimate_config(config, E4B).tokens_per_second

    assert found == pytest.approx(measured, rel=0.005 if name in A10G.fitted_on else 0.02)


def test_two_of_the_four_were_fitted_and_two_are_predicted() -> None:
    assert set(A10G.fitted_on) < set(MEASURED)
    assert len(MEASURED) - len(A10G.fitted_on) == 2


def test_a_fit_on_those_two_points_gives_the_device() -> None:
    points = []
    for name in A10G.fitted_on:
        config, measured = MEASURED[name]
        read = sum(part.bytes for part in parts_of(config, GEMMA_4_E4B))
        points.append(Point(name, read, 1 / measured))

    found = fit(
        points, name="again", nominal_gb_s=600, memory_bytes=1, model="gemma-4-e4b", source="here"
    )

    assert found.effective_gb_s == pytest.approx(A10G.effective_gb_s, rel=0.002)
    assert found.fixed_ms == pytest.approx(A10G.fixed_ms, rel=0.005)
    assert found.fitted_on == A10G.fitted_on


@pytest.mark.parametrize(
    "points",
    [
        [Point("one", 1e9, 0.01)],
        [Point("one", 1e9, 0.01), Point("two", 2e9, 0.011)],  # 1000 GB/s
        [Point("one", 1e9, 0.001), Point("two", 2e9, 0.01)],  # less than nothing per step
        [Point("one", 1e9, 0.02), Point("two", 2e9, 0.01)],
    ],
)
def test_a_line_that_no_device_can_have_is_refused(points: list[Point]) -> None:
    with pytest.raises(ConfigError) as caught:
        fit(points, name="d", nominal_gb_s=600, memory_bytes=1, model="m", source="s")

    assert caught.value.code == "bad_fit"


# --- what is read


def test_e4b_reads_what_was_counted_for_it() -> None:
    millions = {name: weights / 1e6 for name, weights in GEMMA_4_E4B.parts.items()}

    assert millions == pytest.approx(
        {"mlp": 3303, "attention": 587, "gates": 82.6, "head": 671}, rel=1e-3
    )


@pytest.mark.parametrize(
    ("patches", "gigabytes"),
    [
        ((), 9.29),
        (("int4_g32",), 3.58),
        (("int4_g32", "int4_head"), 2.61),
        (("int4_g128",), 2.40),
        (("int4_g128", "head_12k", "five_layers_removed"), 1.82),
    ],
)
def test_bits_rows_and_layers_make_the_bytes(patches: Any, gigabytes: float) -> None:
    found = estimate_config(vllm(patches=patches), E4B)

    assert found.bytes_per_token / 1e9 == pytest.approx(gigabytes, abs=0.01)


def test_eight_bits_at_load_leave_the_head_alone() -> None:
    parts = {part.name: part.bits for part in parts_of(vllm(quantization="fp8"), GEMMA_4_E4B)}

    assert parts == {"mlp": 8, "attention": 8, "gates": 8, "head": 16}


def test_a_checkpoints_name_says_its_bits() -> None:
    parts = parts_of(vllm(checkpoint="google/gemma-4-E4B-it-qat-w4a16@main"), GEMMA_4_E4B)

    assert parts[0].bits == 4.5


# --- what is guessed, and what is lost around it


def test_guesses_pay_by_acceptance_and_cost_by_length() -> None:
    speeds = [estimate_config(mtp(k, patches=("int4_g128",)), E4B) for k in (1, 4, 7, 10)]
    lengths = [found.tokens_per_step for found in speeds]

    assert lengths == pytest.approx([1 + sum(ACCEPTED[:k]) for k in (1, 4, 7, 10)])
    assert speeds[1].tokens_per_second > 2 * 126.8
    assert speeds[3].tokens_per_second < speeds[2].tokens_per_second


def test_measured_acceptance_takes_the_place_of_the_published_one() -> None:
    found = estimate_config(mtp(4), E4B, accepted=(0.5, 0.25))

    assert found.tokens_per_step == pytest.approx(1.75)


@pytest.mark.parametrize(
    ("fields", "term"),
    [
        ({"enforce_eager": True}, "eager launches"),
        ({"compilation": {"cudagraph_mode": "NONE"}}, "launches without graphs"),
        ({"async_scheduling": False}, "scheduling"),
        ({"speculation": {"kind": "ngram"}}, "lookup"),
    ],
)
def test_what_costs_time_beside_reading_is_a_term_of_its_own(fields: Any, term: str) -> None:
    found = estimate_config(vllm(patches=("int4_g32",), **fields), E4B)

    assert term in {one.name for one in found.terms}
    assert found.tokens_per_second < 95


# --- memory


def test_what_does_not_fit_is_said_before_a_job_is_paid_for() -> None:
    small = estimate_config(VllmConfig(), E4B)
    large = estimate_config(vllm(max_num_batched_tokens=8192, max_model_len=8192), E4B)

    assert small.fits
    assert not large.fits
    assert "does not fit" in explain(large)
    assert "logits of scored tokens" in explain(large)


def test_few_bits_in_the_head_keep_the_embedding_beside_it() -> None:
    tied = estimate_config(vllm(patches=("int4_g32",)), E4B).memory[1].amount
    untied = estimate_config(vllm(patches=("int4_g32", "int4_head")), E4B).memory[1].amount

    assert untied - tied == 2 * GEMMA_4_E4B.parts["head"]


# --- words and the gate


def test_the_largest_term_is_named() -> None:
    words = explain(estimate_config(VllmConfig(), E4B))

    assert "44.0 tokens/s" in words
    assert "The largest term is mlp" in words
    assert "Bytes rule" in words


def test_where_the_fixed_part_rules_it_says_so() -> None:
    h100 = Asked(GEMMA_4_E4B, DEVICES["h100"])

    assert "fixed part rules" in explain(estimate_config(vllm(patches=("int4_g128",)), h100))
    assert "around the pass" in explain(estimate_config(mtp(4, patches=("int4_g128",)), h100))
    assert "right guesses" in explain(estimate_config(mtp(1), E4B))


def test_the_gate_lets_measured_speeds_pass_and_stops_what_bytes_forbid() -> None:
    for config, measured in MEASURED.values():
        assert is_plausible(measured, estimate_config(config, E4B))
    assert not is_plausible(60.0, estimate_config(VllmConfig(), E4B))


def test_with_guessing_the_gate_is_the_longest_step() -> None:
    plain = estimate_config(vllm(patches=("int4_g128",)), E4B)
    guessed = estimate_config(mtp(7, patches=("int4_g128",)), E4B)

    assert most_plausible(guessed) == pytest.approx(8 * most_plausible(plain))
    assert is_plausible(490.0, guessed)


def test_the_gate_is_evidence_where_paper_knows_the_config_and_nothing_elsewhere() -> None:
    challenge = load_challenge("gemma-4-e4b-a10g").challenge
    found = gate(60.0, challenge.baseline, challenge)

    assert found is not None
    assert found["plausible"] is False
    assert found["suspect_above_tokens_per_second"] == pytest.approx(46.3, abs=0.1)
    assert gate(60.0, OpenAiConfig(), challenge) is None


# --- what is known


def test_the_h200_is_the_line_through_what_was_measured_on_one() -> None:
    rows = [json.loads(line) for line in POINTS.read_text().splitlines()]
    body = sum(GEMMA_4_E4B.parts.values()) - GEMMA_4_E4B.parts["mlp"]
    points = [
        Point(
            row["name"],
            2 * (body + GEMMA_4_E4B.parts["mlp"] * row["width"] / 10_240),
            1 / median(row["repeats"]),
        )
        for row in rows
        if row["name"] in H200.fitted_on
    ]
    known = {"name", "nominal_gb_s", "memory_bytes", "model", "source"}
    line = fit(points, **H200.model_dump(include=known))

    assert line.effective_gb_s == pytest.approx(H200.effective_gb_s, rel=0.001)
    assert line.fixed_ms == pytest.approx(H200.fixed_ms, rel=0.001)
    for point in points:
        assert 1 / H200.seconds(point.bytes_read) == pytest.approx(1 / point.seconds, rel=0.02)


def test_shapes_and_devices_are_found_by_name() -> None:
    assert shape_of("Gemma 4 E4B, instruction-tuned") is GEMMA_4_E4B
    assert [shape_of(f"{one.mark} model") for one in SHAPES] == list(SHAPES)
    assert device_named("a10g") is A10G


@pytest.mark.parametrize(
    ("call", "code"), [(shape_of, "unknown_shape"), (device_named, "unknown_device")]
)
def test_what_nobody_counted_or_fitted_is_refused_by_name(call: Any, code: str) -> None:
    with pytest.raises(ConfigError) as caught:
        call("a10")

    assert caught.value.code == code


def test_a_challenge_says_model_and_device() -> None:
    a10g = load_challenge("gemma-4-e4b-a10g").challenge
    cpu = load_challenge("gemma-270m-cpu").challenge

    assert asked_of(a10g) == E4B
    assert asked_of(a10g, "h100").device is DEVICES["h100"]
    assert asked_of(cpu).shape is GEMMA_3_270M


def test_a_challenge_that_names_no_device_wants_one_named() -> None:
    challenge = load_challenge("gemma-4-e4b-a10g").challenge
    nameless = challenge.model_copy(update={"name": "x", "title": "Gemma"})

    with pytest.raises(ConfigError, match="does not say on which device"):
        asked_of(nameless)


# --- llama.cpp, by the same door


def test_llamacpp_is_told_in_the_same_terms() -> None:
    asked = asked_of(load_challenge("gemma-270m-cpu").challenge)
    found = estimate_config(LlamaCppConfig(threads=2), asked)

    assert found.tokens_per_second == pytest.approx(51, rel=0.02)
    assert found.bytes_per_token == bytes_per_token(WeightRecipe())
    assert found.step_ms == pytest.approx(1e3 / found.tokens_per_second)
    assert found.fits
    assert is_plausible(51, found)
    assert not is_plausible(150, found)


def test_paper_knows_nothing_of_an_endpoint() -> None:
    with pytest.raises(ConfigError) as caught:
        estimate_config(OpenAiConfig(), E4B)

    assert caught.value.code == "no_cost_model"
