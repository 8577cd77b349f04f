"""What a config should reach on paper, which term keeps it there, and which claims are too good.

    tokens/s = tokens per step / (fixed + bytes / bandwidth + K draft + K extra verification)

Pure arithmetic on what one step does (`Work`, made from a config in `bench.roofline_configs`) and
on a device's fit. Knows no config, no noise and no measurement; docs/roofline.md shows how far the
formula carries.
"""

from collections.abc import Sequence
from typing import NamedTuple

from bench.devices import DeviceFit

SUSPICIOUS = 1.05
"""A claim above this multiple of the bound wants a second look."""


class Part(NamedTuple):
    """Weights that a token reads, all stored alike."""

    name: str
    weights: float
    bits: float
    """Per weight, the scales of its group included."""

    @property
    def bytes(self) -> float:
        """Bytes a token reads of it."""
        return self.weights * self.bits / 8


class Extra(NamedTuple):
    """Time of a step, or memory, that is not read weights: `amount` in ms, or in bytes."""

    name: str
    amount: float


class Guessing(NamedTuple):
    """How tokens are guessed ahead."""

    drafts: int = 0
    """K: tokens guessed a step; 0 = none."""
    accepted: tuple[float, ...] = ()
    """Share of all steps in which the guess at each position, and all before it, was right."""
    draft_ms: float = 0.0
    """Of one guessed token."""
    verify_ms: float = 0.0
    """Of checking one guessed token beside the pass that is due anyway."""

    @property
    def tokens_per_step(self) -> float:
        """One token of the model's own, and the guesses that were right."""
        return 1.0 + sum(self.accepted[: self.drafts])


NOTHING = Guessing()


class Work(NamedTuple):
    """What one step of a config does, and what it keeps in memory."""

    parts: tuple[Part, ...]
    guessing: Guessing = NOTHING
    extras: tuple[Extra, ...] = ()
    """Milliseconds of a step."""
    memory: tuple[Extra, ...] = ()
    """Bytes."""
    memory_share: float = 1.0
    """Of the device's memory that the engine may take."""


class Estimate(NamedTuple):
    """What the formula says of one config on one device."""

    device: str
    tokens_per_second: float
    tokens_per_step: float
    terms: tuple[Extra, ...]
    """Milliseconds of a step, in the order they are told; their sum is the step."""
    bytes_per_token: float
    """Of weights, one pass."""
    bound: float
    """Tokens/s with nothing guessed and nothing extra: reading and the fixed part alone."""
    longest_step_tokens: int
    memory: tuple[Extra, ...]
    """Bytes."""
    memory_limit: float
    """Bytes that the engine may take."""

    @property
    def step_ms(self) -> float:
        """Milliseconds of one step."""
        return sum(term.amount for term in self.terms)

    @property
    def memory_bytes(self) -> float:
        """All that lies in the device's memory."""
        return sum(part.amount for part in self.memory)

    @property
    def fits(self) -> bool:
        """Whether it can be loaded at all; ask before a job is paid for."""
        return self.memory_bytes <= self.memory_limit


def estimate(work: Work, device: DeviceFit) -> Estimate:
    """Return what `work` should come to on `device`."""
    guessing = work.guessing
    bytes_read = sum(part.bytes for part in work.parts)
    terms = [
        *(Extra(part.name, part.bytes / device.effective_gb_s / 1e6) for part in work.parts),
        Extra("fixed", device.fixed_ms),
        *work.extras,
    ]
    if guessing.drafts:
        terms.append(Extra("drafting", guessing.drafts * guessing.draft_ms))
        terms.append(Extra("verifying", guessing.drafts * guessing.verify_ms))
    step_ms = sum(term.amount for term in terms)
    return Estimate(
        device=device.name,
        tokens_per_second=1e3 * guessing.tokens_per_step / step_ms,
        tokens_per_step=guessing.tokens_per_step,
        terms=tuple(terms),
        bytes_per_token=bytes_read,
        bound=1 / device.seconds(bytes_read),
        longest_step_tokens=guessing.drafts + 1,
        memory=work.memory,
        memory_limit=work.memory_share * device.memory_bytes,
    )


def most_plausible(found: Estimate) -> float:
    """Return the tokens/s above which a claim is suspect.

    Without guessing the bound itself; with it, the bound in steps of which every guess is right.
    """
    return SUSPICIOUS * found.bound * found.longest_step_tokens


def is_plausible(tokens_per_second: float, found: Estimate) -> bool:
    """Return whether a measured or claimed speed is one the config could have.

    `False` is a reason to look, not a verdict: the fit may be wrong, as any model of a device.
    """
    return tokens_per_second <= most_plausible(found)


def explain(found: Estimate) -> str:
    """Return in words what the config costs, which term dominates, and what would pay."""
    reading = found.terms[: len(found.terms) - _others(found.terms)]
    read_ms = sum(term.amount for term in reading)
    largest = max(found.terms, key=lambda term: term.amount)
    step = (
        f"{found.tokens_per_second:.1f} tokens/s on {found.device}: a step takes"
        f" {found.step_ms:.2f} ms and emits {found.tokens_per_step:.2f} tokens."
    )
    bytes_read = (
        f"Reading {found.bytes_per_token / 1e9:.2f} GB takes {read_ms:.2f} ms"
        f" ({read_ms / found.step_ms:.0%}), the most of it {_largest(reading)}."
    )
    rule = (
        f"The largest term is {largest.name}: {largest.amount:.2f} ms"
        f" ({largest.amount / found.step_ms:.0%}). {_advice(found, read_ms)}"
    )
    lines = [step, bytes_read, rule]
    if not found.fits:
        lines.append(
            f"It does not fit: {found.memory_bytes / 1e9:.1f} GB of"
            f" {found.memory_limit / 1e9:.1f}, the most of it {_largest(found.memory)}."
        )
    return " ".join(lines)


def _others(terms: Sequence[Extra]) -> int:
    names = [term.name for term in terms]
    return len(terms) - names.index("fixed")


def _largest(parts: Sequence[Extra]) -> str:
    largest = max(parts, key=lambda part: part.amount)
    return f"{largest.name} ({largest.amount / sum(part.amount for part in parts):.0%})"


def _advice(found: Estimate, read_ms: float) -> str:
    if read_ms > found.step_ms / 2:
        if found.longest_step_tokens > 1:
            return "Bytes rule: fewer bits, fewer weights, or more right guesses per pass."
        return "Bytes rule: fewer bits, fewer weights, or several tokens per pass."
    if found.longest_step_tokens > 1:
        return "What is done around the pass rules: launches, sampling, guessing and checking."
    return "The fixed part rules: fewer launches, or several tokens per step."
