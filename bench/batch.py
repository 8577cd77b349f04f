"""Several configs in one process: they share the baseline, and their starts may overlap.

    python -m bench --batch requests.jsonl

For a device that is lent for minutes, where each start of an engine costs one: the baseline starts
once, and `start_together` candidates start at once. Nothing is timed while anything starts. Each
request gets an outcome of its own; a candidate that fails does not end the others. Knows launches;
knows no record and no file.
"""

import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import ExitStack
from typing import NamedTuple

from bench import in_turns
from bench.challenge_files import LoadedChallenge, load_challenge
from bench.engine_sources import EngineSource
from bench.failures import Blamed, Deadline, outcome_of
from bench.harness import run_job, source_of
from bench.job import JobRequest, Tell
from bench.launch import Launch
from bench.measurement import JobOutcome
from sandbox.errors import ConfigError

MOST_TOGETHER = 8
CROWDED = frozenset({"engine_died", "engine_start_timeout", "out_of_memory"})
"""What a candidate may fail with because others started beside it."""
SourceOf = Callable[[JobRequest, LoadedChallenge], EngineSource]


Wave = Sequence[tuple[int, JobRequest]]
"""Requests with their numbers."""


class Outcome(NamedTuple):
    """What came of one request of a batch."""

    number: int
    """Its place among the requests, from 0."""
    outcome: JobOutcome


def run_batch(
    requests: Sequence[JobRequest],
    *,
    start_together: int = 1,
    sources: SourceOf = source_of,
    tell: Tell = lambda _line: None,
) -> Iterator[Outcome]:
    """Yield the outcome of each request as it is known.

    A candidate that lost its baseline, or did not start beside others, is tried once more by
    itself, after the others.

    Args:
        requests: of one challenge and engine; the same config twice is two launches of it.
        start_together: candidates started at once; they and the baseline must fit on the device.
            One at a time where the challenge's protocol is `alone`.
        sources: where the engines of a request come from.
        tell: called with lines of progress.

    Raises:
        ConfigError: the challenge is unknown, or the requests name several; whoever wrote them
            sees it.
    """
    if not requests:
        return
    _check_alike(requests)
    loaded = load_challenge(requests[0].challenge)
    alone = bool(loaded.challenge.protocol.alone)
    for found in (
        _one_by_one(requests, tell)
        if alone
        else _beside_one_baseline(
            list(enumerate(requests)), loaded, min(start_together, MOST_TOGETHER), sources, tell
        )
    ):
        yield found
        if found.outcome.status == "cancelled":
            return


def _one_by_one(requests: Sequence[JobRequest], tell: Tell) -> Iterator[Outcome]:
    for number, request in enumerate(requests):
        tell(f"{number + 1} of {len(requests)}")
        yield Outcome(number, run_job(request, tell=tell))


def _beside_one_baseline(
    requests: Wave, loaded: LoadedChallenge, width: int, sources: SourceOf, tell: Tell
) -> Iterator[Outcome]:
    again: list[tuple[int, JobRequest]] = []
    with ExitStack() as stack:
        # The kernel ends an engine with the thread that started it: these outlive all of them.
        starters = stack.enter_context(ThreadPoolExecutor(width))
        host = _Host(loaded, sources, stack)
        for first in range(0, len(requests), width):
            wave = requests[first : first + width]
            names = ", ".join(str(number + 1) for number, _ in wave)
            tell(f"{names} of {len(requests)}: weights and start")
            for found in _wave(wave, host, starters, tell):
                if _is_again(found.outcome, host, is_crowded=len(wave) > 1):
                    again.append(requests[found.number])
                else:
                    yield found
            host.rest()
        for one in again:
            tell(f"{one[0] + 1} of {len(requests)}: once more, by itself")
            yield from _wave([one], host, starters, tell)
            host.rest()


def _check_alike(requests: Sequence[JobRequest]) -> None:
    kinds = {(one.challenge, one.engine) for one in requests}
    if len(kinds) > 1:
        raise ConfigError(
            f"a batch of {len(kinds)} challenges or engines",
            code="bad_request",
            hint="the baseline is shared: one batch for each",
        )


