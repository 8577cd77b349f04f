"""An engine whose process can be told to fail, and a challenge small enough for tests."""

import contextlib
import json
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path

from bench.configs.llamacpp import LlamaCppConfig
from bench.engine_sources import Starter
from bench.engines.engine import Generation
from bench.harness import JobRequest
from bench.measurement import Side, Stage
from sandbox import processes
from sandbox.errors import JobError

SCRIPT = Path(__file__).with_name("fake_engine_process.py")
FASTER = LlamaCppConfig(threads=1, poll=10)
"""Any config but the baseline."""


class ProcessEngine:
    name = "process"
    version = "test-1"
    simulated = False
    artefact = "none"
    artefact_bytes = 1000

    def __init__(self, config: LlamaCppConfig, how: str, before: int) -> None:
        self.config = config
        self._process = subprocess.Popen(
            [sys.executable, "-I", "-S", str(SCRIPT), how, str(before)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )

    def clock(self) -> float:
        return time.perf_counter()

    def cpu_seconds(self) -> float | None:
        return None

    def peak_memory_bytes(self) -> int | None:
        return processes.peak_memory_bytes(self._process.pid)

    def tokenize(self, text: str) -> tuple[int, ...]:
        return tuple(text.encode())

    def generate(self, prompt_ids: Sequence[int], *, max_tokens: int) -> Generation:
        return Generation(tuple(self._ask("generate", max_tokens)), None)

    def logprobs(
        self, context_ids: Sequence[int], target_ids: Sequence[int]
    ) -> tuple[float | None, ...]:
        return tuple(self._ask("logprobs", len(target_ids)))

    def close(self) -> None:
        self._process.kill()
        self._process.wait()

    def release(self) -> None:
        """Close the pipes: not in `close`, which may be called while they are read."""
        self.close()
        for pipe in (self._process.stdin, self._process.stdout, self._process.stderr):
            assert pipe is not None
            with contextlib.suppress(OSError):
                pipe.close()

    def _ask(self, op: str, count: int) -> list[int]:
        process = self._process
        assert process.stdin is not None
        assert process.stdout is not None
        assert process.stderr is not None
        try:
            process.stdin.write(json.dumps({"op": op, "count": count}) + "\n")
            process.stdin.flush()
            line = process.stdout.readline()
        except OSError:
            line = ""
        if not line:
            code = process.wait()
            raise JobError(f"died ({code}): {process.stderr.read()}", code="engine_died")
        try:
            return list(json.loads(line))
        except ValueError:
            raise JobError(f"answered {line!r}", code="engine_rubbish") from None


class ProcessSource:
    model_sha256 = "0" * 64

    def __init__(self, *, failing: Side, how: str, before: int = 2) -> None:
        self._failing, self._how, self._before = failing, how, before
        self.engines: list[ProcessEngine] = []

    def clock(self) -> float:
        return time.perf_counter()

    def prepare(self, config: LlamaCppConfig, side: Side, *, public_ids: Sequence[int]) -> Starter:
        how = self._how if side == self._failing else "none"

        def start() -> ProcessEngine:
            self.engines.append(ProcessEngine(config, how, self._before))
            return self.engines[-1]

        return start

    def close(self) -> None:
        for engine in self.engines:
            engine.release()


CHALLENGE = """
name = "small"
title = "Small"
engine = "simulated"
claim_seconds = 60
device_usd_per_hour = 0
prompts = "prompts.jsonl"
passages = "passages.jsonl"

[model]
source = "path:nowhere"
sha256 = "{sha}"
title = "None"
licence = "None"

[baseline]

[guardrail]
perplexity_ratio_cap = 1.05
missing_target_logprob = -12.0
missing_target_share_cap = 0.005

[protocol]
prompt_tokens = 16
output_tokens = 8
warmup_requests = 1
digest_prompts = 2
min_cpu_share = 0.9

[protocol.screen]
min_pairs = 3
max_pairs = 5
half_width = 0.0001
measure_seconds = 30
perplexity_tokens = 20
wall_seconds = {wall_seconds}

[protocol.full]
min_pairs = 6
max_pairs = 9
half_width = 0.0001
measure_seconds = 60
perplexity_tokens = 60
wall_seconds = {wall_seconds}

[quotas]
pending_jobs_per_agent = 1
queued_jobs = 4
message_bytes = 8192
build_seconds = 30
memory_bytes = 1000000000
"""


def write_challenge(folder: Path, *, wall_seconds: float = 30, prompts: int = 12) -> Path:
    text = CHALLENGE.format(sha="0" * 64, wall_seconds=wall_seconds)
    (folder / "challenge.toml").write_text(text)
    for name, count in (("prompts", prompts), ("passages", 2)):
        rows = [
            {
                "id": f"{name}-{i}",
                "text": f"{i} stars in a clear sky, and more to come, " * 3,
                "source": "own",
            }
            for i in range(count)
        ]
        (folder / f"{name}.jsonl").write_text("\n".join(map(json.dumps, rows)))
    return folder


def make_request(
    folder: Path, config: LlamaCppConfig = FASTER, *, stage: Stage = "screen", seed: int = 1
) -> JobRequest:
    return JobRequest(
        challenge=str(folder), config=config, stage=stage, seed=seed, cache_folder=folder / "cache"
    )


STATED = """
[stated]
tokens_per_second = 40.0
perplexity = 10.0
source = "somebody else"

[protocol]
alone = true
"""


def write_alone(folder: Path, *, wall_seconds: float = 30) -> Path:
    """Write the same challenge for a device that holds one engine."""
    write_challenge(folder, wall_seconds=wall_seconds)
    file = folder / "challenge.toml"
    text = file.read_text().replace("[protocol]", STATED)
    file.write_text(text.replace("perplexity_tokens = 20", "perplexity_tokens = 60"))
    return folder
