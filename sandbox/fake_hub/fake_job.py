"""One job of the fake Hub, from SCHEDULING to its end, and what it costs.

A thread of its own starts the container and lives as long, so that the container cannot outlive
this process. Billed are the seconds of RUNNING, as the platform does. Knows no HTTP.
"""

import threading
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Literal, NamedTuple

from sandbox.errors import SandboxUnavailable
from sandbox.fake_hub.container import Container, Mount
from sandbox.fake_hub.stamps import stamp

Stage = Literal["SCHEDULING", "RUNNING", "COMPLETED", "ERROR", "CANCELED"]
LIVE: tuple[Stage, ...] = ("SCHEDULING", "RUNNING")
MOST_LOG_LINES = 20_000
_SECONDS_PER_HOUR = 3600


class Order(NamedTuple):
    """What was asked for."""

    id: str
    number: int
    """Of all jobs here, from 1."""
    namespace: str
    flavor: str
    usd_per_hour: float
    body: Mapping[str, Any]
    """As the client sent it, without secrets."""
    timeout_seconds: float


class Fate(NamedTuple):
    """What is to happen to it before it runs."""

    scheduling_seconds: float | None
    """None: it is never scheduled."""
    refusal: str = ""
    """Given: it ends in ERROR with this message instead of running."""


class FakeJob:
    """A job; may be asked from any thread."""

    def __init__(self, order: Order, fate: Fate, mounts: Callable[[], list[Mount]]) -> None:
        """Put it in the queue; `mounts` makes the volumes once it is scheduled."""
        self.order = order
        self.stage: Stage = "SCHEDULING"
        self.message: str | None = None
        self.logs: list[tuple[float, str]] = []
        self.echoes = 0
        """How many looks shall still show it running after its end."""
        self.created, self.started, self.finished = time.time(), 0.0, 0.0
        self.changed = threading.Condition()
        self._fate, self._mounts = fate, mounts
        self._container: Container | None = None
        self._cancelled = False
        self._scratch: Path | None = None
        self._thread = threading.Thread(target=self._live, name=f"job {order.id}", daemon=True)

    def start(self, scratch: Path) -> None:
        """Let it live; `scratch` becomes its /tmp."""
        self._scratch = scratch
        self._thread.start()

    def cancel(self) -> None:
        """Stop it, whatever it does; nothing when it has ended."""
        with self.changed:
            self._cancelled = True
            if self.stage == "SCHEDULING":
                self._end("CANCELED")
            elif self._container is not None:
                self._container.kill()
            self.changed.notify_all()

    def join(self) -> None:
        """Wait until nothing of it runs."""
        self._thread.join()

    @property
    def pid(self) -> int | None:
        """Return the id of its container's process, if it ever ran."""
        return self._container.pid if self._container is not None else None

    @property
    def is_over(self) -> bool:
        """Return whether it has ended."""
        return self.stage not in LIVE

    def running_seconds(self) -> float:
        """Return how long it has been, or was, RUNNING."""
        return (self.finished or time.time()) - self.started if self.started else 0.0

    def usd(self) -> float:
        """Return what it has cost."""
        return self.running_seconds() * self.order.usd_per_hour / _SECONDS_PER_HOUR

    def _live(self) -> None:
        with self.changed:
            self.changed.wait_for(lambda: self._cancelled, self._fate.scheduling_seconds)
            if self.is_over:
                return
            if self._fate.refusal:
                self._end("ERROR", self._fate.refusal)
                return
        try:
            mounts = self._mounts()
        except OSError as error:
            with self.changed:
                self._end("ERROR", f"Failed to mount volume: {error}")
            return
        self._run(mounts)

    def _run(self, mounts: list[Mount]) -> None:
        body, scratch = self.order.body, self._scratch
        assert scratch is not None
        with self.changed:
            if self.is_over:
                return
            try:
                self._container = Container(
                    [*body["command"], *body.get("arguments", ())],
                    environment=body.get("environment") or {},
                    mounts=mounts,
                    scratch=scratch,
                )
            except (OSError, SandboxUnavailable) as error:
                self._end("ERROR", f"Failed to start container: {error}")
                return
            self.stage, self.started = "RUNNING", time.time()
            self.changed.notify_all()
        self._say("===== Job started =====")
        code = self._container.wait(self._say, seconds=self.order.timeout_seconds)
        with self.changed:
            self._end(*self._verdict(code))

    def _verdict(self, code: int | None) -> tuple[Stage, str | None]:
        if self._cancelled:
            return "CANCELED", None
        if code is None:
            return "ERROR", "Job timeout"
        if code == 0:
            return "COMPLETED", None
        return "ERROR", f"Job failed with exit code: {code}. Reason: Error"

    def _say(self, line: str) -> None:
        with self.changed:
            if len(self.logs) < MOST_LOG_LINES:
                self.logs.append((time.time(), line))
            self.changed.notify_all()

    def _end(self, stage: Stage, message: str | None = None) -> None:
        """Fix the end; the lock is held."""
        self.stage, self.message, self.finished = stage, message, time.time()
        self.changed.notify_all()

    def info(self) -> dict[str, Any]:
        """Return it as the API shows it; now and then, by order, as it was before its end."""
        with self.changed:
            stage, finished = self.stage, self.finished
            if self.is_over and self.started and self.echoes:
                self.echoes -= 1
                stage, finished = "RUNNING", 0.0
        return {
            **self._spec(),
            "createdAt": stamp(self.created),
            "startedAt": stamp(self.started) if self.started else None,
            "finishedAt": stamp(finished) if finished else None,
            "status": {"stage": stage, "message": self.message if finished else None},
            "durations": self._durations(),
        }

    def _spec(self) -> dict[str, Any]:
        owner = {"id": "0" * 24, "name": self.order.namespace, "type": "user"}
        body = self.order.body
        return {
            "id": self.order.id,
            "owner": owner,
            "initiator": owner,
            "flavor": self.order.flavor,
            "dockerImage": body.get("dockerImage"),
            "command": body["command"],
            "arguments": body.get("arguments", []),
            "environment": body.get("environment") or {},
            "labels": body.get("labels") or {},
            "volumes": body.get("volumes") or [],
        }

    def _durations(self) -> dict[str, int | None]:
        until = self.finished or time.time()
        return {
            "schedulingSecs": round(self.started - self.created) if self.started else None,
            "runningSecs": round(self.running_seconds()) if self.started else None,
            "totalSecs": round(until - self.created),
        }
