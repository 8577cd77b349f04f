"""The process between us and a job: starts it, ends everything it left behind, dies with us.

Run as a file by a bare interpreter (`python -I -S`): `launcher.py FILE_BYTES COMMAND ARGUMENT...`.
Standard input is a lifeline: when it closes, by will or because the parent was killed, the whole
tree is killed. A pipe rather than PR_SET_PDEATHSIG, which fires when the *thread* that spawned
ends, not the process. Only the job itself gets PDEATHSIG: its parent here has one thread.
"""

import os
import resource
import select
import signal
import sys

sys.path.append(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))  # noqa: PTH100, PTH120

from sandbox import processes  # a bare interpreter has no path to us before

NOT_STARTED = 127
OPEN_FILES = 1024


def main() -> int:
    """Run the command; return its exit code, or end by the signal that ended it."""
    file_bytes, argv = int(sys.argv[1]), sys.argv[2:]
    processes.adopt_orphans()
    wake_read, wake_write = os.pipe()
    os.set_blocking(wake_write, False)
    signal.set_wakeup_fd(wake_write)
    signal.signal(signal.SIGCHLD, lambda _number, _frame: None)
    child = os.fork()
    if child == 0:
        _become(argv, file_bytes)
    status = _wait(child, wake_read)
    processes.kill_all_children()
    if status is None:
        return 1
    code = os.waitstatus_to_exitcode(status)
    if code < 0:
        signal.signal(-code, signal.SIG_DFL) if -code != signal.SIGKILL else None
        os.kill(os.getpid(), -code)
    return code


def _wait(child: int, wake: int) -> int | None:
    """Return the child's wait status, or None when the lifeline closed first."""
    while True:
        ready, _, _ = select.select([0, wake], [], [])
        if wake in ready:
            os.read(wake, 512)
        try:
            pid, status = os.waitpid(-1, os.WNOHANG)
            while pid not in {0, child}:
                pid, status = os.waitpid(-1, os.WNOHANG)
        except ChildProcessError:
            return None
        if pid == child:
            return status
        if 0 in ready and not os.read(0, 512):
            return None


def _become(argv: list[str], file_bytes: int) -> None:
    """Turn this fresh child into the command; never returns."""
    try:
        parent = os.getppid()
        processes.die_with_parent()
        if os.getppid() != parent:
            os._exit(NOT_STARTED)
        resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
        resource.setrlimit(resource.RLIMIT_FSIZE, (file_bytes, file_bytes))
        resource.setrlimit(resource.RLIMIT_NOFILE, (OPEN_FILES, OPEN_FILES))
        nothing = os.open(os.devnull, os.O_RDONLY)
        os.dup2(nothing, 0)
        os.closerange(3, OPEN_FILES)
        signal.set_wakeup_fd(-1)
        signal.signal(signal.SIGCHLD, signal.SIG_DFL)
        os.execvpe(argv[0], argv, _given_environment())  # noqa: S606  # a fixed argv, no shell
    except OSError as error:
        os.write(2, f"{argv[0]!r} cannot be started: {error.strerror}\n".encode())
    finally:
        os._exit(NOT_STARTED)


def _given_environment() -> dict[bytes, bytes]:
    """Return the environment as it was handed over: Python adds LC_CTYPE to its own (PEP 538)."""
    with open("/proc/self/environ", "rb") as file:  # noqa: PTH123
        entries = file.read().split(b"\0")
    return dict(entry.split(b"=", 1) for entry in entries if b"=" in entry)


if __name__ == "__main__":
    sys.exit(main())
