"""A Hub of one's own on a loopback socket: the unmodified client talks to it, jobs really run.

    with FakeHub(folder) as hub:
        api = HfApi(endpoint=hub.endpoint, token=hub.token)

It keeps buckets in `folder`, runs the commands of jobs as processes of this machine, bills them by
the second, and does wrong what its `Faults` or `plan.then` say. Closing it ends every job. It
checks tokens and scopes as the Hub does, as far as jobs and buckets go, and knows nothing else.
"""

import secrets
import socket
import threading
import time
from collections.abc import Mapping
from http.server import ThreadingHTTPServer
from pathlib import Path
from types import MappingProxyType, TracebackType
from typing import Any, Self

from sandbox.errors import JobError
from sandbox.fake_hub import bucket_routes, job_routes
from sandbox.fake_hub.bucket_store import BucketStore
from sandbox.fake_hub.fake_job import FakeJob
from sandbox.fake_hub.faults import FaultPlan, Faults
from sandbox.fake_hub.job_queue import JobQueue
from sandbox.fake_hub.wire import Exchange

JOB_WRITE, JOB_READ, BUCKET_WRITE, BUCKET_READ = (
    "job.write",
    "job.read",
    "repo.write",
    "repo.content.read",
)
ALL_SCOPES = frozenset({JOB_WRITE, JOB_READ, BUCKET_WRITE, BUCKET_READ})
NO_MODELS: Mapping[str, Path] = MappingProxyType({})


class FakeHub:
    """The server; use it as a context manager."""

    def __init__(
        self,
        folder: Path,
        *,
        faults: Faults | None = None,
        models: Mapping[str, Path] = NO_MODELS,
        scheduling_seconds: float = 0.02,
        credit_usd: float | None = None,
        namespace: str = "paceline",
    ) -> None:
        """Make it; it serves from `with` on.

        Args:
            folder: for buckets and the /tmp of jobs; made when missing, kept afterwards.
            faults: what goes wrong by seed; None = nothing.
            models: repository -> folder that a volume of it shows.
            scheduling_seconds: how long a job waits for its machine.
            credit_usd: what may be spent before launches are answered with 402; None = no limit.
            namespace: the account, and the one place where it may run jobs.
        """
        whole = folder.absolute()
        self.namespace = namespace
        self.token = f"hf_{secrets.token_hex(16)}"
        self.scopes = ALL_SCOPES
        """What the token may do; take some away to see the refusals."""
        self.plan = FaultPlan(faults or Faults())
        self.buckets = BucketStore(whole / "buckets")
        self.models = models
        self.queue = JobQueue(
            whole / "jobs",
            self.buckets,
            self.plan,
            models=models,
            scheduling_seconds=scheduling_seconds,
            credit_usd=credit_usd,
        )
        self.endpoint = ""
        """Its address, while it serves."""
        self._server: _Server | None = None

    def __enter__(self) -> Self:
        self._server = _Server(self)
        self.endpoint = f"http://127.0.0.1:{self._server.server_port}"
        # hf_xet remembers by address what a store holds; a port may come back with an empty one
        self.cas_url = f"{self.endpoint}/cas/{secrets.token_hex(6)}"
        threading.Thread(
            target=self._server.serve_forever, args=(0.02,), name="fake hub", daemon=True
        ).start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.queue.close()
        assert self._server is not None
        self._server.shutdown()
        self._server.server_close()
        self._server = None

    def jobs(self, **labels: str) -> list[FakeJob]:
        """Return the jobs that carry `labels`, oldest first."""
        return [
            job
            for job in reversed(self.queue.all())
            if labels.items() <= dict(job.order.body.get("labels") or {}).items()
        ]

    def spent_usd(self) -> float:
        """Return what all jobs have cost so far."""
        return self.queue.spent_usd()


class _Server(ThreadingHTTPServer):
    """Threads per connection, all of which end with it."""

    daemon_threads = False
    block_on_close = True
    request_queue_size = 64

    def __init__(self, hub: FakeHub) -> None:
        self.hub = hub
        self._open: set[socket.socket] = set()
        super().__init__(("127.0.0.1", 0), _Routes)

    def process_request(self, request: Any, client_address: Any) -> None:
        """Remember the connection, to hang up at the end: clients keep theirs open."""
        self._open.add(request)
        super().process_request(request, client_address)

    def shutdown_request(self, request: Any) -> None:
        """Forget the connection."""
        self._open.discard(request)
        super().shutdown_request(request)

    def server_close(self) -> None:
        """Hang up and wait for the threads."""
        for connection in list(self._open):
            try:
                connection.shutdown(socket.SHUT_RDWR)
            except OSError:  # it has just ended by itself
                continue
        super().server_close()

    def handle_error(self, request: Any, client_address: Any) -> None:
        """A client that left, or a stream cut by order, is nothing to print."""


