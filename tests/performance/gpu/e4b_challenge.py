"""Writes a challenge folder that races E4B's text shapes with dummy weights on one card.

    python -m tests.performance.gpu.e4b_challenge FOLDER --model MODEL_FOLDER

For speed only: prompts are random ids, and what the perplexity of dummy weights says is nothing.
"""

import argparse
import json
import random
from pathlib import Path

from bench.artefacts.model_folder import folder_sha256

PROMPTS, PROMPT_TOKENS, FIRST_ID, LAST_ID = 40, 256, 10, 200_000

CHALLENGE = """\
name = "e4b-shapes-gpu"
title = "Gemma 4 E4B's text shapes, dummy weights, on one GPU: speed only"
engine = "vllm"
engine_version = "0.26.0"
claim_seconds = 600
device_usd_per_hour = 0
prompts = "prompts.jsonl"
passages = "passages.jsonl"

[model]
source = "dir:{model}"
sha256 = "{sha256}"
title = "Gemma 4 E4B text shapes, dummy weights"
licence = "none: made up"

[baseline]
engine = "vllm"
dtype = "bfloat16"
max_model_len = 2048
gpu_memory_utilization = 0.3
max_num_batched_tokens = 512
max_num_seqs = 1
attention_backend = "TRITON_ATTN"
skip_tokenizer_init = true

[guardrail]
perplexity_ratio_cap = 1000
missing_target_logprob = -12.5
missing_target_share_cap = 0.5

[protocol]
prompt_tokens = {prompt_tokens}
output_tokens = 256
warmup_requests = 2
digest_prompts = 2
min_cpu_share = 0

[protocol.screen]
min_pairs = 6
max_pairs = 8
half_width = 0.0001
measure_seconds = 40
perplexity_tokens = 64
wall_seconds = 200

[protocol.full]
min_pairs = 12
max_pairs = 16
half_width = 0.0001
measure_seconds = 80
perplexity_tokens = 64
wall_seconds = 400

[quotas]
pending_jobs_per_agent = 1
queued_jobs = 8
message_bytes = 8192
build_seconds = 500
memory_bytes = 100000000000
"""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--model", type=Path, required=True)
    given = parser.parse_args()
    given.folder.mkdir(parents=True, exist_ok=True)
    rng = random.Random(1)
    lines = [
        {
            "id": f"r{number:02}",
            "source": "random ids",
            "token_ids": [rng.randrange(FIRST_ID, LAST_ID) for _ in range(PROMPT_TOKENS)],
        }
        for number in range(PROMPTS)
    ]
    text = CHALLENGE.format(
        model=given.model.resolve(),
        sha256=folder_sha256(given.model),
        prompt_tokens=PROMPT_TOKENS,
    )
    (given.folder / "challenge.toml").write_text(text)
    _write(given.folder / "prompts.jsonl", lines)
    _write(given.folder / "passages.jsonl", lines[:1])


def _write(file: Path, lines: list[dict[str, object]]) -> None:
    file.write_text("".join(f"{json.dumps(line)}\n" for line in lines))


if __name__ == "__main__":
    main()
