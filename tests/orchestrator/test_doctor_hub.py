"""What a token may do, found out by harmless calls, and remote jobs that nobody waits for."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from bench.challenge import Challenge
from orchestrator.doctor import Finding
from orchestrator.doctor_hub import examine_hub, reap
from orchestrator.remote_mark import mark_of
from orchestrator.session_folder import locked
from orchestrator.settings import Settings
from sandbox.fake_hub import FakeHub
from tests.builders import make_attempt, make_opened, make_request, make_started
from tests.cli.race import write_record
from tests.orchestrator.hub_scene import rented
from tests.orchestrator.test_targets import launched, needs_containers
from tests.orchestrator.tiny_race import tiny_challenge
from tools.record.events import Draft

MARK = {"namespace": "paceline", "bucket": "paceline/jobs", "flavor": "a10g-small"}


@pytest.fixture
def hub(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[FakeHub]:
    with rented(tmp_path, monkeypatch) as served:
        yield served


@pytest.fixture
def killed(tmp_path: Path) -> Path:
    """A session that was killed while its job a0001-1 ran."""
    drafts = [
        Draft("organiser", make_opened(), "open"),
        Draft("ann", make_attempt(), "propose"),
        Draft("ann", make_request(), "job"),
        Draft("lane", make_started(), "started"),
    ]
    folder = write_record(tmp_path / "sessions" / "killed", drafts)
    mark_of(folder, MARK, is_rented=True)
    return folder


async def found(**settings: Any) -> dict[str, Finding]:
    findings = await examine_hub(Settings(**settings), tiny_challenge())
    return {one.name: one for one in findings}


async def test_without_a_token_it_is_optional_and_says_how(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("HF_TOKEN", raising=False)
    monkeypatch.setenv("HF_HOME", str(tmp_path))
    token = (await found())["hub token"]

    assert token.ok is None
    assert "HF_TOKEN" in token.command


@pytest.mark.usefixtures("hub")
async def test_a_token_with_every_scope_passes_every_check() -> None:
    findings = await found()

    assert {one.ok for one in findings.values()} == {True}
    assert findings["hub token"].detail == "of paceline"
    assert "a10g-small costs $1.00 an hour" in findings["hub hardware"].detail


MISSING = [
    ("job.read", "hub jobs"),
    ("repo.content.read", "hub buckets"),
    ("job.write", "hub scope job.write"),
    ("repo.write", "hub scope repo.write"),
]


@pytest.mark.parametrize(("scope", "check"), MISSING)
async def test_the_missing_scope_is_named(hub: FakeHub, scope: str, check: str) -> None:
    hub.scopes = hub.scopes - {scope}
    findings = await found()

    assert [name for name, one in findings.items() if one.ok is False] == [check]
    assert f"the scope {scope!r} is missing" in findings[check].detail


async def test_a_token_that_is_not_accepted_is_one_sentence(
    hub: FakeHub, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HF_TOKEN", "hf_" + "x" * 30)
    findings = await found()

    assert hub.endpoint
    assert list(findings) == ["hub token"]
    assert "does not accept the token" in findings["hub token"].detail


async def test_looking_launches_and_writes_nothing(hub: FakeHub, tmp_path: Path) -> None:
    before = sorted((tmp_path / "served").rglob("*"))
    await found()

    assert hub.jobs() == []
    assert sorted((tmp_path / "served").rglob("*")) == before


@needs_containers
async def test_only_jobs_that_no_resume_would_take_over_are_cancelled(
    hub: FakeHub, killed: Path
) -> None:
    label = mark_of(killed, MARK, is_rented=True).label
    kept = launched(hub, label, job="a0001-1")
    orphan = launched(hub, label, job="a0009-1")
    stranger = launched(hub, "another-machines")
    findings = await reap(killed.parent)
    live = {job.order.id for job in hub.jobs() if not job.is_over}

    assert live == {kept, stranger}
    assert [orphan in one.detail for one in findings] == [True, False, False]
    assert "a resume takes it over" in findings[1].detail
    assert findings[-1].detail == (
        "2 wait or run in 'paceline', 1 of sessions that are not on this machine"
    )


@needs_containers
async def test_a_session_that_rides_looks_after_its_own(hub: FakeHub, killed: Path) -> None:
    job = launched(hub, mark_of(killed, MARK, is_rented=True).label)
    with locked(killed):
        findings = await reap(killed.parent)

    assert "looks after its own" in findings[0].detail
    assert job in {one.order.id for one in hub.jobs() if not one.is_over}


async def test_a_machine_that_never_rented_has_nothing_to_reap(tmp_path: Path) -> None:
    (only,) = await reap(tmp_path)

    assert only.ok
    assert "no session of this machine rented any" in only.detail


async def test_a_model_that_may_not_be_read_is_named(hub: FakeHub, tmp_path: Path) -> None:
    source = {"source": f"hub-repo:acme/nano@{'a' * 40}", "title": "t", "licence": "l"}
    rules = tiny_challenge().model_dump(mode="json") | {"model": source}
    challenge = Challenge.model_validate(rules)
    before = await examine_hub(Settings(), challenge)
    hub.models = {"acme/nano": tmp_path}
    after = await examine_hub(Settings(), challenge)

    assert [one.ok for one in before if one.name == "hub model"] == [False]
    assert [one.ok for one in after if one.name == "hub model"] == [True]