class _Routes(Exchange):
    """Checks who asks and passes on."""

    server: _Server

    def respond(self) -> None:
        """Answer; a fault of the plan comes first."""
        hub = self.server.hub
        area = self.parts[0]
        if area == "cas":
            bucket_routes.cas(self, hub.buckets, hub.cas_url, self.parts[2:])
        elif area not in {"api", "buckets"}:
            self.refuse(404, "Not found")
        elif not self._struck(hub.plan) and self._allowed(hub):
            self._serve(hub)

    def _serve(self, hub: FakeHub) -> None:
        try:
            if self.parts[0] == "buckets":
                bucket_routes.resolve(self, hub.buckets, self.parts[1:])
            elif self.parts[1] == "buckets":
                bucket_routes.bucket(self, hub.buckets, hub.cas_url, self.parts[2:])
            elif self.parts[1] == "models":
                self._model(hub, "/".join(self.parts[2:4]))
            elif self.parts[1] == "whoami-v2":
                self._whoami(hub)
            elif self.parts[1:] == ["jobs", "hardware"]:
                job_routes.hardware(self)
            elif self.parts[1] == "jobs" and len(self.parts) == 3:  # noqa: PLR2004
                job_routes.jobs(self, hub.queue, hub.plan, self.parts[2])
            elif self.parts[1] == "jobs":
                job_routes.job(self, hub.queue, hub.plan, self.parts[3:])
            else:
                self.refuse(404, "Not found")
        except JobError as error:
            self.refuse(400, str(error))

    def _struck(self, plan: FaultPlan) -> bool:
        call = f"{self.command} {self.path}"
        if plan.strikes("slow_answer", call):
            time.sleep(plan.faults.slow_seconds)
        if plan.strikes("dropped_answer", call):
            self.hang_up()
        elif plan.strikes("rate_limited", call):
            wait = {"Retry-After": str(plan.faults.retry_after_seconds)}
            self.refuse(429, "Too many requests", headers=wait)
        elif plan.strikes("server_error", call):
            self.refuse(500, "Internal error")
        else:
            return False
        return True

    def _allowed(self, hub: FakeHub) -> bool:
        """Return whether the token may do this; else it is answered."""
        needed = self._needed()
        if self.parts[1:] == ["jobs", "hardware"]:
            return True
        if self.bearer() != hub.token:
            self.refuse(401, "Invalid credentials in Authorization header")
            return False
        if needed and needed not in hub.scopes:
            self.refuse(403, f"You do not have the required permissions ({needed})")
            return False
        if self.parts[1] == "jobs" and self.parts[2] != hub.namespace:
            self.refuse(403, f"You may not use the namespace {self.parts[2]!r}")
            return False
        return True

    def _needed(self) -> str:
        changes = self.command in {"POST", "PUT", "DELETE"} and self.parts[-1] != "paths-info"
        if self.parts[:2] == ["api", "jobs"]:
            return JOB_WRITE if changes else JOB_READ
        if self.parts[1] == "models":
            return BUCKET_READ
        if "buckets" in self.parts[:2]:
            changes = changes or self.parts[-1] == "xet-write-token"
            return BUCKET_WRITE if changes else BUCKET_READ
        return ""

    def _model(self, hub: FakeHub, name: str) -> None:
        if name in hub.models:
            self.reply({"id": name, "sha": "0" * 40, "siblings": [], "tags": []})
        else:
            self.refuse(404, "Repository not found", code="RepoNotFound")

    def _whoami(self, hub: FakeHub) -> None:
        entity = {"_id": "0" * 24, "type": "user", "name": hub.namespace}
        scoped = [{"entity": entity, "permissions": sorted(hub.scopes)}]
        token = {
            "displayName": "fake",
            "role": "fineGrained",
            "fineGrained": {"global": [], "scoped": scoped},
        }
        self.reply(
            {
                "type": "user",
                "id": "0" * 24,
                "name": hub.namespace,
                "fullname": hub.namespace,
                "canPay": True,
                "orgs": [],
                "auth": {"type": "access_token", "accessToken": token},
            }
        )
