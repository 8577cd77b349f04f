"""HTTP for the fake Hub: reads requests, writes answers. Knows no routes."""

import json
from abc import ABC, abstractmethod
from collections.abc import Iterable, Mapping
from http.server import BaseHTTPRequestHandler
from typing import Any
from urllib.parse import parse_qs, unquote, urlsplit


class Exchange(BaseHTTPRequestHandler, ABC):
    """One request and its answer; a subclass says which in `respond`."""

    protocol_version = "HTTP/1.1"
    server_version = "paceline-fake-hub"

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - the library's name
        """Say nothing on standard error."""

    @abstractmethod
    def respond(self) -> None:
        """Answer the request."""

    def handle_one_request(self) -> None:
        """Take a client that left for what it is."""
        try:
            super().handle_one_request()
        except (ConnectionError, TimeoutError, ValueError):  # ValueError: our side was closed
            self.close_connection = True

    def do_GET(self) -> None:
        """Split the address and answer."""
        split = urlsplit(self.path)
        self.parts = [unquote(part) for part in split.path.strip("/").split("/")]
        self.query = parse_qs(split.query, keep_blank_values=True)
        self.content = self._content()
        self.respond()

    do_POST = do_PUT = do_DELETE = do_HEAD = do_GET  # noqa: N815 - the library looks for these

    def _content(self) -> bytes:
        if self.headers.get("Transfer-Encoding", "").lower() != "chunked":
            return self.rfile.read(int(self.headers.get("Content-Length") or 0))
        whole = bytearray()
        while size := int(self.rfile.readline(), 16):
            whole += self.rfile.read(size)
            self.rfile.readline()
        self.rfile.readline()
        return bytes(whole)

    def bearer(self) -> str:
        """Return the token of the request, or nothing."""
        return self.headers.get("Authorization", "").removeprefix("Bearer ").strip()

    def reply(self, data: Any, *, status: int = 200, headers: Mapping[str, str] = {}) -> None:
        """Answer with JSON."""
        everything = {"Content-Type": "application/json", **headers}
        self.reply_bytes(json.dumps(data).encode(), status=status, headers=everything)

    def reply_bytes(
        self,
        data: bytes,
        *,
        status: int = 200,
        headers: Mapping[str, str] = {},
    ) -> None:
        """Answer with bytes."""
        self.send_response(status)
        for name, value in headers.items():
            self.send_header(name, value)
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(data)

    def refuse(
        self,
        status: int,
        message: str,
        *,
        code: str = "",
        headers: Mapping[str, str] = {},
    ) -> None:
        """Answer with an error as the Hub writes it."""
        extra = {"X-Error-Message": message, **({"X-Error-Code": code} if code else {}), **headers}
        self.reply({"error": message}, status=status, headers=extra)

    def hang_up(self) -> None:
        """Close the connection without an answer."""
        self.close_connection = True

    def stream(self, events: Iterable[bytes]) -> None:
        """Answer with server-sent events, each as soon as it is there."""
        self.send_response(200)
        self.send_header("Content-Type", "text/event-stream")
        self.send_header("Connection", "close")
        self.send_header("Transfer-Encoding", "chunked")
        self.end_headers()
        self.close_connection = True
        for event in events:
            self.wfile.write(f"{len(event):x}\r\n".encode() + event + b"\r\n")
            self.wfile.flush()
        self.wfile.write(b"0\r\n\r\n")
