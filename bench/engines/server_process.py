"""A model server in a process of its own, and one connection to it.

Knows processes, sockets and JSON; knows no tokens and no config. Start it from a thread that
outlives it: the kernel ends it with that thread. The module may be anybody's: where the kernel has
Landlock the process is confined before the first line of it runs.
"""

import contextlib
import re
import select
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from bench.confinement import ROOT, engine_reach, link_code
from bench.engines.http_line import HttpLine, Lost
from sandbox import landlock
from sandbox.confined import confined_argv
from sandbox.errors import JobError, JobTimeout

READY = "ready"
"""First word of the line the server prints once it serves."""
NO_PORT = "no_port"
"""The same of a server that ended and could have had no port where it ran, only a Unix socket."""
SOCKET_NAME = "s.sock"
"""In the server's working folder; xllamacpp takes a host name that ends so for a Unix socket."""
_ERROR_TAIL_CHARACTERS = 1500
_SECONDS_TO_DIE = 1


class ServerProcess:
    """Runs `python -m MODULE --params FILE` and posts JSON to the Unix socket it serves on."""

    def __init__(  # noqa: PLR0913  # each is one fact about the process
        self,
        module: str,
        params: str,
        *,
        start_seconds: float,
        request_seconds: float,
        readable: Sequence[Path] = (),
        takes_network: bool = False,
        landlock_abi: int | None = None,
    ) -> None:
        """Start and wait until it serves.

        Args:
            module: the server's module; it prints `ready` once it serves.
            params: text of the parameter file; the socket to serve on is `SOCKET_NAME`.
            start_seconds: limit for loading.
            request_seconds: limit for one request.
            readable: files and folders it needs besides Python and our `bench` and `sandbox`: its
                weights, a submission's folder. It writes only its own temporary folder.
            takes_network: let it serve on TCP ports too, on a loopback with nobody else on it;
                where the kernel gives none, it has its Unix socket only.
            landlock_abi: None = the kernel's; 0 = as on a kernel without it, not confined.

        Raises:
            JobError: `engine_died`, `engine_start_timeout` or `no_port`, with the end of its
                messages.
        """
        self._folder = Path(tempfile.mkdtemp(prefix="paceline-"))
        self._peak_bytes: int | None = None
        self._line = HttpLine(self._folder / SOCKET_NAME, request_seconds=request_seconds)
        (self._folder / "params.json").write_text(params)
        is_confined = (landlock.abi() if landlock_abi is None else landlock_abi) > 0
        self._takes_network = takes_network
        self._process = self._spawn(module, readable if is_confined else None)
        try:
            self._wait_until_ready(start_seconds)
        except BaseException:
            self.close()
            raise

    def post(self, path: str, body: Mapping[str, object]) -> dict[str, Any]:
        """Return the JSON object answered.

        Raises:
            JobError: `engine_died`, or `engine_rubbish` for anything but a JSON object.
            JobTimeout: no answer in time; the process is of no further use.
        """
        try:
            return self._line.post(path, body)
        except Lost as error:
            raise self._death(str(error)) from error

    @property
    def pid(self) -> int:
        """Of its top process; a server may have others below it."""
        return self._process.pid

    def cpu_seconds(self) -> float | None:
        """CPU seconds of all the process's threads; None once it is gone."""
        try:
            # The number of another process's CPU clock: clock_getcpuclockid(3).
            return time.clock_gettime((~self._process.pid) << 3 | 2)
        except OSError:
            return None

    def peak_memory_bytes(self) -> int | None:
        """High-water mark of resident bytes, mapped files included; survives the process."""
        with contextlib.suppress(OSError):
            status = Path(f"/proc/{self._process.pid}/status").read_text()
            found = re.search(r"VmHWM:\s+(\d+) kB", status)
            self._peak_bytes = int(found[1]) * 1024 if found else self._peak_bytes
        return self._peak_bytes

    def close(self) -> None:
        """End the process; safe to call twice."""
        self.peak_memory_bytes()
        if self._process.poll() is None:
            self._process.kill()  # it holds nothing worth saving
        self._process.wait()
        self._line.close()  # last: another thread may read from it until the process ends
        for stream in (self._process.stdin, self._process.stdout):
            if stream is not None:
                stream.close()
        shutil.rmtree(self._folder, ignore_errors=True)

    def _spawn(self, module: str, readable: Sequence[Path] | None) -> subprocess.Popen[bytes]:
        """Start the server; `readable` None = not confined."""
        params = str(self._folder / "params.json")
        argv: tuple[str, ...] = (sys.executable, "-m", module, "--params", params)
        path = ROOT
        if readable is not None:
            reach = engine_reach(self._folder, readable)
            argv = confined_argv(
                argv,
                read=reach.readable,
                write=reach.writable,
                takes_network=self._takes_network,
            )
            path = link_code(self._folder / "code")
        with (self._folder / "stderr.txt").open("wb") as errors:
            return subprocess.Popen(
                argv,
                cwd=self._folder,
                env={  # nothing inherited
                    "PYTHONPATH": str(path),
                    "TMPDIR": str(self._folder),
                    "HOME": str(self._folder),  # its user has none
                    "LC_ALL": "C.UTF-8",
                },
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=errors,
            )

    def _wait_until_ready(self, start_seconds: float) -> None:
        assert self._process.stdout is not None
        readable, _, _ = select.select([self._process.stdout], [], [], start_seconds)
        if not readable:
            raise JobTimeout(
                f"the engine did not serve within {start_seconds} s{self._last_words()}",
                code="engine_start_timeout",
            )
        said = self._process.stdout.readline()
        if said.startswith(NO_PORT.encode()):
            raise JobError(
                f"the engine ended, and it can have no port here{self._last_words()}",
                code="no_port",
                hint="Let it serve on the Unix socket that PACELINE_SOCKET names",
            )
        if not said.startswith(READY.encode()):
            raise self._death("it ended while loading")

    def _death(self, what: str) -> JobError:
        with contextlib.suppress(subprocess.TimeoutExpired):
            self._process.wait(_SECONDS_TO_DIE)
        status = self._process.returncode
        return JobError(
            f"the engine died ({what}, exit status {status}){self._last_words()}",
            code="engine_died",
        )

    def _last_words(self) -> str:
        with contextlib.suppress(OSError):
            text = (self._folder / "stderr.txt").read_text(errors="replace").strip()
            if text:
                return f"; its last messages: {text[-_ERROR_TAIL_CHARACTERS:]}"
        return ""
