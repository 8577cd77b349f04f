"""The one door to huggingface_hub: jobs, buckets and accounts of the Hub, typed.

Works with huggingface_hub 1.33 to 2.x, loaded when first used. Namespace, endpoint and token are
passed in every call: `list_jobs` without a namespace ignores the client's endpoint. What failed in
passing (429, 5xx, a lost connection) is tried again, but for a launch, which costs money: what came
of a launch without an answer is for the caller to find out by label. Knows no `JobSpec`.
"""

import asyncio
import contextlib
import functools
import inspect
import threading
from collections.abc import AsyncIterator, Callable, Iterator, Mapping, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from types import SimpleNamespace
from typing import Any, TypeVar, cast

import structlog
from tenacity import AsyncRetrying, RetryCallState, retry_if_exception, stop_after_attempt

from sandbox.errors import ConfigError, HubRefused
from sandbox.hub_refusals import (
    BUCKET_READ,
    BUCKET_WRITE,
    JOB_READ,
    JOB_WRITE,
    LaunchUnanswered,
    is_limited,
    is_passing,
    refusal,
    retry_after_seconds,
)
from sandbox.hub_types import BucketFile, Hardware, RemoteJob, Volume, remote_job

AT_ONCE = 8
"""Calls under way."""
DEFAULT_ENDPOINT = "https://huggingface.co"
_HOURLY = {"hour": 1, "minute": 60, "second": 3600}
_T = TypeVar("_T")

log = structlog.get_logger()


