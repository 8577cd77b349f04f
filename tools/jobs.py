"""One job, from its intent in the record to its outcome: log first, adopt after a kill, rule once.

Knows the record, a sandbox and the files of a job; knows no engine and no queue. What the job did
is data (`JobOutcome`); only a record that cannot be written raises.
"""

import asyncio
import contextlib
import json
import math
import os
import shutil
import sys
from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path
from typing import NamedTuple

import structlog
from pydantic import JsonValue, ValidationError

from bench.challenge import Challenge
from bench.configs.vllm import VllmConfig
from bench.engine_places import EnginePlaces
from bench.guardrails import judge
from bench.measurement import JobOutcome, Measurement
from bench.roofline_configs import gate
from sandbox.errors import HubRefused, JobError
from sandbox.job import Isolation, Job, JobResult, JobSpec, Sandbox
from sandbox.landlock import runtime_paths
from sandbox.read_back import read_back
from tools.job_request import reserved_seconds
from tools.record.events import Draft, JobEnded, JobStarted, VerdictGiven
from tools.record.lineage import Lineage, Node, Run
from tools.record.recorder import Recorder

MAX_TRIES = 2
"""Tries lost to the machine (not to the config) before a job is given up: a machine too busy for
one job is mostly too busy for the next, and a lane that repeats itself measures nobody else."""
LEAST_SHARE = 0.25
"""Of its reservation, for another try of a job on a device that costs money."""
SECONDS_PER_HOUR = 3600
STANDING = frozenset(
    {
        *("bad_token", "missing_scope", "no_credit", "quota_exhausted"),
        *("unknown_flavor", "image_pull", "mount_failed", "not_prepared"),
    }
)
"""Refusals that every further job would meet until the operator has done something."""
RESULT_BYTES = 16 << 20
"""Of result.json, at most; a full run's takes 0.1 MB."""
ROOT = Path(__file__).resolve().parent.parent
CODE = ("bench", "sandbox")
"""The packages a job is made of: a confined job can read these, and not the folder they are in."""

log = structlog.get_logger()

TORCH_NEEDS = {"processes": 16_384, "open_files": 65_536}
"""Of a job whose engine is torch: hundreds of threads for each of several processes."""

Command = Callable[[Path], tuple[str, ...]]
"""Request file -> argv of the job. The argv writes `result.json` beside the request."""


def harness(request: Path) -> tuple[str, ...]:
    """Return the argv that measures: the bench, in a process of its own."""
    return (sys.executable, "-m", "bench", "--request", str(request))


Request = Callable[[Node, Run], Mapping[str, JsonValue]]
"""What the command is asked; the content of `request.json`."""


class Workplace(NamedTuple):
    """Where and by which rules jobs run."""

    sandbox: Sandbox
    challenge: Challenge
    attempts: Path
    """Folder of the session's attempts."""
    challenge_file: Path
    cache_folder: Path
    """Artefacts, keyed by recipe; outside the session."""
    command: Command = harness
    request: Request | None = None
    """Of another command than the harness; None = `request_of`."""
    readable: tuple[Path, ...] | None = None
    """What jobs may read besides their own folder; None = they are not confined. They may write
    to the cache and to their folder."""
    places: EnginePlaces | None = None
    """Where engines are that are not ours; part of every request."""
    devices: tuple[Path, ...] = ()
    """Devices that jobs may use, such as an accelerator's."""


def harness_paths(challenge: Challenge, challenge_file: Path) -> tuple[Path, ...]:
    """Return what the harness has to read: Python, its own code, public texts, the weights."""
    texts = (challenge_file.parent / name for name in (challenge.prompts, challenge.passages))
    kind, _, name = challenge.model.source.partition(":")
    weights = (Path(name).expanduser().resolve().parent,) if kind == "path" else ()
    code = (ROOT / name for name in CODE)
    return (*runtime_paths(), *code, challenge_file, *texts, *weights)


