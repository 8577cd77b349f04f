"""One benchmark job as a process: `python -m bench`.

    python -m bench --request request.json             for programs: writes result.json beside it
    python -m bench --batch requests.jsonl             several: a line of JSON for each, as it ends
    python -m bench CONFIG.toml [--challenge NAME] ..  for people: progress, a table, one JSON line

The last line on standard output is the `JobOutcome` as JSON. Exit codes: 0 measured, 5 the job
failed (the outcome says how), 2 the request itself cannot be used, 130 interrupted. The lines of a
batch are `{"number": N, "outcome": {..}}`; it exits with 0 when all were measured.
"""

import argparse
import json
import signal
import sys
import tomllib
from collections.abc import Iterable
from contextlib import nullcontext
from pathlib import Path
from statistics import median
from typing import Any, get_args

from bench import cost_model
from bench.batch import run_batch
from bench.challenge_files import load_challenge
from bench.config import parse_config
from bench.configs.engine_config import EngineConfig
from bench.engine_places import EnginePlaces, read_places
from bench.engine_sources import EngineName
from bench.frozen import parse
from bench.harness import JobRequest, run_job
from bench.measurement import FreshLaunch, JobOutcome, Measurement
from bench.request_file import read_json, read_json_lines, write_atomically
from sandbox.errors import ConfigError, PacelineError

EXIT_MEASURED, EXIT_FAILED, EXIT_INTERRUPTED = 0, 5, 130
RESULT_NAME = "result.json"


def main(argv: list[str] | None = None) -> int:
    """Run one job; return the exit code."""
    arguments = _parser().parse_args(argv)
    try:
        if arguments.request:
            return _for_programs(arguments.request)
        if arguments.batch:
            return _several(arguments)
        return _for_people(arguments)
    except PacelineError as error:
        print(f"error: {error} [{error.code}]", file=sys.stderr)
        return error.exit_code


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m bench", description="Run one benchmark job.")
    parser.add_argument("config", nargs="?", type=Path, help="TOML file; left out: the baseline")
    parser.add_argument("--request", type=Path, help="JSON file of a JobRequest; excludes the rest")
    parser.add_argument("--batch", type=Path, help="JSON Lines of JobRequests; see bench.batch")
    parser.add_argument(
        "--start-together", type=int, default=1, help="--batch: candidates started at once"
    )
    parser.add_argument("--challenge", default="gemma-270m-cpu", help="name, file or folder")
    parser.add_argument("--stage", choices=("screen", "full", "fresh"), default="full")
    parser.add_argument("--incumbent", type=Path, help="fresh: TOML file; left out: the baseline")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--engine", choices=get_args(EngineName))
    parser.add_argument(
        "--places", type=Path, help="TOML file: where vllm and others are installed"
    )
    parser.add_argument("--cache", type=Path, default=Path(".cache"), help="folder of weight files")
    return parser


def _for_programs(file: Path) -> int:
    outcome = run_job(parse(JobRequest, read_json(file), what=f"request {str(file)!r}"))
    write_atomically(file.with_name(RESULT_NAME), outcome.model_dump_json())
    return _finish(outcome)


def _several(arguments: argparse.Namespace) -> int:
    """Measure a batch; what a line leaves out is taken from the other options."""
    defaults = {
        "challenge": arguments.challenge,
        "stage": arguments.stage,
        "seed": arguments.seed,
        "cache_folder": str(arguments.cache.resolve()),
        "engine": arguments.engine,
        "places": _places(arguments),
    }
    requests = [
        parse(JobRequest, {**defaults, **one}, what=f"{arguments.batch.name}, line {number}")
        for number, one in enumerate(read_json_lines(arguments.batch), 1)
    ]
    statuses = []
    with _lane(requests[0]):
        for number, outcome in run_batch(
            requests, start_together=arguments.start_together, tell=_tell
        ):
            statuses.append(outcome.status)
            line = {"number": number, "outcome": outcome.model_dump(mode="json")}
            print(json.dumps(line), flush=True)
    if "cancelled" in statuses:
        return EXIT_INTERRUPTED
    return EXIT_MEASURED if set(statuses) == {"measured"} else EXIT_FAILED


def _tell(line: str) -> None:
    print(line, file=sys.stderr, flush=True)


def _for_people(arguments: argparse.Namespace) -> int:
    request = JobRequest(
        challenge=arguments.challenge,
        config=_read_config(arguments.config, arguments.challenge),
        stage=arguments.stage,
        incumbent=_read_config(arguments.incumbent, arguments.challenge)
        if arguments.incumbent
        else None,
        seed=arguments.seed,
        cache_folder=arguments.cache.resolve(),
        engine=arguments.engine,
        places=_places(arguments),
    )
    with _lane(request):
        outcome = run_job(request, tell=_tell)
    for line in _table(request, outcome):
        print(line)
    return _finish(outcome)


