"""A server with processes of its own, in another environment than ours: started, watched, ended.

Knows a command, a folder, a log and process ids; knows no model and no wire. Nothing of our own
environment is inherited. Confinement is by Landlock alone: what a GPU's driver and torch need rules
out a user of its own and a filter of system calls (docs/engines.md).
"""

import contextlib
import json
import re
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from bench.confinement import Reach
from bench.engines import process_keeper
from bench.engines.http_line import HttpLine, Lost
from sandbox import landlock, processes
from sandbox.errors import JobError, JobTimeout

_TAIL_CHARACTERS = 900
_TELLING = re.compile(
    r"^.*(?:out of memory|\w+(?:Error|Exception)\b: ).*$", re.IGNORECASE | re.MULTILINE
)
_TELLING_LINES = 4
"""The first ones: a server's own death is the last of a chain that began in a child of it."""
_LINE_CHARACTERS = 300
_KEPT_CHARACTERS = 30_000
"""Of the log, for people: a start that fails takes the traces of several processes."""
_SECONDS_TO_END = process_keeper.GRACE_SECONDS + 10


_POLL_SECONDS = 0.05
_PROBE_SECONDS = 10


def new_folder() -> Path:
    """Return a folder for one server; short, because a Unix socket's path has at most 107 bytes."""
    return Path(tempfile.mkdtemp(prefix="paceline-"))


class KeptProcess:
    """One command and all that it starts."""

    def __init__(
        self,
        argv: Sequence[str],
        *,
        folder: Path,
        environment: Mapping[str, str],
        reach: Reach | None,
    ) -> None:
        """Start `argv`.

        Args:
            argv: with an absolute path first.
            folder: from `new_folder`; where it runs and logs, removed by `close`.
            environment: all of it.
            reach: what its processes may touch; None, or no Landlock here = all we may.
        """
        self._folder, self._peak_bytes = folder, 0
        is_confined = reach is not None and landlock.abi() > 0
        params = folder / "keeper.json"
        params.write_text(
            json.dumps(
                {
                    "argv": list(argv),
                    "read": [str(path) for path in reach.readable] if reach else [],
                    "write": [str(path) for path in reach.writable]
                    if reach and is_confined
                    else None,
                }
            )
        )
        with self.log.open("wb") as log:
            self._process = subprocess.Popen(
                (sys.executable, "-I", "-S", process_keeper.__file__, str(params)),
                cwd=folder,
                env=dict(environment),
                stdin=subprocess.PIPE,
                stdout=log,
                stderr=log,
                start_new_session=True,  # a Ctrl-C at the terminal is ours to pass on
            )

    @property
    def log(self) -> Path:
        """File of all that its processes write."""
        return self._folder / "log.txt"

    @property
    def exit_status(self) -> int | None:
        """Of the whole; None while it runs."""
        return self._process.poll()

    def wait(self, seconds: float) -> bool:
        """Wait so long, less where it ends; return whether it has ended."""
        with contextlib.suppress(subprocess.TimeoutExpired):
            self._process.wait(seconds)
        return self._process.poll() is not None

    def pids(self) -> list[int]:
        """Return the processes of the server that live now, the keeper apart."""
        return processes.descendants(self._process.pid)

    def cpu_seconds(self) -> float | None:
        """CPU seconds of all processes that live; None once they are gone."""
        used = [processes.cpu_seconds(pid) for pid in self.pids()]
        return sum(one or 0.0 for one in used) if used else None

    def peak_memory_bytes(self) -> int | None:
        """High-water marks of its processes' resident bytes, pages they share counted in each."""
        peak = sum(processes.peak_memory_bytes(pid) or 0 for pid in self.pids())
        self._peak_bytes = max(peak, self._peak_bytes)
        return self._peak_bytes or None

    def wait_until_healthy(
        self, socket: Path, *, limit: float, look: Callable[[float], None] = lambda _spent: None
    ) -> float:
        """Wait until `GET /health` answers on `socket`; return how long it took, in seconds.

        Args:
            socket: Unix socket that the server makes.
            limit: in seconds.
            look: called now and then with the seconds spent so far, and at the end.

        Raises:
            JobError: `engine_died`, with its last words.
            JobTimeout: `engine_start_timeout`.
        """
        started = time.monotonic()
        with contextlib.closing(HttpLine(socket, request_seconds=_PROBE_SECONDS)) as line:
            while not _is_healthy(line):
                spent = time.monotonic() - started
                look(spent)
                if self.wait(_POLL_SECONDS):
                    raise self.death("it ended while loading")
                if spent > limit:
                    self._show_log()
                    raise JobTimeout(
                        f"the engine did not serve within {limit} s{self.last_words()}",
                        code="engine_start_timeout",
                    )
        spent = time.monotonic() - started
        look(spent)
        return spent

    def death(self, what: str) -> JobError:
        """Return the error for a server that ended, with its last words."""
        self.wait(1)
        self._show_log()
        return JobError(
            f"the engine died ({what}, exit status {self.exit_status}){self.last_words()}",
            code="engine_died",
        )

    def last_words(self) -> str:
        """Return the lines that tell most of why, and the end of what it wrote."""
        with contextlib.suppress(OSError):
            text = self.log.read_text(errors="replace").strip()
            told = dict.fromkeys(
                line.strip()[-_LINE_CHARACTERS:] for line in _TELLING.findall(text)
            )
            lines = [*list(told)[:_TELLING_LINES], text[-_TAIL_CHARACTERS:]]
            if text:
                return "; its last messages: " + "\n".join(lines)
        return ""

    def _show_log(self) -> None:
        """Write the end of the log to standard error, which a job keeps beside its result."""
        with contextlib.suppress(OSError):
            text = self.log.read_text(errors="replace").strip()
            sys.stderr.write(text[-_KEPT_CHARACTERS:] + "\n")

    def close(self) -> None:
        """End it and all below; safe to call twice, and from another thread."""
        self.peak_memory_bytes()
        if self._process.stdin is not None:
            with contextlib.suppress(OSError):
                self._process.stdin.close()
        if not self.wait(_SECONDS_TO_END):
            processes.kill_tree(self._process.pid)
            self._process.wait()
        shutil.rmtree(self._folder, ignore_errors=True)


def _is_healthy(line: HttpLine) -> bool:
    with contextlib.suppress(Lost, JobTimeout):
        return line.get("/health").status == 200  # noqa: PLR2004  # HTTP's OK
    return False
