"""Is the harness's tokens per second that of the engine? Both serve the same requests in turns.

    python -m tests.performance.gpu.beside_direct --challenge FOLDER --places FILE.toml \
        --model FOLDER --out FILE.json [--rounds 12]

One engine is ours: `vllm serve` behind the harness's client. The other is `vllm.LLM` in its own
process (`direct.py`), driven without any server, told to count by its own clock. Both are on one
card with the same config, so that the difference is what serving and asking cost. The last line is
JSON; `--out` gets every sample.
"""

import argparse
import json
import random
import subprocess
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from statistics import mean, median, stdev
from typing import Any

from bench.challenge import Challenge
from bench.challenge_files import load_challenge
from bench.configs.engine_config import EngineConfig
from bench.configs.vllm import as_vllm
from bench.engine_places import EnginePlaces, VllmPlace, read_places
from bench.engine_sources import open_source
from bench.engines.engine import Engine

DIRECT = Path(__file__).with_name("direct.py")
PROMPT_TOKENS, OUTPUT_TOKENS = 256, 256
FIRST_ID, LAST_ID = 10, 200_000


class Direct:
    """vLLM in its own Python, asked by lines."""

    def __init__(self, place: VllmPlace, options: dict[str, Any]) -> None:
        site = {"PYTHONPATH": str(place.site)} if place.site else {}
        self._log = tempfile.TemporaryFile()  # noqa: SIM115  # as long as the process
        self._process = subprocess.Popen(
            [str(place.python), str(DIRECT), json.dumps(options)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self._log,
            text=True,
            env={"HF_HUB_OFFLINE": "1", "VLLM_NO_USAGE_STATS": "1", **place.environment, **site},
        )

    def answer(self) -> dict[str, Any]:
        """Return its next answer; everything else it prints is log."""
        assert self._process.stdout is not None
        for line in self._process.stdout:
            if line.startswith("ANSWER "):
                return dict(json.loads(line.removeprefix("ANSWER ")))
        self._log.seek(0)
        raise SystemExit(f"direct.py ended: {self._log.read()[-3000:].decode(errors='replace')}")

    def seconds(self, prompt: Sequence[int]) -> float:
        """Serve one request; return the seconds it says it took."""
        assert self._process.stdin is not None
        self._process.stdin.write(json.dumps({"prompt": prompt, "tokens": OUTPUT_TOKENS}) + "\n")
        self._process.stdin.flush()
        found = self.answer()
        assert len(found["token_ids"]) == OUTPUT_TOKENS
        return float(found["seconds"])

    def close(self) -> None:
        """End it and all it started."""
        if self._process.stdin is not None:
            self._process.stdin.close()
        try:
            self._process.wait(20)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--challenge", required=True)
    parser.add_argument("--places", type=Path, required=True)
    parser.add_argument("--model", required=True, help="folder that the direct engine loads")
    parser.add_argument("--cache", type=Path, default=Path(".cache"))
    parser.add_argument("--rounds", type=int, default=12)
    parser.add_argument("--out", type=Path, required=True)
    given = parser.parse_args()
    places = read_places(given.places)
    assert places.vllm is not None
    challenge = load_challenge(given.challenge).challenge
    config = as_vllm(challenge.baseline)
    direct = Direct(places.vllm, direct_options(given.model, config.model_dump(), places.vllm))
    try:
        ready = direct.answer()["ready_seconds"]  # two starts at once would count each other
        with harness_engine(challenge, config, places, given.cache.resolve()) as engine:
            rounds = list(in_turns(engine, direct, given.rounds))
            start_seconds = getattr(engine, "start_seconds", {})
    finally:
        direct.close()
    found = summary(rounds) | {"direct_ready_seconds": ready, "start_seconds": start_seconds}
    given.out.write_text(json.dumps({"summary": found, "rounds": rounds}, indent=1))
    print(json.dumps(found))


def direct_options(model: str, levers: dict[str, Any], place: VllmPlace) -> dict[str, Any]:
    """Return the same levers for `vllm.LLM`."""
    same = ("dtype", "quantization", "max_model_len", "max_num_seqs", "max_num_batched_tokens",
            "enforce_eager", "enable_prefix_caching")  # fmt: skip
    options = {name: levers[name] for name in same if levers[name] is not None}
    if levers["attention_backend"] != "auto":
        options["attention_backend"] = levers["attention_backend"]
    share = levers["gpu_memory_utilization"] * place.memory_share
    loading = {"load_format": place.load_format, "gpu_memory_utilization": share}
    return {"model": model, **options, **loading}


@contextmanager
def harness_engine(
    challenge: Challenge, config: EngineConfig, places: EnginePlaces, cache: Path
) -> Iterator[Engine]:
    """Start `config` as a job does."""
    source = open_source("vllm", challenge, cache_folder=cache, seed=0, places=places)
    try:
        engine = source.prepare(config, "baseline", public_ids=())()
        try:
            yield engine
        finally:
            engine.close()
    finally:
        source.close()


def in_turns(engine: Engine, direct: Direct, count: int) -> Iterator[dict[str, float]]:
    """Yield what one request took on either side; A B, B A, after two that do not count."""
    rng = random.Random(0)
    for number in range(-2, count):
        prompt = [rng.randrange(FIRST_ID, LAST_ID) for _ in range(PROMPT_TOKENS)]
        took: dict[str, float] = {}
        for side in ("harness", "direct")[:: 1 if number % 2 else -1]:
            if side == "direct":
                took[side] = direct.seconds(prompt)
            else:
                begun = time.perf_counter()
                assert len(engine.generate(prompt, max_tokens=OUTPUT_TOKENS).token_ids)
                took[side] = time.perf_counter() - begun
        if number >= 0:
            yield took


def summary(rounds: Sequence[dict[str, float]]) -> dict[str, Any]:
    """Return medians, spreads and the ratio of the pairs."""
    ratios = [one["direct"] / one["harness"] for one in rounds]
    speeds = {side: [OUTPUT_TOKENS / one[side] for one in rounds] for side in rounds[0]}
    return {
        "harness_tokens_per_second": median(speeds["harness"]),
        "direct_tokens_per_second": median(speeds["direct"]),
        "harness_over_direct": median(ratios),
        "harness_relative_sd": stdev(speeds["harness"]) / mean(speeds["harness"]),
        "direct_relative_sd": stdev(speeds["direct"]) / mean(speeds["direct"]),
        "rounds": len(rounds),
    }


if __name__ == "__main__":
    main()
