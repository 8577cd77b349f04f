"""The tiny job in a world where keep-sets pay, and one fitted to the public text pays most.

It fails on private texts, as it does on the real bench; everything else passes there.
"""

import json
import os
import sys
from pathlib import Path

TINY_JOB = Path(__file__).parents[1] / "orchestrator" / "tiny_job.py"
SPEED_OF_FORMAT = {"bf16": 0, "f16": 0, "q8_0": 10, "shipped": 14}
"""In hundredths or so of the baseline's speed: what the tiny job makes of `batch_tokens`."""
FAILS_IN_PRIVATE, PASSES = 7, 50


def speed_step(config: dict) -> int:
    weights = config["weights"]
    kept = weights["vocabulary"]
    step = sum(
        SPEED_OF_FORMAT.get(weights[part], 4) for part in ("head", "attention", "feed_forward")
    )
    return step if kept is None else step + (45 if kept["strategy"] == "public_text" else 20)


def translated(config: dict) -> dict:
    """Return what the tiny job understands: the speed as a batch size, the fate as a `poll`."""
    kept, step = config["weights"]["vocabulary"], speed_step(config)
    is_fitted = kept is not None and kept["strategy"] == "public_text"
    fate = FAILS_IN_PRIVATE if is_fitted else PASSES
    return {**config, "batch_tokens": 97 + step if step else 2048, "poll": fate}


request = json.loads(Path(sys.argv[1]).read_text())
for side in ("config", "incumbent"):
    if request.get(side):
        request[side] = translated(request[side])
plain = Path("translated.json")
plain.write_text(json.dumps(request))
os.execv(sys.executable, [sys.executable, "-S", str(TINY_JOB), str(plain)])