class Hub:
    """An account of the Hub; made once, used from one event loop, closed with `aclose`."""

    def __init__(  # noqa: PLR0913 - all but two are for tests and odd places
        self,
        token: str | None,
        namespace: str,
        *,
        endpoint: str = DEFAULT_ENDPOINT,
        answer_seconds: float = 60.0,
        tries: int = 7,
        first_wait_seconds: float = 0.5,
        most_wait_seconds: float = 60.0,
    ) -> None:
        """Connect to nothing yet.

        Args:
            token: of the account; None is an error that says how to get one.
            namespace: the user or organisation that owns and pays the jobs and buckets.
            endpoint: of the Hub, or of a fake of it.
            answer_seconds: how long one answer may take; the library itself waits for ever.
            tries: of a call that fails in passing.
            first_wait_seconds: before the second try; twice as long before each further one.
            most_wait_seconds: between two tries, whatever the server asks for.

        Raises:
            ConfigError: `no_token`; the operator sees what to do.
        """
        if not token:
            raise ConfigError(
                "HF Jobs need a Hugging Face token and there is none",
                code="no_token",
                hint="Make one with the scopes docs/hf-jobs.md lists and put it into HF_TOKEN",
            )
        self.namespace, self.endpoint = namespace, endpoint.rstrip("/")
        self._token, self._tries = token, tries
        self._waits_seconds = (first_wait_seconds, most_wait_seconds)
        self._library = _library(answer_seconds)
        self._api = self._library.api(endpoint=self.endpoint, token=token)
        self._gate = asyncio.Semaphore(AT_ONCE)
        self._is_closed = False

    async def aclose(self) -> None:
        """Take no further calls; those under way end by themselves, and nobody waits for them."""
        self._is_closed = True

    def holds_secret(self, text: str) -> bool:
        """Return whether the token is part of `text`."""
        return self._token in text

    async def whoami(self) -> dict[str, Any]:
        """Return the account of the token, as the Hub tells it; rarely, it is strictly limited."""
        found: dict[str, Any] = await self._call("ask whose token it is", "", self._api.whoami)
        return found

    async def hardware(self) -> tuple[Hardware, ...]:
        """Return the flavors and what they cost now."""
        found = await self._call("list hardware", "", self._api.list_jobs_hardware)
        return tuple(_hardware(one) for one in found)

    async def launch(  # noqa: PLR0913 - a job is made of so much
        self,
        *,
        image: str,
        command: Sequence[str],
        environment: Mapping[str, str],
        flavor: str,
        timeout_seconds: int,
        labels: Mapping[str, str],
        volumes: Sequence[Volume],
    ) -> RemoteJob:
        """Start a paid job, asking once; again only after "too many requests".

        Raises:
            LaunchUnanswered: it may have started or not; look for its labels.
            HubRefused: it has not started.
        """
        call = functools.partial(
            self._api.run_job,
            image=image,
            command=list(command),
            env=dict(environment),
            flavor=flavor,
            timeout=timeout_seconds,
            name=labels.get("job", "job"),
            labels=dict(labels),
            volumes=[self._library.volume(**volume.fields()) for volume in volumes],
            namespace=self.namespace,
            token=self._token,
        )
        try:
            return remote_job(await self._retrying(is_limited)(self._in_thread, call))
        except Exception as error:
            if is_passing(error) and not is_limited(error):
                raise LaunchUnanswered(f"a launch had no answer: {error!r}") from error
            raise refusal(error, "start a job", JOB_WRITE, self.namespace) from error

    async def jobs(
        self, labels: Mapping[str, str], *, stages: Sequence[str] = ()
    ) -> tuple[RemoteJob, ...]:
        """Return the jobs that carry all `labels`, oldest first."""

        def listed() -> list[Any]:
            found = self._api.list_jobs(
                labels=dict(labels),
                status=list(stages) or None,
                namespace=self.namespace,
                token=self._token,
            )
            return list(found)

        found = await self._call("list jobs", JOB_READ, listed)
        return tuple(sorted(map(remote_job, found), key=lambda job: (job.created, job.id)))

    async def job(self, job_id: str) -> RemoteJob:
        """Return a job as it is now."""
        call = functools.partial(self._api.inspect_job, **self._of(job_id))
        return remote_job(await self._call("look at a job", JOB_READ, call))

    async def cancel(self, job_id: str) -> None:
        """Stop a job; nothing when it has ended."""
        call = functools.partial(self._api.cancel_job, **self._of(job_id))
        await self._call("cancel a job", JOB_WRITE, call)

    def log_lines(self, job_id: str) -> Iterator[str]:
        """Yield what a job prints until it ends; blocks, so for a thread of its own."""
        yield from self._api.fetch_job_logs(follow=True, **self._of(job_id))

    def metrics(self, job_id: str) -> Iterator[dict[str, Any]]:
        """Yield what a job uses until it ends, once a second; blocks as `log_lines` does."""
        fetch = self._api.fetch_job_metrics
        follow = {"follow": True} if "follow" in inspect.signature(fetch).parameters else {}
        yield from fetch(**self._of(job_id), **follow)

    async def create_bucket(self, bucket: str) -> None:
        """Make a private bucket, unless it is there."""
        call = functools.partial(
            self._api.create_bucket, bucket, private=True, exist_ok=True, token=self._token
        )
        await self._call("create a bucket", BUCKET_WRITE, call)

    async def upload(self, bucket: str, files: Mapping[str, Path | bytes]) -> None:
        """Write files: path in the bucket -> a file here, or the content."""
        add = [(source, path) for path, source in files.items()]
        call = functools.partial(self._api.batch_bucket_files, bucket, add=add, token=self._token)
        await self._call("write to a bucket", BUCKET_WRITE, call)

    async def listing(self, bucket: str, prefix: str = "") -> tuple[BucketFile, ...]:
        """Return the files below the folder `prefix`."""

        def listed() -> list[Any]:
            found = self._api.list_bucket_tree(
                bucket, prefix=prefix or None, recursive=True, token=self._token
            )
            return [one for one in found if one.type == "file"]

        found = await self._call("list a bucket", BUCKET_READ, listed)
        inside = f"{prefix.rstrip('/')}/" if prefix else ""  # the Hub matches letters, not folders
        return tuple(BucketFile(one.path, one.size) for one in found if one.path.startswith(inside))

    async def download(self, bucket: str, files: Mapping[str, Path]) -> None:
        """Fetch files: path in the bucket -> file to write."""
        call = functools.partial(
            self._api.download_bucket_files,
            bucket,
            list(files.items()),
            raise_on_missing_files=True,
            token=self._token,
        )
        await self._call("read from a bucket", BUCKET_READ, call)

    async def delete(self, bucket: str, paths: Sequence[str]) -> None:
        """Remove files."""
        call = functools.partial(
            self._api.batch_bucket_files, bucket, delete=list(paths), token=self._token
        )
        await self._call("delete from a bucket", BUCKET_WRITE, call)

    # --- the account, for `doctor` and the mirror of boards

    async def bucket_names(self) -> tuple[str, ...]:
        """Return the buckets of the namespace, as NAMESPACE/NAME."""

        def listed() -> list[str]:
            return [one.id for one in self._api.list_buckets(self.namespace, token=self._token)]

        return tuple(sorted(await self._call("list buckets", BUCKET_READ, listed)))

    async def look_at_model(self, repository: str, revision: str) -> None:
        """Return if the account may read a model's repository: a gated one has to be asked for."""
        call = functools.partial(
            self._api.model_info, repository, revision=revision, token=self._token
        )
        await self._call(f"read the model {repository!r}", BUCKET_READ, call)

    def _of(self, job_id: str) -> dict[str, str]:
        return {"job_id": job_id, "namespace": self.namespace, "token": self._token}

    async def _call(self, doing: str, scope: str, call: Callable[[], _T]) -> _T:
        """Call until there is an answer or a refusal.

        Raises:
            HubRefused: what was refused, and what to do about it.
        """
        try:
            return await self._retrying(is_passing)(self._in_thread, call)
        except Exception as error:
            raise refusal(error, doing, scope, self.namespace) from error

    def _retrying(self, passes: Callable[[BaseException], bool]) -> AsyncRetrying:
        return AsyncRetrying(
            retry=retry_if_exception(passes),
            stop=stop_after_attempt(self._tries),
            wait=self._pause_seconds,
            reraise=True,
        )

    def _pause_seconds(self, state: RetryCallState) -> float:
        """Return what the server asked for, else twice as long each time."""
        error = state.outcome.exception() if state.outcome else None
        asked = retry_after_seconds(error)
        first, most = self._waits_seconds
        seconds = first * 2.0 ** (state.attempt_number - 1) if asked is None else asked
        log.debug("hub_call_failed", error=repr(error), again_in_seconds=seconds)
        return min(seconds, most)

    async def _in_thread(self, call: Callable[[], _T]) -> _T:
        """Call in a thread that nobody has to wait for: an upload to a silent Hub takes minutes."""
        if self._is_closed:
            raise HubRefused("the Hub was let go of", code="hub_closed")
        loop = asyncio.get_running_loop()
        answer: asyncio.Future[_T] = loop.create_future()

        def tell(found: _T | None, error: BaseException | None) -> None:
            if answer.cancelled():
                return
            if error is None:
                answer.set_result(cast("_T", found))
            else:
                answer.set_exception(error)

        def run() -> None:
            found, failed = None, None
            try:
                found = call()
            except BaseException as error:  # noqa: BLE001 - it is raised where it was asked for
                failed = error
            with contextlib.suppress(RuntimeError):  # the loop is closed: nobody asks any more
                loop.call_soon_threadsafe(tell, found, failed)

        async with self._gate:
            threading.Thread(target=run, name="hub call", daemon=True).start()
            return await answer


@asynccontextmanager
async def opened_hub(token: str | None, namespace: str, **options: Any) -> AsyncIterator[Hub]:
    """Open a `Hub` with its options, and close it."""
    hub = Hub(token, namespace, **options)
    try:
        yield hub
    finally:
        await hub.aclose()


@functools.cache
def _library(answer_seconds: float) -> SimpleNamespace:
    """Load huggingface_hub, quietened, with an end to every wait."""
    import huggingface_hub.utils  # noqa: PLC0415  # loaded when first used

    utils: Any = huggingface_hub.utils

    def client() -> Any:
        made = utils._http.default_client_factory()  # noqa: SLF001  # it has no public name
        made.timeout = answer_seconds
        return made

    huggingface_hub.set_client_factory(client)
    utils.disable_progress_bars()
    utils.logging.set_verbosity_error()
    return SimpleNamespace(api=huggingface_hub.HfApi, volume=huggingface_hub.Volume)


def _hardware(found: Any) -> Hardware:
    per_hour = _HOURLY.get(found.unit_label, 60)
    accelerator = found.accelerator.model if found.accelerator else ""
    return Hardware(found.name, found.unit_cost_usd * per_hour, accelerator, found.cpu, found.ram)
