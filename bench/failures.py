"""Turns whatever went wrong in a job into a typed outcome: a failed job is data.

Knows error codes and sides; knows no engine. This holds the one broad `except` of the bench.
"""

import re
import threading
import traceback
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Literal

from bench.measurement import JobOutcome, Side
from sandbox.errors import ConfigError, JobTimeout, PacelineError

Status = Literal["crashed", "timed_out", "out_of_memory", "rubbish", "refused", "cancelled"]
Fault = Literal["agent", "infrastructure", "budget"]

OUT_OF_MEMORY = re.compile(
    r"exit status -9\b|bad_alloc|out of memory|(failed|unable|cannot) (to )?allocate", re.IGNORECASE
)
"""What a dead engine says when memory was the reason; 9 is the kernel's own choice of signal."""
MESSAGE_CHARACTERS = 2000


class Deadline:
    """Ends the engines when the time is up, so that a request that hangs comes back as an error.

    A thread of its own, because the thread that waits for an engine cannot look at a clock.
    """

    def __init__(self) -> None:
        self.is_over = False
        self._timer: threading.Timer | None = None

    def set(self, seconds: float, ends: Callable[[], None]) -> None:
        """Call `ends` in `seconds`, instead of what was set before."""
        self.clear()
        self._timer = threading.Timer(seconds, self._end, [ends])
        self._timer.daemon = True
        self._timer.start()

    def clear(self) -> None:
        """Forget what was set."""
        if self._timer is not None:
            self._timer.cancel()

    def _end(self, ends: Callable[[], None]) -> None:
        self.is_over = True
        ends()


class Blamed:
    """Remembers whose work was under way when something failed; None = nobody's engine."""

    def __init__(self) -> None:
        self.side: Side | None = None

    @contextmanager
    def __call__(self, side: Side) -> Iterator[None]:
        """Work for `side`; the mark stays where an error passes."""
        self.side = side
        yield
        self.side = None


def outcome_of(error: BaseException, *, side: Side | None, is_late: bool) -> JobOutcome:
    """Return the outcome that `error` means.

    Args:
        error: what ended the job.
        side: whose engine was at work: a candidate's failure is its author's.
        is_late: the job's own deadline had passed, so that whatever the error says, time was it.
    """
    status, code = _classify(error, is_late=is_late)
    fault: Fault = "agent" if side == "candidate" else "infrastructure"
    if status == "timed_out" and side is None:
        fault = "budget"
    return JobOutcome(status=status, fault=fault, code=code, message=_message(error))


def _classify(error: BaseException, *, is_late: bool) -> tuple[Status, str]:
    if isinstance(error, KeyboardInterrupt):
        return "cancelled", "cancelled"
    code = error.code if isinstance(error, PacelineError) else "internal_error"
    if is_late:
        return "timed_out", "deadline"
    if isinstance(error, JobTimeout):
        return "timed_out", code
    if isinstance(error, MemoryError) or (
        code == "engine_died" and OUT_OF_MEMORY.search(str(error))
    ):
        return "out_of_memory", "out_of_memory"
    if isinstance(error, ConfigError):
        return "refused", code
    return ("rubbish" if code in {"engine_rubbish", "no_clean_pairs"} else "crashed"), code


def _message(error: BaseException) -> str:
    """Return one line; for a bug of ours also where it is, since no traceback is shown."""
    text = " ".join(str(error).split())
    if not isinstance(error, PacelineError):
        frames = traceback.extract_tb(error.__traceback__)
        place = f" at {frames[-1].filename}:{frames[-1].lineno}" if frames else ""
        text = f"{type(error).__name__}: {text}{place}"
    return text[:MESSAGE_CHARACTERS]