def _places(arguments: argparse.Namespace) -> EnginePlaces | None:
    return read_places(arguments.places.resolve()) if arguments.places else None


def _finish(outcome: JobOutcome) -> int:
    print(outcome.model_dump_json(), flush=True)
    if outcome.status == "cancelled":
        return EXIT_INTERRUPTED
    return EXIT_MEASURED if outcome.status == "measured" else EXIT_FAILED


def _lane(request: JobRequest) -> Any:
    """Wait for the device, as sessions do; simulated time disturbs nobody."""
    if request.engine == "simulated":
        return nullcontext()
    from sandbox.lane import device_lane  # noqa: PLC0415  # programs hold the lane themselves

    def waiting(holder: int | None) -> None:
        print(f"waiting for the lane held by pid {holder}", file=sys.stderr, flush=True)

    return device_lane(_device(request), on_wait=waiting)


def _device(request: JobRequest) -> str:
    """Return the device that `request` is timed on."""
    place = request.places.vllm if request.places else None
    return place.lane if place and request.config.engine == "vllm" else "cpu"


def _table(request: JobRequest, outcome: JobOutcome) -> Iterable[str]:
    found = outcome.measurement
    if outcome.fresh is not None:
        yield from (f"{name:<28}{value}" for name, value in _fresh_rows(outcome.fresh))
        return
    if found is None:
        yield f"{outcome.status} ({outcome.fault}, {outcome.code}): {outcome.message}"
        return
    yield from (f"{name:<28}{value}" for name, value in _rows(request.config, found))


def _rows(config: EngineConfig, found: Measurement) -> Iterable[tuple[str, str]]:
    """Physics first: what must be read, what that allows, then what was measured."""
    label, threads = "simulated " if found.simulated else "", config.cpu_threads
    yield "weight file", f"{found.artefact_bytes / 1e6:.1f} MB, read once per step"
    if threads:
        bound = cost_model.bound_tokens_per_second(found.artefact_bytes, threads=threads)
        yield (
            "bound by bandwidth",
            f"{bound:.0f} tokens/s at {cost_model.CORE_BYTES_PER_SECOND / 1e9:.1f} GB/s a core"
            " (reference machine)" + (", without speculation" if config.speculates else ""),
        )
    stated = "stated " if found.baseline_stated else ""
    yield f"{label}tokens/s", f"{found.tokens_per_second:.1f}"
    yield f"{stated or label}baseline tokens/s", f"{found.baseline_tokens_per_second:.1f}"
    served = len(found.samples) if stated else len(found.samples) // 2
    yield (
        "speedup",
        (
            f"{found.speedup:.3f} [{found.speedup_low:.3f}, {found.speedup_high:.3f}],"
            f" {len(found.pair_ratios)} {'requests' if stated else 'pairs'} of {served}"
        ),
    )
    ratio = found.perplexity.value / found.reference_perplexity.value
    yield (
        "perplexity",
        (
            f"{found.perplexity.value:.3f} = {ratio:.4f} x {found.reference_perplexity.value:.3f},"
            f" {found.perplexity.missing_targets} of {found.perplexity.tokens} targets missing"
        ),
    )
    memory = found.peak_memory_bytes
    yield "peak memory", "unknown" if memory is None else f"{memory / 1e6:.0f} MB"
    yield (
        "seconds",
        " ".join(
            f"{name.removesuffix('_seconds')} {seconds:.1f}"
            for name, seconds in found.durations
            if isinstance(seconds, float)
        ),
    )


def _fresh_rows(found: FreshLaunch) -> Iterable[tuple[str, str]]:
    label = "simulated " if found.simulated else ""
    for name, ratios in (
        ("contender over baseline", found.ratios),
        ("incumbent over baseline", found.incumbent_ratios),
        ("contender over incumbent", found.contrasts),
    ):
        yield f"{label}{name}", f"{median(ratios):.3f}, {len(ratios)} rounds"


def _read_config(file: Path | None, challenge: str) -> EngineConfig:
    baseline: EngineConfig = load_challenge(challenge).challenge.baseline
    if file is None:
        return baseline
    try:
        data = tomllib.loads(file.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise ConfigError(f"config {str(file)!r}: {error}", code="bad_config") from None
    return parse_config(data, what=f"config {str(file)!r}", engine=baseline.engine)


if __name__ == "__main__":
    signal.signal(signal.SIGTERM, signal.default_int_handler)  # being stopped is an outcome too
    sys.exit(main())
