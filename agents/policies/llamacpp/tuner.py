"""Tuner: how the engine runs, not what it computes: threads, attention, caches, batches, memory."""

from collections.abc import Iterable
from random import Random

from pydantic import JsonValue

from agents.policies.scene import Idea, Scene


def ideas(scene: Scene, rng: Random) -> Iterable[Idea]:
    """Yield one engine setting changed at a time, threads up to the machine's cores."""
    for parent in scene.parents(rng):
        for changes, words in _settings(scene.cores):
            yield Idea(parent.attempt, changes, f"{words}, weights of {parent.attempt} untouched")


def _settings(cores: int) -> list[tuple[dict[str, JsonValue], str]]:
    threads: list[tuple[dict[str, JsonValue], str]] = [
        ({"threads": n}, f"{n} of {cores} cores compute") for n in range(2, min(cores, 8) + 1)
    ]
    return [
        *threads,
        ({"flash_attention": "on"}, "fused attention"),
        ({"flash_attention": "off"}, "plain attention, short contexts may not need the fused one"),
        ({"cache_type_k": "q8_0", "cache_type_v": "q8_0"}, "half the bytes of the KV cache"),
        ({"cache_type_k": "q8_0"}, "half the bytes of the keys"),
        ({"cache_type_k": "bf16", "cache_type_v": "bf16"}, "bf16 cache beside bf16 weights"),
        ({"memory_map": False}, "weights in private memory, no page faults while timing"),
        ({"repack": False}, "weights as stored, for a cheaper load"),
        ({"poll": 0}, "idle threads sleep at once and free their core"),
        ({"poll": 100}, "idle threads never sleep between layers"),
        ({"batch_tokens": 512, "micro_batch_tokens": 128}, "small batches stay in cache"),
        ({"batch_tokens": 512}, "a smaller prompt batch"),
    ]
