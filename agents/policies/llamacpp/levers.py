"""Small steps along each lever, shared by the policies that take them."""

from collections.abc import Iterator

from pydantic import JsonValue

from bench.configs.llamacpp import LlamaCppConfig, WeightFormat

LADDER: tuple[WeightFormat, ...] = ("bf16", "q8_0", "shipped", "q5_1", "q5_0", "q4_1", "q4_0")
"""From many bits to few."""

GROUPS = ("head", "attention", "feed_forward")

SIZES = (
    196_608,
    163_840,
    147_456,
    131_072,
    98_304,
    65_536,
    49_152,
    40_960,
    32_768,
    24_576,
    20_480,
    16_384,
    12_288,
    8192,
)
"""Kept rows worth asking about; multiples of 4096 keep the head's blocks whole."""

Step = tuple[dict[str, JsonValue], str]
"""Changes and a few words for them."""


def kept(strategy: str, size: int) -> dict[str, JsonValue]:
    """Return the change that keeps `size` rows."""
    return {"weights.vocabulary": {"strategy": strategy, "size": size}}


def format_steps(config: LlamaCppConfig) -> Iterator[Step]:
    """Yield each tensor group one or two rungs down the ladder."""
    formats = config.weights.model_dump()
    for group in GROUPS:
        rung = LADDER.index(formats[group]) if formats[group] in LADDER else 0
        for format_ in LADDER[rung + 1 : rung + 3]:
            yield {f"weights.{group}": format_}, f"{group} from {formats[group]} to {format_}"


def vocabulary_steps(config: LlamaCppConfig, *, largest: int) -> Iterator[Step]:
    """Yield the next smaller keep-sets of the same strategy, or a first careful one."""
    now = config.weights.vocabulary
    size = now.size if now else largest
    smaller = [s for s in SIZES if s < size]
    for strategy in (now.strategy,) if now else ("ascii", "frequent"):
        for rows in smaller[: 2 if now else 6]:
            yield kept(strategy, rows), f"{rows} {strategy} rows instead of {size}"


def thread_steps(config: LlamaCppConfig, cores: int) -> Iterator[Step]:
    """Yield one thread more, while there is a core for it."""
    if config.threads < cores:
        more = config.threads + 1
        yield {"threads": more}, f"{more} threads on {cores} cores"
