"""Keeps a server that has children of its own: none outlives it. Run as a file, by our own Python.

    python -I -S process_keeper.py PARAMS.json

Starts one command, confined by Landlock where asked to, and waits for its end or for the end of
its own standard input, whichever comes first. Then the command is told to stop, and after a few
seconds whatever is left below here is killed: as the parent of every orphan it misses none. A
process of its own because the harness has other children, and may itself be killed. Knows a
command; knows no model and no socket.
"""

from __future__ import annotations

import json
import os
import select
import sys
import time

if __name__ == "__main__":  # a bare interpreter has no path to us
    here = os.path.dirname(os.path.abspath(__file__))  # noqa: PTH100, PTH120
    sys.path.append(os.path.dirname(os.path.dirname(here)))  # noqa: PTH120

from sandbox import landlock, processes

GRACE_SECONDS = 5.0
"""A server told to stop removes its shared memory; a killed one leaves it."""
NOT_STARTED = 127
_SIGTERM = 15
_POLL_SECONDS = 0.02


def main() -> int:
    """Run the command in the parameter file; return its exit status, 1 where it was a signal."""
    with open(sys.argv[1], encoding="utf-8") as file:  # noqa: PTH123  # see sandbox.processes
        params = json.load(file)
    processes.adopt_orphans()
    child = os.fork()
    if child == 0:
        _become(params)
    status = _ended_first(child)
    if status is None:
        _stop(child)
    processes.kill_all_children()
    if status is None:
        return 0
    os.write(2, f"\nthe server ended, exit status {status}\n".encode())
    return 1


def _become(params: dict[str, object]) -> None:
    """Execute the command; the environment is the one this was given."""
    argv = [str(word) for word in params["argv"]]  # type: ignore[attr-defined]
    try:
        if params["write"] is not None:
            landlock.confine(read=params["read"], write=params["write"])  # type: ignore[arg-type]
        null = os.open(os.devnull, os.O_RDONLY)
        os.dup2(null, 0)
        os.execv(argv[0], argv)  # noqa: S606  # a fixed argv, no shell
    except Exception as error:  # noqa: BLE001  # whatever it was, this copy must not go on
        os.write(2, f"{argv[0]!r} cannot be started: {error}\n".encode())
    os._exit(NOT_STARTED)


def _ended_first(child: int) -> int | None:
    """Wait; return the command's exit status, None where our standard input ended first."""
    handle = os.pidfd_open(child)
    while True:
        ready, _, _ = select.select([handle, 0], [], [])
        if handle in ready:
            _, status = os.waitpid(child, 0)
            return os.waitstatus_to_exitcode(status)
        if not os.read(0, 1):
            return None


def _stop(child: int) -> None:
    processes.send(child, _SIGTERM)
    until = time.monotonic() + GRACE_SECONDS
    while time.monotonic() < until:
        if os.waitpid(child, os.WNOHANG)[0]:
            return
        time.sleep(_POLL_SECONDS)


if __name__ == "__main__":
    sys.exit(main())
