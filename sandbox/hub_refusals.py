"""What the Hub's errors mean: which pass, which do not, and what a person can do about those.

Reads errors by their shape (a response with a status), so that no library has to be loaded and
both of its HTTP libraries are understood.
"""

import http
import json
import re
from typing import Any

from sandbox.errors import HubRefused, JobError, PacelineError

JOB_READ, JOB_WRITE = "job.read", "job.write"
BUCKET_READ, BUCKET_WRITE = "repo.content.read", "repo.write"
_PASSING = {408, 429, 500, 502, 503, 504}
_STATUS_IN_TEXT = re.compile(r"HTTP status \w+ error \((\d{3})\b")
_MESSAGE_CHARACTERS = 300
_SETTINGS = "Edit the token at huggingface.co/settings/tokens"


_REFUSALS: dict[int | str | None, tuple[str, str, str]] = {
    401: (
        "bad_token",
        "the Hub does not accept the token, to {doing}",
        f"{_SETTINGS}, or make a new one",
    ),
    402: (
        "no_credit",
        "{namespace!r} has no credit left to {doing} ({said})",
        "Add credit at huggingface.co/settings/billing, or choose a cheaper flavor",
    ),
    403: (
        "missing_scope",
        "the token may not {doing} in {namespace!r}: the scope {scope!r} is missing ({said})",
        f"{_SETTINGS}: give it {{scope!r}} there",
    ),
    429: (
        "rate_limited",
        "the Hub still limits our calls, to {doing}, after several tries",
        "Wait five minutes, then resume",
    ),
    "quota": (
        "quota_exhausted",
        "the quota of {namespace!r} does not allow to {doing} now ({said})",
        "Wait, or let other jobs end",
    ),
}
"""Status -> code, text, hint."""
_SILENCE = (
    "hub_unreachable",
    "the Hub gave no answer, to {doing}: {said}",
    "Look at status.huggingface.co",
)
_OTHER = ("hub_refused", "the Hub refused to {doing}: {said}", "")


class LaunchUnanswered(JobError):
    """A launch whose answer was lost: the job may run, and cost, or not."""

    default_code = "launch_unanswered"


def status_of(error: BaseException | None) -> int | None:
    """Return the HTTP status that the Hub answered with; None = it did not answer.

    hf_xet raises a bare ConnectionError that has the status in its text only.
    """
    found: int | None = getattr(getattr(error, "response", None), "status_code", None)
    told = _STATUS_IN_TEXT.search(str(error)) if found is None else None
    return int(told[1]) if told else found


def is_passing(error: BaseException) -> bool:
    """Return whether the same call may well succeed a little later."""
    if isinstance(error, PacelineError):
        return False
    status = status_of(error)
    if status is not None:
        return status in _PASSING and not _is_quota(error)
    if isinstance(error, FileNotFoundError | PermissionError):  # of a file here
        return False
    return isinstance(error, OSError | RuntimeError | json.JSONDecodeError) or _is_transport(error)


def is_limited(error: BaseException) -> bool:
    """Return whether the Hub refused for now, so that surely nothing was done."""
    return status_of(error) == http.HTTPStatus.TOO_MANY_REQUESTS and not _is_quota(error)


def _is_transport(error: BaseException) -> bool:
    """Return whether either HTTP library, or hf_xet, lost the connection."""
    return any(kind.__module__.startswith(("httpx", "hf_xet")) for kind in type(error).__mro__)


def retry_after_seconds(error: BaseException | None) -> float | None:
    """Return how long a 429 asks to wait; None = it was none, or says nothing."""
    if status_of(error) != http.HTTPStatus.TOO_MANY_REQUESTS:
        return None
    text = _header(error, "Retry-After")
    return float(text) if text.isdigit() else None


def refusal(error: Exception, doing: str, scope: str, namespace: str) -> PacelineError:
    """Return what to raise for `error`: one sentence and the next step.

    Args:
        error: as it was caught.
        doing: a verb phrase, such as "start a job".
        scope: what the token needs for it.
        namespace: whose job or bucket it is.
    """
    if isinstance(error, PacelineError):
        return error
    status = status_of(error)
    kind = "quota" if _is_quota(error) else status
    code, text, hint = _REFUSALS.get(kind, _OTHER)
    if status is None or (status in _PASSING and kind not in _REFUSALS):
        code, text, hint = _SILENCE
    words = {"doing": doing, "scope": scope, "namespace": namespace, "said": _said(error)}
    return HubRefused(text.format_map(words), code=code, hint=hint.format_map(words))


def _is_quota(error: BaseException) -> bool:
    is_limit = status_of(error) == http.HTTPStatus.TOO_MANY_REQUESTS
    return is_limit and "quota" in _header(error, "X-Error-Message").lower()


def _said(error: BaseException) -> str:
    text = _header(error, "X-Error-Message") or str(error) or type(error).__name__
    return " ".join(text.split())[:_MESSAGE_CHARACTERS]


def _header(error: BaseException | None, name: str) -> str:
    response: Any = getattr(error, "response", None)
    return str(response.headers.get(name, "")) if response is not None else ""