class _Host:
    """The baseline that all candidates are timed beside; started again when it was lost."""

    def __init__(self, loaded: LoadedChallenge, sources: SourceOf, stack: ExitStack) -> None:
        self.loaded, self.sources = loaded, sources
        self._stack = stack.enter_context(ExitStack())
        self._launch: Launch | None = None

    def launch(self, request: JobRequest) -> Launch:
        """Return a launch whose baseline runs."""
        if self._launch is None:
            blame, deadline = Blamed(), Deadline()
            self._stack.callback(deadline.clear)
            plain = request.model_copy(update={"submission": None, "incumbent_submission": None})
            source = self.sources(plain, self.loaded)
            begun = Launch(self.loaded, source, stack=self._stack, blame=blame, deadline=deadline)
            begun.start_baseline()
            deadline.clear()
            self._launch = begun
        return self._launch

    def lose(self) -> None:
        """End the baseline; the next candidate gets a new one."""
        self._stack.close()
        self._launch = None

    def rest(self) -> None:
        """End a baseline that remembers requests: the same prompts again would flatter it."""
        if self.loaded.challenge.baseline.speculates:
            self.lose()


class _Entry:
    """One candidate beside the shared baseline, from its start to its outcome."""

    def __init__(self, number: int, request: JobRequest, host: _Host) -> None:
        self.number, self.request, self._host = number, request, host
        self.blame, self.deadline, self.stack = Blamed(), Deadline(), ExitStack()
        self.stack.callback(self.deadline.clear)
        self._began = time.monotonic()
        self._launch: Launch | None = None

    def start(self, lent: Launch) -> JobOutcome | None:
        """Start the candidate; return why it did not."""

        def begin() -> None:
            loaded = self._host.loaded
            source = self._host.sources(self.request, loaded)
            launch = Launch(
                loaded, source, stack=self.stack, blame=self.blame, deadline=self.deadline
            )
            launch.borrow(lent)
            launch.start("candidate", self.request.config)
            self.deadline.clear()
            self._launch = launch

        return self._guarded(begin)

    def measure(self, tell: Tell) -> JobOutcome:
        """Time the started candidate, score text, and end it."""
        found: list[JobOutcome] = []

        def work() -> None:
            assert self._launch is not None
            found.append(in_turns.run(self.request, self._launch, tell))

        failed = self._guarded(work)
        self.stack.close()
        return failed or found[0]

    def _guarded(self, work: Callable[[], None]) -> JobOutcome | None:
        try:
            work()
        except (Exception, KeyboardInterrupt) as error:  # noqa: BLE001  # the boundary: failures are data
            failed = outcome_of(error, side=self.blame.side, is_late=self.deadline.is_over)
            self.stack.close()
            return failed.model_copy(update={"seconds": time.monotonic() - self._began})
        return None


def _wave(wave: Wave, host: _Host, starters: ThreadPoolExecutor, tell: Tell) -> Iterator[Outcome]:
    """Start candidates at once, then time them one after another, each ended before the next."""
    entries = [_Entry(number, request, host) for number, request in wave]
    try:
        lent = host.launch(wave[0][1])
    except (Exception, KeyboardInterrupt) as error:  # noqa: BLE001  # the boundary: failures are data
        failed = outcome_of(error, side="baseline", is_late=False)
        host.lose()
        yield from (Outcome(number, failed) for number, _ in wave)
        return
    begun: list[Future[JobOutcome | None]] = [
        starters.submit(entry.start, lent) for entry in entries
    ]
    problems = [one.result() for one in begun]  # all, before anything is timed
    for entry, problem in zip(entries, problems, strict=True):
        tell(f"candidate {entry.number + 1}")
        yield Outcome(entry.number, problem or entry.measure(tell))


def _is_again(outcome: JobOutcome, host: _Host, *, is_crowded: bool) -> bool:
    """Return whether a failure may be the baseline's or the crowd's; the baseline is new then."""
    if outcome.status in {"measured", "cancelled", "refused", "rubbish"}:
        return False
    if outcome.fault != "agent" or outcome.status == "timed_out":
        host.lose()  # whoever hung was ended with all engines
    return outcome.fault != "agent" or (is_crowded and outcome.code in CROWDED)
