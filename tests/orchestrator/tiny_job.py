"""A job without a model: reads its request, writes a complete result. Bare Python, for speed.

What the config asks for it does: `batch_tokens` 101 crashes, 102 hangs, 103 writes rubbish, 104
half a result, 105 a NaN, 106 eats memory, 107 breaks the guardrail.
"""

import json
import os
import sys
import time
from pathlib import Path

request = json.loads(Path(sys.argv[1]).read_text())
config = request["config"]
what = config["batch_tokens"]


def perplexity(value: float) -> dict:
    return {"value": value, "tokens": 4, "missing_targets": 0, "text_sha256": "1" * 64}


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
    speedup = 1 + (what % 97) / 97
    return {
        "stage": request["stage"],
        "simulated": True,
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
        "durations": dict.fromkeys(["build_seconds", "load_seconds", "measure_seconds"], 0.01)
        | {"perplexity_seconds": 0.01, "total_seconds": 0.04},
        "stamp": {
            "cpu": "test",
            "cores": 1,
            "memory_bytes": 1,
            "kernel": "test",
            "python": "3.11",
            "engine": "simulated",
            "engine_version": "1",
            "model_sha256": "0" * 64,
            "load_average_start": 0.0,
            "load_average_end": 0.0,
        },
        "seed": request["seed"],
    }


if what == 101:
    sys.exit("no such kernel")
if what == 102:
    time.sleep(600)
if what == 106:
    hoard = [bytearray(os.urandom(1 << 20)) for _ in range(4000)]
text = json.dumps({"status": "measured", "measurement": measurement()})
text = {103: "rubbish", 104: text[: len(text) // 2]}.get(what, text)
Path("result.part").write_text(text)
Path("result.part").rename("result.json")
