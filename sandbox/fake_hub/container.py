"""One command in a container of bubblewrap: the fake Hub's stand-in for the platform's.

Inside are this machine's programs and Python, read-only; a /tmp of its own; and the volumes at
their mount paths. No network but a loopback. There is no image: every image name means this
machine. It limits time, not memory: a rehearsal of the traffic, not of the platform's walls.
"""

import contextlib
import os
import signal
import subprocess
import threading
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

from sandbox import bubblewrap
from sandbox.errors import SandboxUnavailable
from sandbox.landlock import OF_ETC, SYSTEM, runtime_paths

_NAMESPACES = ("--unshare-pid", "--unshare-ipc", "--unshare-uts", "--unshare-net")
_OWN = ("/proc", "/dev", "/etc", "/sys", *SYSTEM)
"""Made otherwise, whatever of them Python needs."""
_LINE_BYTES = 64 << 10


class Mount(NamedTuple):
    """A folder of this machine and where the job sees it."""

    source: Path
    target: str
    read_only: bool


class Container:
    """A running command; `wait` once, `kill` from any thread."""

    def __init__(
        self,
        command: Sequence[str],
        *,
        environment: Mapping[str, str],
        mounts: Sequence[Mount],
        scratch: Path,
    ) -> None:
        """Start `command`; from a thread that lives as long as it, or it dies with that.

        Raises:
            SandboxUnavailable: there is no bubblewrap.
            OSError: it cannot be started.
        """
        program = bubblewrap.program()
        if program is None:
            raise SandboxUnavailable(
                "the fake Hub runs jobs in bubblewrap, which is not here",
                hint="Install the package `bubblewrap`",
            )
        self._process = subprocess.Popen(
            [program, *_options(mounts, scratch), "--", *command],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            env=dict(environment),
            start_new_session=True,
        )

    @property
    def pid(self) -> int:
        """Return the id of the process outside; killing it ends all inside."""
        return self._process.pid

    def wait(self, tell: Callable[[str], None], *, seconds: float) -> int | None:
        """Pass on what is printed until the end; return the exit code, None = out of time."""
        out_of_time = threading.Event()

        def stop() -> None:
            out_of_time.set()
            self.kill()

        timer = threading.Timer(seconds, stop)
        timer.daemon = True
        timer.start()
        with self._process:
            assert self._process.stdout is not None
            while line := self._process.stdout.readline(_LINE_BYTES):
                tell(line.decode(errors="replace").rstrip("\r\n"))
        timer.cancel()
        timer.join()
        return None if out_of_time.is_set() else self._process.returncode

    def kill(self) -> None:
        """End the command and all it started.

        By the group: killed before it has set itself up, bubblewrap would leave its child behind.
        """
        if self._process.poll() is None:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(self._process.pid, signal.SIGKILL)


def _options(mounts: Sequence[Mount], scratch: Path) -> list[str]:
    user = ["--cap-drop", "ALL"] if os.geteuid() == 0 else ["--unshare-user"]
    options = [*_NAMESPACES, "--unshare-cgroup-try", *user, "--hostname", "job"]
    options.append("--die-with-parent")
    for path in map(Path, SYSTEM):
        if path.is_symlink():
            options += ["--symlink", str(path.readlink()), str(path)]
        elif path.is_dir():
            options += ["--ro-bind", str(path), str(path)]
    for name in OF_ETC:
        options += ["--ro-bind-try", name, name]
    options += ["--proc", "/proc", "--dev", "/dev", "--bind", str(scratch), "/tmp"]  # noqa: S108
    for name in _python():
        options += ["--ro-bind-try", name, name]
    for mount in mounts:
        kind = "--ro-bind" if mount.read_only else "--bind"
        options += [kind, str(mount.source), mount.target]
    return [*options, "--remount-ro", "/", "--chdir", "/tmp"]  # noqa: S108


def _python() -> list[str]:
    """Return what Python needs beyond the system, where it lies and as it is called."""
    found = {
        text
        for path in runtime_paths()
        for text in (str(path.absolute()), str(path.resolve()))
        if not any(text == own or text.startswith(f"{own}/") for own in _OWN)
    }
    return sorted(found)
