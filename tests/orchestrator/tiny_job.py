"""A job without a model: reads its request, writes a complete result. Bare Python, for speed.

What the config asks for it does: `batch_tokens` 101 crashes, 102 hangs, 103 writes rubbish, 104
half a result, 105 a NaN, 106 eats memory, 107 breaks the guardrail. On private texts a `poll` of 7
fails every time, 8 the first time, 9 crashes; a `poll` of 5 is fast only in its first run.
"""

import json
import os
import sys
import time
import tomllib
from pathlib import Path

request = json.loads(Path(sys.argv[1]).read_text())
config = request["config"]
what = config["batch_tokens"]
with Path(request["challenge"]).open("rb") as file:
    is_simulated = tomllib.load(file)["engine"] == "simulated"

BASELINE_BATCH_TOKENS = 2048
DURATIONS = {
    "build_seconds": 0.01,
    "load_seconds": 0.01,
    "measure_seconds": 0.01,
    "perplexity_seconds": 0.01,
    "total_seconds": 0.04,
}
STAMP = {
    "cpu": "test",
    "cores": 1,
    "memory_bytes": 1,
    "kernel": "test",
    "python": "3.11",
    "engine": "simulated" if is_simulated else "tiny",
    "engine_version": "1",
    "model_sha256": "0" * 64,
    "load_average_start": 0.0,
    "load_average_end": 0.0,
}


def perplexity(value: float) -> dict:
    return {"value": value, "tokens": 4, "missing_targets": 0, "text_sha256": "1" * 64}


def speed_of(config: dict) -> float:
    """Return the speed-up, the same in every launch but for a little noise by seed."""
    if config["batch_tokens"] == BASELINE_BATCH_TOKENS:
        return 1.0
    noise = 1 + (request["seed"] % 7 - 3) / 1000
    if config["poll"] == 5 and request.get("stage") == "fresh":
        return noise
    return (1 + (config["batch_tokens"] % 97) / 97) * noise


def sample(side: str, round_: int, speed: float) -> dict:
    return {
        "side": side,
        "round": round_,
        "prompt": "p0",
        "output_tokens": 4,
        "wall_seconds": 4 / speed,
        "cpu_seconds": None,
        "tokens_sha256": "0" * 64,
    }


def measurement() -> dict:
    speedup = speed_of(config)
    return {
        "stage": request["stage"],
        "simulated": is_simulated,
        "samples": [sample("baseline", 0, 50.0), sample("candidate", 0, 50.0 * speedup)],
        "pair_ratios": [speedup, speedup],
        "tokens_per_second": 50.0 * speedup,
        "baseline_tokens_per_second": 50.0,
        "speedup": speedup,
        "speedup_low": speedup,
        "speedup_high": speedup,
        "perplexity": perplexity(float("nan") if what == 105 else 20.0 if what == 107 else 10.0),
        "reference_perplexity": perplexity(10.0),
        "output_digest": "d" * 16,
        "peak_memory_bytes": None,
        "drafting": None,
        "artefact": "r" * 16,
        "artefact_bytes": 1,
        "durations": DURATIONS,
        "stamp": STAMP,
        "seed": request["seed"],
    }


def fresh() -> dict:
    held = speed_of(request["incumbent"]) if "incumbent" in request else 1.0
    rounds = [1 + n / 1000 for n in range(4)]
    own = speed_of(config)
    return {
        "simulated": is_simulated,
        "samples": [sample("baseline", 0, 50.0), sample("candidate", 0, 50.0 * own)],
        "ratios": [own * one for one in rounds],
        "incumbent_ratios": [held for _ in rounds],
        "contrasts": [own * one / held for one in rounds],
        "baseline_tokens_per_second": 50.0,
        "output_digest": "d" * 16,
        "incumbent_digest": "e" * 16,
        "durations": DURATIONS,
        "stamp": STAMP,
        "seed": request["seed"],
    }


def verification() -> dict:
    number = int(Path.cwd().name.rpartition("-")[2])
    earlier = [one for one in Path.cwd().parent.iterdir() if one.is_dir() and one != Path.cwd()]
    is_first = all(int(one.name.rpartition("-")[2]) > number for one in earlier)
    fails = config["poll"] == 7 or (config["poll"] == 8 and is_first)
    finding = {
        "test": "missing_targets",
        "status": "failed" if fails else "passed",
        "value": 0.04 if fails else 0.0,
        "limit": 0.005,
        "unit": "share",
    }
    claim = request["claim"]["speedup"]
    return {
        "findings": [finding],
        "numeric_class": "tiny",
        "speed": {
            "tokens_per_second": 50.0 * claim,
            "baseline_tokens_per_second": 50.0,
            "speedup": claim,
            "low": claim,
            "high": claim,
            "rounds": 4,
        },
        "drawn": [text["id"] for text in request["texts"]],
        "drawn_sha256": "a" * 64,
        "timings_sha256": "b" * 64,
        "output_digest": "d" * 16,
        "hardware": STAMP,
        "seconds": 0.01,
        "seed": request["seed"],
    }


def outcome() -> dict:
    if "texts" in request:
        return {"verification": verification()}
    return {"fresh": fresh()} if request["stage"] == "fresh" else {"measurement": measurement()}


if "texts" in request and config["poll"] == 9:
    sys.exit("it cannot serve this")
if what == 101:
    sys.exit("no such kernel")
if what == 102:
    time.sleep(600)
if what == 106:
    hoard = [bytearray(os.urandom(1 << 20)) for _ in range(4000)]
text = json.dumps({"status": "measured", **outcome()})
text = {103: "rubbish", 104: text[: len(text) // 2]}.get(what, text)
Path("result.part").write_text(text)
Path("result.part").rename("result.json")
