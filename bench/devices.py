"""What devices read in a second, fitted to measured speeds: the data behind the roofline.

    seconds per token = bytes read / effective bandwidth + fixed seconds per step

Knows no config and no model's shape; a fit says on which points it stands and who measured them.
"""

from collections.abc import Sequence
from statistics import fmean
from typing import NamedTuple

from bench.frozen import Frozen, nearest_name
from sandbox.errors import ConfigError

_FEWEST_POINTS = 2


class Point(NamedTuple):
    """One measured config: what a token read, and how long it took."""

    name: str
    bytes_read: float
    seconds: float
    """Per token, nothing guessed ahead."""


class DeviceFit(Frozen):
    """A device, as far as one model at batch 1 could see it."""

    name: str
    nominal_gb_s: float
    """Of the data sheet, or of a copy benchmark on a CPU."""
    effective_gb_s: float
    fixed_ms: float
    """Per step, whatever is read: launches, sampling, the server around it."""
    memory_bytes: int
    model: str
    """Shape it was fitted with; `fixed_ms` grows with a model's layers, and holds for no other."""
    source: str
    fitted_on: tuple[str, ...]
    """Names of the points; what else the source measured was predicted."""

    def seconds(self, bytes_read: float) -> float:
        """Return the time of a step that reads `bytes_read`."""
        return bytes_read / (self.effective_gb_s * 1e9) + self.fixed_ms / 1e3


def fit(
    points: Sequence[Point],
    *,
    name: str,
    nominal_gb_s: float,
    memory_bytes: int,
    model: str,
    source: str,
) -> DeviceFit:
    """Return the least-squares line through (bytes read, seconds per token).

    Raises:
        ConfigError: `bad_fit`: fewer than two different points, or a line that no device can have
            (faster than nominal, or less than nothing per step); whoever measured sees it.
    """
    bytes_read, seconds = [p.bytes_read for p in points], [p.seconds for p in points]
    if len(set(bytes_read)) < _FEWEST_POINTS:
        raise ConfigError(
            f"{name}: {len(set(bytes_read))} different sizes, a line needs 2", code="bad_fit"
        )
    middle = fmean(bytes_read)
    slope = sum((x - middle) * y for x, y in zip(bytes_read, seconds, strict=True)) / sum(
        (x - middle) ** 2 for x in bytes_read
    )
    fixed = fmean(seconds) - slope * middle
    effective = 1 / slope / 1e9 if slope > 0 else float("inf")
    if effective > nominal_gb_s or fixed < 0:
        raise ConfigError(
            f"{name}: the line through {len(points)} points says {effective:.0f} GB/s and"
            f" {1e3 * fixed:.2f} ms a step; nominal are {nominal_gb_s:g} GB/s",
            code="bad_fit",
            hint="more than bytes differs between them: measure configs alike but in size",
        )
    return DeviceFit(
        name=name,
        nominal_gb_s=nominal_gb_s,
        effective_gb_s=effective,
        fixed_ms=1e3 * fixed,
        memory_bytes=memory_bytes,
        model=model,
        source=source,
        fitted_on=tuple(point.name for point in points),
    )


A10G = DeviceFit(
    name="a10g",
    nominal_gb_s=600,
    effective_gb_s=465,
    fixed_ms=2.73,
    memory_bytes=24_000_000_000,
    model="gemma-4-e4b",
    source="Fast Gemma Challenge, June 2026: 44.0 and 126.8 tokens/s",
    fitted_on=("bf16", "int4 g128 all"),
)

H100 = DeviceFit(
    name="h100",
    nominal_gb_s=3350,
    effective_gb_s=2600,
    fixed_ms=2.23,
    memory_bytes=80_000_000_000,
    model="gemma-4-e4b",
    source="vLLM 0.26 on dummy weights: 179.4 (bf16) and 221.8 tokens/s (fp8); bandwidth assumed"
    " to be the A10G's share of nominal, fixed time the mean of both, so each is missed by 4-5 %",
    fitted_on=("bf16", "fp8"),
)
"""A line through both points alone would be faster than nominal: fp8 changes more than bytes."""

H200 = DeviceFit(
    name="h200",
    nominal_gb_s=4800,
    effective_gb_s=4531,
    fixed_ms=2.355,
    memory_bytes=149_000_000_000,
    model="gemma-4-e4b",
    source="vLLM 0.26 on dummy weights, docs/gpu/e4b-points.jsonl: 225.8, 277.5 and 297.7 tokens/s,"
    " each within 2 % of the line; fp8 is 5 % slower than it, since scaling is no reading",
    fitted_on=("bf16", "bf16, width 5120", "bf16, width 2560"),
)
"""Narrower feed-forwards: fewer bytes, and as many launches."""

ZEN4 = DeviceFit(
    name="zen4-2",
    nominal_gb_s=53.4,
    effective_gb_s=29.2,
    fixed_ms=1.0,
    memory_bytes=24_000_000_000,
    model="gemma-3-270m",
    source="bench/cost_model.py: llama.cpp in bf16 on two Zen 4 cores; other formats have rates of"
    " their own there",
    fitted_on=("bf16",),
)

DEVICES: dict[str, DeviceFit] = {one.name: one for one in (A10G, H100, H200, ZEN4)}


def device_named(name: str) -> DeviceFit:
    """Return the device called `name`.

    Raises:
        ConfigError: unknown, with the nearest name; whoever typed it sees it.
    """
    if name not in DEVICES:
        raise ConfigError(
            f"no fit of device {name!r}; {nearest_name(name, DEVICES)}", code="unknown_device"
        )
    return DEVICES[name]
