import gguf
import gguf.quants
import numpy as np
import pytest

from bench.artefacts.quantisation import dequantise, quantise, requantise
from bench.configs.llamacpp import Rounding
from sandbox.errors import ConfigError

BLOCK_FORMATS = ["Q8_0", "Q5_1", "Q5_0", "Q4_1", "Q4_0"]
WEIGHTS = np.random.default_rng(7).normal(0, 0.1, (300, 128)).astype(np.float32)


def error(storage: str, rounding: Rounding, importance: np.ndarray | None = None) -> float:
    data = quantise(WEIGHTS, storage, rounding=rounding, importance=importance)
    column_weights = np.ones(128, np.float32) if importance is None else importance
    return float((((dequantise(data, storage) - WEIGHTS) ** 2) * column_weights).mean())


@pytest.mark.parametrize("storage", [*BLOCK_FORMATS, "BF16", "F16"])
def test_nearest_writes_the_bytes_the_gguf_package_writes(storage: str) -> None:
    kind = gguf.GGMLQuantizationType[storage]

    expected = gguf.quants.quantize(WEIGHTS, kind).view(np.uint8)

    assert (expected == quantise(WEIGHTS, storage)).all()


@pytest.mark.parametrize("storage", ["Q4_K", "Q5_K", "Q6_K", "Q3_K", "Q2_K"])
def test_published_k_quants_are_read_as_the_gguf_package_reads_them(storage: str) -> None:
    kind = gguf.GGMLQuantizationType[storage]
    size = gguf.GGML_QUANT_SIZES[kind][1]
    data = np.random.default_rng(3).integers(0, 120, (5, 2 * size), dtype=np.uint8)

    assert np.array_equal(gguf.quants.dequantize(data, kind), dequantise(data, storage))


@pytest.mark.parametrize("storage", BLOCK_FORMATS)
def test_scale_search_never_does_worse_than_nearest(storage: str) -> None:
    assert error(storage, "scale_search") <= error(storage, "nearest")


@pytest.mark.parametrize("storage", BLOCK_FORMATS)
def test_weighted_columns_get_the_smaller_weighted_error(storage: str) -> None:
    importance = np.geomspace(0.01, 100, 128).astype(np.float32)

    assert error(storage, "norm_weighted", importance) <= error(storage, "nearest", importance)


@pytest.mark.parametrize("storage", BLOCK_FORMATS)
@pytest.mark.parametrize("rounding", ["nearest", "scale_search"])
def test_what_a_format_holds_exactly_stays_exact(storage: str, rounding: Rounding) -> None:
    once = dequantise(quantise(WEIGHTS, storage), storage)
    again = dequantise(quantise(once, storage, rounding=rounding), storage)

    np.testing.assert_allclose(again, once, atol=float(np.abs(once).max()) * 2e-3)


@pytest.mark.parametrize("storage", BLOCK_FORMATS)
@pytest.mark.parametrize("rounding", ["nearest", "scale_search", "norm_weighted"])
def test_a_block_of_zeros_stays_zero(storage: str, rounding: Rounding) -> None:
    zeros = np.zeros((2, 64), np.float32)
    data = quantise(zeros, storage, rounding=rounding, importance=np.ones(64, np.float32))

    assert not dequantise(data, storage).any()


def test_pieces_on_two_threads_give_the_bytes_of_the_whole() -> None:
    rows = np.tile(WEIGHTS, (20, 1))
    shipped = quantise(rows, "Q8_0")
    expected = quantise(dequantise(shipped, "Q8_0"), "Q4_0", rounding="scale_search")

    assert (expected == requantise(shipped, "Q8_0", "Q4_0", rounding="scale_search")).all()


def test_columns_that_do_not_divide_into_blocks_are_refused() -> None:
    with pytest.raises(ConfigError, match="40 weights does not divide into Q4_0 blocks of 32"):
        quantise(np.ones((2, 40), np.float32), "Q4_0")