async def run_job(
    recorder: Recorder,
    place: Workplace,
    node: Node,
    run: Run,
    *,
    cancelled: asyncio.Event | None = None,
) -> JobEnded:
    """Run a requested job to its one outcome.

    A result that a killed session left complete is adopted; else the job runs as its next try.

    Args:
        recorder: of the session.
        place: where it runs.
        node: the attempt.
        run: its requested job, without an outcome.
        cancelled: when set, the job is stopped and its outcome is `cancelled`.

    Raises:
        RecordError: the record cannot be written; the operator sees it.
        HubRefused: one of `STANDING`; the job has no outcome and runs on resume, once the operator
            has done what it says.
        CancelledError: the job was stopped and has no outcome; it runs again on resume.
    """
    folder = place.attempts / node.attempt / run.job
    outcome = _adopted(folder) if run.tries else None
    tries, seconds = run.tries, 0.0
    left = whole = reserved_seconds(place.challenge, run.stage)
    while outcome is None or (
        _is_infrastructure(outcome) and tries < MAX_TRIES and left >= LEAST_SHARE * whole
    ):
        tries += 1
        started = JobStarted(job=run.job, attempt=node.attempt, try_number=tries)
        await recorder.append("lane", started, key=f"job/{run.job}/started/{tries}")
        request = place.request or partial(request_of, place, recorder.projection.lineage)
        outcome = await _one_try(recorder, place, node, run, request, cancelled, wall_seconds=left)
        seconds += outcome.seconds
        if place.challenge.device_usd_per_hour:  # all tries together are paid from one reservation
            left = whole - seconds
    total = outcome.model_copy(update={"seconds": seconds or outcome.seconds})
    return await _end(recorder, place, node, run, total)


async def end_unrun(
    recorder: Recorder, place: Workplace, node: Node, run: Run, *, code: str, message: str
) -> JobEnded:
    """Give a job that will not run its outcome, `cancelled`."""
    outcome = JobOutcome(status="cancelled", fault="budget", code=code, message=message)
    return await _end(recorder, place, node, run, outcome)


async def _one_try(  # noqa: PLR0913  (what, where, as what, and until when: each is one thing)
    recorder: Recorder,
    place: Workplace,
    node: Node,
    run: Run,
    request: Request,
    cancelled: asyncio.Event | None,
    *,
    wall_seconds: float,
) -> JobOutcome:
    folder = place.attempts / node.attempt / run.job
    try:
        served = await asyncio.to_thread(_lay_out_code, recorder, place, node, run)
        await asyncio.to_thread(_prepare, folder, node, request(node, run))
        spec = _spec(place, run, folder, served, wall_seconds=wall_seconds)
        job = await place.sandbox.start(spec)
        result = await _result(job, cancelled)
    except (JobError, OSError) as error:
        code = error.code if isinstance(error, JobError) else "not_started"
        if code in STANDING:
            raise
        return _failed("crashed", "infrastructure", code, str(error))
    if result.code in STANDING:
        raise HubRefused(result.message, code=result.code)
    return _stamped(_outcome_of(result, folder), place.sandbox.level)


def _stamped(outcome: JobOutcome, level: Isolation) -> JobOutcome:
    """Say in a measurement what kept the job in, unless it says so already."""
    measured = outcome.measurement
    if measured is None or measured.stamp.isolation:
        return outcome
    stamp = measured.stamp.model_copy(update={"isolation": level})
    return outcome.model_copy(update={"measurement": measured.model_copy(update={"stamp": stamp})})


def _prepare(folder: Path, node: Node, request: Mapping[str, JsonValue]) -> None:
    for inner in (folder / "code", folder / "tmp"):
        inner.mkdir(parents=True, exist_ok=True)
    for name in CODE:
        with contextlib.suppress(FileExistsError):
            (folder / "code" / name).symlink_to(ROOT / name, target_is_directory=True)
    (folder / "result.json").unlink(missing_ok=True)
    _write(folder.parent / "config.json", node.config.model_dump(mode="json"))
    _write(folder / "request.json", request)


def code_folder(place: Workplace, node: Node) -> Path | None:
    """Return where the files of an attempt lie while it runs; None for a config alone."""
    return place.attempts / node.attempt / "submission" if node.files else None


