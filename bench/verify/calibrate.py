"""Finds the limits: runs honest configs of each numeric class and stores how far they stray.

    python -m bench.verify.calibrate --challenge NAME [--runs 20] [--classes quantised]

Every raw value is stored beside its limit, max(mean + 4 sd, 1.25 x largest, floor). Runs of one
config share a launch and differ in private texts and seed; the texts are written for the purpose
and thrown away, or come from --texts FILE where the reference cannot write them. With --classes the
file keeps what it says of the others. It takes the device lane: nothing else is timed meanwhile.
"""

import argparse
import math
import secrets
import sys
import tempfile
from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, ExitStack
from pathlib import Path
from typing import NamedTuple, cast, get_args

from bench.artefacts.gguf_file import read_gguf
from bench.challenge import VerificationRule
from bench.challenge_files import SHIPPED, LoadedChallenge, Text, load_challenge, read_texts
from bench.config import diff
from bench.configs.engine_config import EngineConfig
from bench.configs.llamacpp import LlamaCppConfig
from bench.engine_places import EnginePlaces, read_places
from bench.engine_sources import LlamaCppSource
from bench.failures import Blamed
from bench.stamp import load_average, take_stamp
from bench.verify.draw import allot, draw, texts_needed
from bench.verify.hearing import Hearing
from bench.verify.honest import honest_configs, honest_on_device
from bench.verify.request import VerifyRequest
from bench.verify.thresholds import ClassLimits, Limit, Measure, NumericClass, Thresholds
from bench.verify.verifier import hear, open_challenge, start
from bench.verify.write_pool import PoolRequest, write_pool
from sandbox.errors import JobError, PacelineError
from sandbox.lane import device_lane

RULE = "max(mean + 4 sd, 1.25 x largest, floor)"
FLOORS: Mapping[Measure, float] = {
    "score_path": 0.005,
    "timing_shape": 0.12,
    "timing_drift": 0.15,
    "regret": 0.002,
    "regret_share": 0.01,
    "self_consistency": 0.001,
    "self_consistency_share": 0.003,
    "strict": 0.05,
    "served_likelihood": 0.1,
    "repetition": 0.1,
    "canaries": 0.05,
    "shape_probe": 0.05,
    "shape_logprobs": 0.03,
}
"""Where honest runs show next to nothing, rounding must not condemn the next one; and times repeat
no better than this on a shared machine."""
POOL_FACTOR = 3
"""Texts written, over those that one run draws."""
SHORTENED = {
    "speed_rounds": 3,
    "public_rounds": 2,
    "perplexity_tokens": 48,
    "served_prompts": 2,
    "repeated_prompts": 2,
    "canaries": 8,
}
"""Of a run, against a verification. Fewer served tokens make limits wider, never narrower, and the
rest of these numbers decide by rules of the challenge. 60 runs take half an hour, not two."""
LAUNCH_SECONDS = 3600.0
"""Hard limit of one config's runs, as long as nobody waits for them."""
ENOUGH_RUNS = 20

Tell = Callable[[str], None]
Lane = Callable[[str], AbstractContextManager[object]]


class Plan(NamedTuple):
    """What to calibrate, and where."""

    challenge: str
    runs: int
    """Of each class, spread over its configs."""
    classes: tuple[NumericClass, ...]
    cache_folder: Path
    texts: Path | None = None
    """JSON Lines of private texts; None = the reference writes them."""
    places: EnginePlaces | None = None


class _Found:
    """The values of one class as they come."""

    def __init__(self) -> None:
        self.values: defaultdict[Measure, list[float]] = defaultdict(list)
        self.identical: list[float] = []
        self.configs: list[str] = []
        self.served_tokens = 0

    def note(self, hearing: Hearing) -> None:
        for part in hearing.parts:
            if part.limit is None:
                self.values[cast("Measure", part.name)].append(part.value)
        if hearing.identical_share is not None:
            self.identical.append(hearing.identical_share)
        self.served_tokens = sum(len(one.token_ids) for one in hearing.served)

    def limits(self) -> ClassLimits:
        control = {"identical_share": _mean(self.identical)} if self.identical else {}
        return ClassLimits(
            limits={name: limit_of(name, self.values.get(name, ())) for name in FLOORS},
            configs=tuple(self.configs),
            control=control,
        )


