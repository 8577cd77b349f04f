"""One HTTP connection to a model server, kept alive: over a Unix socket, or to an address.

Knows HTTP and JSON; knows no tokens, no process and no config. Whoever holds it says what a lost
connection means.
"""

import contextlib
import http.client
import json
import os
import socket
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple
from urllib.parse import urlsplit

from sandbox.errors import ConfigError, JobError, JobTimeout

_IDLE_SECONDS = 2
"""Servers drop a connection after 5 idle seconds: open a new one well before."""
_SHOWN_BYTES = 300


class Lost(Exception):  # no error of ours: whoever holds the line turns it into one
    """The server closed the connection, or never took it."""


class Reply(NamedTuple):
    """What came back."""

    status: int
    body: bytes


class HttpLine:
    """Asks one server, one request at a time."""

    def __init__(
        self,
        address: str | Path,
        *,
        request_seconds: float,
        headers: Mapping[str, str] | None = None,
    ) -> None:
        """Connect at the first request.

        Args:
            address: `http://HOST:PORT/PREFIX`, `https://..`, or the path of a Unix socket.
            request_seconds: limit for one request.
            headers: sent with each, such as a key.

        Raises:
            ConfigError: an address of another kind; whoever typed it sees it.
        """
        self._headers = {"Content-Type": "application/json", **(headers or {})}
        self._prefix, self._used = "", 0.0
        self.request_seconds = request_seconds
        self._connection = self._connection_to(address)

    def get(self, path: str) -> Reply:
        """Return the reply, whatever its status; see `post`."""
        return self._asked("GET", path, None)

    def post(self, path: str, body: Mapping[str, object]) -> dict[str, Any]:
        """Return the JSON object answered.

        Raises:
            JobError: `engine_rubbish`, anything but a JSON object.
            JobTimeout: no answer in time.
            Lost: there is no server.
        """
        reply = self._asked("POST", path, json.dumps(body, separators=(",", ":")))
        return json_object(reply)

    def close(self) -> None:
        """Drop the connection; safe to call twice."""
        self._connection.close()

    def _asked(self, method: str, path: str, body: str | None) -> Reply:
        if time.monotonic() - self._used > _IDLE_SECONDS:
            self._connection.close()
        try:
            self._connection.request(method, self._prefix + path, body, self._headers)
            with contextlib.closing(self._connection.getresponse()) as response:
                reply = Reply(response.status, response.read())
        except TimeoutError:
            self._connection.close()
            raise JobTimeout(
                f"no answer from the engine within {self.request_seconds} s",
                code="engine_request_timeout",
            ) from None
        except (OSError, http.client.HTTPException) as error:
            self._connection.close()
            raise Lost(repr(error)) from error
        self._used = time.monotonic()
        return reply

    def _connection_to(self, address: str | Path) -> http.client.HTTPConnection:
        if isinstance(address, Path):
            return _UnixConnection(address, self.request_seconds)
        parts = urlsplit(address)
        kinds: dict[str, type[http.client.HTTPConnection]] = {
            "http": http.client.HTTPConnection,
            "https": http.client.HTTPSConnection,
        }
        if parts.scheme not in kinds or not parts.hostname or "@" in parts.netloc:
            raise ConfigError(
                f"address {address!r}: must be http://HOST:PORT/PREFIX or https://..",
                code="bad_address",
            )
        self._prefix = parts.path.rstrip("/")
        return kinds[parts.scheme](parts.hostname, parts.port, timeout=self.request_seconds)


def json_object(reply: Reply) -> dict[str, Any]:
    """Return the JSON object of a reply with status 200.

    Raises:
        JobError: `engine_rubbish`, it is none.
    """
    parsed: object = None
    with contextlib.suppress(ValueError):
        parsed = json.loads(reply.body)
    if reply.status != http.client.OK or not isinstance(parsed, dict):
        raise JobError(
            f"the engine answered {reply.body[:_SHOWN_BYTES]!r} with status {reply.status}",
            code="engine_rubbish",
        )
    return parsed


class _UnixConnection(http.client.HTTPConnection):
    def __init__(self, path: Path, timeout: float) -> None:
        super().__init__("localhost", timeout=timeout)
        self._path = path

    def connect(self) -> None:
        """Connect by way of the folder's descriptor: a socket's path has at most 107 bytes."""
        self.sock = socket.socket(socket.AF_UNIX)
        self.sock.settimeout(self.timeout)
        folder = os.open(self._path.parent, os.O_PATH)
        try:
            self.sock.connect(f"/proc/self/fd/{folder}/{self._path.name}")
        finally:
            os.close(folder)
