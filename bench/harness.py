"""One job: a candidate, from weights to a `Measurement` or a `FreshLaunch`.

Start each engine in its own process, warm up, time, score text, stamp: beside the baseline
(`bench.in_turns`), or alone where the device holds one engine (`bench.alone`). Knows the public
texts; knows no record, no rank and no private prompt. A job that fails comes back as a typed
`JobOutcome`, never as an exception.
"""

import time
from contextlib import ExitStack

from bench import alone, in_turns
from bench.challenge_files import LoadedChallenge, load_challenge
from bench.engine_sources import EngineSource, open_source
from bench.failures import Blamed, Deadline, outcome_of
from bench.job import JobRequest, Tell
from bench.launch import Launch
from bench.measurement import JobOutcome

__all__ = ["JobRequest", "Tell", "run_job", "source_of"]


def run_job(
    request: JobRequest, *, source: EngineSource | None = None, tell: Tell = lambda _line: None
) -> JobOutcome:
    """Run one launch and return what came of it; never raises but for bugs in the interpreter.

    Args:
        request: what to measure.
        source: where engines come from; None takes the one the request or challenge names.
        tell: called with lines of progress.
    """
    blame, deadline, started = Blamed(), Deadline(), time.monotonic()
    with ExitStack() as stack:
        stack.callback(deadline.clear)
        try:
            loaded = load_challenge(request.challenge)
            opened = source or source_of(request, loaded)
            launch = Launch(loaded, opened, stack=stack, blame=blame, deadline=deadline)
            return _run(request, launch, tell)
        except (Exception, KeyboardInterrupt) as error:  # noqa: BLE001  # the boundary: failures are data
            failed = outcome_of(error, side=blame.side, is_late=deadline.is_over)
            return failed.model_copy(update={"seconds": time.monotonic() - started})


def source_of(request: JobRequest, loaded: LoadedChallenge) -> EngineSource:
    """Return where the engines of `request` come from; see `open_source`."""
    return open_source(
        request.engine or loaded.challenge.engine,
        loaded.challenge,
        cache_folder=request.cache_folder,
        seed=request.seed,
        submitted=request.submitted(),
        places=request.places,
    )


def _run(request: JobRequest, launch: Launch, tell: Tell) -> JobOutcome:
    if launch.loaded.challenge.protocol.alone:
        return alone.run(request, launch, tell)
    tell("baseline: weights and start")
    launch.start_baseline()
    tell("candidate: weights and start")
    launch.start("candidate", request.config)
    return in_turns.run(request, launch, tell)