def calibrate(plan: Plan, *, tell: Tell) -> Thresholds:
    """Return limits from real runs.

    Raises:
        ConfigError: the challenge has no [verification], or its model is missing.
        JobError: an engine failed.
    """
    with tempfile.TemporaryDirectory(prefix="paceline-calibration-") as scratch:
        base = VerifyRequest(
            challenge=plan.challenge,
            config=load_challenge(plan.challenge).challenge.baseline,
            claim=None,
            texts=(),
            seed=0,
            cache_folder=plan.cache_folder,
            reference_file=Path(scratch) / "reference.json",
            places=plan.places,
        )
        loaded, rule = _opened(base)
        texts = read_texts(plan.texts) if plan.texts else _texts(plan, rule, tell=tell)
        configs = _honest(loaded, plan.cache_folder)
        found = {name: _Found() for name in plan.classes}
        hardware: dict[str, str | int | float] = {}
        for name, number, config in _in_turn(plan, configs):
            seeds = range(number, plan.runs, len(configs[name]))
            words = _words(loaded, config)
            tell(f"{name}: {words}, {len(seeds)} runs")
            request = base.model_copy(update={"config": config})
            hardware = _run(request, texts, seeds=seeds, found=found[name], tell=tell)
            found[name].configs.append(words)
    return Thresholds(
        challenge=loaded.challenge.name,
        is_provisional=plan.runs < ENOUGH_RUNS,
        rule=RULE,
        served_tokens=max(one.served_tokens for one in found.values()),
        hardware=hardware,
        classes={name: one.limits() for name, one in found.items()},
    )


def _opened(request: VerifyRequest) -> tuple[LoadedChallenge, VerificationRule]:
    loaded, rule = open_challenge(request)
    return loaded, rule.model_copy(update=SHORTENED)


def limit_of(name: Measure, values: Sequence[float]) -> Limit:
    """Return the limit that the honest `values` of a measure ask for."""
    floor, finite = FLOORS[name], [value for value in values if math.isfinite(value)]
    if not finite:
        return Limit(limit=floor)
    mean = _mean(finite)
    variance = sum((value - mean) ** 2 for value in finite) / max(len(finite) - 1, 1)
    asked = max(mean + 4 * math.sqrt(variance), 1.25 * max(finite), floor)
    return Limit(limit=float(f"{asked:.3g}"), values=tuple(float(f"{one:.3g}") for one in finite))


def _in_turn(
    plan: Plan, configs: Mapping[NumericClass, Sequence[EngineConfig]]
) -> Iterator[tuple[NumericClass, int, EngineConfig]]:
    """Yield the configs that get a run; the number of each is also its first seed."""
    for name in plan.classes:
        for number, config in enumerate(configs[name][: plan.runs]):
            yield name, number, config


def _run(
    request: VerifyRequest,
    texts: Sequence[Text],
    *,
    seeds: Sequence[int],
    found: _Found,
    tell: Tell,
) -> dict[str, str | int | float]:
    loaded, rule = _opened(request)
    before = load_average()
    with ExitStack() as stack:
        launch = start(request, loaded, rule, stack=stack, blame=Blamed())
        launch.limit(LAUNCH_SECONDS)
        for seed in seeds:
            launch.request = request.model_copy(update={"seed": seed})
            drawn = draw(texts, count=texts_needed(rule), seed=str(seed), exclude=())
            hearing = Hearing(launch, allot(drawn, rule))
            try:
                hear(hearing, lambda _line: None, to_the_end=True)
            except JobError as error:
                if error.code != "no_clean_pairs":
                    raise
                tell(f"  seed {seed}: left out, {error}")
                continue
            found.note(hearing)
            shown = {part.name: float(f"{part.value:.3g}") for part in hearing.parts}
            tell(f"  seed {seed}: {shown}")
        engine = launch.candidate.engine
        stamp = take_stamp(engine, model_sha256=launch.model_sha256, load_average_start=before)
    return stamp.model_dump(mode="json")