def _lay_out_code(recorder: Recorder, place: Workplace, node: Node, run: Run) -> tuple[Path, ...]:
    """Write the code that a job serves, from the record's blobs, and return where it lies."""
    incumbent = recorder.projection.lineage.nodes.get(run.incumbent)
    folders = []
    for one in (node, incumbent):
        folder = code_folder(place, one) if one else None
        if one is None or folder is None:
            continue
        shutil.rmtree(folder, ignore_errors=True)
        for path, name in one.files.items():
            file = folder / path
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_bytes(recorder.blobs.get(name))
        folders.append(folder)
    return tuple(folders)


def request_of(place: Workplace, lineage: Lineage, node: Node, run: Run) -> Mapping[str, JsonValue]:
    """Return the job's request as the harness reads it."""
    incumbent = lineage.nodes.get(run.incumbent)
    held: dict[str, JsonValue] = {}
    if incumbent:
        held["incumbent"] = incumbent.config.model_dump(mode="json")
    if place.challenge.protocol.alone and run.stage == "fresh":
        held["incumbent_first"] = len(node.runs) % 2 == 0  # launches of a promotion take turns
    sides = {"submission": node, "incumbent_submission": incumbent}
    folders = {side: code_folder(place, one) for side, one in sides.items() if one}
    code = {side: str(folder) for side, folder in folders.items() if folder}
    return {
        "challenge": str(place.challenge_file),
        "config": node.config.model_dump(mode="json"),
        "stage": run.stage,
        "seed": run.seed,
        "cache_folder": str(place.cache_folder),
        **({"places": place.places.model_dump(mode="json")} if place.places else {}),
        **held,
        **code,
    }


def _spec(
    place: Workplace, run: Run, folder: Path, code: tuple[Path, ...], *, wall_seconds: float
) -> JobSpec:
    path = os.pathsep.join((str(Path(sys.executable).parent), os.defpath))
    return JobSpec(
        job=run.job,
        argv=place.command(folder / "request.json"),
        folder=folder,
        environment={
            "PATH": path,
            "PYTHONPATH": str(folder / "code"),  # a confined job cannot list the project's folder
            "LANG": "C.UTF-8",
            "TMPDIR": str(folder / "tmp"),
        },
        wall_seconds=wall_seconds,
        memory_bytes=place.challenge.quotas.memory_bytes,
        readable=None if place.readable is None else (*place.readable, *code),
        writable=(place.cache_folder,),
        devices=place.devices,
        **(TORCH_NEEDS if place.devices else {}),
        connects=True,  # to the engine it starts
        networks=bool(code),  # somebody's server may know only its port
    )


async def _result(job: Job, cancelled: asyncio.Event | None) -> JobResult:
    """Wait for the job, or for the order to stop it."""
    if cancelled is None:
        return await job.result()
    result = asyncio.create_task(job.result())
    order = asyncio.create_task(cancelled.wait())
    try:
        await asyncio.wait((result, order), return_when=asyncio.FIRST_COMPLETED)
        if not result.done():
            await job.cancel()
        return await result
    finally:
        order.cancel()
        result.cancel()
        await asyncio.gather(result, order, return_exceptions=True)


def _outcome_of(result: JobResult, folder: Path) -> JobOutcome:
    """Return the outcome; a typed one whatever the job did."""
    if result.end == "timed_out":
        seconds = f"{result.wall_seconds:.0f} s"
        outcome = _failed("timed_out", "agent", "wall_clock", f"stopped after {seconds}")
    elif result.end == "out_of_memory":
        outcome = _failed("out_of_memory", "agent", "memory", "more memory than the challenge has")
    elif result.end == "over_limit":
        outcome = _failed("crashed", "agent", "over_limit", "more processes or files than allowed")
    elif result.end == "cancelled":
        outcome = _failed("cancelled", "budget", "session_over", "the session ended first")
    elif result.end == "lost":
        code, message = result.code or "lost", result.message or "the job was lost"
        outcome = _failed("crashed", "infrastructure", code, message)
    else:
        outcome = _reported(result, folder)
    return outcome.model_copy(update={"seconds": result.wall_seconds})


