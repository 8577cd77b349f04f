"""A fake Hub that a session takes for the real one: by address, token and image."""

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from orchestrator.opening import RunOptions
from orchestrator.parts import Parts
from orchestrator.session import SessionSummary, open_record, resume_session, run_session
from sandbox.fake_hub import FakeHub
from tests.orchestrator.tiny_race import tiny_parts, write_challenge
from tools.record.events import Event

DIGEST = f"@sha256:{'0' * 64}"
IMAGE = f"paceline/bench{DIGEST}"


@contextmanager
def rented(folder: Path, patch: pytest.MonkeyPatch, **options: Any) -> Iterator[FakeHub]:
    """Serve a Hub and set the variables that lead there."""
    patch.setenv("HF_XET_CACHE", str(folder / "xet"))
    with FakeHub(folder / "served", **options) as served:
        patch.setenv("HF_TOKEN", served.token)
        patch.setenv("HF_ENDPOINT", served.endpoint)
        yield served


def hub_parts(folder: Path, **settings: Any) -> Parts:
    """Return tiny parts with what the operator says of the Hub."""
    parts = tiny_parts(folder)
    said: dict[str, Any] = {
        "hub_namespace": "paceline",
        "hub_image": IMAGE,
        "hub_python": sys.executable,
        "hub_poll_seconds": 0.05,
    }
    return parts._replace(settings=parts.settings.model_copy(update=said | settings))


def tiny_options(folder: Path, *, is_real: bool = False, **options: Any) -> RunOptions:
    challenge = write_challenge(folder / "challenge", is_real=is_real)
    plain = {"agents": 2, "attempts": 2, "minutes": 2, "challenge": str(challenge)}
    return RunOptions(**(plain | options), session=str(folder / "session"))


async def ridden(folder: Path, parts: Parts | None = None, **options: Any) -> SessionSummary:
    return await run_session(tiny_options(folder, **options), parts=parts or hub_parts(folder))


async def resumed(folder: Path, parts: Parts | None = None, **options: Any) -> SessionSummary:
    return await resume_session(folder / "session", parts=parts or hub_parts(folder), **options)


def events_of(folder: Path) -> list[Event]:
    store = open_record(folder / "session")
    try:
        return list(store.events())
    finally:
        store.close_reader()


def outcomes_of(folder: Path) -> list[Any]:
    return [one.payload.outcome for one in events_of(folder) if one.kind == "job_ended"]
