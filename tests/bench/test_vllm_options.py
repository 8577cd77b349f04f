"""What the levers of the `vllm` engine become, and what is refused before minutes are spent."""

import json

import pytest

from bench.config import apply_changes, parse_config
from bench.configs.vllm import REFUSED, VllmConfig, VllmSpeculation
from bench.vllm_options import A10G, FLAGS, Device, arguments, check, speculative_config
from sandbox.errors import ConfigError

H100 = Device("NVIDIA H100 80GB HBM3", (9, 0), 80 << 30)


def code_of(*, version: str = "0.26.0", device: Device | None = None, **levers: object) -> str:
    with pytest.raises(ConfigError) as caught:
        check(VllmConfig.model_validate(levers), version=version, device=device)
    return caught.value.code


def test_the_baseline_is_sixteen_bit_and_caches_no_prefix() -> None:
    said = arguments(VllmConfig(), "0.26.0")

    assert "--no-enable-prefix-caching" in said
    assert "--enforce-eager" not in said
    assert VllmConfig().is_sixteen_bit
    assert not VllmConfig(quantization="fp8").is_sixteen_bit
    assert not VllmConfig(checkpoint="org/int4@" + "0" * 40).is_sixteen_bit
    assert not VllmConfig(patches=("int4_g32",)).is_sixteen_bit


def test_every_flag_can_be_said() -> None:
    config = VllmConfig(
        quantization="fp8",
        attention_backend="TRITON_ATTN",
        block_size=32,
        enforce_eager=False,
        compilation={"mode": 3, "cudagraph_mode": "FULL", "cudagraph_capture_sizes": (1, 2)},
        optimization_level=2,
        performance_mode="interactivity",
        async_scheduling=True,
        enable_chunked_prefill=True,
    )
    said = arguments(config, "0.26.0")

    missing = {flag.name for flag in FLAGS if f"--{flag.name}" not in said}
    assert missing == {"enforce-eager", "enable-prefix-caching"}
    compilation = json.loads(said[said.index("--compilation-config") + 1])
    assert compilation == {
        "mode": 3,
        "cudagraph_mode": "FULL",
        "cudagraph_capture_sizes": [1, 2],
    }


def test_a_lever_a_version_does_not_have_is_refused() -> None:
    assert code_of(version="0.23.1", performance_mode="interactivity") == "option_unavailable"
    assert code_of(version="0.19.0") == "engine_too_old"
    check(VllmConfig(), version="0.22.1")
    check(VllmConfig(), version="dev")


@pytest.mark.parametrize(
    ("code", "speculation"),
    [
        ("lookup_needs_max", {"kind": "ngram"}),
        ("lookup_only_ngram", {"kind": "suffix", "prompt_lookup_max": 4}),
        (
            "lookup_min_over_max",
            {"kind": "ngram", "prompt_lookup_min": 5, "prompt_lookup_max": 4},
        ),
        ("mtp_needs_assistant", {"kind": "mtp"}),
        ("speculation_needs_model", {"kind": "eagle3"}),
        ("speculation_needs_no_model", {"kind": "ngram", "prompt_lookup_max": 4, "model": "a/b"}),
    ],
)
def test_a_speculation_that_cannot_start_is_refused(
    code: str, speculation: dict[str, object]
) -> None:
    assert code_of(speculation=speculation) == code


def test_settings_that_contradict_are_refused() -> None:
    lookup = {"kind": "ngram", "prompt_lookup_max": 4}

    assert code_of(async_scheduling=True, speculation=lookup) == "async_with_lookup"
    assert code_of(enforce_eager=True, compilation={"mode": 3}) == "eager_has_no_graphs"
    assert code_of(enable_chunked_prefill=False) == "prompt_over_batch"
    assert code_of(max_num_seqs=1000) == "seqs_over_batch"


@pytest.mark.parametrize("dtype", ["fp8", "fp8_e4m3", "fp8_e5m2"])
def test_an_fp8_cache_is_refused_where_the_device_has_none(dtype: str) -> None:
    assert code_of(kv_cache_dtype=dtype, device=A10G) == "kv_cache_unsupported"
    check(VllmConfig.model_validate({"kv_cache_dtype": dtype}), version="0.26.0", device=H100)


def test_four_bit_floats_are_refused_where_no_kernel_is() -> None:
    assert code_of(quantization="nvfp4_per_token", device=H100) == "weights_unsupported"


def test_a_patch_is_code_and_needs_files() -> None:
    assert code_of(patches=("front_end",)) == "patch_needs_files"


@pytest.mark.parametrize("name", REFUSED)
def test_an_option_that_is_no_lever_is_refused_by_name(name: str) -> None:
    for data in ({name: True}, {"speculation": {name: 1}}):
        with pytest.raises(ConfigError) as caught:
            parse_config({"engine": "vllm", **data}, what="config")
        assert caught.value.code == REFUSED[name][0]


def test_acceptance_cannot_be_faked_by_a_change() -> None:
    with pytest.raises(ConfigError) as caught:
        apply_changes(VllmConfig(), {"speculation.rejection_sample_method": "synthetic"})
    assert caught.value.code == "fakes_acceptance"


def test_what_was_served_before_is_no_source_of_guesses() -> None:
    said = json.loads(speculative_config(VllmSpeculation(kind="suffix"), None) or "")

    assert said["suffix_decoding_max_cached_requests"] == 0


def test_a_drafter_is_passed_as_the_folder_it_was_found_in() -> None:
    speculation = VllmSpeculation(kind="mtp", draft_tokens=6, model="org/assistant@abc")
    said = json.loads(speculative_config(speculation, "/weights/assistant") or "")

    assert said == {
        "method": "mtp",
        "num_speculative_tokens": 6,
        "model": "/weights/assistant",
    }
    assert speculative_config(VllmSpeculation(), None) is None
    assert VllmConfig(speculation=speculation).longest_step_tokens == 7
    assert not VllmConfig(speculation=speculation).without_speculation().speculates