def _reported(result: JobResult, folder: Path) -> JobOutcome:
    if os.path.lexists(folder / "result.json"):
        try:
            return _read_result(folder)
        except JobError as error:
            return _failed("rubbish", "agent", "unreadable_result", str(error))
        except ValidationError as error:
            problem = error.errors(include_url=False)[0]
            where = ".".join(map(str, problem["loc"])) or "result.json"
            return _failed("rubbish", "agent", "unreadable_result", f"{where}: {problem['msg']}")
    last = (result.stderr_tail.strip().splitlines() or ["no output"])[-1]
    if result.exit_code == 0:
        return _failed("rubbish", "agent", "no_result", f"it ended without a result: {last}")
    return _failed("crashed", "agent", "crashed", f"exit code {result.exit_code}: {last}")


def _adopted(folder: Path) -> JobOutcome | None:
    """Return the complete outcome an earlier try left behind."""
    try:
        return _read_result(folder)
    except (JobError, OSError, ValidationError):
        return None


def _read_result(folder: Path) -> JobOutcome:
    """Read what the job wrote; the engine within it could have had a hand in it."""
    content = read_back(folder, "result.json", max_bytes=RESULT_BYTES)
    return JobOutcome.model_validate_json(content)


async def _end(
    recorder: Recorder, place: Workplace, node: Node, run: Run, outcome: JobOutcome
) -> JobEnded:
    cap = reserved_seconds(place.challenge, run.stage)
    seconds = min(outcome.seconds, cap)
    usd = seconds * place.challenge.device_usd_per_hour / SECONDS_PER_HOUR
    ended = JobEnded(
        job=run.job,
        attempt=node.attempt,
        outcome=outcome,
        spent_seconds=seconds,
        spent_usd=math.floor(usd * 1e6) / 1e6,  # never more than was reserved, rounded up
    )
    drafts = [Draft("lane", ended, f"job/{run.job}/ended"), *_verdict(place, node, run, outcome)]
    events = await recorder.append_all(drafts)
    log.info("job_ended", job=run.job, status=outcome.status, seconds=round(seconds, 2))
    stored: JobEnded = events[0].payload
    return stored


def _verdict(place: Workplace, node: Node, run: Run, outcome: JobOutcome) -> list[Draft]:
    """Return the guardrail's ruling; a screen never overrules a full run."""
    if outcome.measurement is None or (run.stage == "screen" and node.best_stage == "full"):
        return []
    ruling = judge(outcome.measurement, place.challenge.guardrail)
    verdict = VerdictGiven(
        attempt=node.attempt,
        verdict=ruling.state,
        reason=ruling.reason,
        evidence=ruling.evidence | _on_paper(place, node, outcome.measurement),
        by="guardrail",
    )
    return [Draft("guardrail", verdict, f"verdict/{run.job}")]


def _on_paper(place: Workplace, node: Node, measured: Measurement) -> dict[str, JsonValue]:
    """Return whether bytes and bandwidth allow the speed, where paper knows the device.

    Not said of llama.cpp on a CPU, whose verification has a roofline of its own.
    """
    if not isinstance(node.config, VllmConfig):
        return {}
    found = gate(measured.tokens_per_second, node.config, place.challenge)
    return {} if found is None else {"roofline": dict(found)}


def _failed(status: str, fault: str, code: str, message: str) -> JobOutcome:
    return JobOutcome.model_validate(
        {"status": status, "fault": fault, "code": code, "message": message[:2000]}
    )


def _is_infrastructure(outcome: JobOutcome) -> bool:
    return outcome.status != "measured" and outcome.fault == "infrastructure"


def _write(path: Path, data: Mapping[str, JsonValue]) -> None:
    draft = path.with_suffix(".part")
    draft.write_text(json.dumps(data, indent=1, sort_keys=True))
    draft.replace(path)