def _texts(plan: Plan, rule: VerificationRule, *, tell: Tell) -> tuple[Text, ...]:
    request = PoolRequest(
        challenge=plan.challenge,
        texts=POOL_FACTOR * texts_needed(rule),
        tokens=rule.pool_tokens,
        seed_hex=secrets.token_hex(16),
        cache_folder=plan.cache_folder,
        out=Path("unused"),
    )
    return write_pool(request, tell=tell)


def _honest(
    loaded: LoadedChallenge, cache_folder: Path
) -> Mapping[NumericClass, Sequence[EngineConfig]]:
    baseline = loaded.challenge.baseline
    if not isinstance(baseline, LlamaCppConfig):
        return honest_on_device(baseline)
    layers, tokens = _model_shape(loaded, cache_folder)
    return honest_configs(baseline, layers=layers, tokens=tokens)


def _model_shape(loaded: LoadedChallenge, cache_folder: Path) -> tuple[int, int]:
    with ExitStack() as stack:
        source = LlamaCppSource(loaded.challenge, cache_folder)
        stack.callback(source.close)
        path = source.artefact(loaded.challenge.baseline, public_ids=()).model_path
    file = read_gguf(path)
    tokens = file.metadata["tokenizer.ggml.tokens"].content
    assert isinstance(tokens, list)
    return file.block_count, len(tokens)


def _words(loaded: LoadedChallenge, config: EngineConfig) -> str:
    changed = diff(loaded.challenge.baseline, config)
    return " ".join(f"{path}={value}" for path, value in sorted(changed.items())) or "baseline"


def _beside_the_others(found: Thresholds, file: Path) -> Thresholds:
    """Add the classes that were not calibrated this time, as `file` has them."""
    classes = dict(found.classes)
    if file.is_file():
        classes = {**Thresholds.model_validate_json(file.read_bytes()).classes, **classes}
    runs = [len(one.limits["regret"].values) for one in classes.values()]
    is_provisional = min(runs) < ENOUGH_RUNS or set(classes) != set(get_args(NumericClass))
    return found.model_copy(update={"classes": classes, "is_provisional": is_provisional})


def _mean(values: Sequence[float]) -> float:
    return math.fsum(values) / len(values)


def main(argv: list[str] | None = None, *, lane: Lane = device_lane) -> int:
    """Calibrate one challenge, holding the device lane; return the exit code."""
    parser = argparse.ArgumentParser(prog="python -m bench.verify.calibrate")
    parser.add_argument("--challenge", required=True, help="name, file or folder")
    parser.add_argument("--runs", type=int, default=ENOUGH_RUNS, help="of each numeric class")
    parser.add_argument("--classes", default=",".join(get_args(NumericClass)))
    parser.add_argument("--cache", type=Path, default=Path(".cache"), help="folder of weight files")
    parser.add_argument("--texts", type=Path, help="private texts; default: they are written")
    parser.add_argument("--places", type=Path, help="as of python -m bench")
    parser.add_argument("--out", type=Path, help="default: beside the shipped challenge")
    arguments = parser.parse_args(argv)
    classes = cast("tuple[NumericClass, ...]", tuple(arguments.classes.split(",")))
    cache_folder = arguments.cache.resolve()
    out = arguments.out or SHIPPED / arguments.challenge / "thresholds.json"
    try:
        places = read_places(arguments.places.resolve()) if arguments.places else None
        texts = arguments.texts
        plan = Plan(arguments.challenge, arguments.runs, classes, cache_folder, texts, places)
        with lane("cpu"):
            found = calibrate(plan, tell=_tell)
    except PacelineError as error:
        sys.stderr.write(f"error: {error} [{error.code}]\n")
        return error.exit_code
    found = _beside_the_others(found, out)
    out.write_text(found.model_dump_json(indent=1) + "\n")
    _tell(f"wrote {out}")
    return 0


def _tell(line: str) -> None:
    sys.stderr.write(f"{line}\n")
    sys.stderr.flush()


if __name__ == "__main__":
    sys.exit(main())
