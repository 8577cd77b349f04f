"""Weights to blocks and back: dequantise what was published, quantise by three rounding rules.

Knows arrays of one tensor; knows no file, no recipe and no model. Block layouts are those of the
`gguf` package; work goes in pieces that fit the cache, over two threads (numpy drops the lock).
"""

from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np
import numpy.typing as npt

from bench.artefacts.gguf_file import BLOCKS, Bytes, row_bytes
from bench.configs.llamacpp import Rounding

Floats = npt.NDArray[np.float32]

BLOCK = 32
PIECE_WEIGHTS = 1 << 17
"""512 KB of float32: pieces of this size ran 3x faster than whole tensors (measured)."""
THREADS = 2
_CANDIDATES = np.array([1.0, 0.82, 0.86, 0.90, 0.94, 0.97, 1.04], np.float32)
"""Scales tried, as factors of the format's own; 1 comes first, so what is exact stays exact."""
_SYMMETRIC = {"Q4_0": (-8, 7), "Q5_0": (-16, 15), "Q8_0": (-127, 127)}
_OFFSET = {"Q4_1": 15, "Q5_1": 31}


def requantise(
    data: Bytes,
    old: str,
    new: str,
    *,
    rounding: Rounding = "nearest",
    importance: Floats | None = None,
) -> Bytes:
    """Return `data`, rows stored as `old`, as rows stored as `new`; see `quantise`."""
    columns = data.shape[1] // BLOCKS[old][2] * BLOCKS[old][1]
    out = np.empty((len(data), row_bytes(new, columns)), np.uint8)
    step = max(PIECE_WEIGHTS // columns, 1)

    def work(start: int) -> None:
        part = slice(start, start + step)
        weights = dequantise(data[part], old)
        out[part] = quantise(weights, new, rounding=rounding, importance=importance)

    _package()  # imported here, not by two threads at once
    with ThreadPoolExecutor(THREADS) as threads:
        for _ in threads.map(work, range(0, len(data), step)):
            pass
    return out


def dequantise(data: Bytes, storage: str) -> Floats:
    """Return float32 weights, shape (rows, columns), of `data`, shape (rows, bytes per row)."""
    if storage == "F32":
        return data.view(np.float32)
    if storage == "F16":
        return data.view(np.float16).astype(np.float32)
    if storage == "BF16":
        return (data.view(np.uint16).astype(np.uint32) << 16).view(np.float32)
    blocks = data.reshape(-1, BLOCKS[storage][2])
    weights: Floats = _package()[storage].dequantize_blocks(blocks)
    return weights.reshape(len(data), -1)


def quantise(
    weights: Floats,
    storage: str,
    *,
    rounding: Rounding = "nearest",
    importance: Floats | None = None,
) -> Bytes:
    """Return the bytes of `weights`, shape (rows, columns), as shape (rows, bytes per row).

    Args:
        weights: float32.
        storage: BF16, F16, Q8_0, Q5_1, Q5_0, Q4_1 or Q4_0.
        rounding: how scales are chosen; the two float formats always round to nearest.
        importance: positive column weights for `norm_weighted`, shape (columns,); None = equal.

    Raises:
        ConfigError: the columns do not divide into blocks.
    """
    width = row_bytes(storage, weights.shape[1])
    if storage == "F16":
        return weights.astype(np.float16).view(np.uint8)
    if storage == "BF16":
        return _to_bf16(weights)
    blocks = weights.reshape(-1, BLOCK)
    if rounding == "nearest":
        return np.asarray(_package()[storage].quantize_blocks(blocks)).reshape(-1, width)
    columns = None
    if rounding == "norm_weighted" and importance is not None:
        columns = np.tile(importance.reshape(-1, BLOCK), (len(weights), 1))
    search = _search_scale if storage in _SYMMETRIC else _search_scale_and_minimum
    return search(blocks, columns, storage).reshape(-1, width)


def _to_bf16(weights: Floats) -> Bytes:
    """Round to bfloat16, ties to even."""
    bits = np.ascontiguousarray(weights).view(np.uint32)
    return ((bits + (0x7FFF + ((bits >> 16) & 1))) >> 16).astype(np.uint16).view(np.uint8)


def _package() -> dict[str, Any]:
    import gguf.quants  # noqa: PLC0415 - 0.2 s, and a cached artefact needs none of it

    return vars(gguf.quants)


def _search_scale(x: Floats, weight: Floats | None, storage: str) -> Bytes:
    """Least squares over one scale per block: for rounded q, the best scale is (x.q)/(q.q)."""
    low, high = _SYMMETRIC[storage]
    wx = x if weight is None else x * weight
    peak = np.take_along_axis(x, np.abs(x).argmax(axis=1, keepdims=True), axis=1)
    base = peak / low
    best_gain = np.full((len(x), 1), -1, np.float32)
    best_scale = np.zeros((len(x), 1), np.float32)
    for factor in _CANDIDATES:
        q = _levels(x, base * factor, low, high)
        dot = np.einsum("ij,ij->i", wx, q)[:, None]
        square = np.einsum("ij,ij->i", q if weight is None else q * weight, q)[:, None]
        gain = _ratio(dot * dot, square)
        better = gain > best_gain
        best_gain = np.where(better, gain, best_gain)
        best_scale = np.where(better, _ratio(dot, square), best_scale)
    scale = best_scale.astype(np.float16)
    levels = _levels(x, scale.astype(np.float32), low, high)
    return _pack(storage, [scale], levels if storage == "Q8_0" else levels - low)


def _search_scale_and_minimum(x: Floats, weight: Floats | None, storage: str) -> Bytes:
    """Least squares over scale and minimum per block: x ~ scale * q + minimum."""
    top = _OFFSET[storage]
    weight = np.ones_like(x) if weight is None else weight
    low, spread = x.min(axis=1, keepdims=True), np.ptp(x, axis=1, keepdims=True)
    total, wx = weight.sum(axis=1, keepdims=True), weight * x
    mean_x = wx.sum(axis=1, keepdims=True) / total
    best_error = np.full((len(x), 1), np.inf, np.float32)
    best = np.zeros((2, len(x), 1), np.float32)
    for factor in _CANDIDATES:
        width = spread * factor
        q = _levels(x - (low + (spread - width) / 2), width / top, 0, top)
        mean_q = (weight * q).sum(axis=1, keepdims=True) / total
        centred = q - mean_q
        square = (weight * centred * centred).sum(axis=1, keepdims=True)
        scale = _ratio((wx * centred).sum(axis=1, keepdims=True), square)
        minimum = mean_x - scale * mean_q
        error = (weight * (x - scale * q - minimum) ** 2).sum(axis=1, keepdims=True)
        better = error < best_error
        best_error = np.where(better, error, best_error)
        best = np.where(better, (scale, minimum), best)
    stored = best.astype(np.float16)
    scale, minimum = stored.astype(np.float32)
    return _pack(storage, list(stored), _levels(x - minimum, scale, 0, top))


def _levels(x: Floats, scale: Floats, low: int, high: int) -> Floats:
    levels: Floats = np.rint(x * _ratio(np.float32(1), scale))
    return np.clip(levels, low, high, out=levels)


def _ratio(numerator: Floats | np.float32, denominator: Floats) -> Floats:
    empty = denominator == 0
    ratio: Floats = np.divide(numerator, np.where(empty, np.float32(1), denominator))
    ratio[empty] = 0
    return ratio


def _pack(storage: str, scales: list[npt.NDArray[np.float16]], levels: Floats) -> Bytes:
    """Lay out half-precision scales, the fifth bits (Q5 only), then the codes."""
    head = [np.ascontiguousarray(scale).view(np.uint8) for scale in scales]
    if storage == "Q8_0":
        return np.concatenate([*head, levels.astype(np.int8).view(np.uint8)], axis=1)
    codes = levels.astype(np.uint8)
    half = BLOCK // 2
    nibbles = (codes[:, :half] & 15) | ((codes[:, half:] & 15) << 4)
    if storage.startswith("Q5"):
        head.append(np.packbits(codes >> 4, axis=1, bitorder="little"))
    return np.concatenate([*head, nibbles], axis=1)
