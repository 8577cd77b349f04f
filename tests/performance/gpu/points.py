"""What single engines reach on one card, one after another: the points of a fit.

    python -m tests.performance.gpu.points --points FILE.jsonl --places FILE.toml --out FILE.jsonl

A line of --points names a point, a challenge (its baseline is served) and what to change in it:

    {"name": "bf16, half the width", "challenge": FOLDER, "changes": {}}

Each engine serves the same prompts `--repeats` times, one request at a time; a repeat is all its
tokens over all its seconds, as a benchmark job counts. A line of --out has the spread of repeats
and of requests. What fails is a line too, and the others go on.
"""

import argparse
import json
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from statistics import mean, stdev
from typing import Any

from bench.challenge_files import load_challenge
from bench.config import apply_changes
from bench.engine_places import EnginePlaces, read_places
from bench.engines.engine import Engine
from sandbox.errors import PacelineError
from sandbox.lane import device_lane
from tests.performance.gpu.beside_direct import harness_engine

PROMPTS, WARM_UP = 6, 2


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--points", type=Path, required=True)
    parser.add_argument("--places", type=Path, required=True)
    parser.add_argument("--cache", type=Path, default=Path(".cache"))
    parser.add_argument("--repeats", type=int, default=6)
    parser.add_argument("--out", type=Path, required=True)
    given = parser.parse_args()
    places = read_places(given.places)
    assert places.vllm is not None
    with device_lane(places.vllm.lane):
        for line in given.points.read_text().splitlines():
            point = json.loads(line)
            try:
                found = measured(point, places, given.cache.resolve(), given.repeats)
            except PacelineError as error:
                found = {"failed": error.code, "message": str(error)[-1500:]}
            with given.out.open("a") as out:
                out.write(json.dumps({**point, **found}) + "\n")
            print(point["name"], found.get("tokens_per_second"), flush=True)


def measured(
    point: Mapping[str, Any], places: EnginePlaces, cache: Path, repeats: int
) -> dict[str, Any]:
    """Return the speeds of one point, and what its start took."""
    loaded = load_challenge(point["challenge"])
    rules = loaded.challenge
    prompts = [one.token_ids or () for one in loaded.prompts[:PROMPTS]]
    config = apply_changes(rules.baseline, point["changes"])
    output = rules.protocol.output_tokens
    with harness_engine(rules, config, places, cache) as engine:
        for prompt in prompts[:WARM_UP]:
            engine.generate(prompt, max_tokens=output)
        seconds = [[served(engine, one, output) for one in prompts] for _ in range(repeats)]
        return summary(seconds, output) | {
            "start_seconds": getattr(engine, "start_seconds", {}),
            "peak_memory_bytes": engine.peak_memory_bytes(),
        }


def served(engine: Engine, prompt: Sequence[int], output_tokens: int) -> float:
    """Return the seconds of one request."""
    begun = time.perf_counter()
    answer = engine.generate(prompt, max_tokens=output_tokens)
    seconds = time.perf_counter() - begun
    assert len(answer.token_ids) == output_tokens
    return seconds


def summary(seconds: Sequence[Sequence[float]], output_tokens: int) -> dict[str, Any]:
    """Return speeds and spreads of `seconds`, one list for each repeat."""
    repeats = [output_tokens * len(one) / sum(one) for one in seconds]
    requests = [output_tokens / one for repeat in seconds for one in repeat]
    return {
        "tokens_per_second": mean(repeats),
        "relative_sd_of_repeats": stdev(repeats) / mean(repeats),
        "relative_sd_of_requests": stdev(requests) / mean(requests),
        "repeats": repeats,
        "requests": len(requests),
    }


if __name__ == "__main__":
    main()
