"""Starts a submission and brings its port within the harness's reach; runs where it runs.

    python -m bench.engines.submission_bridge --params FILE.json

A submission serves on the port of its manifest, on a loopback that nobody else can see
(`sandbox.own_network`), or on the Unix socket it is told of. Where it took the port, this forwards
the socket to it, byte for byte. Knows a command and a port; knows no token. It prints `ready` once
the submission says it is healthy, and ends with it.
"""

import argparse
import contextlib
import ctypes
import http.client
import os
import signal
import socket
import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import NoReturn

from bench.engines.server_process import NO_PORT, READY, SOCKET_NAME
from bench.engines.submission_params import SubmissionParams

_PR_SET_PDEATHSIG = 1
_POLL_SECONDS = 0.05
_PROBE_SECONDS = 2
_CHUNK_BYTES = 1 << 16
_HEALTH = ("/health", "/v1/models")


def main() -> None:
    """Serve until the parent or the submission is gone."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--params", type=Path, required=True)
    params = SubmissionParams.model_validate_json(parser.parse_args().params.read_text())
    _end_with_parent()
    if params.cores:
        os.sched_setaffinity(0, params.cores)
    if not _has_ports():
        sys.stderr.write("no port can be had here: serve on the socket in PACELINE_SOCKET\n")
    served = _start(params)
    threading.Thread(target=_end_with_input, args=(served,), daemon=True).start()
    _wait_until_healthy(params, served)
    if not Path(SOCKET_NAME).exists():
        _forward(SOCKET_NAME, params.port)
    sys.stdout.write(f"{READY}\n")
    sys.stdout.flush()
    _leave(served)


def _start(params: SubmissionParams) -> "subprocess.Popen[bytes]":
    home = str(Path.cwd())
    environment = {
        **params.env,
        "PATH": os.pathsep.join((str(Path(sys.executable).parent), os.defpath)),
        "LANG": "C.UTF-8",
        "HOME": home,
        "TMPDIR": home,
        "PYTHONDONTWRITEBYTECODE": "1",
        "PACELINE_SOCKET": str(Path(home) / SOCKET_NAME),
    }
    return subprocess.Popen(
        (sys.executable, *params.serve[1:]),
        cwd=params.folder,
        env=environment,
        stdin=subprocess.DEVNULL,
        stdout=sys.stderr,
        preexec_fn=_end_with_parent,  # noqa: PLW1509  # no other thread runs yet
    )


def _has_ports() -> bool:
    """Tell whether TCP exists where this runs; see docs/sandbox.md for the levels."""
    try:
        socket.socket().close()
    except OSError:
        return False
    return True


def _wait_until_healthy(params: SubmissionParams, served: "subprocess.Popen[bytes]") -> None:
    """Ask until one of the usual paths answers 200; whoever started this holds the clock."""
    while served.poll() is None:
        if any(_is_healthy(params.port, path) for path in _HEALTH):
            return
        time.sleep(_POLL_SECONDS)
    if not _has_ports() and not Path(SOCKET_NAME).exists():
        sys.stdout.write(f"{NO_PORT}\n")
        sys.stdout.flush()
    _leave(served)


def _is_healthy(port: int, path: str) -> bool:
    try:
        with contextlib.closing(_connected(port)) as connected:
            connection = http.client.HTTPConnection("localhost", timeout=_PROBE_SECONDS)
            connection.sock = connected
            connection.request("GET", path)
            response = connection.getresponse()
            response.read()
            return response.status == http.client.OK
    except PermissionError:  # where no socket may be connected to, its being there must do
        return Path(SOCKET_NAME).exists()
    except (OSError, http.client.HTTPException):
        return False


def _connected(port: int) -> socket.socket:
    """Return a connection to the submission: to its socket if it made one, else to its port."""
    if Path(SOCKET_NAME).exists():
        own = socket.socket(socket.AF_UNIX)
        own.settimeout(_PROBE_SECONDS)
        own.connect(SOCKET_NAME)
        return own
    return socket.create_connection(("127.0.0.1", port), timeout=_PROBE_SECONDS)


def _forward(path: str, port: int) -> None:
    """Accept on a Unix socket for ever and join each connection with one to the port."""
    listening = socket.socket(socket.AF_UNIX)
    listening.bind(path)
    listening.listen()

    def accept() -> None:
        while True:
            outside, _ = listening.accept()
            try:
                inside = socket.create_connection(("127.0.0.1", port))
            except OSError:
                outside.close()
                continue
            inside.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            for pair in ((outside, inside), (inside, outside)):
                threading.Thread(target=_copy, args=pair, daemon=True).start()

    threading.Thread(target=accept, daemon=True).start()


def _copy(source: socket.socket, target: socket.socket) -> None:
    with contextlib.suppress(OSError):
        while chunk := source.recv(_CHUNK_BYTES):
            target.sendall(chunk)
    for one in (source, target):
        with contextlib.suppress(OSError):
            one.shutdown(socket.SHUT_RDWR)


def _end_with_input(served: "subprocess.Popen[bytes]") -> None:
    sys.stdin.buffer.read()
    served.kill()
    os._exit(0)


def _leave(served: "subprocess.Popen[bytes]") -> NoReturn:
    """Wait for the submission's end, say how it ended, and end."""
    status = served.wait()
    sys.stderr.write(f"\nthe submission ended, exit status {status}\n")
    sys.stderr.flush()
    os._exit(1)


def _end_with_parent() -> None:
    ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)


if __name__ == "__main__":
    main()
